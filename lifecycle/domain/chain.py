"""How the entries of the record hold on to each other: canonical bytes, and a hash over the entry before.

The canonical bytes of an entry are those of RFC 8785 (JSON Canonicalization Scheme); its hash is the SHA-256 of them,
in hexadecimal, over everything but the hash itself. ``previous_hash`` is part of what is hashed, so nothing before an
entry can change without every hash after it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import rfc8785

FIRST = "0" * 64
"""What the first entry holds in place of the hash of the one before."""
EXACT_INTEGERS = 2**53
"""JSON numbers are doubles for whoever reads the record with something else than Python: beyond this they are texts."""


def canonical(value: Mapping[str, Any]) -> bytes:
    """The canonical bytes of a JSON object whose values have been through ``plain``."""
    return rfc8785.dumps(dict(value))


def entry_hash(body: Mapping[str, Any]) -> str:
    """The hash of an entry: of all its fields but ``hash``, ``previous_hash`` included."""
    return hashlib.sha256(canonical({name: value for name, value in body.items() if name != "hash"})).hexdigest()


def digest(value: Any) -> str:
    """The SHA-256, in hexadecimal, of the canonical form of any JSON value."""
    return hashlib.sha256(rfc8785.dumps(plain(value))).hexdigest()


def timestamp(at: datetime) -> str:
    """UTC with microseconds, always of the same length: ``2026-01-31T08:00:00.000000Z``."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def plain(value: Any) -> Any:
    """The value as every database and every JSON reader gives it back: what is hashed must survive being stored.

    Texts lose NUL and lone surrogates, which PostgreSQL cannot keep; integers beyond 2⁵³, and floats that are no
    number or as large, become texts; times are written as ``timestamp`` writes them.
    """
    if isinstance(value, str):
        return text(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value) if abs(value) < EXACT_INTEGERS else str(int(value))
    if isinstance(value, float):
        return float(value) if math.isfinite(value) and abs(value) < EXACT_INTEGERS else str(float(value))
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, Mapping):
        return {text(str(key)): plain(each) for key, each in value.items()}
    if isinstance(value, Sequence | set | frozenset):
        return [plain(each) for each in (sorted(value) if isinstance(value, set | frozenset) else value)]
    return text(str(value))


def text(value: str) -> str:
    """Without what a database cannot keep."""
    return str(value).replace("\x00", "�").encode("utf-8", "replace").decode("utf-8")
