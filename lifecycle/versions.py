"""Versions as the domain's facts, and what is to be said of their semantic versions."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Case, F, JSONField, When
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
        metrics=figures_of(version.metrics),
        signature=version.signature,
    )


def figures_of(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Metrics as MLflow recorded them: the tables hold NaN and infinity as words. What is no number is left out."""
    figures: dict[str, float] = {}
    for name, value in metrics.items():
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            figures[name] = float(value)
    return figures


@dataclass(frozen=True, slots=True)
class Other:
    """Another version of a model, as far as a list of ten thousand tells. ``signature`` is left out of most."""

    version: int
    stage: str
    semantic_version: str
    signature: Mapping[str, Any] | None = None

    @property
    def label(self) -> str:
        return self.semantic_version or f"version {self.version}"


NEAR = 10
"""The number of a version is mostly measured against one of so many before it: their signatures come with the list."""


def listed_beside(version: ModelVersion) -> tuple[Other, ...]:
    """The model's other versions that the registry still has, in the order of their numbers."""
    return listed_beside_each([version])[version.pk]


def listed_beside_each(versions: Sequence[ModelVersion]) -> dict[int, tuple[Other, ...]]:
    """By the key of each of these versions, of different models, what ``listed_beside`` gives: in one query."""
    found: dict[int, list[Other]] = {each.model_id: [] for each in versions}
    if not found:
        return {}
    rows = ModelVersion.objects.filter(model__in=found, removed_at=None).exclude(pk__in=[each.pk for each in versions])
    near = [
        When(model=each.model_id, version__lt=each.version, version__gte=each.version - NEAR, then=F("signature"))
        for each in versions
    ]
    listed = rows.annotate(tag=KT("tags__semantic_version"), near=Case(*near, output_field=JSONField()))
    values = listed.order_by("version").values_list("model", "version", "stage", "tag", "near")
    for model, number, stage, tag, signature in values:
        found[model].append(Other(number, stage, tag or "", signature))
    return {each.pk: tuple(found[each.model_id]) for each in versions}


def others_of(version: ModelVersion, listed: Sequence[Other] | None = None) -> tuple[VersionFacts, ...]:
    """The model's other versions that the registry still has and that have a number.

    Only the one that this version's number is measured against comes with its signature: a model can have ten thousand.
    ``listed`` are all others, where they have been read.
    """
    numbered = [each for each in (listed_beside(version) if listed is None else listed) if each.semantic_version]
    others = tuple(VersionFacts(version=each.version, semantic_version=each.semantic_version) for each in numbered)
    base = base_of(version.version, numbers_of(others))
    if base is None:
        return others
    signature = _signature(version, next(each for each in numbered if each.version == base.version))
    return tuple(replace(each, signature=signature) if each.version == base.version else each for each in others)


def _signature(version: ModelVersion, base: Other) -> Mapping[str, Any] | None:
    if base.version >= version.version - NEAR:
        return base.signature
    rows = ModelVersion.objects.filter(model=version.model_id, version=base.version)
    return rows.values_list("signature", flat=True).first()


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
