"""A policy in plain words: every value with what it is called and its unit, and what differs between two policies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import reduce
from typing import Any

from lifecycle.domain import durations
from lifecycle.domain.criteria import Criterion
from lifecycle.domain.permissions import Role
from lifecycle.domain.policy import Benchmark, Policy, Step
from lifecycle.domain.strategies import BreachAction, Gateway, Sticky, Strategy
from lifecycle.domain.words import counted, listed

STRATEGY = Policy()
"""The values of the lifecycle strategy."""


@dataclass(frozen=True, slots=True)
class Row:
    """One value: ``value`` is what the policy says, ``strategy`` what the lifecycle strategy says, both in words."""

    label: str
    value: str
    strategy: str
    differs: bool


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a policy. ``about`` says what it is for."""

    title: str
    about: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One value that two policies have differently. ``added`` and ``removed`` are the difference of a list of names."""

    section: str
    label: str
    before: str
    after: str
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.section}, {self.label}: {self.before} → {self.after}"


def sections(policy: Policy) -> tuple[Section, ...]:
    """The whole policy."""
    return tuple(
        Section(part.title, part.about, tuple(_row(entry, policy) for entry in part.entries)) for part in PARTS
    )


def _row(entry: Entry, policy: Policy) -> Row:
    differs = entry.of(policy) != entry.of(STRATEGY)
    return Row(entry.label, entry.words(policy), entry.words(STRATEGY), differs)


def changes(old: Policy, new: Policy) -> tuple[Change, ...]:
    """What the new policy has otherwise than the old one, in the order of the sections; () when they are the same."""
    return tuple(
        _change(part.title, entry, old, new)
        for part in PARTS
        for entry in part.entries
        if entry.of(old) != entry.of(new)
    )


def _change(section: str, entry: Entry, old: Policy, new: Policy) -> Change:
    before, after = (entry.names(policy) for policy in (old, new))
    return Change(
        section,
        entry.label,
        entry.words(old),
        entry.words(new),
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
    )


# ---------------------------------------------------------------- values in words


def _figure(value: float) -> str:
    """Every digit: two policies that differ never look the same."""
    return f"{value:,}".removesuffix(".0")


def _percent(value: float) -> str:
    return f"{_figure(value)} %"


def _per_second(value: float) -> str:
    return f"{_figure(value)} a second"


def _points(value: float) -> str:
    return f"{_figure(value)} percentage points"


def _requests(value: int) -> str:
    return counted(value, "request")


def _users(value: int) -> str:
    return counted(value, "user")


def _length(value: timedelta) -> str:
    return durations.say(value)


def _yes_no(value: bool) -> str:
    return "yes" if value else "no"


def _name(value: str | Criterion | Role) -> str:
    return value.label if isinstance(value, Criterion | Role) else value


def _names(values: Sequence[str]) -> str:
    return ", ".join(map(_name, values)) or "none"


def _steps(steps: Sequence[Step]) -> str:
    *rising, last = steps
    text = ", ".join(map(_step, rising))
    end = f"{last.weight} %" + (f" for {durations.say(last.minimum)}" if last.minimum else "")
    return f"{text}, then {end}" if text else f"{end} at once"


def _step(step: Step) -> str:
    """ "5 % for 1 hour and 500 requests, until a product owner lets it go on"."""
    requests = f" and {_requests(step.requests)}" if step.requests else ""
    asks = f", until a {step.asks.label} lets it go on" if step.asks else ""
    return f"{step.weight} % for {durations.say(step.minimum)}{requests}{asks}"


def _strategy(value: Strategy) -> str:
    return value.label


def _sticky(value: Sticky) -> str:
    return {Sticky.NONE: "no", Sticky.COOKIE: "by a cookie", Sticky.HEADER: "by a header"}[value]


def _action(value: BreachAction) -> str:
    return {BreachAction.HOLD: "held for investigation", BreachAction.ROLL_BACK: "rolled back"}[value]


def _gateway(value: Gateway) -> str:
    return value.value.capitalize()


def _query(value: str) -> str:
    return value or "what fits the gateway"


def _benchmark(benchmark: Benchmark) -> str:
    bounds = (
        ("at least", benchmark.at_least),
        ("at most", benchmark.at_most),
        ("at least the run's own", benchmark.at_least_metric),
        ("at most the run's own", benchmark.at_most_metric),
    )
    said = [
        f"{words} {bound if isinstance(bound, str) else _figure(bound)}" for words, bound in bounds if bound is not None
    ]
    return f"{listed(benchmark.metrics, 'or')} {' and '.join(said)}"


# ---------------------------------------------------------------- what there is


@dataclass(frozen=True, slots=True)
class Entry:
    """``path`` leads to the value in a policy; ``say`` puts it into words."""

    path: str
    label: str
    say: Callable[[Any], str]

    def of(self, policy: Policy) -> Any:
        return reduce(getattr, self.path.split("."), policy)

    def words(self, policy: Policy) -> str:
        return self.say(self.of(policy))

    def names(self, policy: Policy) -> tuple[str, ...]:
        """The entries of a list of names, () for any other value."""
        return tuple(map(_name, self.of(policy))) if self.say is _names else ()


@dataclass(frozen=True, slots=True)
class Part:
    title: str
    about: str
    entries: tuple[Entry, ...]


PARTS = (
    Part(
        "What is asked before a stage",
        "The criteria of every gate. Each has to be passed, or waived, before a version may enter the stage.",
        (
            Entry("criteria.to_staging", "Before Staging", _names),
            Entry("criteria.to_production", "Before Production", _names),
            Entry("criteria.to_archived", "Before Archived", _names),
        ),
    ),
    Part(
        "Who has to say yes",
        "One person fills one role, and nobody decides on what they asked for.",
        (
            Entry("approvals_to_staging", "To Staging", _names),
            Entry("approvals_to_production", "To Production", _names),
            Entry("approvals_to_archived", "To Archived", _names),
            Entry("approval.expires", "A yes stands for", _length),
            Entry("approval.confirm_after", "A yes to Production asks who you are again after", _length),
            Entry("approval.bypass", "May go on without approvals in an emergency", _names),
        ),
    ),
    Part(
        "Benchmarks",
        "How good a version has to be on held-out data. The first of the metrics that its run recorded counts.",
        (
            Entry("benchmarks.classification", "Classifiers", _benchmark),
            Entry("benchmarks.regression", "Regressions", _benchmark),
        ),
    ),
    Part(
        "Service levels",
        "What one replica has to reach under load.",
        (
            Entry("service_levels.latency_p50", "Half of the answers within (p50)", _length),
            Entry("service_levels.latency_p95", "95 % of the answers within (p95)", _length),
            Entry("service_levels.latency_p99", "99 % of the answers within (p99)", _length),
            Entry("service_levels.throughput", "Throughput of a replica, at least", _per_second),
            Entry("service_levels.failed_predictions", "Failed predictions, less than", _percent),
            Entry("service_levels.malformed_rejected", "Malformed input refused, at least", _percent),
        ),
    ),
    Part(
        "Time in Staging",
        "How long a version serves there, and how much, before it may enter Production.",
        (
            Entry("soak.duration", "Time with traffic, at least", _length),
            Entry("soak.requests", "Answered, at least", _requests),
        ),
    ),
    Part(
        "Comparison of recorded metrics",
        "Metric by metric against the version in Production.",
        (
            Entry("offline_regression.tolerance", "Worse than Production by at most", _percent),
            Entry("offline_regression.higher_is_better", "Better when higher, besides those known", _names),
            Entry("offline_regression.lower_is_better", "Better when lower, besides those known", _names),
            Entry("offline_regression.ignored", "Not compared", _names),
        ),
    ),
    Part(
        "Comparison of live traffic",
        "What stops a rollout, or takes it back.",
        (
            Entry("comparison.error_rate_increase", "More errors than the stable version by", _points),
            Entry("comparison.latency_p95_increase", "Latency p95 higher by", _percent),
            Entry("comparison.drift", "Drift score of the requests above", _figure),
            Entry("comparison.prediction_psi", "Prediction PSI above", _figure),
            Entry("comparison.business_metric_change", "Business metric changed by", _percent),
            Entry("comparison.staging_error_rate", "In Staging: errors above", _percent),
            Entry("comparison.staging_latency_p95", "In Staging: latency p95 above", _length),
            Entry("comparison.production_error_rate", "In Production: errors above", _percent),
            Entry("comparison.on_latency", "With a higher latency, a rollout is", _action),
            Entry("comparison.confidence", "As sure as this, over a whole rollout", _percent),
        ),
    ),
    Part(
        "Traffic",
        "How requests move from one version to the next. A rollback takes one step.",
        (
            Entry("rollout.strategy", "Strategy offered first", _strategy),
            Entry("canary_steps", "Steps of a canary", _steps),
            Entry("rollout.shadow_duration", "A shadow gets copies for at least", _length),
            Entry("rollout.shadow_requests", "A shadow answers at least", _requests),
            Entry("rollout.shadow_agreement", "A shadow gives the same answer to at least", _percent),
            Entry("rollout.shadow_tolerance", "Numbers are the same when they differ by at most", _percent),
            Entry("rollout.patience", "A step that stays undecided asks a person after", _length),
            Entry("rollout.grace", "Without anything to judge by, it is said so after", _length),
            Entry("rollout.sticky", "Users stay with one version", _sticky),
            Entry("rollout.sticky_name", "Name of that cookie or header", _name),
            Entry("staging_weight", "Share of a version in Staging", _percent),
            Entry("start_limit", "A server has to be ready within", _length),
            Entry("warm_window", "The previous version stays warm for", _length),
        ),
    ),
    Part(
        "Metrics from Prometheus",
        "Where its numbers come from in an installation that has one.",
        (
            Entry("metrics.gateway", "Names of its metrics", _gateway),
            Entry("metrics.requests", "Requests", _query),
            Entry("metrics.errors", "Errors", _query),
            Entry("metrics.latency", "Latency buckets", _query),
            Entry("metrics.business_count", "Business metric: count", _query),
            Entry("metrics.business_sum", "Business metric: sum", _query),
            Entry("metrics.business_squares", "Business metric: sum of squares", _query),
        ),
    ),
    Part(
        "Evidence and waivers",
        "What counts, for how long, and who may let a criterion pass.",
        (
            Entry("evidence.longest", "Evidence counts for", _length),
            Entry("evidence.required_tags", "Tags every version has to have", _names),
            Entry("waivers.roles", "May waive a criterion", _names),
            Entry("waivers.longest", "A waiver lasts at most", _length),
            Entry("waivers.never", "Nobody may waive", _names),
        ),
    ),
    Part(
        "Checks",
        "What Stagegate measures itself.",
        (
            Entry("checks.in_development", "Started by itself in Development", _names),
            Entry("checks.in_staging", "Started by itself in Staging", _names),
            Entry("checks.load_test.users", "Load test: at once", _users),
            Entry("checks.load_test.ramp", "Load test: they arrive over", _length),
            Entry("checks.load_test.steady", "Load test: then measured for", _length),
            Entry("checks.malformed_inputs", "Malformed input: sent", _requests),
            Entry("checks.formats", "File name endings a model may have", _names),
            Entry("checks.trusted_types", "Trusted types in skops files", _names),
        ),
    ),
    Part(
        "Retention",
        "How long versions stay. What serves, what a rollback needs and what is held is never deleted.",
        (
            Entry("retention.production", "In Production, before it may be archived", _length),
            Entry("retention.staging", "In Staging without promotion, before it is flagged", _length),
            Entry("retention.archived", "In Archived, before it is deleted", _length),
            Entry("retention.minimum_age", "Never deleted when registered less than", _length),
        ),
    ),
    Part(
        "Remarks",
        "",
        (Entry("shortened", "Durations are shortened, as in a demo", _yes_no),),
    ),
)
