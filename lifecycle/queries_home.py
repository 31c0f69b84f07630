"""The front page: what runs, what was taken back lately, and what is unhealthy, in few queries whatever there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import JSONField, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce

from lifecycle import queries_status
from lifecycle.domain import compare
from lifecycle.domain.compare import Verdict
from lifecycle.domain.system import OVERDUE, Part
from lifecycle.models import (
    EXECUTING,
    Disagreement,
    Kind,
    MirrorState,
    Status,
    Transition,
    Trial,
    Variant,
)
from lifecycle.queries import NOT_LISTED, Share, lately_rolled_back, shares_of
from lifecycle.queries_rollbacks import disagreements_everywhere
from lifecycle.queries_serving import Breach, Failing, failing_everywhere

UNJUDGED = (Kind.ROLLBACK, Kind.DRILL, Kind.RECONCILIATION)


@dataclass(frozen=True, slots=True)
class Running:
    """A transition under way. ``verdict`` is the last one of its step, None before there is one."""

    transition: Transition
    shares: tuple[Share, ...]
    verdict: Verdict | None

    @property
    def trial(self) -> str:
        return str(self.transition.trial_kind)  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Front:
    """``failing`` is told in full, ``also_failing`` in short. ``stuck`` are rollbacks whose traffic is not back though
    it should have been; ``bypasses`` are those that nobody has reviewed. ``mirror`` is None before the registry was
    first read."""

    running: tuple[Running, ...]
    bypasses: tuple[Transition, ...]
    rolled_back: Sequence[Transition]
    failing: Sequence[Failing]
    also_failing: Sequence[Breach]
    stuck: tuple[Transition, ...]
    wrong: Sequence[Disagreement]
    troubles: tuple[Part, ...]
    mirror: MirrorState | None
    model_count: int

    @property
    def failing_count(self) -> int:
        return len(self.failing) + len(self.also_failing)

    @property
    def unhealthy(self) -> int:
        """How many things are not as they should be; what was changed in one model counts once."""
        models = {row.model_id for row in self.wrong}
        return self.failing_count + len(self.stuck) + len(models) + len(self.troubles)


def front(now: datetime) -> Front:
    rows = _shown(now)
    running = [row for row in rows if row.status in EXECUTING]
    shares = _shares(running)
    known = queries_status.known(now)
    in_full, in_short = failing_everywhere()
    return Front(
        running=tuple(_running(row, shares) for row in running),
        bypasses=tuple(sorted((row for row in rows if _is_unreviewed(row)), key=lambda row: (row.bypassed_at, row.pk))),
        rolled_back=[row for row in rows if row.lately],  # type: ignore[attr-defined]
        failing=in_full,
        also_failing=in_short,
        stuck=tuple(row for row in running if _is_stuck(row, now)),
        wrong=disagreements_everywhere(),
        troubles=queries_status.troubles(now, known),
        mirror=known.mirror,
        model_count=known.models,
    )


def _shown(now: datetime) -> list[Transition]:
    """What is being carried out, with the last verdict of its step; what went on without approvals; and what was rolled
    back ``lately``. Each part is found by an index of its own."""
    every, lately = Transition.objects.order_by(), lately_rolled_back(now).select_related(None)
    parts = (
        every.filter(status__in=EXECUTING),
        every.filter(bypassed_at__isnull=False, bypass_reviewed_at=None),
        every.filter(pk__in=lately.values("pk")),
    )
    first, *rest = (part.values("pk") for part in parts)
    trial = Trial.objects.filter(transition=OuterRef("pk"), step=OuterRef("step"), until=None, judged_at__isnull=False)
    rows = Transition.objects.filter(pk__in=first.union(*rest, all=True)).annotate(
        lately=Q(pk__in=lately.values("pk")),
        verdict_said=Subquery(trial.values("verdict")[:1], output_field=JSONField()),
        trial_kind=Coalesce(Subquery(trial.values("kind")[:1]), Value("")),
    )
    rows = rows.select_related("version__model", "model", "policy", "stable", "previous").defer(*NOT_LISTED)
    return list(rows)


def _is_unreviewed(row: Transition) -> bool:
    return row.bypassed_at is not None and row.bypass_reviewed_at is None


def _is_stuck(row: Transition, now: datetime) -> bool:
    """Going back takes a second: whatever takes a minute is held up."""
    asked = row.rollback_requested_at or row.started_at
    is_back = row.traffic_back_at is not None
    return row.status == Status.ROLLING_BACK and not is_back and asked is not None and now - asked > OVERDUE


def _shares(running: Sequence[Transition]) -> Mapping[int, list[Variant]]:
    """The variants of the models in which something runs; nothing is asked where nothing does."""
    found: dict[int, list[Variant]] = {row.model_id: [] for row in running}
    if found:
        for variant in Variant.objects.filter(model__in=found, weight__gt=0).select_related("version"):
            found[variant.model_id].append(variant)
    return found


def _running(row: Transition, shares: Mapping[int, list[Variant]]) -> Running:
    said: Any = row.verdict_said  # type: ignore[attr-defined]
    canary = None if row.kind in UNJUDGED else row.version_id
    return Running(row, shares_of(shares[row.model_id], canary), compare.load(said) if said else None)
