"""Who serves Production, and who did before."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db.models import Q, QuerySet

from lifecycle.domain.plan import rollback_target
from lifecycle.domain.stages import Stage
from lifecycle.models import Kind, ModelVersion, Policy, RegisteredModel, Status, Transition, Variant, VariantRole


def production_version(model: RegisteredModel) -> ModelVersion | None:
    """The version that serves Production through the gateway now."""
    rows = Variant.objects.filter(model=model, role=VariantRole.PRODUCTION).select_related("version__model")
    variant = rows.first()
    return variant.version if variant else None


def production_history(model: RegisteredModel) -> list[int]:
    """The versions that entered Production and were not rolled back since, each once, the latest entry first."""
    ended = Transition.objects.filter(model=model, status=Status.FINISHED).order_by("-finished_at", "-id")
    return entered_production(ended.values_list("kind", "to_stage", "version__version"))


def entered_production(ended: Iterable[tuple[str, str, int]]) -> list[int]:
    """The history that one model's finished transitions make: their kinds, stages and versions, newest first."""
    taken_out: set[int] = set()
    history: dict[int, None] = {}
    for kind, to_stage, version in ended:
        if kind == Kind.ROLLBACK:
            taken_out.add(version)
        elif kind == Kind.PROMOTION and to_stage == Stage.PRODUCTION and version not in taken_out:
            history.setdefault(version)
    return list(history)


def changes_of_production(version: ModelVersion) -> QuerySet[Transition]:
    """The last one that took this version into Production or out of it."""
    into = Q(version=version, to_stage=Stage.PRODUCTION) | Q(kind=Kind.ROLLBACK, previous=version)
    taken_out = Q(kind=Kind.ROLLBACK, version=version)
    changes = Transition.objects.filter(into | taken_out, model=version.model_id, status=Status.FINISHED)
    return changes.only("kind", "version", "reason", "finished_at").order_by("-finished_at", "-id")[:1]


def why_past_the_gate(version: ModelVersion, to_stage: Stage) -> str:
    """Why a version in Staging cannot go on from there, "" when it can: somebody put it there in MLflow, past the gate.

    What was in Staging before there was a first policy has met all rules that there were.
    """
    since = version.stage_since
    if to_stage != Stage.PRODUCTION or version.domain_stage != Stage.STAGING or since is None:
        return ""
    brought = Q(status=Status.FINISHED, to_stage=Stage.STAGING) | Q(status=Status.ROLLED_BACK, from_stage=Stage.STAGING)
    if Transition.objects.filter(brought, version=version, finished_at__gte=since).exists():
        return ""
    if _put_right(version, since):
        return ""
    if Variant.objects.filter(version=version, role=VariantRole.PRODUCTION).exists():
        return ""
    if not Policy.objects.filter(created_at__lte=since).exists():
        return ""
    return (
        "It was put into Staging directly in MLflow, so its gate was passed by. Archive it and bring it back through "
        "Staging."
    )


def _put_right(version: ModelVersion, since: datetime) -> bool:
    """Whether it was in Staging by right, taken out elsewhere, and put back when that was put right."""
    restored = Transition.objects.filter(
        model=version.model_id, kind=Kind.RECONCILIATION, status=Status.FINISHED, finished_at__gte=since
    )
    targets = restored.values_list("target", flat=True)
    return any(target.get("stages", {}).get(str(version.version)) == Stage.STAGING for target in targets)


def previous_version(model: RegisteredModel, serving: ModelVersion) -> ModelVersion | None:
    """The version that a rollback brings back, or None when ``serving`` is the first in Production."""
    target = rollback_target(serving.version, production_history(model))
    return model.versions.filter(version=target, removed_at=None).first() if target is not None else None
