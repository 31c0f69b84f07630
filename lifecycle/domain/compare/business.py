"""Business metrics: how the canary's mean differs from the stable version's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from lifecycle.domain import sequential, words
from lifecycle.domain.compare import phrases
from lifecycle.domain.compare.budget import Budget
from lifecycle.domain.compare.parts import Evidence, Interval, Limit, Measure, MeasureState, OnBreach, Trial
from lifecycle.domain.observations import Moments
from lifecycle.domain.policy import Policy

NAME = "business"
LABEL = "Business metric change"

ENOUGH = 50
"""Values on either side, below which nothing is said: the interval of a mean holds for many values only."""


def changes(evidence: Evidence, policy: Policy, budget: Budget) -> list[Measure]:
    """One row for each metric, by name; or one that says that there is none."""
    limit = Limit(NAME, LABEL, policy.comparison.business_metric_change, "%", OnBreach.HOLD)
    if evidence.trial == Trial.SHADOW:
        return [limit.unmeasured("Nobody gets a shadow's answers, so they move no business metric.")]
    if evidence.trial == Trial.PRODUCTION:
        return [limit.unmeasured("The version in Production is judged by itself, without another to compare it with.")]
    canary, stable = evidence.whole.canary.business, evidence.whole.stable.business
    names = sorted(name for name in {**canary, **stable} if _of(canary, name).count or _of(stable, name).count)
    if not names:
        return [limit.unmeasured("No business metric was reported for either version.")]
    alpha = budget.holding / len(names)
    pairs = {name: Pair(_of(canary, name), _of(stable, name), alpha / 2.0) for name in names}
    return [_change(evidence, name, pair, limit) for name, pair in pairs.items()]


def _of(metrics: Mapping[str, Moments], name: str) -> Moments:
    return metrics.get(name, Moments())


@dataclass(frozen=True, slots=True)
class Pair:
    """One metric of both versions; ``alpha`` is the error of either mean."""

    canary: Moments
    stable: Moments
    alpha: float

    def change(self, multiple: float = 1.0) -> Interval:
        """The change of the mean in percent; without bounds where there are few values, or the stable mean may be 0."""
        centre = self.stable.total / self.stable.count
        estimate = 100.0 * (self.canary.total / self.canary.count - centre) / abs(centre) if centre else math.inf
        if min(self.canary.count, self.stable.count) * multiple < ENOUGH:
            return Interval(estimate, -math.inf, math.inf)
        sides = (_mean(self.canary, self.alpha, multiple), _mean(self.stable, self.alpha, multiple))
        below_zero = centre < 0
        (low, high), (stable_low, stable_high) = map(_turned, sides) if below_zero else sides
        if stable_low <= 0:
            return Interval(estimate, -math.inf, math.inf)
        least, most = low / (stable_high if low > 0 else stable_low), high / (stable_low if high > 0 else stable_high)
        bounds = (100.0 * (least - 1.0), 100.0 * (most - 1.0))
        return Interval(estimate, *(_turned(bounds) if below_zero else bounds))

    def state(self, limit: float, multiple: float = 1.0) -> MeasureState:
        """More and less are alike: what counts is how far it moved, in the direction of the estimate."""
        moved = self.change(multiple)
        bounds = (moved.low, moved.high)
        low, high = _turned(bounds) if moved.estimate < 0 else bounds
        return MeasureState.UNDECIDED if low <= -limit else Interval(abs(moved.estimate), low, high).state(limit)


def _mean(moments: Moments, alpha: float, multiple: float) -> tuple[float, float]:
    return sequential.mean(moments.count * multiple, moments.total * multiple, moments.squares * multiple, alpha)


def _turned(bounds: tuple[float, float]) -> tuple[float, float]:
    return -bounds[1], -bounds[0]


def _change(evidence: Evidence, name: str, pair: Pair, every: Limit) -> Measure:
    limit = replace(every, name=f"{NAME}:{name}", label=f"Business metric {name}")
    for who, each in (("new", pair.canary), ("stable", pair.stable)):
        if not each.count:
            return limit.unmeasured(f"“{name}” was not reported for the {who} version.")
    interval, state = pair.change(), pair.state(limit.value)
    if state == MeasureState.UNDECIDED:
        return limit.measure(state, *_unsure(evidence, name, pair, limit.value, interval))
    less_or_more = "lower" if interval.estimate < 0 else "higher"
    shown = f"{phrases.short(abs(interval.estimate), limit.value)} % {less_or_more}"
    text = f"“{name}” is {shown} with {phrases.NEW} than with {phrases.STABLE}"
    return limit.measure(state, f"{text}; a change of {words.percent(limit.value)} is the limit.", interval)


def _unsure(
    evidence: Evidence, name: str, pair: Pair, limit: float, interval: Interval
) -> tuple[str, Interval, phrases.Details]:
    def tells(multiple: float) -> bool:
        return pair.state(limit, multiple) != MeasureState.UNDECIDED

    question = f"“{name}” changes by more than {words.percent(limit)}"
    text, details = phrases.undecided(evidence, question, phrases.needed(evidence, tells))
    return text, interval, details
