"""Freeze windows as people read them: in words, as a month, and what summer time does to them."""

from __future__ import annotations

import calendar
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from lifecycle.domain.freezes import Occurrence, Repeats, Window

ONE_DAY = timedelta(days=1)


# ---------------------------------------------------------------- a month


@dataclass(frozen=True, slots=True)
class Mark:
    """A window on one day. ``begins`` and ``ends`` are local times, None where it began before or ends later."""

    key: int
    begins: time | None
    ends: time | None


@dataclass(frozen=True, slots=True)
class Day:
    """One field of a month; those of the weeks at its edges may be of the months beside it."""

    date: date
    in_month: bool
    marks: tuple[Mark, ...]


def month(first: date, found: Iterable[tuple[int, Occurrence]], zone: str) -> tuple[tuple[Day, ...], ...]:
    """The weeks, Monday first, of the month that begins at ``first``, by the wall clock of ``zone``.

    ``found`` are occurrences, each with the key of its window.
    """
    occurrences = list(found)
    weeks = calendar.Calendar().monthdatescalendar(first.year, first.month)
    return tuple(
        tuple(Day(each, each.month == first.month, _marks(each, occurrences, ZoneInfo(zone))) for each in week)
        for week in weeks
    )


def month_limits(first: date, zone: str) -> tuple[datetime, datetime]:
    """From when until when the weeks of that month last, in UTC."""
    weeks = calendar.Calendar().monthdatescalendar(first.year, first.month)
    place = ZoneInfo(zone)
    return _midnight(weeks[0][0], place), _midnight(weeks[-1][-1] + ONE_DAY, place)


def _midnight(day: date, place: ZoneInfo) -> datetime:
    return datetime.combine(day, time.min, place).astimezone(UTC)


def _marks(day: date, found: Iterable[tuple[int, Occurrence]], place: ZoneInfo) -> tuple[Mark, ...]:
    begin, end = _midnight(day, place), _midnight(day + ONE_DAY, place)
    return tuple(_mark(key, day, each, place) for key, each in found if each.since < end and each.until > begin)


def _mark(key: int, day: date, occurrence: Occurrence, place: ZoneInfo) -> Mark:
    begins, ends = occurrence.since.astimezone(place), occurrence.until.astimezone(place)
    return Mark(
        key,
        begins.time().replace(tzinfo=None) if begins.date() == day and begins.time() != time.min else None,
        ends.time().replace(tzinfo=None) if ends.date() == day else None,
    )


# ---------------------------------------------------------------- words


def in_words(window: Window) -> str:
    """When a window is in force, by the clock of its own zone: "every week from Friday, 18:00 to Monday, 08:00"."""
    words = f"{_REPEATED[window.repeats]} from {_edge(window, window.starts)} to {_edge(window, window.ends)}".strip()
    if window.repeats == Repeats.NEVER:
        return words
    first = f", for the first time on {_date(window.starts)}"
    return words + first + (f", until {_date(window.until)}" if window.until else "")


_REPEATED = {
    Repeats.NEVER: "once,",
    Repeats.DAILY: "every day",
    Repeats.WEEKLY: "every week",
    Repeats.YEARLY: "every year",
}


def _edge(window: Window, at: datetime) -> str:
    if window.repeats == Repeats.DAILY:
        later = (window.ends.date() - window.starts.date()).days if at == window.ends else 0
        after = {0: "", 1: " the next day"}.get(later, f" {later} days later")
        return f"{at:%H:%M}{after}"
    if window.repeats == Repeats.WEEKLY:
        return f"{at:%A}, {at:%H:%M}"
    return f"{at.day} {at:%B}, {at:%H:%M}" if window.repeats == Repeats.YEARLY else f"{_date(at)}, {at:%H:%M}"


def _date(at: date) -> str:
    return f"{at.day} {at:%b %Y}"


def clock_note(window: Window, occurrence: Occurrence) -> str:
    """What summer time does to an occurrence, as sentences; "" on all other days."""
    place = ZoneInfo(window.zone)
    notes = [
        _edge_note("begins", window.starts.time(), occurrence.since.astimezone(place)),
        _edge_note("ends", window.ends.time(), occurrence.until.astimezone(place)),
    ]
    said = [note for note in notes if note] or [_length_note(window, occurrence)]
    return " ".join(note for note in said if note)


def _edge_note(verb: str, wanted: time, local: datetime) -> str:
    if local.time().replace(tzinfo=None) != wanted:
        return f"The clocks there skip {wanted:%H:%M} that night: it {verb} at {local:%H:%M}."
    if local.utcoffset() != local.replace(fold=1).utcoffset():
        return f"{wanted:%H:%M} comes twice there that night: it {verb} at the first."
    return ""


def _length_note(window: Window, occurrence: Occurrence) -> str:
    longer = (occurrence.until - occurrence.since) - (window.ends - window.starts)
    minutes = round(abs(longer) / timedelta(minutes=1))
    if not minutes:
        return ""
    length = f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"
    how, clocks = ("longer", "back") if longer > timedelta(0) else ("shorter", "forward")
    return f"It lasts {length} {how} than the clock says, because the clocks go {clocks} during it."
