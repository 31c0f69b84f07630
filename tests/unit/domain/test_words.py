"""Figures as people read them."""

from datetime import timedelta
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.domain.words import counted, figure, length, listed, still_to_go


@pytest.mark.parametrize(
    ("value", "beside", "words"),
    [
        (0.85, None, "0.85"),
        (0.123456, None, "0.1235"),
        (0.849999, 0.85, "0.849999"),
        (0.85, 0.85, "0.85"),
        (100.0, None, "100"),
        (1234.5, None, "1234"),
        (12345.0, None, "12,345"),
        (12345.6, 12345.0, "12,346"),
        (12345.4, 12345.0, "12,345.4"),
        (0.00001, None, "1e-05"),
        (nan, 1.0, "not a number"),
        (inf, 1.0, "infinite"),
    ],
)
def test_a_figure(value, beside, words):
    assert figure(value, beside) == words


@given(
    st.floats(-1e9, 1e9, allow_subnormal=False),
    st.floats(-1e9, 1e9, allow_subnormal=False),
)
def test_a_figure_is_on_the_side_of_its_threshold(value, limit):
    shown = float(figure(value, beside=limit).replace(",", ""))
    assert (shown < limit, shown > limit) == (value < limit, value > limit)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (-5, "0 s"),
        (0.25, "0.25 s"),
        (45, "45 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (22320, "6 h 12 min"),
        (22379, "6 h 12 min"),
        (86400, "24 h"),
        (172799, "47 h 59 min"),
        (172800, "2 d"),
        (176460, "2 d 1 h"),
    ],
)
def test_a_length_of_time(seconds, words):
    assert length(timedelta(seconds=seconds)) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.001, "1 s"), (59.5, "1 min"), (3600, "1 h"), (22319, "6 h 12 min"), (22321, "6 h 13 min")]
)
def test_what_is_still_to_go_is_never_nothing(seconds, words):
    assert still_to_go(timedelta(seconds=seconds)) == words


def test_counts_and_lists():
    assert (counted(1, "request"), counted(2000, "request")) == ("1 request", "2,000 requests")
    assert (listed([]), listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"], "or")) == (
        "",
        "a",
        "a and b",
        "a, b or c",
    )
