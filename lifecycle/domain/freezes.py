"""Freeze windows: times by the wall clock of a place, in which no change is carried out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

LONGEST = timedelta(days=60)
"""A window longer than this is a mistake, or a policy."""


class Repeats(StrEnum):
    NEVER = "never"
    DAILY = "daily"
    WEEKLY = "weekly"
    YEARLY = "yearly"


@dataclass(frozen=True, slots=True)
class Window:
    """``starts`` and ``ends`` are wall-clock times without an offset, in ``zone``; ``until`` is the last local date on
    which an occurrence may start, None: for ever."""

    starts: datetime
    ends: datetime
    zone: str
    repeats: Repeats = Repeats.NEVER
    until: date | None = None


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One time the window is in force: from ``since`` on and before ``until``, both in UTC."""

    since: datetime
    until: datetime


def occurrence_at(window: Window, at: datetime) -> Occurrence | None:
    """The occurrence that ``at`` lies in."""
    return next((each for each in occurrences(window, at, at) if each.since <= at < each.until), None)


def occurrences(window: Window, since: datetime, until: datetime) -> Iterator[Occurrence]:
    """Those that touch the time from ``since`` to ``until``, both included, oldest first."""
    length = window.ends - window.starts
    first = since.astimezone(ZoneInfo(window.zone)).replace(tzinfo=None) - length - timedelta(days=1)
    for starts in _starts(window, first):
        began = _instant(starts, window.zone)
        if began > until:
            return
        ended = _instant(starts + length, window.zone)
        if ended >= since:
            yield Occurrence(began, ended)


def _starts(window: Window, first: datetime) -> Iterator[datetime]:
    """The local starts from the one before ``first`` on."""
    if window.repeats == Repeats.NEVER:
        yield window.starts
        return
    index = _index_before(window, first)
    while True:
        starts = _start(window, index)
        index += 1
        if starts is None:
            continue
        if (window.until is not None and starts.date() > window.until) or starts.year >= date.max.year:
            return
        yield starts


def _index_before(window: Window, first: datetime) -> int:
    if window.repeats == Repeats.YEARLY:
        return max(first.year - window.starts.year - 1, 0)
    every = timedelta(days=1 if window.repeats == Repeats.DAILY else 7)
    return max((first - window.starts) // every, 0)


def _start(window: Window, index: int) -> datetime | None:
    """The local start of the occurrence with this number; None for the 29th of February in most years."""
    if window.repeats == Repeats.YEARLY:
        try:
            return window.starts.replace(year=window.starts.year + index)
        except ValueError:
            return None
    return window.starts + index * timedelta(days=1 if window.repeats == Repeats.DAILY else 7)


def _instant(local: datetime, zone: str) -> datetime:
    """When the wall clock shows this: the first time where it does so twice; where it never does, as much later as it
    is put forward."""
    return local.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC)
