"""Measures in words and as pictures."""

import pytest

from lifecycle.domain import compare
from lifecycle.domain.compare import Measure, MeasureState, Verdict, VerdictKind
from lifecycle.models import AuditEntry
from portal.templatetags import rollout
from portal.templatetags.rollout import MINUS


def measure(name="error_rate", *, low=None, high=None, limit=2.0, unit="points", **values):
    return Measure(name, "A measure", MeasureState.UNDECIDED, low=low, high=high, limit=limit, unit=unit, **values)


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0.3141592, "points", "0.314 points"),
        (-1.5, "%", f"{MINUS}1.5 %"),
        (0.062, "s", "62 ms"),
        (0.41, "", "0.41"),
        (None, "%", ""),
        (float("nan"), "%", ""),
        (float("-inf"), "%", f"{MINUS}∞"),
    ],
)
def test_a_value_in_its_unit(value, unit, words):
    assert rollout.in_unit(value, measure(unit=unit)) == words


@pytest.mark.parametrize(
    ("value", "limit", "words"),
    [
        (7.05e-07, 10.0, "0 %"),
        (0.8931, 10.0, "0.89 %"),
        (12.2461, 20.0, "12.2 %"),
        (20.04, 20.0, "20.04 %"),
        (20.0, 20.0, "20 %"),
        (2449.0, None, "2449 %"),
        (-0.0001, 2.0, "0 %"),
    ],
)
def test_a_value_is_told_as_finely_as_it_matters_beside_its_limit(value, limit, words):
    assert rollout.in_unit(value, measure(limit=limit, unit="%")) == words


@pytest.mark.parametrize(
    ("low", "high", "unit", "words"),
    [
        (-1.4, 2.6, "points", f"{MINUS}1.4 to 2.6 points"),
        (0.05, 1.2, "s", "50 ms to 1.2 s"),
        (None, 3.0, "%", "under 3 %"),
        (1.0, None, "%", "over 1 %"),
        (None, None, "%", ""),
    ],
)
def test_an_interval_in_words(low, high, unit, words):
    assert rollout.between(measure(low=low, high=high, unit=unit)) == words


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("error_rate", "at most 5 %"),
        ("agreement", "at least 5 %"),
        ("sample_ratio", "about 5 %"),
        ("business:revenue", "± 5 %"),
    ],
)
def test_what_a_limit_means(name, words):
    assert rollout.limit_words(measure(name, limit=5.0, unit="%")) == words
    assert rollout.limit_words(measure(name, limit=None)) == ""


@pytest.mark.parametrize(
    ("given", "inside"),
    [
        (measure(low=-1, high=1.9), True),
        (measure(low=-1, high=2.1), False),
        (measure(low=0.1, high=1.9), True),
        (measure("agreement", low=95.5, high=99, limit=95.0), False),
        (measure("agreement", low=94, high=99, limit=95.0), True),
        (measure("business:x", low=-4, high=4, limit=5.0), True),
    ],
)
def test_a_picture_shows_on_which_side_of_its_limit_an_interval_ends(given, inside):
    drawn = rollout.picture(given)
    reaches = drawn.low if given.name == "agreement" else drawn.high
    assert (reaches < drawn.limits[0]) == inside


def test_a_change_that_may_go_both_ways_has_two_limits():
    drawn = rollout.picture(measure("business:x", low=-9, high=1, limit=5.0))
    assert drawn.limits == (80.0, 20.0)
    assert drawn.low < 20 < drawn.high < 80


@pytest.mark.parametrize(
    ("low", "high", "left", "right"),
    [(-100, 100, True, True), (None, 1, True, False), (0, None, False, True), (50, 60, False, True)],
)
def test_what_goes_on_beyond_the_picture_says_so(low, high, left, right):
    drawn = rollout.picture(measure(low=low, high=high, estimate=55))
    assert (drawn.more_left, drawn.more_right) == (left, right)
    assert 0 <= drawn.low < drawn.low + drawn.width <= 101
    assert 0 < drawn.estimate < 100


@pytest.mark.parametrize("given", [measure(), measure(low=1, high=2, limit=None), measure(low=0, high=1, limit=0.0)])
def test_without_an_interval_or_a_limit_there_is_no_picture(given):
    assert rollout.picture(given) is None


@pytest.mark.parametrize("features", [None, {"a": 1}, ["a"], [{"name": "a"}], [{"name": "a", "estimate": "high"}]])
def test_features_that_are_not_as_expected_are_left_out(features):
    assert list(rollout.farthest(measure(details={"features": features}))) == []


def test_the_gravest_comes_first():
    states = (MeasureState.UNMEASURED, MeasureState.CLEAR, MeasureState.BREACHED, MeasureState.UNDECIDED)
    rows = [Measure(str(each), "", each) for each in states]
    assert [row.name for row in rollout.gravest_first(rows)] == ["breached", "undecided", "clear", "unmeasured"]


def test_what_the_record_keeps_of_a_verdict_is_told_in_short():
    found = measure(low=2.02, high=54.1, estimate=18.8)
    kept = rollout.measures_kept(compare.dump(Verdict(VerdictKind.ROLL_BACK, "It fails.", (found,))))
    assert kept == (found,)
    assert rollout.in_short(found) == "undecided, 18.8 points (2.02 to 54.1 points), at most 2 points"


def test_the_newest_entry_that_keeps_measures_is_found():
    kept = compare.dump(Verdict(VerdictKind.ROLL_BACK, "It fails.", (measure(),)))
    entries = [AuditEntry(details=details) for details in ({}, {"verdict": "proceed"}, {"verdict": kept}, {})]
    assert rollout.with_facts(entries) is entries[2]
    assert rollout.with_facts(entries[:2]) is None


@pytest.mark.parametrize("raw", [None, "proceed", {}, {"kind": "proceed"}, {"kind": "x", "why": "", "measures": [{}]}])
def test_a_verdict_that_cannot_be_read_has_no_measures(raw):
    assert rollout.measures_kept(raw) == ()
