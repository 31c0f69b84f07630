"""Criteria that checks measure: scan, load test, malformed input, drift. Today's policy judges what was measured."""

from datetime import timedelta
from math import inf, nan

import pytest

from lifecycle.domain.criteria import Criterion
from lifecycle.domain.gates import Source, State
from lifecycle.domain.policy import Checks, Comparison, Policy, ServiceLevels
from tests.support.facts import FAST, HOUR, evidence, finding


def checked(criterion, *, passed=True, policy=None, source=Source.CHECK, **values):
    return finding(criterion, policy=policy, evidence=(evidence(criterion, passed, source=source, **values),))


CHECKED = (Criterion.ARTIFACT_SCAN, Criterion.LOAD_TEST, Criterion.MALFORMED_INPUT)
GOOD = {**FAST, "rejected": 100.0}


@pytest.mark.parametrize("criterion", CHECKED)
@pytest.mark.parametrize("source", [Source.CI, Source.PERSON])
def test_only_stagegates_own_check_counts(criterion, source):
    assert checked(criterion, source=source, measurements=GOOD).state == State.MISSING
    assert checked(criterion, measurements=GOOD).state == State.PASSED


def test_the_scan_passes_or_fails_as_it_says():
    found = checked(Criterion.ARTIFACT_SCAN, passed=False, detail="model.pkl: a pickle can run anything.")
    assert (found.state, found.measured) == (State.FAILED, "model.pkl: a pickle can run anything.")


SCANNED = {
    "formats": ["MLmodel", "pkl", "skops"],
    "trusted_types": ["numpy.dtype", "builtins.open"],
    "total_files": 2,
}


@pytest.mark.parametrize(
    ("formats", "trusted", "used", "state", "named"),
    [
        (("MLmodel", "pkl"), ("numpy.dtype",), ["MLmodel", "pkl"], State.PASSED, ""),
        (("MLmodel", "skops"), ("numpy.dtype", "builtins.open"), ["MLmodel", "skops"], State.PASSED, ""),
        (("MLmodel",), ("numpy.dtype",), ["MLmodel", "pkl"], State.MISSING, "pkl"),
        (("MLmodel", "skops"), ("numpy.dtype",), ["MLmodel", "skops"], State.MISSING, "builtins.open"),
        (("MLmodel", "pkl"), ("numpy.dtype", "builtins.open"), ["MLmodel"], State.MISSING, "skops"),
    ],
)
def test_a_scan_by_looser_rules_than_todays_counts_only_where_they_made_no_difference(
    formats, trusted, used, state, named
):
    """The last case lists only some of its files, so any of the formats may be among the others."""
    rules = Policy(checks=Checks(formats=formats, trusted_types=trusted))
    measurements = {**SCANNED, "files": [{"path": f"a.{each}", "format": each} for each in used]}
    found = checked(Criterion.ARTIFACT_SCAN, policy=rules, measurements=measurements)
    assert (found.state, named in found.why) == (state, True)
    failed = checked(Criterion.ARTIFACT_SCAN, passed=False, policy=rules, measurements=measurements)
    assert failed.state == State.FAILED


# ---------------------------------------------------------------- load test


@pytest.mark.parametrize(
    ("key", "value", "state"),
    [
        ("throughput", 99.99, State.FAILED),
        ("throughput", 100.0, State.PASSED),
        ("throughput", 100.01, State.PASSED),
        ("p50", 0.499, State.PASSED),
        ("p50", 0.5, State.PASSED),
        ("p50", 0.501, State.FAILED),
        ("p95", 0.999, State.PASSED),
        ("p95", 1.0, State.PASSED),
        ("p95", 1.001, State.FAILED),
        ("p99", 1.999, State.PASSED),
        ("p99", 2.0, State.PASSED),
        ("p99", 2.001, State.FAILED),
        ("failed", 0.0999, State.PASSED),
        ("failed", 0.1, State.FAILED),
        ("failed", 0.1001, State.FAILED),
        ("throughput", inf, State.FAILED),
        ("p95", nan, State.FAILED),
        ("p99", None, State.FAILED),
        ("failed", "few", State.FAILED),
        ("p50", True, State.FAILED),
    ],
)
def test_a_load_test_at_each_threshold(key, value, state):
    found = checked(Criterion.LOAD_TEST, measurements={**FAST, key: value})
    assert found.state == state
    assert sum(not each.passed for each in found.measures) == (state == State.FAILED)


@pytest.mark.parametrize("key", list(FAST))
def test_a_figure_that_was_not_measured_is_not_enough(key):
    found = checked(Criterion.LOAD_TEST, measurements={name: value for name, value in FAST.items() if name != key})
    assert (found.state, "not measured" in found.why) == (State.FAILED, True)


def test_a_stricter_policy_fails_old_evidence_and_a_milder_one_passes_it():
    strict = Policy(service_levels=ServiceLevels(latency_p95=timedelta(milliseconds=20)))
    assert checked(Criterion.LOAD_TEST, policy=strict, measurements=FAST).state == State.FAILED
    mild = Policy(service_levels=ServiceLevels(throughput=10))
    slow = {**FAST, "throughput": 20.0}
    assert checked(Criterion.LOAD_TEST, passed=False, policy=mild, measurements=slow).state == State.PASSED


@pytest.mark.parametrize(("failed", "state"), [(0.0, State.PASSED), (0.001, State.FAILED)])
def test_where_no_failure_is_allowed_none_is_enough(failed, state):
    none = Policy(service_levels=ServiceLevels(failed_predictions=0.0))
    assert checked(Criterion.LOAD_TEST, policy=none, measurements={**FAST, "failed": failed}).state == state


# ---------------------------------------------------------------- malformed input


@pytest.mark.parametrize(
    ("rejected", "state"),
    [(100.0, State.PASSED), (99.99, State.FAILED), (99.5, State.FAILED), (None, State.FAILED), (nan, State.FAILED)],
)
def test_all_malformed_input_is_refused(rejected, state):
    assert checked(Criterion.MALFORMED_INPUT, measurements={"rejected": rejected}).state == state


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({"failed": 0.0, "stopped": ""}, State.PASSED),
        ({"failed": 0.0999}, State.PASSED),
        ({"failed": 0.1}, State.FAILED),
        ({"failed": None}, State.FAILED),
        ({"stopped": "The server is gone."}, State.FAILED),
    ],
)
def test_what_is_valid_is_answered_all_the_same_and_the_check_comes_to_its_end(more, state):
    assert checked(Criterion.MALFORMED_INPUT, measurements={"rejected": 100.0, **more}).state == state


@pytest.mark.parametrize(("rejected", "state"), [(98.9, State.FAILED), (99.0, State.PASSED), (99.1, State.PASSED)])
def test_the_policy_says_how_much(rejected, state):
    mine = Policy(service_levels=ServiceLevels(malformed_rejected=99.0))
    assert checked(Criterion.MALFORMED_INPUT, policy=mine, measurements={"rejected": rejected}).state == state


# ---------------------------------------------------------------- drift


def drift(*known, **comparison):
    return finding(Criterion.DRIFT, policy=Policy(comparison=Comparison(**comparison)), evidence=known)


def measured(value, *, passed=True, source=Source.CHECK, age=2 * HOUR, **values):
    return evidence(Criterion.DRIFT, passed, value=value, source=source, age=age, **values)


def explained(*, passed=True, age=HOUR, detail="A new region came in, and the figures hold there."):
    return evidence(Criterion.DRIFT, passed, source=Source.PERSON, by="Mia", age=age, detail=detail, id=2)


@pytest.mark.parametrize("source", [Source.CHECK, Source.CI])
@pytest.mark.parametrize(
    ("value", "state"), [(0.2999, State.PASSED), (0.3, State.PASSED), (0.3001, State.FAILED), (0.0, State.PASSED)]
)
def test_drift_at_its_threshold(source, value, state):
    assert drift(measured(value, source=source)).state == state


def test_a_small_drift_that_ci_reports_as_failed_stays_failed():
    """A check of Stagegate's own is judged by its figure: the policy may have changed since."""
    found = drift(measured(0.1, passed=False, source=Source.CI))
    assert (found.state, found.measured) == (State.FAILED, "a distance of 0.1, reported as failed")
    assert drift(measured(0.1, passed=False, source=Source.CI), explained()).state == State.PASSED
    assert drift(measured(0.1, passed=False)).state == State.PASSED


def test_an_explanation_lets_a_large_drift_pass_and_is_shown():
    found = drift(measured(0.41), explained())
    assert found.state == State.PASSED
    assert found.measured == "a distance of 0.41, explained by Mia: A new region came in, and the figures hold there."
    assert found.by == "Mia"


def test_an_explanation_counts_only_for_what_was_measured_before_it():
    assert drift(measured(0.41, age=HOUR), explained(age=2 * HOUR)).state == State.FAILED
    assert (
        drift(measured(0.2, age=3 * HOUR), explained(age=2 * HOUR), measured(0.41, age=HOUR, id=3)).state
        == State.FAILED
    )


def test_a_person_who_says_no_keeps_a_large_drift_failed():
    assert drift(measured(0.41), explained(passed=False)).state == State.FAILED


def test_an_explanation_says_something():
    assert drift(measured(0.41), explained(detail=" ")).state == State.FAILED


@pytest.mark.parametrize(
    ("person", "state"),
    [
        (explained(), State.PASSED),
        (explained(detail=""), State.MISSING),
        (explained(passed=False), State.FAILED),
        (explained(passed=False, detail=""), State.FAILED),
    ],
)
def test_a_persons_word_without_a_measurement(person, state):
    assert drift(person).state == state


def test_nothing_at_all_is_missing():
    assert drift().state == State.MISSING
    stale = drift(measured(0.1, stale="The version's files have changed since."))
    assert (stale.state, "files have changed" in stale.why) == (State.MISSING, True)


@pytest.mark.parametrize("value", [None, nan])
def test_a_report_without_a_figure(value):
    assert drift(measured(value)).state == State.MISSING
    assert drift(measured(value, passed=False, detail="Far off.")).state == State.FAILED
    assert drift(measured(value, passed=False, detail="Far off."), explained()).state == State.PASSED
