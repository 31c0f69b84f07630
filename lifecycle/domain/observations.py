"""Counts of what one version answered. They add up: over time, over replicas, and over whoever counted them.

So any window gives the same answer however often it was looked at, and the cost does not grow with the traffic.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lifecycle.domain.drift import Distribution

LATENCY_EDGES = tuple(float(f"{2 ** (step / 20):.6g}") for step in range(-200, 101))
"""The upper edges, in seconds, of the buckets that our own model servers count latency in."""

_NAMED_EDGES = {"twentieths of a doubling from 2^-10 to 2^5": LATENCY_EDGES}
"""Edges so long that they are stored by name."""

SameAnswers = Mapping[str, int]
"""How often the two answers of a shadow comparison fell into a class of agreement; see ``Counts.answers``."""


@dataclass(frozen=True, slots=True)
class Moments:
    """A business metric: how many values there were, their sum, and the sum of their squares."""

    count: float = 0.0
    total: float = 0.0
    squares: float = 0.0


@dataclass(frozen=True, slots=True)
class Counts:
    """What one version answered in one interval, or since its counters began.

    ``requests`` and ``errors`` are those that the gateway saw, tries that failed (5xx) among them. ``latency`` is in
    seconds, counted by the model servers, and leaves out what was refused as malformed. ``prediction`` and the
    ``features`` by name are counted in the bins of the training reference. ``business`` are the business metrics by
    name. ``answers`` counts, for a shadow, how its answers compare with those that users got: "same", or
    "<class>→<class>" for two classes, or "≤<size>" for numbers that differ by that part at most.
    """

    requests: int = 0
    errors: int = 0
    latency: Distribution | None = None
    prediction: Distribution | None = None
    features: Mapping[str, Distribution] = field(default_factory=dict)
    business: Mapping[str, Moments] = field(default_factory=dict)
    answers: SameAnswers = field(default_factory=dict)


# ---------------------------------------------------------------- adding


def add(left: Counts, right: Counts) -> Counts:
    """Both together. Distributions in other bins cannot be added: then those with the later bins, ``right``, stay."""
    return Counts(
        requests=left.requests + right.requests,
        errors=left.errors + right.errors,
        latency=_both(left.latency, right.latency),
        prediction=_both(left.prediction, right.prediction),
        features={name: _sum(left.features.get(name), right.features.get(name)) for name in _names(left, right)},
        business={
            name: _plus(left.business.get(name, Moments()), right.business.get(name, Moments()))
            for name in {**left.business, **right.business}
        },
        answers={
            name: left.answers.get(name, 0) + right.answers.get(name, 0) for name in {**left.answers, **right.answers}
        },
    )


def _names(left: Counts, right: Counts) -> list[str]:
    return list({**left.features, **right.features})


def _both(left: Distribution | None, right: Distribution | None) -> Distribution | None:
    return None if left is None and right is None else _sum(left, right)


def _sum(left: Distribution | None, right: Distribution | None) -> Distribution:
    if left is None or right is None:
        return left or right or Distribution(())
    if not left.counts or not right.counts:
        return right if right.counts else left
    if left.edges != right.edges:
        return right
    if left.edges:
        return Distribution(tuple(map(operator.add, left.counts, right.counts)), edges=left.edges)
    return _by_name({name: left_count + right_count for name, left_count, right_count in _paired(left, right)})


def _paired(left: Distribution, right: Distribution) -> list[tuple[str, float, float]]:
    """The counts of both by category; one that only one of them knows was seen 0 times by the other."""
    first = dict(zip(left.categories, left.counts, strict=True))
    second = dict(zip(right.categories, right.counts, strict=True))
    return [(name, first.get(name, 0.0), second.get(name, 0.0)) for name in {**first, **second}]


def _by_name(counts: Mapping[str, float]) -> Distribution:
    return Distribution(tuple(counts.values()), categories=tuple(counts))


def _plus(left: Moments, right: Moments) -> Moments:
    return Moments(left.count + right.count, left.total + right.total, left.squares + right.squares)


# ---------------------------------------------------------------- growing


class _FellError(Exception):
    """A cumulative count is lower than it was."""


def growth(before: Counts, after: Counts) -> Counts | None:
    """What was counted between two readings of cumulative counters; None when a counter fell, or its bins changed:
    then counting began anew in between, and everything in ``after`` is new."""
    try:
        return Counts(
            requests=int(_risen(before.requests, after.requests)),
            errors=int(_risen(before.errors, after.errors)),
            latency=_difference(before.latency, after.latency),
            prediction=_difference(before.prediction, after.prediction),
            features={
                name: grown
                for name in _names(before, after)
                if (grown := _difference(before.features.get(name), after.features.get(name))) is not None
            },
            business={
                name: _minus(before.business.get(name, Moments()), after.business.get(name, Moments()))
                for name in {**before.business, **after.business}
            },
            answers={
                name: int(_risen(before.answers.get(name, 0), after.answers.get(name, 0)))
                for name in {**before.answers, **after.answers}
            },
        )
    except _FellError:
        return None


def _risen(before: float, after: float) -> float:
    if after < before:
        raise _FellError
    return after - before


def _difference(before: Distribution | None, after: Distribution | None) -> Distribution | None:
    if before is None or not before.total:
        return after
    if after is None or before.edges != after.edges:
        raise _FellError
    if before.edges:
        return Distribution(tuple(map(_risen, before.counts, after.counts)), edges=after.edges)
    return _by_name({name: _risen(early, late) for name, early, late in _paired(before, after)})


def _minus(before: Moments, after: Moments) -> Moments:
    """Only the sum may fall: values may be negative."""
    return Moments(_risen(before.count, after.count), after.total - before.total, _risen(before.squares, after.squares))


# ---------------------------------------------------------------- as JSON


def dump(counts: Counts) -> dict[str, Any]:
    """As JSON values, without what is empty: distributions and business metrics without a value, and zeros.

    Of bins, those outside the first and the last that hold something are left out, and "first" is the index of the
    first one that is given.
    """
    raw = {
        "requests": counts.requests,
        "errors": counts.errors,
        "latency": _dumped(counts.latency),
        "prediction": _dumped(counts.prediction),
        "features": _not_empty({name: _dumped(each) for name, each in counts.features.items()}),
        "business": {
            name: [_short(each.count), _short(each.total), _short(each.squares)]
            for name, each in counts.business.items()
            if each.count
        },
        "answers": _not_empty(counts.answers),
    }
    return _not_empty(raw)


def _not_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def _dumped(distribution: Distribution | None) -> dict[str, Any]:
    if distribution is None:
        return {}
    if not distribution.edges:
        seen = zip(distribution.categories, distribution.counts, strict=True)
        return _not_empty({"categories": {name: _short(count) for name, count in seen if count}})
    filled = [index for index, count in enumerate(distribution.counts) if count]
    if not filled:
        return {}
    first, last = filled[0], filled[-1]
    counts = [_short(count) for count in distribution.counts[first : last + 1]]
    return {"edges": _edges_for(distribution.edges), "first": first, "counts": counts}


def _edges_for(edges: tuple[float, ...]) -> str | list[float]:
    return next((name for name, known in _NAMED_EDGES.items() if known == edges), [_short(edge) for edge in edges])


def _short(number: float) -> float:
    """A whole number without its ".0", which would be a third of most counts' text."""
    return int(number) if number == int(number) else number


def load(raw: Mapping[str, Any]) -> Counts:
    """The counts that ``dump`` wrote."""
    return Counts(
        requests=raw.get("requests", 0),
        errors=raw.get("errors", 0),
        latency=_loaded(raw.get("latency")),
        prediction=_loaded(raw.get("prediction")),
        features={name: _read(each) for name, each in raw.get("features", {}).items()},
        business={name: Moments(*map(float, each)) for name, each in raw.get("business", {}).items()},
        answers=dict(raw.get("answers", {})),
    )


def _loaded(raw: Mapping[str, Any] | None) -> Distribution | None:
    return None if raw is None else _read(raw)


def _read(raw: Mapping[str, Any]) -> Distribution:
    if "categories" in raw:
        return _by_name({name: float(count) for name, count in raw["categories"].items()})
    edges = raw["edges"]
    known = _NAMED_EDGES[edges] if isinstance(edges, str) else tuple(map(float, edges))
    given, first = raw["counts"], raw["first"]
    after = len(known) + 1 - first - len(given)
    return Distribution((0.0,) * first + tuple(map(float, given)) + (0.0,) * after, edges=known)
