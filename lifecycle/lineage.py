"""Where a version comes from and what came after it: its run with the data it was given, its turn in Production."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from lifecycle import adapters
from lifecycle.domain.stages import Stage
from lifecycle.models import Kind, ModelVersion, Status, Transition
from lifecycle.ports import PortError, RunOrigin

MOST_SIBLINGS = 20
MOST_DATASETS = 20
SECONDS = 4.0
"""How long MLflow may take to say where a run comes from: somebody is waiting."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A version's time in Production. ``replaced`` is who was there before, ``replaced_by`` who came after, each None
    for nobody; ``rolled_back_to`` who came back when it was taken out by a rollback."""

    entered: Transition
    replaced: ModelVersion | None
    left: Transition | None = None
    replaced_by: ModelVersion | None = None
    rolled_back_to: ModelVersion | None = None

    @property
    def until(self) -> datetime | None:
        return self.left.finished_at if self.left else None


@dataclass(frozen=True, slots=True)
class Lineage:
    """``siblings`` are other versions made by the same run; ``origin`` is what MLflow says of the run, None where there
    is none, or where it could not be asked, which ``unread`` says in words."""

    turn: Turn | None
    siblings: tuple[ModelVersion, ...]
    origin: RunOrigin | None = None
    unread: str = ""


def lineage_of(version: ModelVersion) -> Lineage:
    siblings = versions_of_run(version.run_id, most=MOST_SIBLINGS + 1)
    others = tuple(each for each in siblings if each != version)[:MOST_SIBLINGS]
    turn = _turn(version)
    if not version.run_id:
        return Lineage(turn, others)
    try:
        return Lineage(turn, others, adapters.registry().run_origin(version.run_id, seconds=SECONDS))
    except PortError as error:
        return Lineage(turn, others, unread=str(error))


def versions_of_run(run_id: str, *, most: int) -> tuple[ModelVersion, ...]:
    """Versions whose files a run made, those that MLflow still has first, then the newest."""
    if not run_id:
        return ()
    rows = ModelVersion.objects.filter(run_id=run_id).select_related("model").defer(*_HEAVY)
    found = sorted(rows[:1000], key=lambda each: (each.removed_at is not None, each.model.slug, -each.version))
    return tuple(found[:most])


_HEAVY = ("metrics", "params", "run_tags", "signature")


def _turn(version: ModelVersion) -> Turn | None:
    """The latest one, or None when it never was in Production."""
    done = Transition.objects.filter(model=version.model_id, status=Status.FINISHED).order_by("-finished_at", "-pk")
    done = done.select_related("version", "stable", "previous")
    promoted = Q(version=version, kind=Kind.PROMOTION, to_stage=Stage.PRODUCTION)
    came = done.filter(promoted | Q(previous=version, kind=Kind.ROLLBACK)).first()
    if came is None:
        return None
    replaced = came.version if came.kind == Kind.ROLLBACK else came.stable
    goes = Q(stable=version, kind=Kind.PROMOTION, to_stage=Stage.PRODUCTION)
    goes |= Q(version=version, kind=Kind.ROLLBACK, from_stage=Stage.PRODUCTION)
    left = done.filter(goes, finished_at__gt=came.finished_at).last()
    if left is not None and left.kind == Kind.ROLLBACK:
        return Turn(came, replaced, left, rolled_back_to=left.previous)
    return Turn(came, replaced, left, replaced_by=left.version if left else None)
