"""The tables' picture of what serves: kept in step with effects that the world has been seen to follow."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from lifecycle import model_index
from lifecycle.domain.effects import (
    Effect,
    ServerPhase,
    ServerSeen,
    SetAlias,
    SetStage,
    SetTags,
    ShiftTraffic,
    StartServer,
)
from lifecycle.domain.plan import Plan, Split
from lifecycle.domain.stages import Stage, to_mlflow
from lifecycle.models import ModelVersion, RegisteredModel, Transition, Variant, VariantRole


def describe(row: Transition, effect: Effect) -> str:
    """The effect in words a person reads in the journal."""
    if isinstance(effect, StartServer):
        return f"Start a model server for {_label(row, effect.version)}"
    if isinstance(effect, ShiftTraffic):
        return _describe_shares(row, effect)
    if isinstance(effect, SetStage):
        return f"{_label(row, effect.version)} to {effect.stage} in MLflow"
    if isinstance(effect, SetAlias) and effect.version is None:
        return f"Remove the alias “{effect.alias}” in MLflow"
    if isinstance(effect, SetAlias):
        return f"Alias “{effect.alias}” to {_label(row, effect.version)} in MLflow"
    return f"Tags of {_label(row, effect.version)} in MLflow: " + ", ".join(
        f"{name}={value}" for name, value in effect.tags.items()
    )


def _describe_shares(row: Transition, effect: ShiftTraffic) -> str:
    shares = sorted(effect.weights.items(), key=lambda item: -item[1])
    words = [f"{share} % of requests to {_label(row, version)}" for version, share in shares]
    copies = [f"copies of {share} % of requests to {_label(row, version)}" for version, share in effect.mirrors.items()]
    return ", ".join(words + copies) or "No requests to any version"


def _label(row: Transition, version: int | None) -> str:
    known = (row.version, row.stable, row.previous)
    return next((each.label for each in known if each and each.version == version), f"version {version}")


def follow(row: Transition, effect: Effect, now: datetime) -> None:
    """Bring the tables in line with an effect that has been seen to hold.

    The digest is cleared where the mirror compares by it: the row no longer is what the mirror wrote.
    """
    if isinstance(effect, StartServer):
        version = row.model.versions.get(version=effect.version)
        Variant.objects.get_or_create(version=version, defaults={"model": row.model, "idle_since": now})
    elif isinstance(effect, SetStage):
        row.model.versions.filter(version=effect.version).update(stage=to_mlflow(effect.stage), stage_since=now)
        model_index.refresh([row.model_id])
    elif isinstance(effect, SetTags):
        version = row.model.versions.get(version=effect.version)
        ModelVersion.objects.filter(pk=version.pk).update(tags={**version.tags, **effect.tags}, digest="")
        model_index.refresh([row.model_id])
    elif isinstance(effect, SetAlias):
        aliases = dict(RegisteredModel.objects.get(pk=row.model_id).aliases)
        if effect.version is None:
            aliases.pop(effect.alias, None)
        else:
            aliases[effect.alias] = effect.version
        RegisteredModel.objects.filter(pk=row.model_id).update(aliases=aliases, digest="")


def remember_urls(model: RegisteredModel, servers: Mapping[int, ServerSeen]) -> None:
    """Keep the addresses at which servers were seen ready."""
    for version, seen in servers.items():
        if seen.phase == ServerPhase.READY:
            Variant.objects.filter(model=model, version__version=version).exclude(url=seen.url).update(url=seen.url)


def weights(model: RegisteredModel) -> dict[int, int]:
    """Who gets how many percent of requests, as it was last written down."""
    rows = Variant.objects.filter(model=model, weight__gt=0)
    return dict(rows.values_list("version__version", "weight"))


def set_weights(model: RegisteredModel, weights: Split, now: datetime) -> None:
    """Write down the weights that the gateway has been seen to apply."""
    for version in weights:
        known = model.versions.get(version=version)
        Variant.objects.get_or_create(version=known, defaults={"model": model})
    for variant in Variant.objects.filter(model=model).select_related("version"):
        weight = weights.get(variant.version.version, 0)
        if weight != variant.weight:
            idle_since = None if weight else now
            Variant.objects.filter(pk=variant.pk).update(weight=weight, weight_since=now, idle_since=idle_since)


def settle(row: Transition, plan: Plan, now: datetime) -> None:
    """Give the variants the roles that hold from now on, at the end of a transition.

    A version that was replaced in Production stays warm for the policy's window; one that was taken back loses its
    role, unless it stays in Staging, and the upkeep stops its server once it is idle. A drill and a reconciliation
    leave every role as it is.
    """
    if plan.drill or plan.restores is not None:
        return
    if plan.goes_back:
        stays = plan.end_stage == Stage.STAGING
        if stays:
            # It waits there without requests, to be looked into, taken out, and asked for again.
            _leave_staging(row)
        _take_role(row, plan.version, VariantRole.STAGING if stays else VariantRole.NONE)
        if plan.back_to is not None and plan.concerns_production:
            _take_role(row, plan.back_to, VariantRole.PRODUCTION)
        return
    if plan.to_stage == Stage.PRODUCTION:
        _keep_warm(row, plan, now)
        _take_role(row, plan.version, VariantRole.PRODUCTION)
    elif plan.to_stage == Stage.STAGING:
        _leave_staging(row)
        _take_role(row, plan.version, VariantRole.STAGING)
    else:
        _take_role(row, plan.version, VariantRole.NONE)


def _leave_staging(row: Transition) -> None:
    """Whoever had the role has lost its requests, and the alias, to this change."""
    Variant.objects.filter(model=row.model, role=VariantRole.STAGING).update(role=VariantRole.NONE)


def _keep_warm(row: Transition, plan: Plan, now: datetime) -> None:
    replaced = Variant.objects.filter(model=row.model, role=VariantRole.PRODUCTION).exclude(version=row.version)
    replaced.update(role=VariantRole.WARM, warm_until=now + row.policy.values.warm_window)


def _take_role(row: Transition, version: int, role: VariantRole) -> None:
    if role == VariantRole.PRODUCTION:
        others = Variant.objects.filter(model=row.model, role=role).exclude(version__version=version)
        others.update(role=VariantRole.NONE)
    Variant.objects.filter(model=row.model, version__version=version).update(role=role, warm_until=None)
