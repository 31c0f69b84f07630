"""A model's past as a drawing: classes for the style sheet, percentages for the places, words on hover.

The list of transitions beside it says the same in words, so to those who do not see it the drawing is silent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from html import escape

from django import template
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from lifecycle.domain.timeline import Band, Happened, Lane, Mark, Timeline, ticks
from lifecycle.queries_models import Past

register = template.Library()

LANE_HEIGHT, BAND_HEIGHT, HEAD = 46, 24, 18
MARK_ROWS, MARK_HEIGHT, MARK_SPACE = 3, 20, 1.8
"""Marks that are closer than the space, in percent, stand under each other."""
AXIS_HEIGHT = 22
EDGE = 4.0
NARROWEST, NARROW, LETTER = 0.4, 3.0, 0.75
"""Percent of the width: what a band has at least, what it has to have for words, and about what a letter takes."""
SHORTEST_LABEL = 4
SHAPES = {
    Happened.PROMOTED: ("M0 -7 L6 5 L-6 5 Z", "promoted"),
    Happened.ROLLED_BACK: ("M0 7 L6 -5 L-6 -5 Z", "rolled back by hand"),
    Happened.ROLLED_BACK_BY_ITSELF: ("M-6 -6 H6 V6 H-6 Z M0 4 L3.5 -3 L-3.5 -3 Z", "rolled back by itself"),
    Happened.DRILLED: ("M0 -6 A6 6 0 1 1 0 6 A6 6 0 1 1 0 -6 Z M0 -3 A3 3 0 1 0 0 3 A3 3 0 1 0 0 -3 Z", "drill"),
    Happened.REJECTED: ("M-5.5 -3.5 L-3.5 -5.5 L0 -2 L3.5 -5.5 L5.5 -3.5 L2 0 L5.5 3.5 L3.5 5.5 L0 2 "
                        "L-3.5 5.5 L-5.5 3.5 L-2 0 Z", "rejected"),
    Happened.FAILED: ("M0 -7 L7 0 L0 7 L-7 0 Z M-1 -4 V1 H1 V-4 Z M-1 2 V4 H1 V2 Z", "failed"),
}  # fmt: skip
"""Each mark has a shape of its own, not only a colour; around its middle."""


@dataclass(frozen=True, slots=True)
class Sign:
    """A shape and what it means, for the key of the drawing."""

    shape: str
    name: str
    words: str


@register.filter
def signs_of(past: Past) -> tuple[Sign, ...]:
    """Those that the drawing has, in the order of their meaning."""
    there = {mark.happened for mark in past.line.marks} if past.line else set()
    return tuple(Sign(shape, each.value, words) for each, (shape, words) in SHAPES.items() if each in there)


@register.simple_tag
def time_line(past: Past) -> SafeString:
    """Hundreds of parts, so they are written as text: figures, our own words, and names that were escaped."""
    line = past.line
    if line is None:
        return SafeString("")
    rows = _rows(line, line.marks)
    lanes = [lane for lane in Lane if lane != Lane.TRIAL or line.lane(lane)]
    top = LANE_HEIGHT * len(lanes) + 6
    bottom = top + MARK_HEIGHT * (max(rows, default=-1) + 1)
    parts = [
        *_ticks(line, bottom),
        *(part for number, lane in enumerate(lanes) for part in _lane(past, line, lane, LANE_HEIGHT * number)),
        *(_mark(past, line, mark, top + MARK_HEIGHT * row) for mark, row in zip(line.marks, rows, strict=True)),
    ]
    height = bottom + AXIS_HEIGHT
    return SafeString(
        f'<svg class="time-line" height="{height}" aria-hidden="true" focusable="false">{"".join(parts)}</svg>'
    )


def _rows(line: Timeline, marks: Sequence[Mark]) -> list[int]:
    """In which row each mark stands: the first in which the one before leaves it room, else the last."""
    free, rows = [-MARK_SPACE] * MARK_ROWS, []
    for mark in marks:
        place = 100 * line.part(mark.at)
        row = next((row for row in range(MARK_ROWS) if place - free[row] >= MARK_SPACE), MARK_ROWS - 1)
        free[row] = place
        rows.append(row)
    return rows


def _ticks(line: Timeline, bottom: int) -> Iterator[str]:
    for tick in ticks(line, timezone.get_current_timezone()):
        place = 100 * line.part(tick.at)
        yield f'<line class="tick" x1="{place:.2f}%" x2="{place:.2f}%" y1="0" y2="{bottom + 4}"></line>'
        yield f'<text class="tick-words{_edge(place)}" x="{place:.2f}%" y="{bottom + 18}">{escape(tick.words)}</text>'


def _edge(place: float) -> str:
    """Words at an end of the line stand on its inner side."""
    return " tick-first" if place < EDGE else " tick-last" if place > 100 - EDGE else ""


# ---------------------------------------------------------------- bands


def _lane(past: Past, line: Timeline, lane: Lane, top: int) -> Iterator[str]:
    yield f'<text class="lane-words" x="0" y="{top + HEAD - 5}">{lane.value}</text>'
    yield f'<rect class="lane" x="0" y="{top + HEAD}" width="100%" height="{BAND_HEIGHT}"></rect>'
    for band in line.lane(lane):
        yield _band(past, line, band, top + HEAD)


def _band(past: Past, line: Timeline, band: Band, top: int) -> str:
    start, end = 100 * line.part(band.since), 100 * line.part(band.until or past.now)
    width, label = max(end - start, NARROWEST), past.label(band.version)
    now = " band-now" if band.until is None else ""
    return _linked(
        f'<svg x="{start:.2f}%" y="{top}" width="{width:.2f}%" height="{BAND_HEIGHT}">'
        f"<title>{escape(_band_words(band, label))}</title>"
        f'<rect class="band band-{band.lane.name.lower()}{now}" width="100%" height="100%"></rect>'
        f"{_band_label(label, width)}</svg>",
        band.key,
    )


def _band_label(label: str, width: float) -> str:
    room = int(width / LETTER)
    if width < NARROW or room < SHORTEST_LABEL:
        return ""
    return f'<text class="band-words" x="6" y="16">{escape(Truncator(label).chars(room))}</text>'


def _band_words(band: Band, label: str) -> str:
    since = f"since {_words(band.since)}" if band.since else "from before what is known"
    until = f"until {_words(band.until)}" if band.until else "until now"
    return f"{label}: {band.lane.value}, {since}, {until}"


# ---------------------------------------------------------------- marks


def _mark(past: Past, line: Timeline, mark: Mark, top: int) -> str:
    shape, words = SHAPES[mark.happened]
    title = f"{past.words(mark.key)}: {words}, {_words(mark.at)}"
    return _linked(
        f'<svg class="mark mark-{mark.happened.value}" x="{100 * line.part(mark.at):.2f}%" '
        f'y="{top + MARK_HEIGHT // 2}" overflow="visible">'
        f'<title>{escape(title)}</title><path d="{shape}"></path></svg>',
        mark.key,
    )


def _linked(drawn: str, key: int | None) -> str:
    """With the keyboard one reaches the same page from the list."""
    return drawn if key is None else f'<a href="{_address_of(key)}" tabindex="-1">{drawn}</a>'


@lru_cache(maxsize=1000)
def _address_of(key: int) -> str:
    return reverse("transition", args=[key])


def _words(at: datetime) -> str:
    return f"{timezone.localtime(at):%-d %b %Y, %H:%M}"
