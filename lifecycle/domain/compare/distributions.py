"""What the canary is asked, against what it was trained on; what it answers, against what the stable version does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lifecycle.domain import sequential, words
from lifecycle.domain.compare import phrases
from lifecycle.domain.compare.budget import Budget
from lifecycle.domain.compare.parts import Evidence, Interval, Limit, Measure, MeasureState, OnBreach, Trial
from lifecycle.domain.drift import Distribution, NotComparableError, distance, in_common_bins, read_distribution
from lifecycle.domain.policy import Policy
from lifecycle.domain.sequential import Floats

DRIFT = "drift", "Data drift score"
PSI = "prediction_psi", "Prediction PSI"

SHOWN_FEATURES = 20
NAMED_FEATURES = 3
NAME_LENGTH = 60


def _side_by_side(first: Distribution, second: Distribution) -> tuple[Floats, Floats]:
    """The counts of both in the same order; a category that only one of them knows was seen 0 times by the other."""
    if not first.categories and not second.categories:
        return np.asarray(first.counts, dtype=np.float64), np.asarray(second.counts, dtype=np.float64)
    names = sorted({*first.categories, *second.categories})
    left, right = (dict(zip(each.categories, each.counts, strict=True)) for each in (first, second))
    return np.asarray([left.get(each, 0.0) for each in names]), np.asarray([right.get(each, 0.0) for each in names])


# ---------------------------------------------------------------- drift


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature's values: as in training, and as they were counted."""

    name: str
    reference: Distribution
    seen: Distribution

    def drifted(self, alpha: float, multiple: float = 1.0) -> Interval:
        """The distance is a metric: it changes by no more than what was counted lies from the truth."""
        estimate = distance(self.reference, self.seen)
        expected, counted = _side_by_side(self.reference, self.seen)
        priors = sequential.centred_priors(expected / expected.sum())
        radius = sequential.shannon_radius(sequential.divergence_bound(counted * multiple, alpha, priors))
        return Interval(estimate, max(estimate - radius, 0.0), min(estimate + radius, 1.0))


def drift(evidence: Evidence, policy: Policy, budget: Budget) -> Measure:
    """The largest Jensen-Shannon distance of a feature's values to those of training."""
    limit = Limit(*DRIFT, policy.comparison.drift, "", OnBreach.HOLD)
    features, why = _features(evidence)
    if not features:
        return limit.unmeasured(why)
    alpha = budget.holding / len(features)
    found = {each.name: each.drifted(alpha) for each in features}
    farthest = dict(sorted(found.items(), key=lambda item: (-item[1].estimate, item[0])))
    state = _worst(farthest, limit.value)
    details = _drift_details(farthest, limit.value)
    if state == MeasureState.UNDECIDED:
        undecided = [each for each in features if not found[each.name].decides(limit.value)]
        widest = max(undecided, key=lambda each: found[each.name].high)
        text, needs = _unsure_drift(evidence, widest, alpha, limit.value)
        details |= needs
    else:
        text = _drift_words(phrases.subject(evidence), farthest, limit.value)
    bounds = (max(getattr(each, bound) for each in found.values()) for bound in ("estimate", "low", "high"))
    return limit.measure(state, text, Interval(*bounds), details)


def _features(evidence: Evidence) -> tuple[list[Feature], str]:
    """The features that can be compared, by name; and why there are none, or what kept the last one out."""
    if not evidence.reference:
        return [], "The version was logged without the distributions that it was trained on."
    seen = {name: each for name, each in evidence.whole.canary.features.items() if each.total}
    if not seen:
        return [], "No values of features have been counted."
    features, why = [], "No feature that was counted has a training reference."
    for name in sorted(seen.keys() & evidence.reference.keys()):
        try:
            feature = Feature(name, read_distribution(evidence.reference[name]), seen[name])
            distance(feature.reference, feature.seen)
        except NotComparableError as error:
            why = f"{_quoted(name)} {error}."
        else:
            features.append(feature)
    return features, why


def _worst(found: Mapping[str, Interval], limit: float) -> MeasureState:
    states = {each.state(limit) for each in found.values()}
    order = (MeasureState.BREACHED, MeasureState.UNDECIDED, MeasureState.CLEAR)
    return next(state for state in order if state in states)


def _drift_details(farthest: Mapping[str, Interval], limit: float) -> phrases.Details:
    rows = [
        {"name": name, "estimate": each.estimate, "low": each.low, "high": each.high, "state": each.state(limit).value}
        for name, each in farthest.items()
    ]
    return {"features": rows[:SHOWN_FEATURES]}


def _drift_words(who: str, farthest: Mapping[str, Interval], limit: float) -> str:
    drifted = {name: each for name, each in farthest.items() if each.state(limit) == MeasureState.BREACHED}
    shown = [f"{_quoted(name)} ({phrases.short(each.estimate, limit)})" for name, each in (drifted or farthest).items()]
    least = f"a distance of {words.figure(limit)} is the limit"
    if not drifted:
        return f"What {who} is asked looks like its training data: {shown[0]} lies farthest from it; {least}."
    others = len(shown) - NAMED_FEATURES
    more = [words.counted(others, "other")] if others > 0 else []
    verb = "does" if len(shown) == 1 else "do"
    return f"{words.listed([*shown[:NAMED_FEATURES], *more])} {verb} not look like the training data; {least}."


def _unsure_drift(evidence: Evidence, widest: Feature, alpha: float, limit: float) -> tuple[str, phrases.Details]:
    """What it takes to decide about the feature that may be farthest of those that are undecided."""

    def tells(multiple: float) -> bool:
        return widest.drifted(alpha, multiple).decides(limit)

    question = f"{_quoted(widest.name)} looks like its training data"
    return phrases.undecided(evidence, question, phrases.needed(evidence, tells))


def _quoted(name: str) -> str:
    """A feature's name comes from whoever logged the model."""
    return f"“{name[:NAME_LENGTH]}{'…' if len(name) > NAME_LENGTH else ''}”"


# ---------------------------------------------------------------- predictions


def psi(evidence: Evidence, policy: Policy, budget: Budget) -> Measure:
    """The population stability index of the canary's predictions against those of the stable version."""
    limit = Limit(*PSI, policy.comparison.prediction_psi, "", OnBreach.HOLD)
    if evidence.trial == Trial.PRODUCTION:
        return limit.unmeasured("The version in Production is judged by itself, without another to compare it with.")
    canary, stable = evidence.whole.canary.prediction, evidence.whole.stable.prediction
    if canary is None or not canary.total:
        return limit.unmeasured("No predictions of the new version have been counted.")
    if stable is None or not stable.total:
        return limit.unmeasured("No predictions of the stable version have been counted.")
    common = in_common_bins(canary, stable)
    if common is None:
        return limit.unmeasured("The predictions of the two versions are counted in bins that have nothing in common.")
    canary, stable = common
    sides = _side_by_side(canary, stable)
    interval = _index(*sides, budget.holding)
    state = interval.state(limit.value)
    details = _psi_details(canary, stable, *sides)
    if state == MeasureState.UNDECIDED:
        text, needs = _unsure_psi(evidence, *sides, budget.holding, limit.value)
        return limit.measure(state, text, interval, details | needs)
    return limit.measure(state, _psi_words(state, interval.estimate, limit.value), interval, details)


def _index(canary: Floats, stable: Floats, alpha: float, multiple: float = 1.0) -> Interval:
    low, high = sequential.stability_bounds(canary * multiple, stable * multiple, alpha)
    return Interval(sequential.stability_index(canary, stable), low, high)


def _psi_words(state: MeasureState, estimate: float, limit: float) -> str:
    answers = "other answers than" if state == MeasureState.BREACHED else "much the same mix of answers as"
    shown = f"the PSI is {phrases.short(estimate, limit)}; {words.figure(limit)} is the limit"
    return phrases.sentence(f"{phrases.NEW} gives {answers} {phrases.STABLE}: {shown}")


def _unsure_psi(
    evidence: Evidence, canary: Floats, stable: Floats, alpha: float, limit: float
) -> tuple[str, phrases.Details]:
    def tells(multiple: float) -> bool:
        return _index(canary, stable, alpha, multiple).decides(limit)

    question = f"{phrases.NEW} gives the same mix of answers as {phrases.STABLE}"
    return phrases.undecided(evidence, question, phrases.needed(evidence, tells))


def _psi_details(canary: Distribution, stable: Distribution, first: Floats, second: Floats) -> phrases.Details:
    shares = {"canary": (first / first.sum()).tolist(), "stable": (second / second.sum()).tolist()}
    if canary.edges:
        return {**shares, "edges": list(canary.edges)}
    return {**shares, "categories": sorted({*canary.categories, *stable.categories})}
