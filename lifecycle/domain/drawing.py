"""Charts over time as SVG, for paper: dark lines on white, told apart by their dashes as well as by their colours.

Nothing in them is a text from elsewhere: figures, times and percentages alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from html import escape

WIDTH, HEIGHT = 720, 220
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 22, 28
TONES = {"stable": ("#2f5480", ""), "canary": ("#9a5b00", "7 4")}
_FONT = 'font-family="DejaVu Sans Mono, monospace" font-size="10"'

Place = tuple[datetime, float]


@dataclass(frozen=True, slots=True)
class Curve:
    """One version: pieces of a line, broken where nothing is known. ``tone`` is stable or canary."""

    tone: str
    pieces: tuple[tuple[Place, ...], ...]


@dataclass(frozen=True, slots=True)
class Tick:
    """A moment with a few words of our own: "25 %", "all back"."""

    at: datetime
    words: str


@dataclass(frozen=True, slots=True)
class _Frame:
    since: datetime
    until: datetime
    top: float

    def x(self, at: datetime) -> float:
        whole = (self.until - self.since).total_seconds() or 1.0
        part = min(max((at - self.since).total_seconds() / whole, 0.0), 1.0)
        return round(LEFT + part * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        part = min(max(value / self.top, 0.0), 1.0)
        return round(HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM), 1)


def pieces(places: Sequence[Place], longest: timedelta) -> tuple[tuple[Place, ...], ...]:
    """The places, cut where more than ``longest`` lies between two of them."""
    cut: list[list[Place]] = []
    for place in places:
        if not cut or place[0] - cut[-1][-1][0] > longest:
            cut.append([])
        cut[-1].append(place)
    return tuple(map(tuple, cut))


def chart(curves: Sequence[Curve], ticks: Sequence[Tick], *, unit: str, limit: float | None = None) -> str:
    """The drawing, "" when there is nothing to draw. ``unit`` follows the figures of the axis."""
    values = [value for curve in curves for piece in curve.pieces for _, value in piece]
    moments = [at for curve in curves for piece in curve.pieces for at, _ in piece]
    if not values:
        return ""
    frame = _Frame(min(moments), max(moments), _top([*values, *([limit] if limit else [])]))
    shown = [tick for tick in ticks if frame.since <= tick.at <= frame.until]
    parts = [
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        *(_level(frame, part * frame.top, unit) for part in (0.0, 0.5, 1.0)),
        *_clock(frame),
        *_ticks(frame, shown),
        *([_limit(frame, limit)] if limit else []),
        *(_line(frame, curve, piece) for curve in curves for piece in curve.pieces),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}">'
        + "".join(parts)
        + "</svg>"
    )


def _top(values: Sequence[float]) -> float:
    """A round figure above all of them."""
    most = max(values) * 1.1 or 1.0
    size = 10.0 ** len(str(int(most))) if most >= 1 else 1.0
    while size / 2 >= most:
        size /= 2
    return float(f"{size:.3g}")


def _level(frame: _Frame, value: float, unit: str) -> str:
    y = frame.y(value)
    return (
        f'<line x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}" stroke="#c9ced3" stroke-width="1"/>'
        f'<text x="{LEFT - 6}" y="{y + 3}" text-anchor="end" fill="#333333" {_FONT}>{value:.3g}{unit}</text>'
    )


def _clock(frame: _Frame) -> list[str]:
    moments = ((frame.since, "start"), (frame.until, "end"))
    return [
        f'<text x="{frame.x(at)}" y="{HEIGHT - 10}" text-anchor="{anchor}" fill="#333333" {_FONT}>'
        f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}</text>"
        for at, anchor in moments
    ]


def _ticks(frame: _Frame, ticks: Sequence[Tick]) -> list[str]:
    """A line at each, and its words where they have room."""
    drawn, free = [], 0.0
    for tick in sorted(ticks, key=lambda tick: tick.at):
        x = frame.x(tick.at)
        line = f'<line x1="{x}" y1="{TOP}" x2="{x}" y2="{HEIGHT - BOTTOM}" stroke="#777777" stroke-width="0.8"/>'
        words = f'<text x="{x + 2}" y="{TOP - 6}" fill="#333333" {_FONT}>{escape(tick.words)}</text>'
        has_room = x >= free and x + 7 * len(tick.words) <= WIDTH
        drawn.append(line + (words if has_room else ""))
        free = x + 7 * len(tick.words) + 6 if has_room else free
    return drawn


def _limit(frame: _Frame, limit: float) -> str:
    y = frame.y(limit)
    line = f'<line x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}" stroke="#a02018" stroke-dasharray="2 3"/>'
    return f'{line}<text x="{WIDTH - RIGHT}" y="{y - 4}" text-anchor="end" fill="#a02018" {_FONT}>limit</text>'


def _line(frame: _Frame, curve: Curve, piece: Sequence[Place]) -> str:
    colour, dash = TONES[curve.tone]
    places = " ".join(f"{frame.x(at)},{frame.y(value)}" for at, value in piece)
    if len(piece) == 1:
        x, y = places.split(",")
        return f'<circle cx="{x}" cy="{y}" r="2.5" fill="{colour}"/>'
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="1.8"{dashes}/>'
