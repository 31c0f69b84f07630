"""Confidence sequences: known values, shape, and that the truth stays inside however often one looks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar
from scipy.special import rel_entr

from lifecycle.domain import sequential
from lifecycle.domain.sequential import COMMON, RARE

COUNTS = st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)).map(lambda each: (min(each), max(each)))
SHARES = st.lists(st.floats(0.001, 1), min_size=4, max_size=4).map(lambda each: np.asarray(each) / sum(each))


def test_the_shares_of_all_looks_sum_to_1_at_most() -> None:
    looks = sequential.share_of_look(np.arange(1, 10**6))
    assert 0.9 < looks.sum() < 1
    assert (np.diff(looks) < 0).all()


# ---------------------------------------------------------------- one share


def test_a_share_by_hand() -> None:
    """10 of 10: the evidence against p is B(10.5, 0.5) / B(0.5, 0.5) / p^10."""
    low, high = sequential.proportion(10, 10, 0.01)
    mean = math.exp(math.lgamma(10.5) + math.lgamma(0.5) - math.lgamma(11)) / math.pi
    assert float(low) == pytest.approx((mean * 0.01) ** 0.1)
    assert float(high) == 1


def test_nothing_is_known_without_requests() -> None:
    assert [float(each) for each in sequential.proportion(0, 0, 0.01)] == [0, 1]
    assert [float(each) for each in sequential.difference((0, 0), (0, 0), 0.01)] == [-1, 1]


@settings(max_examples=40, deadline=None)
@given(COUNTS, st.sampled_from([0.1, 0.01, 1e-6]))
def test_an_interval_holds_the_estimate_and_its_ends_are_just_excluded(counts: tuple[int, int], alpha: float) -> None:
    hits, requests = counts
    low, high = (float(each) for each in sequential.proportion(hits, requests, alpha, RARE))
    if requests:
        assert low - 1e-9 <= hits / requests <= high + 1e-9
    for end in {low, high} - {0.0, 1.0}:
        assert float(sequential.log_evidence(hits, requests, end, RARE)) == pytest.approx(-math.log(alpha), abs=0.01)


@settings(max_examples=25, deadline=None)
@given(COUNTS)
def test_failures_and_answers_mirror_each_other(counts: tuple[int, int]) -> None:
    hits, requests = counts
    low, high = sequential.proportion(hits, requests, 0.01)
    assert (1 - float(high), 1 - float(low)) == pytest.approx(
        tuple(map(float, sequential.proportion(requests - hits, requests, 0.01))), abs=1e-9
    )


def test_more_requests_and_more_doubt_are_narrower() -> None:
    low, high = sequential.proportion([1, 10, 100, 1000], [100, 1000, 10_000, 100_000], 0.01, RARE)
    assert (np.diff(high - low) < 0).all()
    low, high = sequential.proportion(10, 1000, np.asarray([0.2, 0.05, 0.01, 1e-9]), RARE)
    assert (np.diff(high - low) > 0).all()


# ---------------------------------------------------------------- two shares


@settings(max_examples=25, deadline=None)
@given(COUNTS, COUNTS)
def test_the_ends_of_a_difference_are_those_of_the_region(canary: tuple[int, int], stable: tuple[int, int]) -> None:
    """At each end, the pair with that difference that speaks least against itself is just about excluded."""
    low, high = (float(each) for each in sequential.difference(canary, stable, 0.01, RARE))

    def least(apart: float) -> float:
        def against(share: float) -> float:
            return float(
                sequential.log_evidence(*stable, share, RARE) + sequential.log_evidence(*canary, share + apart, RARE)
            )

        bounds = (max(0.0, -apart), min(1.0, 1.0 - apart))
        found = minimize_scalar(against, bounds=bounds, method="bounded", options={"xatol": 1e-13})
        return min(float(found.fun), *(against(each) for each in bounds if math.isfinite(against(each))), math.inf)

    assert low <= high
    for end, outwards in ((low, -1), (high, 1)):
        # Near 0 and 1 the numeric minimum above is less exact than the bound.
        if abs(end) < 0.999:
            assert least(end + outwards * 1e-6) > -math.log(0.01) - 0.05


@settings(max_examples=25, deadline=None)
@given(COUNTS, COUNTS)
def test_turning_the_sides_around_turns_the_difference_around(canary: tuple[int, int], stable: tuple[int, int]) -> None:
    low, high = sequential.difference(canary, stable, 0.01, RARE)
    assert (-float(high), -float(low)) == pytest.approx(
        tuple(map(float, sequential.difference(stable, canary, 0.01, RARE))), abs=1e-9
    )


def test_no_difference_is_excluded_exactly_where_the_pooled_evidence_is() -> None:
    """The least evidence against equal shares is at the pooled one."""

    def pooled(errors: float) -> float:
        mixture = sequential.log_mixture(errors, 500, COMMON) + sequential.log_mixture(95, 9500, COMMON)
        return float(mixture - sequential.log_likelihood(errors + 95, 10_000, (errors + 95) / 10_000)) + math.log(0.01)

    edge = float(brentq(pooled, 6, 100))
    for errors, excluded in ((edge * 0.999, False), (edge * 1.001, True)):
        assert bool(sequential.difference((errors, 500), (95, 9500), 0.01)[0] > 0) == excluded


# ---------------------------------------------------------------- the truth stays inside


def test_the_truth_stays_inside_at_all_looks_together() -> None:
    """With an error of 5 %, at most 5 % of 400 runs may leave the interval at any of 100 looks."""
    random = np.random.default_rng(1)
    runs, looks, each = 400, 100, 60
    requests = np.arange(1, looks + 1) * each
    canary = random.binomial(each, 0.03, (runs, looks)).cumsum(axis=1)
    stable = random.binomial(each, 0.03, (runs, looks)).cumsum(axis=1)
    against = sequential.log_evidence(canary, requests, 0.03, RARE)
    assert (against.max(axis=1) >= -math.log(0.05)).mean() <= 0.05
    low, high = sequential.difference((canary[:100], requests), (stable[:100], requests), 0.05, RARE)
    assert ((low > 0) | (high < 0)).any(axis=1).mean() <= 0.05


def test_the_true_quantile_stays_inside_at_all_looks_together() -> None:
    random = np.random.default_rng(2)
    edges = np.asarray([2.0 ** (step / 4 - 4) for step in range(30)])
    truth = math.exp(1.6448536)
    inside = int(np.searchsorted(edges, truth))
    wrong = 0
    for _ in range(300):
        bins = np.searchsorted(edges, np.exp(random.standard_normal((100, 20))))
        counted = np.stack([np.bincount(look, minlength=len(edges) + 1) for look in bins]).cumsum(axis=0).cumsum(axis=1)
        costs = sequential.quantile_costs(counted, 0.95, (38.0, 2.0))
        wrong += bool((costs[:, inside] >= -math.log(0.05)).any())
    assert wrong / 300 <= 0.05


def test_true_shares_of_bins_stay_inside_at_all_looks_together() -> None:
    random = np.random.default_rng(3)
    shares = np.asarray([0.5, 0.3, 0.15, 0.05])
    priors = sequential.even_priors(4)
    wrong = 0
    for _ in range(100):
        counted = random.multinomial(25, shares, 40).cumsum(axis=0)
        bounds = [sequential.divergence_bound(each, 0.05, priors) for each in counted]
        apart = [rel_entr(each / each.sum(), shares).sum() for each in counted]
        wrong += any(each > bound for each, bound in zip(apart, bounds, strict=True))
    assert wrong / 100 <= 0.05


def test_the_true_mean_stays_inside_at_nearly_all_looks_together() -> None:
    random = np.random.default_rng(4)
    values = random.exponential(1.0, (200, 3000))
    looks = np.arange(50, 3001, 50)
    totals, squares = values.cumsum(axis=1)[:, looks - 1], (values**2).cumsum(axis=1)[:, looks - 1]
    wrong = sum(
        any(
            not low <= 1 <= high
            for low, high in (sequential.mean(*each, 0.05) for each in zip(looks, total, square, strict=True))
        )
        for total, square in zip(totals, squares, strict=True)
    )
    assert wrong / 200 <= 0.05


# ---------------------------------------------------------------- quantiles


def histogram(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1).cumsum().astype(float)


EDGES = np.asarray([2.0 ** (-10 + step / 10) for step in range(151)])


def test_a_quantile_is_estimated_within_its_bucket() -> None:
    cumulative = np.asarray([0.0, 90.0, 100.0, 100.0])
    edges = np.asarray([1.0, 2.0, 4.0])
    assert sequential.quantile_estimate(cumulative, edges, 0.95) == pytest.approx(3.0)
    assert sequential.quantile_estimate(cumulative, edges, 0.5) == pytest.approx(1 + 50 / 90)
    assert sequential.quantile_estimate(np.asarray([0.0, 0.0, 0.0, 5.0]), edges, 0.95) == 4.0


def test_a_quantile_is_never_narrower_than_its_bucket() -> None:
    values = np.full(100_000, 0.1)
    costs = sequential.quantile_costs(histogram(values, EDGES), 0.95, (38.0, 2.0))
    low, high = sequential.quantile_bounds(costs, EDGES, 0.01)
    assert low < 0.1 <= high
    assert high / low == pytest.approx(2**0.1)


def test_beyond_the_last_edge_there_is_no_upper_bound() -> None:
    costs = sequential.quantile_costs(histogram(np.full(1000, 99.0), EDGES), 0.95, (38.0, 2.0))
    assert sequential.quantile_bounds(costs, EDGES, 0.01) == (32.0, math.inf)


@pytest.mark.parametrize("factor", [1.0, 1.5, 2.0])
def test_a_ratio_holds_the_truth_and_mirrors_itself(factor: float) -> None:
    random = np.random.default_rng(5)
    first, second = (histogram(scale * np.exp(random.standard_normal(4000) / 2), EDGES) for scale in (factor, 1.0))
    sides = [(sequential.quantile_costs(each, 0.95, (38.0, 2.0)), EDGES) for each in (first, second)]
    low, high = sequential.quantile_ratio(sides[0], sides[1], 0.01)
    assert low < factor < high
    assert sequential.quantile_ratio(sides[1], sides[0], 0.01) == pytest.approx((1 / high, 1 / low))


# ---------------------------------------------------------------- distributions over bins


@settings(max_examples=60, deadline=None)
@given(SHARES, SHARES)
def test_half_the_divergence_bounds_the_square_of_the_distance(first: np.ndarray, second: np.ndarray) -> None:
    middle = (first + second) / 2
    shannon = (rel_entr(first, middle).sum() + rel_entr(second, middle).sum()) / (2 * math.log(2))
    assert shannon <= rel_entr(first, second).sum() / 2 + 1e-12


@settings(max_examples=40, deadline=None)
@given(SHARES, SHARES, st.integers(0, 2**32 - 1))
def test_the_stability_of_any_pair_that_fits_the_counts_is_inside(
    first: np.ndarray, second: np.ndarray, seed: int
) -> None:
    """Pairs drawn around the counts; those that the sequences do not exclude have an index between the bounds."""
    random = np.random.default_rng(seed)
    counts = [random.multinomial(requests, shares).astype(float) for requests, shares in ((200, first), (900, second))]
    low, high = sequential.stability_bounds(*counts, 0.05)
    assert low <= sequential.stability_index(*counts) <= high
    radii = [sequential.divergence_bound(each, 0.025, sequential.even_priors(4)) for each in counts]
    for _ in range(20):
        pair = [random.dirichlet(each / 2 + 0.5) for each in counts]
        apart = [rel_entr(each / each.sum(), true).sum() for each, true in zip(counts, pair, strict=True)]
        if all(each <= radius for each, radius in zip(apart, radii, strict=True)):
            assert low - 1e-9 <= sequential.stability_index(*pair) <= high + 1e-9


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.7])
def test_a_share_moves_farthest_for_its_divergence_at_its_upper_bound(share: float) -> None:
    """That is what the radius of ``stability_bounds`` takes for granted."""
    spread = sequential.SPREAD / 4 + (1 - sequential.SPREAD) * np.asarray([share])
    moved_to = np.linspace(1e-6, 1, 4000)
    moved = (np.sqrt(sequential.SPREAD / 4 + (1 - sequential.SPREAD) * moved_to) - np.sqrt(spread)) ** 2
    spent = moved_to - share - (share * np.log(moved_to / share) if share else 0.0)
    worth = (moved / spent)[np.abs(moved_to - share) > 0.001]
    assert (np.diff(worth) >= -1e-9).all()


def test_the_order_of_bins_changes_nothing() -> None:
    canary, stable = np.asarray([10.0, 50.0, 40.0]), np.asarray([100.0, 300.0, 600.0])
    order = [2, 0, 1]
    assert sequential.stability_bounds(canary[order], stable[order], 0.01) == pytest.approx(
        sequential.stability_bounds(canary, stable, 0.01)
    )
    assert sequential.stability_index(canary, stable) == pytest.approx(sequential.stability_index(stable, canary))


def test_a_bin_that_only_one_side_knows_leaves_the_index_finite() -> None:
    canary, stable = np.asarray([1000.0, 0.0]), np.asarray([500.0, 500.0])
    low, high = sequential.stability_bounds(canary, stable, 0.01)
    assert 0.2 < low < sequential.stability_index(canary, stable) < high < math.inf


def test_no_counts_bound_nothing() -> None:
    assert sequential.stability_bounds(np.zeros(3), np.ones(3), 0.01) == (0.0, math.inf)
    assert sequential.divergence_bound(np.zeros(3), 0.01, sequential.even_priors(3)) == math.inf
