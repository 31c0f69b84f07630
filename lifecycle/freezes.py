"""Which freeze holds a model's changes now, and which ones come."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q, QuerySet

from lifecycle.domain.freezes import Occurrence, Repeats, Window, occurrence_at, occurrences
from lifecycle.models import FreezeWindow, RegisteredModel, Transition


@dataclass(frozen=True, slots=True)
class Freeze:
    """A freeze window, and one time that it is in force."""

    row: FreezeWindow
    occurrence: Occurrence

    @property
    def sentence(self) -> str:
        return f"The freeze “{self.row.name}” holds it: {self.row.reason}"


def of_row(row: FreezeWindow) -> Window:
    return Window(
        starts=datetime.fromisoformat(row.starts),
        ends=datetime.fromisoformat(row.ends),
        zone=row.zone,
        repeats=Repeats(row.repeats),
        until=row.until,
    )


def planned(model: RegisteredModel | None = None) -> QuerySet[FreezeWindow]:
    """The windows that were not removed; with a model, those that concern it."""
    rows = FreezeWindow.objects.filter(removed_at=None).select_related("model", "team")
    if model is None:
        return rows
    about = Q(model=model) | Q(model=None, team=None)
    return rows.filter(about | Q(team=model.team_id) if model.team_id else about)


def holding(row: Transition, now: datetime) -> Freeze | None:
    """The freeze that holds this transition now."""
    return in_force(planned(row.model), now, overridden_at=row.override_at)


def in_force(rows: Iterable[FreezeWindow], now: datetime, *, overridden_at: datetime | None = None) -> Freeze | None:
    """The one of these windows that holds changes now; of several, the one that ends last.

    One that began before ``overridden_at`` holds the transition that was overridden no more.
    """
    found = [Freeze(row, each) for row in rows if (each := occurrence_at(of_row(row), now))]
    if overridden_at is not None:
        found = [each for each in found if each.occurrence.since > overridden_at]
    return max(found, key=lambda each: each.occurrence.until, default=None)


def coming(rows: Iterable[FreezeWindow], now: datetime, days: int) -> list[Freeze]:
    """What is in force now or begins within so many days, oldest first."""
    until = now + timedelta(days=days)
    found = [Freeze(row, each) for row in rows for each in occurrences(of_row(row), now, until) if each.until > now]
    return sorted(found, key=lambda each: (each.occurrence.since, each.row.pk))
