"""What the pages and the API say about freezes: what holds now, what comes, and what is over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import islice

from django.db.models import QuerySet

from lifecycle import freezes
from lifecycle.domain import freeze_calendar
from lifecycle.domain.freezes import Occurrence, occurrence_at, occurrences
from lifecycle.domain.permissions import Action, Actor, may
from lifecycle.freezes import Freeze, in_force, of_row
from lifecycle.models import FreezeWindow, RegisteredModel

COMING_DAYS = 90
COMING_SHOWN = 100
PAST_SHOWN = 20
FAR = datetime(9000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Line:
    """One time that a window is in force. ``note`` says what summer time does to it, "" where it does nothing."""

    row: FreezeWindow
    occurrence: Occurrence
    note: str


@dataclass(frozen=True, slots=True)
class Planned:
    """A window as it was planned. ``words`` say when it is in force; ``may_remove`` whether this person may end it."""

    row: FreezeWindow
    words: str
    may_remove: bool


@dataclass(frozen=True, slots=True)
class DayMark:
    row: FreezeWindow
    mark: freeze_calendar.Mark


@dataclass(frozen=True, slots=True)
class DayCell:
    date: date
    in_month: bool
    marks: tuple[DayMark, ...]


@dataclass(frozen=True, slots=True)
class FreezePage:
    """``weeks`` are the month by the viewer's clock; ``more`` is how many of ``coming`` are not shown."""

    holding: tuple[Line, ...]
    weeks: tuple[tuple[DayCell, ...], ...]
    coming: tuple[Line, ...]
    more: int
    planned: tuple[Planned, ...]
    past: tuple[Planned, ...]


def freeze_page(actor: Actor, now: datetime, first: date, zone: str) -> FreezePage:
    """``first`` is the first day of the month to be shown, in ``zone``, the viewer's."""
    alive, over = _by_age(freezes.planned(), now)
    lines = [_line(each) for each in freezes.coming(alive, now, COMING_DAYS)]
    holding = tuple(each for each in lines if each.occurrence.since <= now)
    coming = [each for each in lines if each.occurrence.since > now]
    removed = FreezeWindow.objects.exclude(removed_at=None).select_related("model", "team")
    past = sorted((*over, *removed[:PAST_SHOWN]), key=lambda row: row.pk, reverse=True)
    return FreezePage(
        holding=holding,
        weeks=_weeks((*alive, *over), first, zone),
        coming=tuple(coming[:COMING_SHOWN]),
        more=max(len(coming) - COMING_SHOWN, 0),
        planned=tuple(_planned(row, actor) for row in alive),
        past=tuple(_planned(row, actor) for row in past[:PAST_SHOWN]),
    )


def may_plan(actor: Actor) -> bool:
    """Whether this person may plan a freeze of anything: of all models, or of those of a team of theirs."""
    return any(may(actor.at(team), Action.PLAN_FREEZE) for team in (None, *{team for team, _ in actor.team_roles}))


def _by_age(rows: Iterable[FreezeWindow], now: datetime) -> tuple[list[FreezeWindow], list[FreezeWindow]]:
    """The windows that are in force now or later, and those that are over."""
    alive: list[FreezeWindow] = []
    over: list[FreezeWindow] = []
    for row in rows:
        (alive if _comes_again(row, now) else over).append(row)
    return alive, over


def _comes_again(row: FreezeWindow, now: datetime) -> bool:
    return next_occurrence(row, now) is not None


def _line(freeze: Freeze) -> Line:
    return Line(freeze.row, freeze.occurrence, freeze_calendar.clock_note(of_row(freeze.row), freeze.occurrence))


def _planned(row: FreezeWindow, actor: Actor) -> Planned:
    team = row.team_id or (row.model.team_id if row.model else None)
    removable = row.removed_at is None and may(actor.at(team), Action.PLAN_FREEZE)
    return Planned(row, freeze_calendar.in_words(of_row(row)), removable)


def _weeks(rows: Sequence[FreezeWindow], first: date, zone: str) -> tuple[tuple[DayCell, ...], ...]:
    since, until = freeze_calendar.month_limits(first, zone)
    by_key = {row.pk: row for row in rows}
    found = [(row.pk, each) for row in rows for each in occurrences(of_row(row), since, until)]
    return tuple(
        tuple(
            DayCell(day.date, day.in_month, tuple(DayMark(by_key[mark.key], mark) for mark in day.marks))
            for day in week
        )
        for week in freeze_calendar.month(first, found, zone)
    )


def freeze_windows() -> QuerySet[FreezeWindow]:
    """Every window that there was, newest first."""
    return FreezeWindow.objects.select_related("model", "team")


def occurrence_now(row: FreezeWindow, now: datetime) -> Occurrence | None:
    return None if row.removed_at is not None else occurrence_at(of_row(row), now)


def next_occurrence(row: FreezeWindow, now: datetime) -> Occurrence | None:
    """The one in force now, or the next one; None for what is over or removed."""
    if row.removed_at is not None:
        return None
    ahead = occurrences(of_row(row), now, FAR)
    return next((each for each in islice(ahead, 2) if each.until > now), None)


def holding_among(
    rows: Iterable[FreezeWindow], model: RegisteredModel, now: datetime, *, overridden_at: datetime | None = None
) -> Freeze | None:
    """As ``lifecycle.freezes.holding``, for lists: ``rows`` are all planned windows, read once."""
    return in_force((row for row in rows if _concerns(row, model)), now, overridden_at=overridden_at)


def _concerns(row: FreezeWindow, model: RegisteredModel) -> bool:
    if row.model_id is not None:
        return row.model_id == model.pk
    return row.team_id in (None, model.team_id)
