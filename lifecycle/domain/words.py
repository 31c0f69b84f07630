"""Figures as people read them. A figure never looks like its threshold when it is not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def figure(value: float, beside: float | None = None) -> str:
    """Four significant digits, and never less than the whole part, or as many more as it takes to tell the value from
    ``beside``."""
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinite"
    whole = len(str(int(abs(value))))
    for digits in (max(4, min(whole, 17)), max(6, min(whole + 2, 17)), 9, 17):
        shown = float(f"{value:.{digits}g}")
        if beside is None or (shown < beside, shown > beside) == (value < beside, value > beside):
            return _plain(value, digits)
    return _plain(value, 17)


def _plain(value: float, digits: int) -> str:
    """Without an exponent where that stays readable, and with commas between thousands."""
    text = f"{value:.{digits}g}"
    if "e" not in text:
        whole, point, rest = text.partition(".")
        return f"{int(whole):,}{point}{rest}" if len(whole.lstrip("-")) > 4 else text
    return f"{float(text):,.0f}" if 1 <= abs(value) < 1e15 else text


def seconds(value: float, beside: float | None = None) -> str:
    """Milliseconds below one second: "62.43 ms", "1.2 s"."""
    if 0 < abs(value) < 1:
        return f"{figure(value * 1000, None if beside is None else beside * 1000)} ms"
    return f"{figure(value, beside)} s"


def percent(value: float, beside: float | None = None) -> str:
    return f"{figure(value, beside)} %"


def length(span: timedelta) -> str:
    """The two largest units, rounded down: "6 h 12 min", "45 s"; days from two days on, as policies are written."""
    left = max(span, timedelta(0)).total_seconds()
    if left < 1:
        return f"{figure(left)} s" if left else "0 s"
    whole = int(left)
    parts: list[str] = []
    for size, unit in _UNITS if whole >= 2 * _UNITS[0][0] else _UNITS[1:]:
        count, whole = divmod(whole, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part)


def still_to_go(span: timedelta) -> str:
    """Like ``length``, but rounded up to full seconds, and to full minutes above an hour: never "0 s to go"."""
    step = 60 if span >= timedelta(hours=1) else 1
    return length(timedelta(seconds=math.ceil(span.total_seconds() / step) * step))


def counted(number: int, thing: str) -> str:
    """ "1 request", "1,000 requests"."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def listed(words: Sequence[str], last: str = "and") -> str:
    """ "a", "a and b", "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}" if words else ""
