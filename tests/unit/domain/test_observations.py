"""Counts add up, grow, and come back from JSON as they were."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.domain.drift import Distribution
from lifecycle.domain.observations import LATENCY_EDGES, Counts, Moments, add, dump, growth, load

NUMBERS = st.integers(0, 10**9)
EDGES = (0.1, 0.30000000000000004, 5.0)


def numeric(edges: tuple[float, ...] = EDGES) -> st.SearchStrategy[Distribution]:
    counts = st.lists(NUMBERS.map(float), min_size=len(edges) + 1, max_size=len(edges) + 1)
    return counts.filter(any).map(lambda values: Distribution(tuple(values), edges=edges))


def by_category() -> st.SearchStrategy[Distribution]:
    counts = st.dictionaries(st.sampled_from(["a", "b", "other", "ü"]), st.integers(1, 10**9).map(float), min_size=1)
    return counts.map(lambda seen: Distribution(tuple(seen.values()), categories=tuple(seen)))


MOMENTS = st.builds(Moments, st.integers(1, 10**6).map(float), st.integers(-99, 99).map(float), NUMBERS.map(float))
COUNTS = st.builds(
    Counts,
    requests=NUMBERS,
    errors=NUMBERS,
    latency=st.none() | numeric(LATENCY_EDGES),
    prediction=st.none() | by_category(),
    features=st.fixed_dictionaries({}, optional={"x": numeric(), "colour": by_category()}),
    business=st.dictionaries(st.sampled_from(["clicks", "sales"]), MOMENTS),
    answers=st.dictionaries(st.sampled_from(["same", "a→b"]), st.integers(1, 10**6)),
)


def plain(counts: Counts) -> dict[str, object]:
    """Without what is empty, and in no order."""
    return json.loads(json.dumps(dump(counts), sort_keys=True))


@given(COUNTS)
@settings(max_examples=50, deadline=None)
def test_counts_come_back_from_json(counts: Counts) -> None:
    assert load(json.loads(json.dumps(dump(counts)))) == counts


@given(COUNTS, COUNTS, COUNTS)
@settings(max_examples=50, deadline=None)
def test_the_order_of_adding_does_not_matter(first: Counts, second: Counts, third: Counts) -> None:
    assert plain(add(add(first, second), third)) == plain(add(third, add(second, first)))
    assert plain(add(first, Counts())) == plain(first) == plain(add(Counts(), first))


@given(COUNTS, COUNTS)
@settings(max_examples=50, deadline=None)
def test_what_was_added_is_the_growth(before: Counts, more: Counts) -> None:
    grown = growth(before, add(before, more))
    assert grown is not None
    assert plain(grown) == plain(more)


def latency(*counts: float, edges: tuple[float, ...] = (0.5,)) -> Counts:
    return Counts(latency=Distribution(counts, edges=edges))


def classes(**counts: float) -> Counts:
    return Counts(prediction=Distribution(tuple(counts.values()), categories=tuple(counts)))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Counts(requests=5), Counts(requests=4)),
        (Counts(requests=5, errors=2), Counts(requests=9, errors=1)),
        (latency(3, 1), latency(9, 0)),
        (latency(3, 1), Counts()),
        (latency(3, 1), latency(3, 1, edges=(0.25,))),
        (latency(3, 1), latency(3, 1, 0, edges=(0.25, 0.5))),
        (classes(a=3, b=1), classes(a=3)),
        (classes(a=3), latency(3, 1)),
        (Counts(features={"x": Distribution((1, 1), edges=(1,))}), Counts()),
        (Counts(business={"sales": Moments(3, 1, 1)}), Counts(business={"sales": Moments(2, 1, 1)})),
        (Counts(business={"sales": Moments(3, 1, 9)}), Counts(business={"sales": Moments(4, 1, 8)})),
        (Counts(answers={"same": 3}), Counts(answers={"same": 2})),
    ],
)
def test_a_count_that_fell_or_other_bins_mean_that_counting_began_anew(before: Counts, after: Counts) -> None:
    assert growth(before, after) is None


@pytest.mark.parametrize(
    ("before", "after", "grown"),
    [
        (Counts(), Counts(requests=7), Counts(requests=7)),
        (Counts(requests=3), latency(2, 0), None),
        (Counts(), latency(2, 0), latency(2, 0)),
        (latency(0, 0, 0, edges=(0.1, 0.2)), latency(2, 0), latency(2, 0)),
        (classes(a=3), classes(a=4, b=2), classes(a=1, b=2)),
        (
            Counts(business={"sales": Moments(2, 9, 50)}),
            Counts(business={"sales": Moments(3, 4, 75)}),
            Counts(business={"sales": Moments(1, -5, 25)}),
        ),
    ],
    ids=["first", "no gateway", "first latency", "nothing before", "a new class", "a negative value"],
)
def test_growth(before: Counts, after: Counts, grown: Counts | None) -> None:
    assert growth(before, after) == grown


def test_of_other_bins_the_later_stay() -> None:
    old, new = latency(3, 1), latency(1, 1, 0, edges=(0.25, 0.5))
    assert add(old, new) == new
    assert add(new, old) == old
    assert add(classes(a=1), latency(2, 2)).prediction == classes(a=1).prediction


def test_an_empty_distribution_of_other_kind_takes_nothing_away() -> None:
    empty = Counts(prediction=Distribution(()))
    assert add(latency(3, 1), empty).latency == latency(3, 1).latency
    assert add(Counts(prediction=Distribution((1.0, 2.0), edges=(5.0,))), empty).prediction is not None
    assert dump(empty) == {}


def test_what_is_empty_takes_no_room() -> None:
    assert dump(Counts(latency=Distribution((0.0, 0.0), edges=(1.0,)), business={"x": Moments()})) == {}


def test_a_row_of_ten_seconds_stays_small() -> None:
    """1,000 requests, spread over 40 of the 301 buckets, with twelve features in ten bins."""
    bins = tuple(25.0 if 60 <= index < 100 else 0.0 for index in range(len(LATENCY_EDGES) + 1))
    feature = Distribution((100.0,) * 10, edges=tuple(index / 7 for index in range(1, 10)))
    counts = Counts(
        latency=Distribution(bins, edges=LATENCY_EDGES),
        prediction=Distribution((500.0, 300.0, 200.0), categories=("setosa", "versicolor", "virginica")),
        features={f"feature {number}": feature for number in range(12)},
    )
    assert len(json.dumps(dump(counts))) < 4000
    without_features = Counts(latency=counts.latency, prediction=counts.prediction)
    assert len(json.dumps(dump(without_features))) < 400
