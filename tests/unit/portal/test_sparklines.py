"""Small lines of metrics: what they show, and what they say."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.domain.stages import Stage
from lifecycle.metric_history import Measured
from portal.sparklines import HEIGHT, WIDTH, sparkline


def versions(count: int, production: int | None = None) -> list[Measured]:
    return [Measured(each, f"1.{each}.0", Stage.STAGING, {}, each == production) for each in range(1, count + 1)]


def test_it_says_what_can_be_seen():
    drawn = sparkline("f1", [0.8, 0.95, 0.9], versions(3, production=2), 3)
    assert drawn is not None
    assert drawn.words == (
        "f1 through 3 versions: it rose from 0.8 to 0.9; lowest 0.8 (1.1.0), highest 0.95 (1.2.0); "
        "0.95 (1.2.0) in Production and 0.9 (1.3.0) in this version."
    )
    assert [dot.kind for dot in drawn.dots] == ["production", "this"]
    assert drawn.lines == ("6,30 66,6 126,14",)


def test_a_gap_stays_a_gap():
    drawn = sparkline("f1", [1.0, None, math.nan, 2.0, 3.0], versions(5), None)
    assert drawn is not None
    assert [line.count(",") for line in drawn.lines] == [2, 2]


def test_what_never_changed_is_a_level_line():
    drawn = sparkline("f1", [0.5, 0.5], versions(2), 2)
    assert drawn is not None
    assert {point.split(",")[1] for point in drawn.lines[0].split()} == {"18"}
    assert "ends as it began, at 0.5" in drawn.words


@pytest.mark.parametrize("course", [[], [1.0], [None, 1.0], [math.inf, math.nan, 1.0]])
def test_one_number_is_no_course(course):
    assert sparkline("f1", course, versions(len(course)), 1) is None


@settings(max_examples=100, deadline=None)
@given(st.lists(st.none() | st.floats(), max_size=25))
def test_every_point_lies_within(course):
    drawn = sparkline("f1", course, versions(len(course), production=2), 1)
    for x, y in re.findall(r"([-\w.+]+),([-\w.+]+)", " ".join(drawn.lines) if drawn else ""):
        assert 0 <= float(x) <= WIDTH
        assert 0 <= float(y) <= HEIGHT
