"""The distance between what was trained on and what is asked."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.domain.drift import (
    Distribution,
    NotComparableError,
    distance,
    in_common_bins,
    largest,
    read_distribution,
)

# Down to what a thousandth of it still is a number.
COUNTS = st.lists(st.integers(0, 10**12) | st.just(0.0) | st.floats(1e-100, 1e300), min_size=3, max_size=3).filter(any)


def bins(*counts: float) -> Distribution:
    return Distribution(tuple(counts), edges=tuple(float(edge) for edge in range(len(counts) - 1)))


def labels(**counts: float) -> Distribution:
    return Distribution(tuple(counts.values()), categories=tuple(counts))


@settings(max_examples=200)
@given(COUNTS, COUNTS)
def test_a_distance_is_symmetric_and_between_0_and_1(left: list[float], right: list[float]) -> None:
    found = distance(bins(*left), bins(*right))
    assert 0 <= found <= 1
    assert found == pytest.approx(distance(bins(*right), bins(*left)), abs=1e-9)


@settings(max_examples=100)
@given(COUNTS, st.integers(1, 1000))
def test_the_same_shares_are_no_distance_apart(counts: list[float], times: int) -> None:
    smaller = [count / 1000 for count in counts]
    assert distance(bins(*counts), bins(*(count * times for count in smaller))) == pytest.approx(0, abs=1e-6)


@settings(max_examples=100)
@given(COUNTS, COUNTS, COUNTS)
def test_it_is_a_metric(first: list[float], second: list[float], third: list[float]) -> None:
    direct = distance(bins(*first), bins(*third))
    assert direct <= distance(bins(*first), bins(*second)) + distance(bins(*second), bins(*third)) + 1e-7


def test_disjoint_distributions_are_1_apart() -> None:
    assert distance(bins(5, 0, 0), bins(0, 2, 7)) == pytest.approx(1)
    assert distance(labels(a=1), labels(b=1)) == pytest.approx(1)


def test_a_known_value() -> None:
    """One half moved: divergence 1 - 3/4 log2(3) + 1/2 = 0.3113 bits."""
    assert distance(bins(1, 0), bins(1, 1)) == pytest.approx(math.sqrt(1.5 - 0.75 * math.log2(3)))


def test_categories_are_matched_by_name() -> None:
    assert distance(labels(a=1, b=3), labels(b=30, a=10)) == pytest.approx(0)
    assert 0 < distance(labels(a=1, b=3), labels(a=10, b=29, other=1)) < 0.2


@pytest.mark.parametrize(
    ("reference", "seen"),
    [
        (bins(1, 1), bins(1, 1, 1)),
        (Distribution((1, 1), edges=(0.0,)), Distribution((1, 1), edges=(0.5,))),
        (bins(1, 1), labels(a=1, b=1)),
        (labels(a=1), bins(1, 1)),
    ],
)
def test_unequal_bins_are_refused(reference: Distribution, seen: Distribution) -> None:
    with pytest.raises(NotComparableError, match="other bins"):
        distance(reference, seen)


@pytest.mark.parametrize(("reference", "seen"), [(bins(0, 0), bins(1, 1)), (labels(a=1), labels(a=0))])
def test_nothing_counted_is_refused(reference: Distribution, seen: Distribution) -> None:
    with pytest.raises(NotComparableError, match="no values"):
        distance(reference, seen)


def test_reading_a_reference() -> None:
    assert read_distribution({"edges": [1, 2.5], "counts": [1, 2, 3]}) == Distribution((1, 2, 3), edges=(1, 2.5))
    assert read_distribution({"categories": ["a", 1], "counts": [1, 2]}) == Distribution((1, 2), categories=("a", "1"))


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (None, "no distribution"),
        ({}, "no counts"),
        ({"edges": [1], "counts": "12"}, "no counts"),
        ({"edges": [1], "counts": [1]}, "do not fit"),
        ({"edges": [2, 1], "counts": [1, 1, 1]}, "do not ascend"),
        ({"edges": [1, 1], "counts": [1, 1, 1]}, "do not ascend"),
        ({"edges": [math.nan], "counts": [1, 1]}, "not finite"),
        ({"edges": [1], "counts": [1, "x"]}, "no numbers"),
        ({"edges": [1], "counts": [1, -1]}, "negative"),
        ({"categories": ["a"], "counts": [1, 1]}, "do not fit"),
        ({"categories": "ab", "counts": [1, 1]}, "do not fit"),
    ],
)
def test_a_reference_that_cannot_be_read_says_why(raw: object, why: str) -> None:
    with pytest.raises(NotComparableError, match=why):
        read_distribution(raw)


def test_the_largest_of_equals_is_the_first_by_name() -> None:
    assert largest({"b": 0.4, "a": 0.4, "c": 0.1}) == ("a", 0.4)


def test_shares_add_up_to_1_or_are_all_0() -> None:
    assert bins(1, 3).shares == (0.25, 0.75)
    assert bins(0, 0).shares == (0, 0)


def test_bins_that_two_have_in_common_are_put_together_without_a_guess():
    left = Distribution((1, 2, 3, 4, 5), edges=(10.0, 20.0, 30.0, 40.0))
    right = Distribution((10, 20, 30, 40), edges=(20.0, 30.0, 50.0))
    assert in_common_bins(left, right) == (
        Distribution((3, 3, 9), edges=(20.0, 30.0)),
        Distribution((10, 20, 70), edges=(20.0, 30.0)),
    )
    assert in_common_bins(left, left) == (left, left)


@pytest.mark.parametrize(
    "other", [Distribution((1, 1), edges=(10.0,)), Distribution((1, 1), categories=("a", "b")), Distribution((1.0,))]
)
def test_bins_with_nothing_in_common_cannot_be_compared(other):
    assert in_common_bins(Distribution((1, 2, 3), edges=(10.0, 20.0)), other) is None
