"""Lengths of time as people write them in a policy: "24h", "1h 30m", "500ms", and as people read them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

from pydantic import TypeAdapter, ValidationError

_MICROSECONDS = {
    "w": 604_800_000_000,
    "d": 86_400_000_000,
    "h": 3_600_000_000,
    "m": 60_000_000,
    "min": 60_000_000,
    "s": 1_000_000,
    "ms": 1_000,
}
_PART = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)\s*([a-z]+)\s*")
_LONGEST = 100
"""A length of time is written in fewer characters than this."""
_ISO_8601: TypeAdapter[timedelta] = TypeAdapter(timedelta)
_DAY, _HOUR, _MINUTE, _SECOND = (_MICROSECONDS[unit] for unit in ("d", "h", "m", "s"))


class DurationError(ValueError):
    """This is no length of time. ``str(error)`` says how to write one."""


def parse(given: object) -> timedelta:
    """A length of time from seconds (a number), "24h", "7d", "1h 30m", "500ms" or ISO 8601 ("PT24H"), negative or not.

    Raises DurationError.
    """
    if isinstance(given, timedelta):
        return given
    try:
        return _read(given)
    except (OverflowError, ValueError, ValidationError):
        raise DurationError('This has to be a length of time, such as 24h, 7d, 10m, 90s, "1h 30m" or 500ms.') from None


def _read(given: object) -> timedelta:
    if isinstance(given, int | float) and not isinstance(given, bool):
        return timedelta(seconds=given)
    if not isinstance(given, str) or len(given) > _LONGEST:
        raise ValueError
    text = given.strip()
    if text.lstrip("+-").startswith("P"):
        return _ISO_8601.validate_python(text)
    return -_read_parts(text[1:]) if text.startswith("-") else _read_parts(text)


def _read_parts(text: str) -> timedelta:
    """Raises ValueError unless the whole text is made of numbers with units, each unit smaller than the one before."""
    parts = _PART.findall(text)
    if not parts or _PART.sub("", text):
        raise ValueError
    sizes = [_MICROSECONDS.get(unit, 0) for _, unit in parts]
    if 0 in sizes or sizes != sorted(set(sizes), reverse=True):
        raise ValueError
    exact = sum((Decimal(count) * size for (count, _), size in zip(parts, sizes, strict=True)), Decimal(0))
    return timedelta(microseconds=round(exact))


def write(length: timedelta) -> str:
    """The one way in which Stagegate writes a length of time, exact to the microsecond: "24h", "1h 30m", "2.5s"."""
    return _joined(length, lambda count, unit, _: f"{count}{unit}") or "0s"


def say(length: timedelta) -> str:
    """The length in words: "24 hours", "1 hour 30 minutes", "500 ms"."""
    return _joined(length, _counted) or "0 seconds"


def _joined(length: timedelta, text_of: Callable[[str, str, str], str]) -> str:
    text = " ".join(text_of(*part) for part in _parts(abs(length)))
    return f"-{text}" if length < timedelta(0) else text


def _counted(count: str, unit: str, word: str) -> str:
    if unit == "ms":
        return f"{count} ms"
    return f"{count} {word}" if count == "1" else f"{count} {word}s"


def _parts(length: timedelta) -> list[tuple[str, str, str]]:
    """Count, unit and word of every part that is not 0. One day is written as 24 hours."""
    left = length // timedelta(microseconds=1)
    if left < _SECOND and left % 1000 == 0:
        return [(str(left // 1000), "ms", "ms")] if left else []
    units = [(_HOUR, "h", "hour"), (_MINUTE, "m", "minute")]
    if left >= 2 * _DAY:
        units.insert(0, (_DAY, "d", "day"))
    found = []
    for size, unit, word in units:
        count, left = divmod(left, size)
        found += [(str(count), unit, word)] if count else []
    seconds = f"{Decimal(left) / _SECOND:f}"
    return [*found, (seconds, "s", "second")] if left else found
