"""Versions as the domain's facts, and what is to be said of their semantic versions."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from django.db.models.fields.json import KT

from lifecycle.domain.facts import VersionFacts
from lifecycle.domain.permissions import Action, Actor, may
from lifecycle.domain.semver import Verdict, base_of, judge, numbers_of
from lifecycle.domain.stages import Stage
from lifecycle.models import ModelVersion


def facts_of(version: ModelVersion) -> VersionFacts:
    return VersionFacts(
        version=version.version,
        semantic_version=version.semantic_version,
        tags=version.tags,
        metrics=_figures(version.metrics),
        signature=version.signature,
    )


def _figures(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Metrics as MLflow recorded them: the tables hold NaN and infinity as words."""
    figures: dict[str, float] = {}
    for name, value in metrics.items():
        with contextlib.suppress(TypeError, ValueError):
            figures[name] = float(value)
    return figures


def others_of(version: ModelVersion) -> tuple[VersionFacts, ...]:
    """The model's other versions that the registry still has and that have a number.

    Only the one that this version's number is measured against comes with its signature: a model can have ten thousand.
    """
    rows = ModelVersion.objects.filter(model=version.model_id, removed_at=None).exclude(pk=version.pk)
    numbered = rows.filter(tags__has_key="semantic_version").annotate(tag=KT("tags__semantic_version"))
    others = tuple(
        VersionFacts(version=number, semantic_version=tag)
        for number, tag in numbered.order_by("version").values_list("version", "tag")
    )
    base = base_of(version.version, numbers_of(others))
    if base is None:
        return others
    signature = rows.filter(version=base.version).values_list("signature", flat=True).first()
    return tuple(replace(each, signature=signature) if each.version == base.version else each for each in others)


def semantic_version_of(version: ModelVersion) -> Verdict:
    """Whether the version's number says truly how much changed, from what was last read of the registry."""
    return judge(facts_of(version), others_of(version))


def why_not_nameable(version: ModelVersion) -> str:
    """Why the version cannot be given a semantic version by anybody, "" when it can."""
    if version.removed_at is not None:
        return "MLflow no longer has this version."
    if not version.model.exact_name:
        return "The model's name holds characters that cannot be passed on safely; rename it in MLflow."
    if version.domain_stage == Stage.ARCHIVED:
        return "This version is archived, and archived versions are not changed."
    return ""


def may_accept(version: ModelVersion, actor: Actor) -> bool:
    """Whether this person is to be offered the proposal."""
    return may(actor.at(version.model.team_id), Action.ACCEPT_SEMANTIC_VERSION) and not why_not_nameable(version)
