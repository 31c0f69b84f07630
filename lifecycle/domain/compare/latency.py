"""The 95th percentile of latency: of the canary against the stable version, and against Staging's limit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lifecycle.domain import sequential, words
from lifecycle.domain.compare import phrases
from lifecycle.domain.compare.budget import Budget, on_latency
from lifecycle.domain.compare.parts import (
    Evidence,
    Finding,
    Interval,
    Limit,
    Measure,
    MeasureState,
    OnBreach,
    Trial,
    telling,
)
from lifecycle.domain.drift import Distribution
from lifecycle.domain.policy import Policy
from lifecycle.domain.sequential import Floats

INCREASE = "latency_p95", "p95 latency against stable"
ABSOLUTE = "latency_p95_absolute", "p95 latency"

QUANTILE = 0.95
PRIOR = (38.0, 2.0)
"""Of the part of requests up to the true quantile: about 95 %, or anything less if it is another's quantile."""
UNKNOWN = "No latency of the new version is known yet."
HAIR = 1e-9
"""A quantile lies above where its bucket begins: the low end of an interval is never reached."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Latencies in seconds: ``cumulative`` counts up to the end of each bucket, the last of which has none."""

    edges: Floats
    cumulative: Floats

    @property
    def total(self) -> float:
        return float(self.cumulative[-1])

    @property
    def estimate(self) -> float:
        return sequential.quantile_estimate(self.cumulative, self.edges, QUANTILE)

    @property
    def bucket(self) -> tuple[float, float]:
        """Where the bucket of the estimate begins and ends."""
        at = sequential.quantile_bucket(self.cumulative, QUANTILE)
        ends = np.concatenate([[0.0], self.edges, [np.inf]])
        return float(ends[at]), float(ends[at + 1])

    def costs(self, multiple: float = 1.0) -> Floats:
        return sequential.quantile_costs(self.cumulative * multiple, QUANTILE, PRIOR)


def read(distribution: Distribution | None) -> Histogram | None:
    """None where nothing was counted."""
    if distribution is None or not distribution.edges or not distribution.total:
        return None
    return Histogram(np.asarray(distribution.edges), np.cumsum(distribution.counts))


# ---------------------------------------------------------------- against the stable version


def increase(evidence: Evidence, policy: Policy, budget: Budget) -> Measure:
    """How much longer the canary's p95 is, in percent of the stable version's."""
    limit = Limit(*INCREASE, policy.comparison.latency_p95_increase, "%", on_latency(policy))
    if evidence.trial == Trial.PRODUCTION:
        return limit.unmeasured("The version in Production is judged by itself, without another to compare it with.")
    canary, stable = read(evidence.whole.canary.latency), read(evidence.whole.stable.latency)
    if stable is None:
        return limit.unmeasured("No latency of the stable version is known that this could be compared with.")
    if canary is None:
        return limit.unknown(UNKNOWN)
    alphas = budget.spans(limit.on_breach, evidence)
    found, state = telling(_increases(evidence, alphas), limit.value, -HAIR)
    if state == MeasureState.UNDECIDED:
        text, details = _unsure(evidence, limit.value, canary, stable, alphas[0])
    else:
        text, details = _increase_words(evidence, found, state, limit.value)
    return limit.measure(state, text, found.interval, details)


def _increases(evidence: Evidence, alphas: Sequence[float]) -> list[Finding]:
    found = []
    for span, alpha in zip((evidence.whole, *evidence.windows), alphas, strict=True):
        canary, stable = read(span.canary.latency), read(span.stable.latency)
        if canary and stable:
            found.append(Finding(span, compared(canary, stable, alpha)))
    return found


def compared(canary: Histogram, stable: Histogram, alpha: float, multiple: float = 1.0) -> Interval:
    """The change in percent."""
    sides = ((canary.costs(multiple), canary.edges), (stable.costs(multiple), stable.edges))
    factors = (_quotient(canary.estimate, stable.estimate), *sequential.quantile_ratio(*sides, alpha))
    return Interval(*(100.0 * (each - 1.0) for each in factors))


def _increase_words(
    evidence: Evidence, found: Finding, state: MeasureState, limit: float
) -> tuple[str, phrases.Details]:
    allowed = f"{words.percent(limit)} {'is' if limit == 1 else 'are'} allowed"
    canary, stable = (_p95(each.latency) for each in (found.span.canary, found.span.stable))
    if state == MeasureState.BREACHED:
        slower = f"{phrases.short(found.interval.estimate, limit)} % longer than {phrases.STABLE} does; {allowed}"
        return phrases.said(evidence, found, f"{phrases.NEW} takes {canary} for 95 % of its requests, {slower}")
    both = f"{phrases.NEW} answers 95 % of its requests within {canary}, {phrases.STABLE} within {stable}"
    worst = f"{phrases.short(max(found.interval.high, 0.0), limit)} % longer at most; {allowed}"
    return phrases.said(evidence, found, f"{both}: {worst}")


def _unsure(
    evidence: Evidence, limit: float, canary: Histogram, stable: Histogram, alpha: float
) -> tuple[str, phrases.Details]:
    question = f"{phrases.NEW} takes more than {words.percent(limit)} longer than {phrases.STABLE}"
    if _too_coarse(canary, stable, limit):
        begin, end = stable.bucket
        apart = (
            f"{phrases.short(100.0 * (end / begin - 1.0))} % apart here" if begin else "as wide as the latency itself"
        )
        coarse = (
            f"latencies are counted in buckets that are {apart}, which is too coarse, however many requests there are"
        )
        return f"It cannot be told whether {question}: {coarse}.", {"coarse": True}

    def tells(multiple: float) -> bool:
        return compared(canary, stable, alpha, multiple).decides(limit, -HAIR)

    return phrases.undecided(evidence, question, phrases.needed(evidence, tells))


def _quotient(canary: float, stable: float) -> float:
    return canary / stable if stable else math.inf


def _too_coarse(canary: Histogram, stable: Histogram, limit: float) -> bool:
    """Whether it could not be told even if it were certain in which bucket either quantile lies."""
    (canary_low, canary_high), (stable_low, stable_high) = canary.bucket, stable.bucket
    factors = (
        _quotient(canary.estimate, stable.estimate),
        _quotient(canary_low, stable_high),
        _quotient(canary_high, stable_low),
    )
    return not Interval(*(100.0 * (each - 1.0) for each in factors)).decides(limit, -HAIR)


# ---------------------------------------------------------------- against Staging's limit


def absolute(evidence: Evidence, policy: Policy, budget: Budget) -> Measure:
    """The canary's p95 in seconds; it has a limit in Staging only."""
    limit = Limit(*ABSOLUTE, policy.comparison.staging_latency_p95.total_seconds(), "s", OnBreach.ROLL_BACK)
    canary = read(evidence.whole.canary.latency)
    if evidence.trial != Trial.STAGING:
        return replace(limit.unmeasured("Only Staging has a limit on the latency itself."), limit=None)
    if canary is None:
        return limit.unknown(UNKNOWN)
    alphas = budget.spans(limit.on_breach, evidence)
    read_spans = ((span, read(span.canary.latency)) for span in (evidence.whole, *evidence.windows))
    findings = [
        Finding(span, bounded(each, alpha)) for (span, each), alpha in zip(read_spans, alphas, strict=True) if each
    ]
    found, state = telling(findings, limit.value, limit.value - HAIR)
    text, details = _absolute_words(evidence, found, state, limit.value, (canary, alphas[0]))
    return limit.measure(state, text, found.interval, details)


def bounded(histogram: Histogram, alpha: float, multiple: float = 1.0) -> Interval:
    """The quantile in seconds."""
    return Interval(histogram.estimate, *sequential.quantile_bounds(histogram.costs(multiple), histogram.edges, alpha))


def _absolute_words(
    evidence: Evidence, found: Finding, state: MeasureState, limit: float, known: tuple[Histogram, float]
) -> tuple[str, phrases.Details]:
    if state != MeasureState.UNDECIDED:
        within = f"{phrases.NEW} takes {_p95(found.span.canary.latency)} for 95 % of its requests"
        return phrases.said(evidence, found, f"{within}; {words.seconds(limit)} is the limit")
    canary, alpha = known

    def tells(multiple: float) -> bool:
        return bounded(canary, alpha, multiple).decides(limit, limit - HAIR)

    question = f"{phrases.NEW} takes longer than {words.seconds(limit)} for 95 % of its requests"
    return phrases.undecided(evidence, question, phrases.needed(evidence, tells))


def _p95(distribution: Distribution | None) -> str:
    histogram = read(distribution)
    return words.seconds(float(f"{histogram.estimate:.3g}")) if histogram else "an unknown time"
