"""A version's metrics beside those of the model's other versions: what changed, and how it came to that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db.models import Q, QuerySet

from lifecycle.domain.differences import MetricLine, metric_lines
from lifecycle.domain.policy import OfflineRegression, Policy
from lifecycle.domain.stages import Stage, from_mlflow, to_mlflow
from lifecycle.models import ModelVersion, RegisteredModel, Variant, VariantRole
from lifecycle.together import Prepared, Together
from lifecycle.versions import figures_of

NEWEST = 20
"""How many of a model's versions a course leads through."""
LONGEST = 100
"""The same where a course has a page of its own."""
FIRST = 30
"""Metrics that are shown in full; the rest is folded."""
MOST = 500
"""Metrics that are shown at all."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One version and what it measured. ``in_production`` says that it is the one that users get."""

    version: int
    label: str
    stage: Stage
    figures: Mapping[str, float]
    in_production: bool = False


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a version, None for ``line`` where the value is no number.

    ``line`` has the version it is compared with first, and this one second; ``course`` is the metric of each version
    of the history, oldest first, None where a version does not have it.
    """

    name: str
    value: Any
    line: MetricLine | None
    course: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class History:
    """``beside`` is the version that the differences are to: the one in Production, or the one before; None for a first
    one. ``versions`` are those that the courses lead through, oldest first. ``rest`` are names and values of those that
    are folded, ``unshown`` how many more there are."""

    version: int
    beside: Measured | None
    versions: tuple[Measured, ...]
    metrics: tuple[Metric, ...]
    rest: tuple[tuple[str, Any], ...] = ()
    unshown: int = 0


def history_of(version: ModelVersion, policy: Policy) -> History:
    """The metrics of a version with their history, in one query."""
    rules = policy.offline_regression
    measured = _measured(version.model, NEWEST, also=version.version)
    beside = _beside(measured, version.version)
    mine = figures_of(version.metrics)
    lines = _lines(mine, beside, rules)
    names = [*(line.name for line in lines), *(name for name in sorted(version.metrics) if name not in mine)]
    by_name = {line.name: line for line in lines}
    return History(
        version=version.version,
        beside=beside,
        versions=measured,
        metrics=tuple(
            Metric(name, version.metrics[name], by_name.get(name), course_of(measured, name)) for name in names[:FIRST]
        ),
        rest=tuple((name, version.metrics[name]) for name in names[FIRST:MOST]),
        unshown=max(0, len(names) - MOST),
    )


def _lines(mine: Mapping[str, float], beside: Measured | None, rules: OfflineRegression) -> list[MetricLine]:
    """This version's metrics, those that became worse first; what only the other one has is for their comparison."""
    return [line for line in metric_lines(beside.figures if beside else {}, mine, rules) if line.name in mine]


def course_of(versions: Sequence[Measured], name: str) -> tuple[float | None, ...]:
    return tuple(each.figures.get(name) for each in versions)


def _beside(measured: Sequence[Measured], number: int) -> Measured | None:
    users_get = next((each for each in measured if each.in_production and each.version != number), None)
    return users_get or next((each for each in reversed(measured) if each.version < number), None)


def _measured(model: RegisteredModel, newest: int, *, also: int | None = None) -> tuple[Measured, ...]:
    """The newest versions, the one that serves Production, and one more with the one before it; oldest first."""
    rows = Together(**_LISTS[newest](model=model.pk, also=also))["measured"]
    users_get = next((number for number, *_, role in rows if role == VariantRole.PRODUCTION), None)
    if users_get is None:
        users_get = max((number for number, _, stage, *_ in rows if stage == to_mlflow(Stage.PRODUCTION)), default=None)
    return tuple(
        Measured(number, _label(number, tags), from_mlflow(stage), figures_of(metrics), number == users_get)
        for number, tags, stage, metrics, _ in rows
    )


def _lists(newest: int, model: int, also: int | None) -> dict[str, QuerySet[Any]]:
    versions = ModelVersion.objects.filter(model=model)
    live = versions.filter(removed_at=None)
    serving = Variant.objects.filter(model=model, role=VariantRole.PRODUCTION)
    staged = live.filter(stage=to_mlflow(Stage.PRODUCTION)).order_by("-version")
    wanted = Q(pk__in=live.order_by("-version").values("pk")[:newest])
    wanted |= Q(pk__in=serving.values("version")) | Q(pk__in=staged.values("pk")[:1])
    if also is not None:
        before = live.filter(version__lt=also).order_by("-version")
        wanted |= Q(version=also) | Q(pk__in=before.values("pk")[:1])
    rows = versions.filter(wanted).order_by("version")
    return {"measured": rows.values_list("version", "tags", "stage", "metrics", "variant__role")}


_LISTS = {newest: Prepared(partial(_lists, newest)) for newest in (NEWEST, LONGEST)}


def _label(number: int, tags: Mapping[str, Any]) -> str:
    return str(tags.get("semantic_version", "")) or f"version {number}"


# ---------------------------------------------------------------- a metric on a page of its own


@dataclass(frozen=True, slots=True)
class Course:
    """One metric of a model through its newest versions, oldest first. ``names`` are all metrics that these have."""

    name: str
    names: tuple[str, ...]
    versions: tuple[Measured, ...]
    lines: tuple[MetricLine | None, ...]


def course(model: RegisteredModel, name: str | None, rules: OfflineRegression) -> Course:
    """``name`` None: the first one by name. A line compares each version with the last one before it that has the
    metric."""
    versions = _measured(model, LONGEST)
    names = sorted({each for version in versions for each in version.figures})
    chosen = name if name is not None else next(iter(names), "")
    return Course(chosen, tuple(names[:MOST]), versions, tuple(_steps(versions, chosen, rules)))


def _steps(versions: Sequence[Measured], name: str, rules: OfflineRegression) -> list[MetricLine | None]:
    steps: list[MetricLine | None] = []
    before: float | None = None
    for each in versions:
        value = each.figures.get(name)
        known = {} if before is None else {name: before}
        steps.append(None if value is None else metric_lines(known, {name: value}, rules)[0])
        before = before if value is None else value
    return steps
