"""Intervals that stay true however often they are looked at: confidence sequences.

An ordinary 99 % interval is right 99 times in 100 at one moment that was chosen beforehand; looked at every ten seconds
it is wrong sooner or later. A confidence sequence with error ``alpha`` contains the truth at all moments at once, with
a chance of 1 - ``alpha``. Its source here is always the same: a martingale that begins at 1 under the truth exceeds
1/``alpha`` at any time with a chance of ``alpha`` at most (Ville 1939). For counts, the martingale is the likelihood,
averaged over a Beta or Dirichlet prior, divided by the likelihood of the value in question (Robbins, "Statistical
methods related to the law of the iterated logarithm", 1970; Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform,
nonparametric, nonasymptotic confidence sequences", 2021). The prior decides how soon, never whether it is right.

Two proportions, or two quantiles, are judged by the product of their martingales, which is one again: the interval of
the difference is the projection of the pairs that the product does not rule out. It is what Turner, Ly and Grünwald
("Generic E-variables for exact sequential k-sample tests", 2021) do for a test, with the pair's own maximum likelihood
in the denominator. Between variants of like size it decides after about two thirds of the requests that two intervals
of half the error each would take.

Everything works on arrays: any number of counts, windows or simulated runs at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import betaln, gammaln, xlog1py, xlogy

Floats: TypeAlias = npt.NDArray[np.float64]
Prior: TypeAlias = tuple[float, float]
"""The parameters of a Beta distribution."""

RARE: tuple[Prior, ...] = ((0.5, 25.0), (0.5, 0.5))
"""For errors: seldom, most of the time, and then perhaps all of them."""
COMMON: tuple[Prior, ...] = ((0.5, 0.5),)
"""For a share of which nothing is known (Jeffreys)."""

HALVINGS = 34
"""Of an interval in which a bound is searched: leaves less than a billionth of it."""

_SUM_OF_SHARES = 2.1097428
"""The sum of 1 / (k log(k)^2) over k = 2, 3, 4 and so on, rounded up."""


def share_of_look(look: npt.ArrayLike) -> Floats:
    """The part of an error budget that is spent on what begins with this look, counted from 1. They sum to 1 at most.

    It falls a little faster than 1/look, so late looks are hardly stricter than early ones.
    """
    later = np.maximum(np.asarray(look, dtype=np.float64), 1.0) + 1.0
    share: Floats = 1.0 / (_SUM_OF_SHARES * later * np.log(later) ** 2)
    return share


def log_mixture(hits: npt.ArrayLike, trials: npt.ArrayLike, priors: Sequence[Prior]) -> Floats:
    """The logarithm of the likelihood of ``hits`` of ``trials``, averaged over the priors."""
    x, n = np.asarray(hits, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    each = [betaln(a + x, b + n - x) - betaln(a, b) for a, b in priors]
    mean: Floats = np.logaddexp.reduce(each, axis=0) - math.log(len(priors))
    return mean


def log_likelihood(hits: npt.ArrayLike, trials: npt.ArrayLike, chance: npt.ArrayLike) -> Floats:
    x, n = np.asarray(hits, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    likelihood: Floats = xlogy(x, chance) + xlog1py(n - x, -np.asarray(chance, dtype=np.float64))
    return likelihood


def log_evidence(
    hits: npt.ArrayLike, trials: npt.ArrayLike, chance: npt.ArrayLike, priors: Sequence[Prior] = COMMON
) -> Floats:
    """The logarithm of the evidence (e-value) against ``chance`` as the share of hits."""
    return log_mixture(hits, trials, priors) - log_likelihood(hits, trials, chance)


def proportion(
    hits: npt.ArrayLike, trials: npt.ArrayLike, alpha: npt.ArrayLike, priors: Sequence[Prior] = COMMON
) -> tuple[Floats, Floats]:
    """Lower and upper bound of a share, from 0 to 1. Without trials it can be anything."""
    x, n, error = np.broadcast_arrays(*(np.asarray(each, dtype=np.float64) for each in (hits, trials, alpha)))
    reached = log_mixture(x, n, priors) + np.log(error)
    share = np.divide(x, n, out=np.full(x.shape, 0.5), where=n > 0)
    # First row: from 0 up to the share; second row: from 1 down to it.
    outer = np.stack([np.zeros_like(share), np.ones_like(share)])
    inner = np.stack([share, share])
    for _ in range(HALVINGS):
        middle = (outer + inner) / 2
        excluded = reached >= log_likelihood(x, n, middle)
        outer, inner = np.where(excluded, middle, outer), np.where(excluded, inner, middle)
    return outer[0], outer[1]


def difference(
    canary: tuple[npt.ArrayLike, npt.ArrayLike],
    stable: tuple[npt.ArrayLike, npt.ArrayLike],
    alpha: npt.ArrayLike,
    priors: Sequence[Prior] = COMMON,
) -> tuple[Floats, Floats]:
    """Lower and upper bound of the canary's share less the stable one's; each is (hits, trials).

    The extreme pair on the edge of the region is where both likelihoods fall equally fast (Lagrange), so one search
    along that slope finds it.
    """
    numbers = (np.asarray(each, dtype=np.float64) for each in (*canary, *stable, alpha))
    canary_x, canary_n, stable_x, stable_n, error = np.broadcast_arrays(*numbers)
    reached = log_mixture(canary_x, canary_n, priors) + log_mixture(stable_x, stable_n, priors) + np.log(error)
    # Two sides by two ends. Each share is turned so that it rises: at the lower end the canary's is that of successes.
    x = np.stack([[canary_n - canary_x, canary_x], [stable_x, stable_n - stable_x]])
    n = np.stack([[canary_n, canary_n], [stable_n, stable_n]])
    inner = np.full(x.shape[1:], -7.0)
    outer = np.log(canary_n + stable_n + 1.0) + 21.0 + np.zeros_like(inner)
    for _ in range(HALVINGS):
        middle = (outer + inner) / 2
        likelihood = log_likelihood(x, n, _tilted(x, n, np.exp(middle))).sum(axis=0)
        excluded = reached >= likelihood
        outer, inner = np.where(excluded, middle, outer), np.where(excluded, inner, middle)
    (low_canary, high_canary), (high_stable, low_stable) = _tilted(x, n, np.exp(outer))
    return 1.0 - low_canary - high_stable, high_canary - (1.0 - low_stable)


def _tilted(x: Floats, n: Floats, slope: Floats) -> Floats:
    """The share above x/n at which the logarithm of the likelihood falls with this slope: the root of
    slope p^2 + (n - slope) p - x, in the form that does not cancel."""
    rest = n - slope
    root = np.hypot(rest, 2.0 * np.sqrt(slope * x))
    below = np.divide(2.0 * x, rest + root, out=np.zeros_like(root), where=(rest >= 0) & (rest + root > 0))
    chance: Floats = np.where(rest >= 0, below, (root - rest) / (2.0 * slope))
    return np.clip(chance, 0.0, 1.0)


# ---------------------------------------------------------------- quantiles of histograms


def quantile_costs(cumulative: npt.ArrayLike, quantile: float, prior: Prior) -> Floats:
    """For every bucket, the logarithm of the least evidence against the quantile lying in it.

    ``cumulative`` counts the values up to the end of each bucket, along the last axis, the last of them all values. The
    number of values up to the true quantile is binomial, and somewhere between the counts at the two ends of its
    bucket: one sequence is enough for all buckets (Howard and Ramdas, "Sequential estimation of quantiles", 2022). The
    mean of ``prior`` has to be ``quantile``.
    """
    ends = np.asarray(cumulative, dtype=np.float64)
    total = ends[..., -1:]
    starts = np.concatenate([np.zeros_like(total), ends[..., :-1]], axis=-1)
    # The evidence is convex in the count: in a bucket it is least where the count is next to the least of all, which
    # lies here for a prior whose mean is the quantile. What that is off by changes the logarithm by less than 0.005.
    least = np.clip(quantile * total - (quantile - 0.5), starts, ends)
    return log_evidence(least, total, quantile, (prior,)) - 0.005


def quantile_bounds(costs: Floats, edges: Floats, alpha: float) -> tuple[float, float]:
    """The edges between which the quantile lies. The first bucket begins at 0, the last has no end."""
    possible = np.flatnonzero(costs < -math.log(alpha))
    return float(_begins(edges)[possible[0]]), float(_ends(edges)[possible[-1]])


def quantile_ratio(canary: tuple[Floats, Floats], stable: tuple[Floats, Floats], alpha: float) -> tuple[float, float]:
    """Between which factors the canary's quantile lies of the stable one's; each is (costs, edges)."""
    limit = -math.log(alpha)
    canary_costs, canary_low, canary_high = _possible(*canary, limit - stable[0].min())
    stable_costs, stable_low, stable_high = _possible(*stable, limit - canary[0].min())
    pairs = np.add.outer(canary_costs, stable_costs) < limit
    with np.errstate(divide="ignore", invalid="ignore"):
        low = np.where(pairs, np.divide.outer(canary_low, stable_high), np.inf)
        high = np.where(pairs, np.divide.outer(canary_high, stable_low), 0.0)
    return float(np.nanmin(low)), float(np.nanmax(high))


def _possible(costs: Floats, edges: Floats, limit: float) -> tuple[Floats, Floats, Floats]:
    kept = costs < limit
    return costs[kept], _begins(edges)[kept], _ends(edges)[kept]


def _begins(edges: Floats) -> Floats:
    return np.concatenate([[0.0], edges])


def _ends(edges: Floats) -> Floats:
    return np.concatenate([edges, [np.inf]])


def quantile_bucket(cumulative: Floats, quantile: float) -> int:
    """The bucket in which the quantile of the counted values lies."""
    return int(np.searchsorted(cumulative, quantile * cumulative[-1], side="left"))


def quantile_estimate(cumulative: Floats, edges: Floats, quantile: float) -> float:
    """The quantile of the counted values, as if they lay evenly in their bucket; the last edge, if beyond it."""
    bucket = quantile_bucket(cumulative, quantile)
    if bucket == len(edges):
        return float(edges[-1])
    before = float(cumulative[bucket - 1]) if bucket else 0.0
    begin, end = (float(edges[bucket - 1]) if bucket else 0.0), float(edges[bucket])
    return begin + (end - begin) * (quantile * float(cumulative[-1]) - before) / (float(cumulative[bucket]) - before)


# ---------------------------------------------------------------- distributions over bins


def divergence_bound(counts: npt.ArrayLike, alpha: float, priors: Sequence[Floats]) -> float:
    """How far, as KL divergence in nats, the counted shares can be from the true ones. ``priors`` are Dirichlet's."""
    seen = np.asarray(counts, dtype=np.float64)
    total = float(seen.sum())
    if not total:
        return math.inf
    each = [
        gammaln(prior.sum()) - gammaln(prior.sum() + total) + (gammaln(prior + seen) - gammaln(prior)).sum()
        for prior in priors
    ]
    mixture = float(np.logaddexp.reduce(each)) - math.log(len(priors))
    return (float(xlogy(seen, seen / total).sum()) - mixture - math.log(alpha)) / total


def even_priors(bins: int) -> tuple[Floats, ...]:
    """For shares of which nothing is known, and for ones that are about alike, as in bins of equal training counts."""
    return np.full(bins, 0.5), np.full(bins, 5.0)


def centred_priors(shares: Floats) -> tuple[Floats, ...]:
    """For shares that are expected to be about these, and for any others."""
    return np.full(len(shares), 0.5), 100.0 * shares + 0.5


def shannon_radius(bound: float) -> float:
    """The largest Jensen-Shannon distance (base 2) of two distributions whose KL divergence is ``bound`` nats.

    With t = p/q bin by bin, the divergence sums t - 1 - log(t), and that of Jensen and Shannon, in bits, at most half
    of it: the ratio of the two grows with t, towards 1/2.
    """
    return math.sqrt(min(bound / 2.0, 1.0))


SPREAD = 0.01
"""The part of either distribution that is spread evenly over the bins before their stability index is taken, so that it
is finite where a bin is empty."""


def spread(shares: Floats) -> Floats:
    return (1.0 - SPREAD) * shares + SPREAD / len(shares)


def stability_index(canary: Floats, stable: Floats) -> float:
    """The population stability index of two lists of counts: the sum of (a - b) log(a / b) over the shares, spread."""
    first, second = spread(canary / canary.sum()), spread(stable / stable.sum())
    return float(((first - second) * np.log(first / second)).sum())


def stability_bounds(canary: Floats, stable: Floats, alpha: float) -> tuple[float, float]:
    """Lower and upper bound of the stability index of what the counts were drawn from.

    With square roots of shares, the index is 4 times the squared distance of the two points, or little more where
    shares differ much; and a distance changes by no more than its two ends move (Hellinger's distance is a metric).
    """
    if not canary.sum() or not stable.sum():
        return 0.0, math.inf
    ends = [_ball(counts, alpha / 2.0) for counts in (canary, stable)]
    (first, first_low, first_high, first_radius), (second, second_low, second_high, second_radius) = ends
    apart = float(np.linalg.norm(np.sqrt(first) - np.sqrt(second)))
    reach = first_radius + second_radius
    ratio = np.sqrt(np.maximum(first_high / second_low, second_high / first_low).max())
    factor = 2.0 * (ratio + 1.0) * math.log(ratio) / (ratio - 1.0) if ratio > 1.0 + 1e-9 else 4.0
    return 4.0 * max(apart - reach, 0.0) ** 2, float(factor) * (apart + reach) ** 2


def _ball(counts: Floats, alpha: float) -> tuple[Floats, Floats, Floats, float]:
    """Of the spread shares: estimate, bounds bin by bin, and how far off they can be, by their square roots.

    The bounds follow from the KL divergence of the single bin; (p - q)^2 / (2 max(p, q)) is at most that.
    """
    shares = counts / counts.sum()
    bound = divergence_bound(counts, alpha, even_priors(len(counts)))
    high = np.minimum(shares + bound + np.sqrt(bound**2 + 2.0 * shares * bound), 1.0)
    low = np.maximum(shares - np.sqrt(2.0 * shares * bound), 0.0)
    moved = (np.sqrt(spread(high)) - np.sqrt(spread(shares))) ** 2
    growth = np.divide(high, shares, out=np.ones_like(high), where=shares > 0)
    spent = np.where(shares > 0, high - shares - shares * np.log(growth), high)
    worth = float(np.divide(moved, spent, out=np.ones_like(moved), where=spent > 0).max())
    return spread(shares), spread(low), spread(high), math.sqrt(worth * bound)


# ---------------------------------------------------------------- means

MEAN_TUNED_FOR = 2000.0
"""The number of values at which the sequence of a mean is narrowest for its size."""


def mean(count: Any, total: Any, squares: Any, alpha: float) -> tuple[float, float]:
    """Lower and upper bound of a mean, once there are many values: the bounds hold asymptotically.

    Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic confidence
    sequences", 2021.
    """
    average = total / count
    variance = max(squares / count - average**2, 0.0) * count / (count - 1.0)
    rho = (-2.0 * math.log(alpha) + math.log(-2.0 * math.log(alpha)) + 1.0) / MEAN_TUNED_FOR
    inner = count * rho + 1.0
    width = math.sqrt(2.0 * variance * inner / (count**2 * rho) * math.log(math.sqrt(inner) / alpha))
    return average - width, average + width
