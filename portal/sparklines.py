"""Small lines of a metric through the versions of a model, as the coordinates of an SVG: pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lifecycle.domain.words import counted, figure, listed
from lifecycle.metric_history import Measured

WIDTH, HEIGHT = 132, 36
_EDGE = 6
"""So far from the edge the line stays: a dot has to fit."""
LONGEST_LABEL = 24


@dataclass(frozen=True, slots=True)
class Dot:
    """A version that is marked: ``kind`` is "this" or "production"."""

    x: float
    y: float
    kind: str


@dataclass(frozen=True, slots=True)
class Sparkline:
    """``lines`` are the points of polylines, one for each part without a gap; ``words`` say what can be seen."""

    lines: tuple[str, ...]
    dots: tuple[Dot, ...]
    words: str
    width: int = WIDTH
    height: int = HEIGHT


def sparkline(
    name: str, course: Sequence[float | None], versions: Sequence[Measured], this: int | None
) -> Sparkline | None:
    """The course of a metric; None where fewer than two versions have a number to show. ``this`` is the version that
    the page is about, None for a page about all."""
    values = [value if value is not None and math.isfinite(value) else None for value in course]
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return None
    points = _points(values, min(known), max(known))
    return Sparkline(
        lines=tuple(" ".join(f"{x:g},{y:g}" for x, y in part) for part in _parts(points)),
        dots=tuple(_dots(points, versions, this)),
        words=_words(name, values, versions, this),
    )


def _points(values: Sequence[float | None], low: float, high: float) -> list[tuple[float, float] | None]:
    """Shares of the height are taken of halves: the span of two huge numbers has no number itself."""
    step = (WIDTH - 2 * _EDGE) / (len(values) - 1)
    span = high / 2 - low / 2
    heights = [None if each is None else ((each / 2 - low / 2) / span if span else 0.5) for each in values]
    return [
        None
        if each is None
        else (round(_EDGE + place * step, 1), round(HEIGHT - _EDGE - each * (HEIGHT - 2 * _EDGE), 1))
        for place, each in enumerate(heights)
    ]


def _parts(points: Sequence[tuple[float, float] | None]) -> Iterator[list[tuple[float, float]]]:
    part: list[tuple[float, float]] = []
    for point in (*points, None):
        if point is not None:
            part.append(point)
        elif part:
            # A version between two gaps is a line of no length, which round ends make a point.
            yield part if len(part) > 1 else part * 2
            part = []


def _dots(
    points: Sequence[tuple[float, float] | None], versions: Sequence[Measured], this: int | None
) -> Iterator[Dot]:
    for point, each in zip(points, versions, strict=True):
        if point is not None and each.in_production:
            yield Dot(*point, "production")
        if point is not None and each.version == this:
            yield Dot(*point, "this")


def _words(name: str, values: Sequence[float | None], versions: Sequence[Measured], this: int | None) -> str:
    pairs = [(value, each) for value, each in zip(values, versions, strict=True) if value is not None]
    first, last = pairs[0], pairs[-1]
    lowest, highest = min(pairs, key=_value), max(pairs, key=_value)
    told = [f"{name} through {counted(len(pairs), 'version')}: {_way(first[0], last[0])}"]
    if lowest[0] != highest[0]:
        told.append(f"lowest {_of(*lowest)}, highest {_of(*highest)}")
    noted = [(value, each) for value, each in pairs if each.in_production or each.version == this]
    marked = [f"{_of(value, each)}{_why(each, this)}" for value, each in noted]
    return "; ".join([*told, *([listed(marked)] if marked else [])]) + "."


def _value(pair: tuple[float, Measured]) -> float:
    return pair[0]


def _way(first: float, last: float) -> str:
    if first == last:
        return f"it ends as it began, at {figure(last)}"
    return f"it {'rose' if last > first else 'fell'} from {figure(first, last)} to {figure(last, first)}"


def _of(value: float, version: Measured) -> str:
    label = version.label if len(version.label) <= LONGEST_LABEL else f"{version.label[: LONGEST_LABEL - 1]}…"
    return f"{figure(value)} ({label})"


def _why(version: Measured, this: int | None) -> str:
    return " in this version" if version.version == this else " in Production"
