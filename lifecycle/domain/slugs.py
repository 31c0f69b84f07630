"""A safe, unique name for every registered model: for addresses, files and the gateway.

A slug matches ``[a-z0-9][a-z0-9-]{0,62}`` and never contains ``--``, which separates a slug from a version in the
gateway's service names. A name that is such a slug is its own; every other one, also one that differs from a
slug only by case, gets 8 hexadecimal digits of its SHA-256.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection

MAX_LENGTH = 63
_SAFE = re.compile(r"[a-z0-9](-?[a-z0-9]){0,62}")
_UNSAFE_RUN = re.compile(r"[^a-z0-9]+")


def slug_of(name: str, taken: Collection[str] = ()) -> str:
    """The slug of a model's name, none of ``taken``.

    Taken slugs matter only when somebody names a model like another one's slug, or when hashes meet: then more
    of the hash is used. Any string has a slug, also "" and one with lone surrogates.
    """
    if is_slug(name) and name not in taken:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    for length in range(8, len(digest) - 2, 2):
        slug = _with_suffix(name, digest[:length])
        if slug not in taken:
            return slug
    raise ValueError("every slug of this name is taken")


def is_slug(text: str) -> bool:
    """Does ``text`` have the form of a slug?"""
    return len(text) <= MAX_LENGTH and _SAFE.fullmatch(text) is not None


def _with_suffix(name: str, suffix: str) -> str:
    plain = unicodedata.normalize("NFKD", name[:1000]).lower()
    words = _UNSAFE_RUN.sub("-", plain.encode("ascii", "ignore").decode())
    stem = words.strip("-")[: MAX_LENGTH - 1 - len(suffix)].rstrip("-")
    return f"{stem}-{suffix}" if stem else suffix
