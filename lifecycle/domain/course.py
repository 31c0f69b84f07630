"""The course of a rollout: counts in bins of time, and what a chart shows of each bin."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from lifecycle.domain.drift import Distribution
from lifecycle.domain.observations import Counts

MOST_BINS = 150
"""More would be noise: a point of a few requests says nothing."""
WIDTHS = (2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400)
"""How long a bin may last, in seconds. Bins begin at multiples of it, so that a later look has the same ones."""
_95_PERCENT = 1.959964


def width_for(span: timedelta, at_least: timedelta = timedelta(0)) -> timedelta:
    """The narrowest bins of which MOST_BINS cover the span; wider than WIDTHS where those do not suffice."""
    wanted = max(span.total_seconds() / (MOST_BINS - 1), at_least.total_seconds())
    seconds = next((each for each in WIDTHS if each >= wanted), math.ceil(wanted / WIDTHS[-1]) * WIDTHS[-1])
    return timedelta(seconds=seconds)


def bin_of(until: datetime, width: timedelta) -> int:
    """The bin of an interval that ended then: one that ends where a bin ends belongs to it."""
    return math.ceil(round(until.timestamp() / width.total_seconds(), 6)) - 1


@dataclass(frozen=True, slots=True)
class Binned:
    """The counts of one version in one bin, and over how many seconds they were made."""

    counts: Counts = field(default_factory=Counts)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Point:
    """One version in one bin, which ends at ``at``.

    ``rate`` is requests a second. ``error_rate`` and its interval are in percent of requests; latencies are in seconds.
    None: there was nothing to tell it by. ``prediction`` is in parts of 1 by class or bin.
    """

    at: datetime
    requests: int
    errors: int
    rate: float
    error_rate: float | None
    low: float | None
    high: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    prediction: Distribution | None


def point(number: int, width: timedelta, binned: Binned) -> Point:
    counts = binned.counts
    low, high = wilson(counts.errors, counts.requests)
    quantiles = [quantile(counts.latency, part) for part in (0.5, 0.95, 0.99)]
    return Point(
        at=datetime.fromtimestamp((number + 1) * width.total_seconds(), UTC),
        requests=counts.requests,
        errors=counts.errors,
        rate=counts.requests / binned.seconds if binned.seconds else 0.0,
        error_rate=100 * counts.errors / counts.requests if counts.requests else None,
        low=low,
        high=high,
        p50=quantiles[0],
        p95=quantiles[1],
        p99=quantiles[2],
        prediction=counts.prediction,
    )


def wilson(errors: int, requests: int) -> tuple[float | None, float | None]:
    """The 95 % interval of a rate, in percent (Wilson, JASA 22, 1927); None without requests.

    It is for looking at one bin. Whether a rollout goes on is decided by intervals that hold at every look.
    """
    if not requests:
        return None, None
    rate, square = min(errors / requests, 1.0), _95_PERCENT**2
    middle = rate + square / (2 * requests)
    half = _95_PERCENT * math.sqrt(rate * (1 - rate) / requests + square / (4 * requests**2))
    whole = 1 + square / requests
    return 100 * max((middle - half) / whole, 0.0), 100 * min((middle + half) / whole, 1.0)


def quantile(distribution: Distribution | None, part: float) -> float | None:
    """The value that ``part`` of all lie at or below, as if they were spread evenly within a bin.

    The first bin begins at 0, and of the last one only its beginning is known. None when there is nothing, or when
    the values are no numbers.
    """
    if distribution is None or not distribution.edges or not distribution.total:
        return None
    wanted, seen = part * distribution.total, 0.0
    edges = distribution.edges
    for place, count in enumerate(distribution.counts):
        if count and seen + count >= wanted:
            if place == len(edges):
                break
            lower = edges[place - 1] if place else min(0.0, edges[0])
            return lower + (edges[place] - lower) * (wanted - seen) / count
        seen += count
    return edges[-1]


def classes_by_count(points: Mapping[int, Binned], most: int) -> tuple[str, ...]:
    """The most frequent classes over all bins, the most frequent first; empty where predictions are numbers."""
    totals: dict[str, float] = {}
    for binned in points.values():
        seen = binned.counts.prediction
        for name, count in zip(seen.categories, seen.counts, strict=True) if seen and seen.categories else ():
            totals[name] = totals.get(name, 0.0) + count
    return tuple(sorted(totals, key=lambda name: (-totals[name], name))[:most])
