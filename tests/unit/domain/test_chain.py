"""What is hashed must survive being stored and sent, whatever was given."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.domain import chain


class Colour(StrEnum):
    RED = "red"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes(timezones=st.just(UTC)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=6) | st.integers(), inner, max_size=4)
    ),
    max_leaves=10,
)


@settings(max_examples=300)
@given(anything)
def test_what_is_plain_is_the_same_after_json(value):
    plain = chain.plain(value)
    back = json.loads(json.dumps(plain))
    assert chain.plain(back) == plain
    assert chain.digest(back) == chain.digest(value)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (2**53 - 1, 2**53 - 1),
        (2**53, str(2**53)),
        (-(2**53), str(-(2**53))),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (1e300, "1e+300"),
        (1e-300, 1e-300),
        (True, True),
        (Colour.RED, "red"),
        ("a\x00b", "a\ufffdb"),
        ("\ud800", "?"),
        ({1: 2, "b\x00": 3}, {"1": 2, "b\ufffd": 3}),
        ({"b", "a"}, ["a", "b"]),
        (datetime(2026, 1, 31, 9, tzinfo=timezone(timedelta(hours=1))), "2026-01-31T08:00:00.000000Z"),
    ],
)
def test_plain(value, plain):
    assert chain.plain(value) == plain
    assert type(chain.plain(value)) in (type(plain), str)


def test_a_hash_is_over_everything_but_itself():
    body = {"seq": 1, "previous_hash": chain.FIRST, "reason": "Better."}
    assert chain.entry_hash({**body, "hash": "anything"}) == chain.entry_hash(body)
    assert len({chain.entry_hash({**body, name: "other"}) for name in body} | {chain.entry_hash(body)}) == 4
