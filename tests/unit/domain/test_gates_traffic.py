"""Criteria about real requests: time in Staging, and the live comparison."""

from datetime import timedelta

import pytest

from lifecycle.domain.criteria import Criterion
from lifecycle.domain.facts import Breach
from lifecycle.domain.gates import Answered, State
from lifecycle.domain.policy import Comparison, Criteria, Policy, Soak
from tests.support.facts import HOUR, NOW, answered, finding, version

PRODUCTION = version(1, semantic_version="1.0.0")
SINCE = NOW - 30 * HOUR
MICRO = timedelta(microseconds=1)


def soak(seen, *, production=PRODUCTION, since=SINCE, policy=None):
    facts = {"production": production, "staging_since": since, "answered": seen}
    return finding(Criterion.SOAK, policy=policy, **facts)


@pytest.mark.parametrize(
    ("span", "state"),
    [(24 * HOUR - MICRO, State.MISSING), (24 * HOUR, State.PASSED), (24 * HOUR + MICRO, State.PASSED)],
)
def test_a_soak_lasts_its_duration(span, state):
    assert soak(answered(span=span)).state == state


@pytest.mark.parametrize(("requests", "state"), [(999, State.MISSING), (1000, State.PASSED), (1001, State.PASSED)])
def test_a_soak_has_enough_requests(requests, state):
    assert soak(answered(requests)).state == state


@pytest.mark.parametrize(("errors", "state"), [(99, State.PASSED), (100, State.PASSED), (101, State.FAILED)])
def test_a_soak_has_few_failures(errors, state):
    assert soak(answered(2000, errors)).state == state


@pytest.mark.parametrize(
    ("ago", "state"),
    [
        (timedelta(hours=2, minutes=24) - MICRO, State.PASSED),
        (timedelta(hours=2, minutes=24), State.PASSED),
        (timedelta(hours=2, minutes=24) + MICRO, State.MISSING),
    ],
)
def test_a_soak_has_requests_until_lately(ago, state):
    assert soak(answered(ago=ago)).state == state


@pytest.mark.parametrize(
    ("ago", "state"), [(timedelta(minutes=1), State.PASSED), (timedelta(seconds=61), State.MISSING)]
)
def test_even_a_short_soak_allows_a_minute_of_silence(ago, state):
    short = Policy(soak=Soak(duration=timedelta(seconds=20), requests=10))
    assert soak(answered(10, span=timedelta(seconds=20), ago=ago), policy=short).state == state


@pytest.mark.parametrize("criterion", [Criterion.SOAK, Criterion.LIVE_COMPARISON])
@pytest.mark.parametrize("production", [PRODUCTION, None])
def test_what_other_files_answered_does_not_count(criterion, production):
    facts = {"production": production, "staging_since": SINCE, "answered": answered(), "stable_answered": answered()}
    assert finding(criterion, **facts).state == State.PASSED
    found = finding(criterion, other_files=True, **facts)
    nothing_to_compare = criterion == Criterion.LIVE_COMPARISON and production is None
    assert found.state == (State.PASSED if nothing_to_compare else State.MISSING)


def test_it_says_how_much_longer():
    found = soak(answered(400, span=timedelta(hours=17, minutes=48)))
    assert found.why.startswith("6 h 12 min to go. 600 requests to go. ")
    assert [(each.name, each.passed) for each in found.measures] == [
        ("Time with requests", False),
        ("Requests", False),
        ("Failed requests", True),
        ("Last request", True),
    ]


def test_without_requests_it_says_so():
    found = soak(Answered())
    assert (found.state, "no request" in found.why) == (State.MISSING, True)


def test_it_can_only_be_measured_in_staging():
    assert soak(answered(), since=None).state == State.MISSING


def test_failures_count_before_the_time_is_over():
    assert soak(answered(100, 50, span=HOUR)).state == State.FAILED


@pytest.mark.parametrize(
    ("stayed", "state"),
    [(24 * HOUR - MICRO, State.MISSING), (24 * HOUR, State.PASSED), (24 * HOUR + MICRO, State.PASSED)],
)
def test_before_the_first_promotion_no_request_is_shared_so_the_stay_itself_counts(stayed, state):
    found = soak(Answered(), production=None, since=NOW - stayed)
    assert (found.state, "nothing serves Production" in found.measured) == (state, True)


def test_requests_that_it_got_all_the_same_are_judged():
    assert soak(answered(100, 50), production=None).state == State.FAILED


# ---------------------------------------------------------------- live comparison


def live(mine, theirs, *, production=PRODUCTION, since=SINCE, **comparison):
    return finding(
        Criterion.LIVE_COMPARISON,
        policy=Policy(comparison=Comparison(**comparison)),
        production=production,
        staging_since=since,
        answered=answered(*mine),
        stable_answered=answered(*theirs),
    )


@pytest.mark.parametrize(
    ("mine", "theirs", "state"),
    [
        ((1000, 29), (1000, 10), State.PASSED),
        ((1000, 30), (1000, 10), State.PASSED),
        ((1000, 31), (1000, 10), State.FAILED),
        ((1000, 50), (1000, 40), State.PASSED),
        ((1000, 51), (1000, 40), State.FAILED),
        ((1000, 0), (1000, 900), State.PASSED),
        ((300, 9), (700, 7), State.PASSED),
    ],
)
def test_failed_requests_beside_productions(mine, theirs, state):
    assert live(mine, theirs).state == state


@pytest.mark.parametrize(
    ("mine", "theirs", "state"),
    [
        ((99, 0), (1000, 0), State.MISSING),
        ((1000, 0), (99, 0), State.MISSING),
        ((0, 0), (0, 0), State.MISSING),
        ((100, 0), (100, 0), State.PASSED),
        ((101, 0), (101, 0), State.PASSED),
    ],
)
def test_a_comparison_takes_a_hundred_requests_each(mine, theirs, state):
    assert live(mine, theirs).state == state


def test_it_says_what_it_compares():
    assert (
        live((500, 5), (4500, 9)).measured
        == "1 % of 500 requests failed, 0.2 % of 4,500 requests to 1.0.0 in the same time"
    )


def test_there_has_to_be_something_to_compare_and_a_stay():
    assert live((0, 0), (0, 0), production=None).state == State.PASSED
    assert live((500, 0), (500, 0), since=None).state == State.MISSING


def test_the_policy_says_how_many():
    assert live((1000, 20), (1000, 10), error_rate_increase=0.5).state == State.FAILED
    assert live((1000, 20), (1000, 20), staging_error_rate=1).state == State.FAILED


SLOWER = Breach("latency_p95", "p95 latency against stable", "It is slower.", 41.2, 30.5, 52.0, 20.0, "%")
DRIFTED = Breach("drift", "Data drift score", "The values of width differ.", 0.5, 0.4, 0.6, 0.3)
SILENT = Breach("traffic", "Requests and data", "Nothing could be read of it.")
UNEVEN = Breach("sample_ratio", "Share of requests", "It gets 20 % of the requests.", 20.0, 15.0, 25.0, 10.0, "%")


def judged(*breached, policy=None, requests=1000):
    counts = {"answered": answered(requests), "stable_answered": answered(requests)}
    facts = {"production": PRODUCTION, "staging_since": SINCE, "breached": breached, **counts}
    return finding(Criterion.LIVE_COMPARISON, policy=policy, **facts)


@pytest.mark.parametrize("requests", [1000, 10])
def test_a_breach_that_the_judge_found_fails_with_its_figures(requests):
    found = judged(SLOWER, UNEVEN, requests=requests)
    assert found.state == State.FAILED
    assert found.why.startswith("It is slower. It gets 20 % of the requests.")
    first, second = found.measures[:2]
    assert (first.name, first.measured, first.wanted, first.passed) == (
        "p95 latency against stable",
        "41.2 % (30.5 to 52)",
        "at most 20 %",
        False,
    )
    assert second.wanted == "about 10 %"
    assert len(found.measures) == (4 if requests == 1000 else 2)


def test_drift_and_silence_are_for_other_criteria():
    assert judged(DRIFTED, SILENT).state == State.PASSED


def test_drift_counts_here_where_no_criterion_asks_for_it():
    policy = Policy(criteria=Criteria(to_production=(Criterion.LIVE_COMPARISON,)))
    assert judged(DRIFTED, policy=policy).state == State.FAILED
