"""Which version served what share: the fold over what the record tells."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.domain.live import Shares, Told, as_details, periods, place_at, shares_in

START = datetime(2026, 1, 31, 8, tzinfo=UTC)


def told(*shares, minutes=None):
    """One entry a minute."""
    after = minutes or range(len(shares))
    moments = [START + timedelta(minutes=each) for each in after]
    return [
        Told(seq=number, at=at, action="step_reached", shares=Shares(each))
        for number, (at, each) in enumerate(zip(moments, shares, strict=True), start=1)
    ]


def weights_at(known, minute):
    place = place_at(known, START + timedelta(minutes=minute))
    return None if place is None else dict(known[place].shares.weights)


def test_a_period_lasts_until_something_else_is_told():
    known = periods(told({1: 100}, {1: 100}, {1: 75, 2: 25}, {2: 100}))
    assert [(each.began.seq, each.ended and each.ended.seq) for each in known] == [(1, 3), (3, 4), (4, None)]
    asked = {-1: None, 0: {1: 100}, 1.5: {1: 100}, 2: {1: 75, 2: 25}, 2.9: {1: 75, 2: 25}, 3: {2: 100}, 99: {2: 100}}
    assert {minute: weights_at(known, minute) for minute in asked} == asked


def test_nobody_served_is_not_the_same_as_not_known():
    known = periods(told({1: 100}, {}))
    assert (weights_at(known, -1), weights_at(known, 1)) == (None, {})


def test_the_order_of_the_record_counts_where_a_clock_was_put_back():
    known = periods(told({1: 100}, {2: 100}, {3: 100}, minutes=[0, 10, 5]))
    assert (weights_at(known, 4), weights_at(known, 7), weights_at(known, 20)) == ({1: 100}, {3: 100}, {3: 100})


@pytest.mark.parametrize("details", [{}, {"weights": None}, {"effect": "75 % to 1.0.0"}, {"weights": "75"}])
def test_an_entry_without_weights_tells_nothing(details):
    assert shares_in(details) is None


@given(st.dictionaries(st.integers(1, 9), st.integers(0, 100)), st.dictionaries(st.integers(1, 9), st.integers(0, 100)))
def test_what_is_written_is_read_again(weights, copies):
    shares = shares_in(as_details(weights, copies))
    assert shares.weights == {version: share for version, share in weights.items() if share}
    assert shares.copies == {version: share for version, share in copies.items() if share}
    assert set(shares.versions) == {*shares.weights, *shares.copies}
