"""What the page of a model says beside its rows: its policy in one line, the metrics of a card, and where to go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from django import template
from django.urls import reverse

from lifecycle.domain.policy import Policy
from lifecycle.domain.strategies import Strategy
from lifecycle.domain.words import listed
from lifecycle.models import ModelVersion, RegisteredModel
from portal.templatetags.stagegate import without_credentials

register = template.Library()

METRICS_OF_A_CARD = 2


@dataclass(frozen=True, slots=True)
class CardMetric:
    name: str
    value: Any


@register.filter
def key_metrics(version: ModelVersion, policy: Policy) -> tuple[CardMetric, ...]:
    """The metrics that a card has room for: those of the policy's benchmarks first, then the others from A to Z."""
    asked = (*policy.benchmarks.classification.metrics, *policy.benchmarks.regression.metrics)
    first = [name for name in asked if name in version.metrics]
    names = [*first, *(name for name in sorted(version.metrics) if name not in first)]
    return tuple(CardMetric(name, version.metrics[name]) for name in names[:METRICS_OF_A_CARD])


@register.filter
def in_one_line(policy: Policy) -> str:
    """What a version has to pass, and how requests move to it."""
    criteria, roles = policy.criteria, listed([role.label for role in policy.approvals_to_production])
    asked = f"{_criteria(criteria.to_staging)} before Staging, {_criteria(criteria.to_production)} before Production"
    return f"{asked}{f', the yes of {roles}' if roles else ''}; {_way(policy)}."


def _criteria(of_stage: Sequence[Any]) -> str:
    return "1 criterion" if len(of_stage) == 1 else f"{len(of_stage)} criteria"


def _way(policy: Policy) -> str:
    if policy.rollout.strategy == Strategy.CANARY:
        return "then " + " → ".join(str(step.weight) for step in policy.canary_steps) + " % of requests"
    if policy.rollout.strategy == Strategy.SHADOW:
        return "then copies of requests, and after them all requests at once"
    return "then all requests at once"


@register.simple_tag
def model_in_mlflow(registry_url: str, model: RegisteredModel) -> str:
    """Where MLflow's own pages show the model; "" when they cannot."""
    if not registry_url.startswith(("http://", "https://")) or not model.exact_name:
        return ""
    return f"{without_credentials(registry_url)}/#/models/{quote(model.name, safe='')}"


@register.simple_tag
def versions_of(model: RegisteredModel) -> str:
    """Where all its versions are listed; "" for a name that MLflow's filters cannot hold."""
    mark = "'" if "'" not in model.name else '"'
    if mark in model.name or not model.exact_name:
        return ""
    return f"{reverse('versions')}?{urlencode({'filter': f'name = {mark}{model.name}{mark}'})}"
