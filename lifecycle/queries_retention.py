"""What the clean-up will do and has done, for pages, the API and the clean-up itself. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, OuterRef, QuerySet, Subquery, Value

from lifecycle.domain.permissions import Action, Actor, may
from lifecycle.domain.policy import Retention
from lifecycle.domain.retention import Delete, Flag, Keep, Protection, Verdict, judge
from lifecycle.domain.stages import Stage, to_mlflow
from lifecycle.models import Deletion, DeletionStatus, Hold, ModelVersion, RetentionRun, StagingFlag
from lifecycle.protections import NONE_PROTECTED, Protections, Retentions, protections, protections_of
from lifecycle.reads import VersionReads

BATCH = 200
"""Versions held in memory at a time."""
RETRY = timedelta(hours=1)
"""When a clean-up that failed is tried again."""
AHEAD = timedelta(days=30)
"""How far the page looks ahead."""

_JUDGED = ("version", "stage", "stage_since", "created_at", "model__exact_name", "model__aliases")
_LARGE = ("metrics", "params", "run_tags", "signature", "flavors", "description")


# ---------------------------------------------------------------- versions in batches


def batches(rows: QuerySet[ModelVersion]) -> Iterator[list[ModelVersion]]:
    """Rows by key, with their models and without their large columns, never more than BATCH at a time."""
    last = 0
    slim = rows.select_related("model").defer(*_LARGE).order_by("pk")
    while batch := list(slim.filter(pk__gt=last)[:BATCH]):
        last = batch[-1].pk
        yield batch


def in_stage(stage: Stage) -> QuerySet[ModelVersion]:
    return ModelVersion.objects.filter(stage=to_mlflow(stage), removed_at=None)


def expired(retentions: Retentions, protected: Protections, now: datetime) -> Iterator[list[ModelVersion]]:
    """The versions that may be deleted, in batches."""
    for batch in batches(in_stage(Stage.ARCHIVED).filter(stage_since__lte=now - retentions.shortest())):
        judged = ((row, judge(protected.candidate(row), retentions.of(row.model), now)) for row in batch)
        yield [row for row, verdict in judged if isinstance(verdict, Delete)]


def judged(now: datetime) -> Iterator[tuple[ModelVersion, Verdict]]:
    """Every version in Archived and Staging, and what becomes of it."""
    protected, retentions = protections(), Retentions()
    for stage in (Stage.ARCHIVED, Stage.STAGING):
        for batch in batches(in_stage(stage)):
            yield from ((row, judge(protected.candidate(row), retentions.of(row.model), now)) for row in batch)


# ---------------------------------------------------------------- what comes next


@dataclass(frozen=True, slots=True)
class Outlook:
    """Keys of versions: ``going`` with the time they may go at, soonest first, up to AHEAD from now, of which the first
    ``due`` may go now; ``later`` is how many go after that; ``protected`` with what protects them."""

    going: tuple[tuple[datetime, int], ...]
    due: int
    later: int
    protected: tuple[tuple[int, Protection], ...]

    @property
    def soon(self) -> int:
        """How many go after those that are due, up to AHEAD from now."""
        return len(self.going) - self.due


def outlook(now: datetime) -> Outlook:
    """What becomes of the versions in Archived."""
    protected, retentions = protections(), Retentions()
    going: list[tuple[datetime, int]] = []
    kept: list[tuple[int, Protection]] = []
    due = later = 0
    rows = in_stage(Stage.ARCHIVED).select_related("model").only(*_JUDGED).order_by("pk")
    for row in rows.iterator(chunk_size=2000):
        verdict = judge(protected.candidate(row), retentions.of(row.model), now)
        due += isinstance(verdict, Delete)
        later += _goes_later(verdict, now)
        if (at := _goes_at(verdict)) is not None and at <= now + AHEAD:
            going.append((at, row.pk))
        if isinstance(verdict, Keep) and verdict.why is not None:
            kept.append((row.pk, verdict.why))
    return Outlook(tuple(sorted(going)), due, later, tuple(kept))


def _goes_at(verdict: Verdict) -> datetime | None:
    if isinstance(verdict, Keep):
        return verdict.until
    return verdict.since if isinstance(verdict, Delete) else None


def _goes_later(verdict: Verdict, now: datetime) -> bool:
    return isinstance(verdict, Keep) and verdict.until is not None and verdict.until > now + AHEAD


@dataclass(frozen=True, slots=True)
class Going:
    """A version that is going, and when."""

    version: ModelVersion
    at: datetime
    is_due: bool


def going(entries: Sequence[tuple[datetime, int]], now: datetime) -> list[Going]:
    """The rows for a page of ``Outlook.going``."""
    rows = _loaded([key for _, key in entries])
    return [Going(rows[key], at, at <= now) for at, key in entries if key in rows]


@dataclass(frozen=True, slots=True)
class Protected:
    """A version that is kept, and why; ``hold`` is the one in force, if there is one."""

    version: ModelVersion
    why: Protection
    hold: Hold | None


def protected(entries: Sequence[tuple[int, Protection]]) -> list[Protected]:
    """The rows for a page of ``Outlook.protected``."""
    rows = _loaded([key for key, _ in entries])
    holds = {hold.version_id: hold for hold in Hold.objects.filter(version__in=rows, released_at=None)}
    return [Protected(rows[key], why, holds.get(key)) for key, why in entries if key in rows]


def _loaded(keys: Sequence[int]) -> dict[int, ModelVersion]:
    return ModelVersion.objects.select_related("model").defer(*_LARGE).in_bulk(keys)


# ---------------------------------------------------------------- flags, holds, deletions, runs


def flagged_stays() -> QuerySet[StagingFlag]:
    """The stays in Staging that were flagged and go on, the longest first."""
    since = ModelVersion.objects.filter(pk=OuterRef("version"), removed_at=None, stage=to_mlflow(Stage.STAGING))
    rows = StagingFlag.objects.filter(stage_since=Subquery(since.values("stage_since")[:1]))
    return rows.select_related("version__model").order_by("stage_since", "pk")


def holds_in_force() -> QuerySet[Hold]:
    return Hold.objects.filter(released_at=None, version__removed_at=None).select_related("version__model")


def stuck() -> QuerySet[Deletion]:
    """Deletions that were begun and have met an error, the latest first."""
    rows = Deletion.objects.exclude(status=DeletionStatus.DONE).exclude(last_error="")
    return rows.select_related("version__model").order_by("-attempted_at", "-pk")


def deleted() -> QuerySet[Deletion]:
    rows = Deletion.objects.filter(status=DeletionStatus.DONE).select_related("version__model")
    return rows.order_by("-finished_at", "-pk")


def runs() -> QuerySet[RetentionRun]:
    return RetentionRun.objects.all()


def counts() -> dict[str, int]:
    """How many lines the lists of the page have that are counted in the database, by their names: in one query."""
    lists: dict[str, QuerySet[Any]] = {
        "stuck": stuck(),
        "holds": holds_in_force(),
        "staging": flagged_stays(),
        "deleted": deleted(),
        "runs": runs(),
    }
    first, *rest = (
        rows.select_related(None).order_by().values(list_name=Value(name)).annotate(lines=Count("pk"))
        for name, rows in lists.items()
    )
    found = first.union(*rest, all=True).values_list("list_name", "lines")
    return dict.fromkeys(lists, 0) | dict(found)


def latest_runs() -> tuple[RetentionRun | None, RetentionRun | None]:
    """The clean-up that runs, and the last one that has ended."""
    rows = list(RetentionRun.objects.order_by("-running", "-started_at", "-pk")[:2])
    running = rows.pop(0) if rows and rows[0].running else None
    return running, next(iter(rows), None)


def running_clean_up() -> RetentionRun | None:
    return RetentionRun.objects.filter(running=True).first()


# ---------------------------------------------------------------- one version


@dataclass(frozen=True, slots=True)
class VersionRetention:
    """What a version's page says about its retention.

    ``verdict_is`` is ``delete``, ``flag``, ``keep`` or ``none`` (a stage without retention). ``until`` is when an
    archived version may be deleted; ``why`` is what protects it meanwhile, "" for nothing. ``deletion`` is its deletion
    when one was begun or done.
    """

    verdict_is: str
    until: datetime | None
    why: str
    hold: Hold | None
    deletion: Deletion | None
    retention: Retention
    may_hold: bool


def version_retention(
    version: ModelVersion, actor: Actor, now: datetime, reads: VersionReads | None = None
) -> VersionRetention:
    known = reads or VersionReads(version)
    verdict = _verdict(known, now)
    deletion = known.deletion
    stale = deletion is not None and deletion.status == DeletionStatus.DONE and version.removed_at is None
    kinds = {Keep: "keep", Flag: "flag", Delete: "delete"}
    return VersionRetention(
        verdict_is=kinds[type(verdict)] if verdict else "none",
        until=_goes_at(verdict) if verdict else None,
        why=verdict.why.label if isinstance(verdict, Keep) and verdict.why else "",
        hold=known.hold,
        deletion=None if stale else deletion,
        retention=known.model.policy(now).values.retention,
        may_hold=may(actor.at(version.model.team_id), Action.PLACE_HOLD) and version.removed_at is None,
    )


def _verdict(known: VersionReads, now: datetime) -> Verdict | None:
    version = known.version
    if version.removed_at is not None or version.domain_stage not in (Stage.STAGING, Stage.ARCHIVED):
        return None
    # What stays in Staging is flagged, whatever protects it.
    protected = protections_of(known) if version.domain_stage == Stage.ARCHIVED else NONE_PROTECTED
    return judge(protected.candidate(version), known.model.policy(now).values.retention, now)


# ---------------------------------------------------------------- when the next clean-up starts


def next_clean_up(now: datetime) -> datetime | None:
    """When the next daily clean-up starts; None when it is due. One that failed is tried again earlier."""
    return next_after(RetentionRun.objects.filter(running=False).first(), now)


def next_after(last: RetentionRun | None, now: datetime) -> datetime | None:
    """As ``next_clean_up``, where the last one that has ended is known."""
    if last is None:
        return None
    pause = timedelta(seconds=settings.RETENTION_SECONDS)
    due = last.started_at + (min(RETRY, pause) if last.error else pause)
    return due if due > now else None
