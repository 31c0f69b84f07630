"""A model's past on a line of time: who held which stage from when to when, and what happened in between.

Folded from what became of its transitions. What came before the first of them is known only as far as they say it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from enum import StrEnum

from lifecycle.domain.stages import Stage

MARGIN = 0.02
"""Of the whole length: left free before what is first, and after now."""
SHORTEST = timedelta(minutes=1)
STEPS = (
    *(timedelta(minutes=minutes) for minutes in (1, 5, 15)),
    *(timedelta(hours=hours) for hours in (1, 3, 6, 12)),
    *(timedelta(days=days) for days in (1, 2, 7, 14, 30, 90, 180, 365, 730)),
)
MOST_TICKS = 7


class Lane(StrEnum):
    PRODUCTION = "Production"
    STAGING = "Staging"
    TRIAL = "On trial"
    """It was being brought into Production: its rollout."""


class Happened(StrEnum):
    """What a mark stands for."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    ROLLED_BACK_BY_ITSELF = "rolled_back_by_itself"
    DRILLED = "drilled"
    REJECTED = "rejected"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one transition. ``key`` names it; versions are MLflow's numbers.

    ``comes_back`` is the version that a rollback brings back, ``served`` the one that served when it began.
    ``turned_at`` is when the traffic was back, None unless it was rolled back; ``by_person`` says who did that.
    """

    key: int
    version: int
    kind: str
    from_stage: str
    to_stage: str
    status: str
    asked_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    turned_at: datetime | None = None
    comes_back: int | None = None
    served: int | None = None
    by_person: bool = True

    @property
    def is_done(self) -> bool:
        return self.status == "finished" and self.finished_at is not None

    @property
    def is_promotion(self) -> bool:
        return self.kind == "promotion"


@dataclass(frozen=True, slots=True)
class Band:
    """One version held a place. ``since`` is None where nothing tells when that began, ``until`` while it holds it
    still. ``key`` is the transition that brought it there."""

    lane: Lane
    version: int
    since: datetime | None
    until: datetime | None
    key: int | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    at: datetime
    happened: Happened
    key: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """What there was from ``since`` until ``until``; bands and marks in the order of time."""

    since: datetime
    until: datetime
    bands: tuple[Band, ...] = ()
    marks: tuple[Mark, ...] = ()

    def part(self, at: datetime | None) -> float:
        """Where a moment is, from 0 to 1; None is before all others."""
        if at is None:
            return 0.0
        return min(max((at - self.since) / (self.until - self.since), 0.0), 1.0)

    def lane(self, lane: Lane) -> tuple[Band, ...]:
        return tuple(band for band in self.bands if band.lane == lane)


def timeline(
    changes: Iterable[Change], now: datetime, window: timedelta | None, serving: int | None
) -> Timeline | None:
    """The past ``window``, or all that is known where it is None; None where nothing has ever happened.

    ``serving`` is the version that serves Production now: a band that says otherwise ends, unseen, before now.
    """
    told = sorted(changes, key=lambda change: (_moment(change), change.key))
    bands = (*_as_of_now(_production(told), now, serving), *_staging(told), *_trials(told))
    marks = tuple(sorted(filter(None, map(_mark, told)), key=lambda mark: mark.at))
    moments = [change.asked_at for change in told]
    if not moments:
        return None
    first = min(moments)
    since = first if window is None else max(first, now - window)
    length = max(now - since, SHORTEST)
    since, until = since - MARGIN * length, now + MARGIN * length
    shown = tuple(band for band in bands if band.until is None or band.until > since)
    return Timeline(since, until, shown, tuple(mark for mark in marks if mark.at >= since))


def _moment(change: Change) -> datetime:
    """When it took effect."""
    return change.turned_at or change.finished_at or change.started_at or change.asked_at


# ---------------------------------------------------------------- who held what


class _Fold:
    """The bands of one lane while changes are told one after the other."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.bands: list[Band] = []

    @property
    def holder(self) -> int | None:
        last = self.bands[-1] if self.bands else None
        return last.version if last and last.until is None else None

    def was(self, version: int | None) -> None:
        """It held the place before the first change that is told."""
        if not self.bands and version is not None:
            self.bands.append(Band(self.lane, version, None, None))

    def give(self, version: int | None, at: datetime, key: int) -> None:
        """From then on it holds the place; None: nobody does."""
        if self.holder is not None:
            if self.holder == version:
                return
            self.bands[-1] = replace(self.bands[-1], until=at)
        if version is not None:
            self.bands.append(Band(self.lane, version, at, None, key))


def _production(told: Sequence[Change]) -> list[Band]:
    fold = _Fold(Lane.PRODUCTION)
    for change in told:
        if change.is_promotion and change.to_stage == Stage.PRODUCTION:
            fold.was(change.served)
        if not change.is_done:
            continue
        if change.is_promotion and change.to_stage == Stage.PRODUCTION:
            fold.give(change.version, _moment(change), change.key)
        elif change.kind == "rollback" and change.from_stage == Stage.PRODUCTION:
            fold.was(change.version)
            fold.give(change.comes_back, _moment(change), change.key)
        elif change.kind == "archival" and fold.holder == change.version:
            fold.give(None, _moment(change), change.key)
    return fold.bands


def _staging(told: Sequence[Change]) -> list[Band]:
    fold = _Fold(Lane.STAGING)
    for change in told:
        if not change.is_done or change.kind in ("drill", "reconciliation"):
            continue
        if change.from_stage == Stage.STAGING:
            fold.was(change.version)
        if change.to_stage == Stage.STAGING:
            fold.give(change.version, _moment(change), change.key)
        elif fold.holder == change.version:
            fold.give(None, _moment(change), change.key)
    return fold.bands


def _trials(told: Iterable[Change]) -> list[Band]:
    return [
        Band(Lane.TRIAL, change.version, change.started_at, change.turned_at or change.finished_at, change.key)
        for change in told
        if change.is_promotion and change.to_stage == Stage.PRODUCTION and change.started_at is not None
    ]


def _as_of_now(bands: list[Band], now: datetime, serving: int | None) -> list[Band]:
    if not bands:
        return [Band(Lane.PRODUCTION, serving, None, None)] if serving is not None else []
    last = bands[-1]
    return [*bands[:-1], replace(last, until=now)] if last.until is None and last.version != serving else bands


# ---------------------------------------------------------------- what happened


def _mark(change: Change) -> Mark | None:
    happened = _happened(change)
    return Mark(_moment(change), happened, change.key) if happened else None


def _happened(change: Change) -> Happened | None:
    if change.status in ("rejected", "failed"):
        return Happened(change.status)
    if change.status == "rolled_back" or (change.kind == "rollback" and change.is_done):
        return Happened.ROLLED_BACK if change.by_person else Happened.ROLLED_BACK_BY_ITSELF
    if not change.is_done:
        return None
    return {"promotion": Happened.PROMOTED, "drill": Happened.DRILLED}.get(change.kind)


# ---------------------------------------------------------------- the line of time


@dataclass(frozen=True, slots=True)
class Tick:
    at: datetime
    words: str


def ticks(line: Timeline, zone: tzinfo) -> tuple[Tick, ...]:
    """Round moments of the viewer's zone, a handful of them, with what to write at each."""
    length = line.until - line.since
    step = next((each for each in STEPS if length / each <= MOST_TICKS), STEPS[-1])
    at = _first(line.since.astimezone(zone).replace(tzinfo=None), step)
    found: list[Tick] = []
    while (moment := at.replace(tzinfo=zone)) < line.until:
        if moment >= line.since:
            found.append(Tick(moment, _words(at, step)))
        at += step
    return tuple(found)


def _first(at: datetime, step: timedelta) -> datetime:
    """The last round moment before, as a clock on the wall shows it; weeks begin on Mondays."""
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    if step < timedelta(days=1):
        return midnight + (at - midnight) // step * step
    return midnight - timedelta(days=(midnight.toordinal() - 1) % step.days)


def _words(at: datetime, step: timedelta) -> str:
    if step < timedelta(days=1):
        return f"{at:%H:%M}" if at.hour or at.minute else f"{at:%-d %b}"
    return f"{at:%-d %b}" if step < timedelta(days=90) else f"{at:%b %Y}"
