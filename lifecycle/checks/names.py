"""Names of files: which format one stands for, and where a path leads. Light: every worker imports it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from pathlib import PurePosixPath

PICKLES = frozenset({"pkl", "pickle", "joblib", "dill", "dat", "data"})
TORCH = frozenset({"pt", "pth", "ckpt", "bin"})
NEED_MODELSCAN = frozenset({*PICKLES, *TORCH, "h5", "keras", "pb"})
"""The formats that are fit only when modelscan has looked into them as well, and found nothing."""

_STORAGE = re.compile(
    r"[^/]+/(data/\d+|version|byteorder|\.format_version|\.storage_alignment|\.data/serialization_id)"
)


class UnfitError(Exception):
    """A file that a model must not consist of. ``str(error)`` follows the file's name: "is a pickle ..."."""


def kind_of(path: str, formats: Collection[str]) -> str | None:
    """The entry of ``formats`` that a file falls under: its whole name, or else its longest ending. None: no entry."""
    name = PurePosixPath(path).name
    endings = [entry for entry in formats if name.lower().endswith(f".{entry.lower()}")]
    return name if name in formats else max(endings, key=len, default=None)


def climbs(path: str) -> bool:
    """Whether a path, as a file writes it down, could lead out of the directory that it is relative to.

    Windows' ways of writing an absolute path or a separator count as well.
    """
    parts = path.replace("\\", "/").split("/")
    return path.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]


def has_control_characters(name: str) -> bool:
    """Whether a name has characters that no page, log or manifest should carry; also bytes that are not UTF-8."""
    return any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name)


def spoken(text: str, limit: int = 500) -> str:
    """Untrusted text as evidence may carry it: at most ``limit`` characters, none that a database can't hold."""
    plain = "".join(
        "\N{REPLACEMENT CHARACTER}" if has_control_characters(letter) else letter for letter in text[:limit]
    )
    return plain if len(text) <= limit else f"{plain}..."


def is_torch_storage(member: str) -> bool:
    """Whether a member of a file of PyTorch weights is read as raw numbers, or as a word about them."""
    return _STORAGE.fullmatch(member) is not None
