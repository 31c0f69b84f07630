"""Digests that an auditor can compute again with sha256sum."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping


def manifest_digest(files: Mapping[str, str]) -> str:
    """The SHA-256 of a manifest: one line a file, sorted by path, "<sha256 of its bytes>  <path>" and a newline.

    ``files`` maps a path below the model's directory to the hexadecimal SHA-256 of the file's bytes. It is what
    ``find . -type f | sort | xargs sha256sum | sha256sum`` prints there, but for the leading "./" of the paths.
    """
    lines = "".join(f"{digest}  {path}\n" for path, digest in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
