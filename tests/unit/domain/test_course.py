"""Counts in bins of time, and what is told of each."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.domain.course import (
    MOST_BINS,
    WIDTHS,
    Binned,
    bin_of,
    classes_by_count,
    point,
    quantile,
    width_for,
    wilson,
)
from lifecycle.domain.drift import Distribution
from lifecycle.domain.observations import Counts

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@given(st.timedeltas(timedelta(0), timedelta(days=3000)), st.timedeltas(timedelta(0), timedelta(days=3000)))
def test_however_long_it_lasts_there_are_never_more_bins(span, later):
    width = width_for(span)
    start = NOON + later
    assert 0 < bin_of(start + span, width) - bin_of(start, width) + 1 <= MOST_BINS + 1


@pytest.mark.parametrize(
    ("span", "at_least", "seconds"),
    [
        (timedelta(0), timedelta(0), WIDTHS[0]),
        (timedelta(minutes=4), timedelta(0), 2),
        (timedelta(hours=8), timedelta(0), 300),
        (timedelta(minutes=4), timedelta(minutes=5), 300),
        (timedelta(days=365), timedelta(0), 3 * 86_400),
    ],
)
def test_how_wide_a_bin_is(span, at_least, seconds):
    assert width_for(span, at_least) == timedelta(seconds=seconds)


@pytest.mark.parametrize(("after", "place"), [(0, -1), (1, 0), (59, 0), (60, 0), (60.001, 1), (120, 1)])
def test_an_interval_belongs_to_the_bin_in_which_it_ends(after, place):
    assert bin_of(NOON + timedelta(seconds=after), MINUTE) - bin_of(NOON, MINUTE) == place + 1


@pytest.mark.parametrize(
    ("errors", "requests", "low", "high"),
    [
        (0, 0, None, None),
        (0, 100, 0.0, 3.699),
        (10, 100, 5.523, 17.437),
        (100, 100, 96.301, 100.0),
        (5, 4, 51.011, 100.0),
    ],
)
def test_the_interval_of_a_rate(errors, requests, low, high):
    assert wilson(errors, requests) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))


@pytest.mark.parametrize(
    ("counts", "part", "value"),
    [
        ((0, 10, 0), 0.5, 1.5),
        ((10, 0, 0), 0.5, 0.5),
        ((0, 0, 10), 0.5, 2.0),
        ((5, 5, 0), 0.5, 1.0),
        ((90, 9, 1), 0.95, pytest.approx(1.5556, abs=1e-3)),
        ((0, 0, 0), 0.5, None),
    ],
)
def test_a_quantile_of_a_histogram(counts, part, value):
    assert quantile(Distribution(tuple(map(float, counts)), edges=(1.0, 2.0)), part) == value


def test_classes_have_no_quantile():
    assert quantile(Distribution((1.0,), categories=("a",)), 0.5) is None
    assert quantile(None, 0.5) is None


def test_a_point_without_requests_claims_nothing():
    empty = point(7, MINUTE, Binned())
    assert (empty.error_rate, empty.low, empty.high, empty.p95, empty.rate) == (None, None, None, None, 0.0)


def test_a_point_stands_where_its_bin_ends_and_has_the_rate_of_the_time_that_was_counted():
    told = point(bin_of(NOON, MINUTE), MINUTE, Binned(Counts(requests=90, errors=9), seconds=30.0))
    assert (told.at, told.rate, told.error_rate) == (NOON, 3.0, 10.0)


def test_the_most_frequent_classes_come_first():
    seen = Distribution((1.0, 5.0, 3.0), categories=("a", "b", "c"))
    assert classes_by_count({1: Binned(Counts(prediction=seen))}, most=2) == ("b", "c")
