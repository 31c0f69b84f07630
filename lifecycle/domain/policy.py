"""The numbers that rule a model's life. The defaults are those of the model lifecycle strategy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from lifecycle.domain.criteria import TO_ARCHIVED, TO_PRODUCTION, TO_STAGING, Criterion
from lifecycle.domain.permissions import Role
from lifecycle.domain.stages import Stage


class PolicyError(ValueError):
    """A policy that cannot be obeyed. ``str(error)`` names the value and what is allowed."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a rollout: ``weight`` percent of requests for the canary, for at least ``minimum``."""

    weight: int
    minimum: timedelta


def _default_steps() -> tuple[Step, ...]:
    """5 % in the first hour, 25 % from hour 2, 50 % from hour 4, 100 % from hour 8."""
    hours = ((5, 1), (25, 2), (50, 4), (100, 0))
    return tuple(Step(weight, timedelta(hours=length)) for weight, length in hours)


@dataclass(frozen=True, slots=True)
class Criteria:
    """What is asked before a version enters a stage. An empty list asks nothing."""

    to_staging: tuple[Criterion, ...] = TO_STAGING
    to_production: tuple[Criterion, ...] = TO_PRODUCTION
    to_archived: tuple[Criterion, ...] = TO_ARCHIVED

    def of(self, stage: Stage) -> tuple[Criterion, ...]:
        return {
            Stage.STAGING: self.to_staging,
            Stage.PRODUCTION: self.to_production,
            Stage.ARCHIVED: self.to_archived,
        }.get(stage, ())


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A bound on a metric of the training run. The first of ``metrics`` that the run recorded is the one that counts.

    Exactly one bound is given: a number, or ``at_most_metric``/``at_least_metric``, the run's own metric of a baseline.
    """

    metrics: tuple[str, ...]
    at_least: float | None = None
    at_most: float | None = None
    at_least_metric: str | None = None
    at_most_metric: str | None = None


@dataclass(frozen=True, slots=True)
class Benchmarks:
    """The task of a version is its tag ``task``, or else whatever of the two has a metric that the run recorded."""

    classification: Benchmark = Benchmark(metrics=("f1", "f1_score", "f1_macro", "f1_weighted"), at_least=0.85)
    regression: Benchmark = Benchmark(metrics=("rmse", "root_mean_squared_error"), at_most_metric="baseline_rmse")


@dataclass(frozen=True, slots=True)
class ServiceLevels:
    """What one replica has to reach under load. Percentages are of requests; throughput is answers a second."""

    latency_p50: timedelta = timedelta(milliseconds=500)
    latency_p95: timedelta = timedelta(seconds=1)
    latency_p99: timedelta = timedelta(seconds=2)
    throughput: float = 100.0
    failed_predictions: float = 0.1
    malformed_rejected: float = 100.0


@dataclass(frozen=True, slots=True)
class Soak:
    """How long a version serves in Staging, and how many requests it has to answer there at least."""

    duration: timedelta = timedelta(hours=24)
    requests: int = 1000


@dataclass(frozen=True, slots=True)
class OfflineRegression:
    """``tolerance`` is how much worse a metric may be than Production's, in percent of Production's value.

    ``higher_is_better`` and ``lower_is_better`` name metrics whose direction the built-in list does not know, or
    turn it around. ``ignored`` metrics are not compared.
    """

    tolerance: float = 0.0
    higher_is_better: tuple[str, ...] = ()
    lower_is_better: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """When the live comparison of two versions stops a rollout. Rates are in percent of requests.

    ``error_rate_increase`` is in percentage points, the increases of latency and business metric in percent.
    """

    error_rate_increase: float = 2.0
    latency_p95_increase: float = 20.0
    drift: float = 0.3
    prediction_psi: float = 0.2
    business_metric_change: float = 5.0
    staging_error_rate: float = 5.0
    staging_latency_p95: timedelta = timedelta(seconds=2)
    production_error_rate: float = 10.0


@dataclass(frozen=True, slots=True)
class EvidenceRules:
    """Evidence older than ``longest`` is stale; ``required_tags`` must be on every version."""

    longest: timedelta = timedelta(days=30)
    required_tags: tuple[str, ...] = (
        "schema_version",
        "data_version",
        "feature_set_version",
        "training_date",
        "trainer_email",
        "framework",
        "explainability",
    )


@dataclass(frozen=True, slots=True)
class WaiverRules:
    """Who may let a criterion pass that is failed or missing, and for how long; ``never`` lists what nobody may."""

    roles: tuple[Role, ...] = (Role.PRODUCT_OWNER,)
    longest: timedelta = timedelta(days=30)
    never: tuple[Criterion, ...] = (
        Criterion.ARTIFACT_SCAN,
        Criterion.APPROVALS,
        Criterion.REPLACED,
    )


@dataclass(frozen=True, slots=True)
class LoadTest:
    """``users`` ask again and again: over ``ramp`` they arrive one by one, then all of them stay for ``steady``."""

    users: int = 16
    ramp: timedelta = timedelta(seconds=10)
    steady: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Checks:
    """Which checks Stagegate starts by itself, and what they use.

    ``in_development`` and ``in_staging`` start as soon as a version is in that stage without current evidence.
    ``malformed_inputs`` is how many malformed requests are sent. ``formats`` are the file name endings that a model
    may consist of; anything else fails the artifact scan. ``trusted_types`` may occur in skops files.
    """

    in_development: tuple[Criterion, ...] = (Criterion.ARTIFACT_SCAN,)
    in_staging: tuple[Criterion, ...] = (Criterion.LOAD_TEST, Criterion.MALFORMED_INPUT)
    load_test: LoadTest = field(default_factory=LoadTest)
    malformed_inputs: int = 200
    formats: tuple[str, ...] = (
        "MLmodel",
        "csv",
        "json",
        "md",
        "onnx",
        "png",
        "py",
        "safetensors",
        "skops",
        "svg",
        "toml",
        "txt",
        "yaml",
        "yml",
    )
    trusted_types: tuple[str, ...] = ("sklearn.tree._tree.Tree",)


@dataclass(frozen=True, slots=True)
class Retention:
    """``staging`` without promotion is flagged, ``archived`` is deleted, ``production`` is the least time in Production
    before a replaced version is archived. A version registered less than ``minimum_age`` ago is never deleted."""

    production: timedelta = timedelta(days=30)
    staging: timedelta = timedelta(days=7)
    archived: timedelta = timedelta(days=90)
    minimum_age: timedelta = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Policy:
    """``shortened`` marks a policy whose durations are not the strategy's, so that pages can say so."""

    criteria: Criteria = field(default_factory=Criteria)
    benchmarks: Benchmarks = field(default_factory=Benchmarks)
    service_levels: ServiceLevels = field(default_factory=ServiceLevels)
    soak: Soak = field(default_factory=Soak)
    offline_regression: OfflineRegression = field(default_factory=OfflineRegression)
    comparison: Comparison = field(default_factory=Comparison)
    evidence: EvidenceRules = field(default_factory=EvidenceRules)
    waivers: WaiverRules = field(default_factory=WaiverRules)
    checks: Checks = field(default_factory=Checks)
    retention: Retention = field(default_factory=Retention)
    canary_steps: tuple[Step, ...] = field(default_factory=_default_steps)
    staging_weight: int = 10
    approvals_to_staging: tuple[Role, ...] = (Role.ML_ENGINEER,)
    approvals_to_production: tuple[Role, ...] = (Role.PRODUCT_OWNER, Role.ML_ENGINEER)
    approvals_to_archived: tuple[Role, ...] = (Role.ML_ENGINEER,)
    start_limit: timedelta = timedelta(minutes=10)
    warm_window: timedelta = timedelta(hours=24)
    shortened: bool = False

    def __post_init__(self) -> None:
        _check_steps(self.canary_steps)
        if not 0 <= self.staging_weight <= 50:
            raise PolicyError(f"staging_weight is {self.staging_weight}; it must be between 0 and 50 percent")

    def approvals(self, stage: Stage) -> tuple[Role, ...]:
        """The roles that must say yes before a version enters the stage."""
        return {
            Stage.STAGING: self.approvals_to_staging,
            Stage.PRODUCTION: self.approvals_to_production,
            Stage.ARCHIVED: self.approvals_to_archived,
        }.get(stage, ())


def _check_steps(steps: Sequence[Step]) -> None:
    weights = [step.weight for step in steps]
    if not weights or weights[-1] != 100:
        raise PolicyError(f"canary_steps are {weights}; the last one must be 100 percent")
    if weights != sorted(set(weights)) or weights[0] < 1:
        raise PolicyError(f"canary_steps are {weights}; they must rise from step to step, within 1 to 100 percent")
    if any(step.minimum < timedelta(0) for step in steps):
        raise PolicyError("canary_steps have a negative duration; a step lasts 0 seconds or longer")


_POLICY: TypeAdapter[Policy] = TypeAdapter(Policy)


def dump(policy: Policy) -> dict[str, Any]:
    """The policy as JSON values; durations are seconds."""
    return cast("dict[str, Any]", _POLICY.dump_python(policy, mode="json"))


def load(body: Mapping[str, Any]) -> Policy:
    """The policy that ``dump`` wrote. Values that are absent take the defaults. Raises PolicyError."""
    try:
        return _POLICY.validate_python(dict(body))
    except ValidationError as error:
        raise PolicyError(f"this is not a policy: {error}") from error
