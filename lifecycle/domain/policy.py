"""The numbers that rule a model's life. The defaults are those of the model lifecycle strategy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import timedelta
from typing import Annotated, Any, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from pydantic_core import ErrorDetails

from lifecycle.domain import policy_rules as rules
from lifecycle.domain.criteria import TO_ARCHIVED, TO_PRODUCTION, TO_STAGING, Criterion
from lifecycle.domain.permissions import Role
from lifecycle.domain.policy_rules import Path, Problem
from lifecycle.domain.stages import Stage
from lifecycle.domain.strategies import BreachAction, Gateway, Sticky, Strategy

__all__ = [
    "ApprovalRules",
    "Benchmark",
    "Benchmarks",
    "Checks",
    "Comparison",
    "Criteria",
    "EvidenceRules",
    "LoadTest",
    "MetricQueries",
    "OfflineRegression",
    "Path",
    "Policy",
    "PolicyError",
    "Problem",
    "Retention",
    "Rollout",
    "ServiceLevels",
    "Soak",
    "Step",
    "WaiverRules",
    "dump",
    "load",
]

SHOWN_PROBLEMS = 5
"""How many problems ``str(error)`` tells; the error carries all of them."""


class PolicyError(ValueError):
    """A policy that cannot be obeyed, with all its ``problems``. ``str(error)`` names the values and the rules."""

    def __init__(self, *problems: Problem) -> None:
        told = [f"{problem.where}: {problem.message}" if problem.path else problem.message for problem in problems]
        more = len(told) - SHOWN_PROBLEMS
        super().__init__(" ".join(told[:SHOWN_PROBLEMS]) + (f" And {more} more." if more > 0 else ""))
        self.problems = problems


exact = with_config(ConfigDict(extra="forbid"))
"""For every part of a policy: a value with an unknown name is refused instead of having no effect."""


@exact
@dataclass(frozen=True, slots=True)
class Step:
    """One step of a rollout: ``weight`` percent of requests for the canary.

    It lasts for at least ``minimum``, and until the canary has answered ``requests``. ``asks`` is the role of whoever
    has to let the rollout go on from here; None: the verdict is enough.
    """

    weight: rules.Weight
    minimum: rules.Length
    requests: rules.Requests = 0
    asks: rules.Approver | None = None


def _default_steps() -> tuple[Step, ...]:
    """5 % in the first hour, 25 % from hour 2, 50 % from hour 4, 100 % from hour 8."""
    hours = ((5, 1, 500), (25, 2, 500), (50, 4, 500), (100, 0, 0))
    return tuple(Step(weight, timedelta(hours=length), requests) for weight, length, requests in hours)


@exact
@dataclass(frozen=True, slots=True)
class Criteria:
    """What is asked before a version enters a stage. An empty list asks nothing."""

    to_staging: rules.ToStaging = TO_STAGING
    to_production: rules.ToProduction = TO_PRODUCTION
    to_archived: rules.ToArchived = TO_ARCHIVED

    def of(self, stage: Stage) -> tuple[Criterion, ...]:
        return {
            Stage.STAGING: self.to_staging,
            Stage.PRODUCTION: self.to_production,
            Stage.ARCHIVED: self.to_archived,
        }.get(stage, ())


@exact
@dataclass(frozen=True, slots=True)
class Benchmark:
    """A bound on a metric of the training run. The first of ``metrics`` that the run recorded is the one that counts.

    Exactly one bound is given: a number, or ``at_most_metric``/``at_least_metric``, the run's own metric of a baseline.
    """

    metrics: rules.SomeNames
    at_least: rules.Finite | None = None
    at_most: rules.Finite | None = None
    at_least_metric: rules.Name | None = None
    at_most_metric: rules.Name | None = None


Bounded = Annotated[Benchmark, rules.obeys(rules.one_bound)]


@exact
@dataclass(frozen=True, slots=True)
class Benchmarks:
    """The task of a version is its tag ``task``, or else whatever of the two has a metric that the run recorded."""

    classification: Bounded = Benchmark(metrics=("f1", "f1_score", "f1_macro", "f1_weighted"), at_least=0.85)
    regression: Bounded = Benchmark(metrics=("rmse", "root_mean_squared_error"), at_most_metric="baseline_rmse")


@exact
@dataclass(frozen=True, slots=True)
class ServiceLevels:
    """What one replica has to reach under load. Percentages are of requests; throughput is answers a second."""

    latency_p50: rules.SomeTime = timedelta(milliseconds=500)
    latency_p95: rules.SomeTime = timedelta(seconds=1)
    latency_p99: rules.SomeTime = timedelta(seconds=2)
    throughput: rules.Rate = 100.0
    failed_predictions: rules.FailedPercent = 0.1
    malformed_rejected: rules.Percent = 100.0


@exact
@dataclass(frozen=True, slots=True)
class Soak:
    """How long a version serves in Staging, and how many requests it has to answer there at least."""

    duration: rules.Length = timedelta(hours=24)
    requests: rules.Requests = 1000


@exact
@dataclass(frozen=True, slots=True)
class OfflineRegression:
    """``tolerance`` is how much worse a metric may be than Production's, in percent of Production's value.

    ``higher_is_better`` and ``lower_is_better`` name metrics whose direction the built-in list does not know, or
    turn it around. ``ignored`` metrics are not compared.
    """

    tolerance: rules.Percent = 0.0
    higher_is_better: rules.Names = ()
    lower_is_better: rules.Names = ()
    ignored: rules.Names = ()


@exact
@dataclass(frozen=True, slots=True)
class Comparison:
    """When the live comparison of two versions stops a rollout. Rates are in percent of requests.

    ``error_rate_increase`` is in percentage points, the increases of latency and business metric in percent.
    ``on_latency`` is what a higher latency does. ``confidence`` is how sure, in percent, the judge has to be over the
    whole of a rollout, however often it looks.
    """

    error_rate_increase: rules.Percent = 2.0
    latency_p95_increase: rules.Increase = 20.0
    drift: rules.Score = 0.3
    prediction_psi: rules.Score = 0.2
    business_metric_change: rules.Increase = 5.0
    staging_error_rate: rules.Percent = 5.0
    staging_latency_p95: rules.SomeTime = timedelta(seconds=2)
    production_error_rate: rules.Percent = 10.0
    on_latency: rules.OnLatency = BreachAction.HOLD
    confidence: rules.Confidence = 99.0


@exact
@dataclass(frozen=True, slots=True)
class Rollout:
    """How requests move into Production.

    ``strategy`` is the one that is offered first. A shadow gets copies for ``shadow_duration`` and ``shadow_requests``
    at least, and has to give the same answer to ``shadow_agreement`` percent of them; numbers that differ by at most
    ``shadow_tolerance`` percent (0, 0.1, 1, 5 or 20) are the same. A step that is undecided for
    longer than ``patience`` asks a person. Where there is nothing to judge by for longer than ``grace``, it is said so.
    ``sticky`` keeps a user with one version for as long as the weights stay as they are: by a cookie called
    ``sticky_name``, or by a header of that name that carries a number from 0 to 99.
    """

    strategy: rules.StrategyName = Strategy.CANARY
    shadow_duration: rules.SomeTime = timedelta(hours=1)
    shadow_requests: rules.Requests = 500
    shadow_agreement: rules.Percent = 95.0
    shadow_tolerance: rules.ShadowTolerance = 1.0
    patience: rules.SomeTime = timedelta(hours=24)
    grace: rules.SomeTime = timedelta(minutes=2)
    sticky: rules.StickyBy = Sticky.NONE
    sticky_name: rules.HeaderName = "stagegate-variant"


@exact
@dataclass(frozen=True, slots=True)
class MetricQueries:
    """Where a Prometheus has the numbers of a rollout: PromQL, in which ``{slug}`` and ``{version}`` are filled in.

    ``gateway`` names whose metrics are asked for where a query is "". Every query gives cumulative counters, one series
    an instance; ``latency`` gives buckets with the label ``le``, in seconds.
    """

    gateway: rules.GatewayName = Gateway.TRAEFIK
    requests: rules.Query = ""
    errors: rules.Query = ""
    latency: rules.Query = ""
    business_count: rules.Query = ""
    business_sum: rules.Query = ""
    business_squares: rules.Query = ""


@exact
@dataclass(frozen=True, slots=True)
class EvidenceRules:
    """Evidence older than ``longest`` is stale; ``required_tags`` must be on every version."""

    longest: rules.SomeTime = timedelta(days=30)
    required_tags: rules.Names = (
        "schema_version",
        "data_version",
        "feature_set_version",
        "training_date",
        "trainer_email",
        "framework",
        "explainability",
    )


@exact
@dataclass(frozen=True, slots=True)
class WaiverRules:
    """Who may let a criterion pass that is failed or missing, and for how long; ``never`` lists what nobody may."""

    roles: rules.WaiverRoles = (Role.PRODUCT_OWNER,)
    longest: rules.SomeTime = timedelta(days=30)
    never: rules.AnyCriteria = (
        Criterion.ARTIFACT_SCAN,
        Criterion.APPROVALS,
        Criterion.REPLACED,
    )


@exact
@dataclass(frozen=True, slots=True)
class ApprovalRules:
    """How long a yes stands, and who may do without. A yes to Production asks for the password, or the second factor,
    again when that was longer than ``confirm_after`` ago. ``bypass`` are the roles that may let a change go on without
    the approvals that are missing; none: nobody may."""

    expires: rules.SomeTime = timedelta(days=7)
    confirm_after: rules.SomeTime = timedelta(minutes=15)
    bypass: rules.BypassRoles = (Role.ML_ENGINEER, Role.ADMINISTRATOR)


@exact
@dataclass(frozen=True, slots=True)
class LoadTest:
    """``users`` ask again and again: over ``ramp`` they arrive one by one, then all of them stay for ``steady``."""

    users: rules.Users = 16
    ramp: rules.Length = timedelta(seconds=10)
    steady: rules.SomeTime = timedelta(seconds=30)


ShortLoadTest = Annotated[LoadTest, rules.obeys(rules.fits_in_a_task)]


@exact
@dataclass(frozen=True, slots=True)
class Checks:
    """Which checks Stagegate starts by itself, and what they use.

    ``in_development`` and ``in_staging`` start as soon as a version is in that stage without current evidence.
    ``malformed_inputs`` is how many malformed requests are sent. ``formats`` are the file name endings that a model
    may consist of; anything else fails the artifact scan. ``trusted_types`` may occur in skops files.
    """

    in_development: rules.CheckList = (Criterion.ARTIFACT_SCAN,)
    in_staging: rules.CheckList = (Criterion.LOAD_TEST, Criterion.MALFORMED_INPUT)
    load_test: ShortLoadTest = field(default_factory=LoadTest)
    malformed_inputs: rules.Inputs = 200
    formats: rules.Endings = (
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
    trusted_types: rules.TypeNames = ("numpy.dtype", "sklearn.tree._tree.Tree")


@exact
@dataclass(frozen=True, slots=True)
class Retention:
    """``staging`` without promotion is flagged, ``archived`` is deleted, ``production`` is the least time in Production
    before a replaced version is archived. A version registered less than ``minimum_age`` ago is never deleted."""

    production: rules.Length = timedelta(days=30)
    staging: rules.Length = timedelta(days=7)
    archived: rules.Length = timedelta(days=90)
    minimum_age: rules.Length = timedelta(days=90)


RisingSteps = Annotated[tuple[Step, ...], rules.obeys(rules.steps_rise)]
RisingLevels = Annotated[ServiceLevels, rules.obeys(rules.latencies_rise)]
Directed = Annotated[OfflineRegression, rules.obeys(rules.one_direction)]


@exact
@dataclass(frozen=True, slots=True)
class Policy:
    """``shortened`` marks a policy whose durations are not the strategy's, so that pages can say so."""

    criteria: Criteria = field(default_factory=Criteria)
    benchmarks: Benchmarks = field(default_factory=Benchmarks)
    service_levels: RisingLevels = field(default_factory=ServiceLevels)
    soak: Soak = field(default_factory=Soak)
    offline_regression: Directed = field(default_factory=OfflineRegression)
    comparison: Comparison = field(default_factory=Comparison)
    rollout: Rollout = field(default_factory=Rollout)
    metrics: MetricQueries = field(default_factory=MetricQueries)
    evidence: EvidenceRules = field(default_factory=EvidenceRules)
    waivers: WaiverRules = field(default_factory=WaiverRules)
    checks: Checks = field(default_factory=Checks)
    retention: Retention = field(default_factory=Retention)
    canary_steps: RisingSteps = field(default_factory=_default_steps)
    staging_weight: rules.StagingWeight = 10
    approvals_to_staging: rules.ApprovalRoles = (Role.ML_ENGINEER,)
    approvals_to_production: rules.ApprovalRoles = (Role.PRODUCT_OWNER, Role.ML_ENGINEER)
    approvals_to_archived: rules.ApprovalRoles = (Role.ML_ENGINEER,)
    approval: ApprovalRules = field(default_factory=ApprovalRules)
    start_limit: rules.SomeTime = timedelta(minutes=10)
    warm_window: rules.Length = timedelta(hours=24)
    shortened: rules.Flag = False

    def approvals(self, stage: Stage) -> tuple[Role, ...]:
        """The roles that must say yes before a version enters the stage."""
        return {
            Stage.STAGING: self.approvals_to_staging,
            Stage.PRODUCTION: self.approvals_to_production,
            Stage.ARCHIVED: self.approvals_to_archived,
        }.get(stage, ())


_POLICY: TypeAdapter[Policy] = TypeAdapter(Policy)


def dump(policy: Policy) -> dict[str, Any]:
    """The policy as JSON values; lengths of time are texts such as "24h", values that are None are left out."""
    return cast("dict[str, Any]", _POLICY.dump_python(policy, mode="json", exclude_none=True))


def load(body: object) -> Policy:
    """The policy, as a mapping, that ``dump`` wrote, or a person. Values that are absent take the defaults.

    Raises PolicyError with everything that is wrong. A rule about several values of a group or list is looked at once
    each of them alone is right.
    """
    try:
        return _POLICY.validate_python(body)
    except ValidationError as error:
        found = [problem for each in error.errors(include_url=False) for problem in _problems(each)]
        raise PolicyError(*found) from None


def _problems(error: ErrorDetails) -> Sequence[Problem]:
    """pydantic's error as problems of ours."""
    path = error["loc"]
    if error["type"] == rules.REFUSED:
        return [Problem((*path, *inner), message) for inner, message in error["ctx"]["problems"]]
    return [Problem(path, _message(error["type"], path, error["input"]))]


_WANTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list, such as [a, b]",
}


def _message(kind: str, path: Path, given: object) -> str:
    if kind in ("unexpected_keyword_argument", "invalid_key"):
        name = str(path[-1])
        return f"There is no value called {rules.quoted(name)} here." + rules.meant(name, _names(path[:-1]))
    if kind == "missing":
        return f"{path[-1]} is missing."
    if kind == "dataclass_type":
        return f"This has to be a group of values: {', '.join(_names(path))}."
    return f"This has to be {_WANTED.get(kind, 'another value')}, not {rules.quoted(given)}."


def _names(path: Path) -> list[str]:
    """The names of the values in this part of a policy."""
    part: Any = Policy()
    for step in path:
        part = part[0] if isinstance(step, int) else getattr(part, step)
    return [each.name for each in fields(part)] if is_dataclass(part) else []
