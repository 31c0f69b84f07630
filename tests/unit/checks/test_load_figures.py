"""The figures of a load test: what counts, and what is enough."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from lifecycle.adapters.load import Failure, Load, Phase, Second
from lifecycle.checks.load_test import Steady, is_enough, is_loopback, percentile, progress, sentence
from lifecycle.domain.policy import ServiceLevels

LOAD = Load("http://127.0.0.1:1", "7", users=4, ramp=2.0, steady=10.0, timeout=10.0, bodies=("{}",))
GOOD = {"throughput": 100.0, "p50": 0.5, "p95": 1.0, "p99": 2.0, "failed": 0.0999}


def steady_of(*seconds: Second) -> Steady:
    steady = Steady()
    for second in seconds:
        steady.add(second)
    return steady


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([], 95, None),
        ([0.3], 50, 0.3),
        ([0.3], 99, 0.3),
        ([1, 2, 3, 4], 50, 2),
        ([1, 2, 3, 4], 51, 3),
        (list(range(1, 101)), 95, 95),
        (list(range(1, 101)), 99, 99),
        (list(range(1, 102)), 99, 100),
        (list(range(1, 21)), 95, 19),
    ],
)
def test_percentiles(values, percent, expected):
    assert percentile(values, percent) == expected


@pytest.mark.parametrize(
    ("changes", "enough"),
    [
        ({}, True),
        ({"throughput": 99.99}, False),
        ({"throughput": 100.01}, True),
        ({"throughput": 0.0}, False),
        ({"p50": 0.501}, False),
        ({"p50": 0.499}, True),
        ({"p95": 1.001}, False),
        ({"p99": 2.001}, False),
        ({"p99": 1.999}, True),
        ({"p50": None}, False),
        ({"failed": 0.1}, False),
        ({"failed": 0.101}, False),
        ({"failed": 0.0}, True),
        ({"failed": 100.0}, False),
    ],
)
def test_what_is_enough(changes, enough):
    assert is_enough({**GOOD, **changes}, ServiceLevels()) is enough


def test_where_no_failure_is_allowed_none_is_enough():
    levels = ServiceLevels(failed_predictions=0.0, latency_p95=timedelta(seconds=3))
    assert is_enough({**GOOD, "failed": 0.0, "p95": 2.9}, levels)
    assert not is_enough({**GOOD, "failed": 0.001}, levels)


def test_only_the_steady_phase_counts():
    steady = steady_of(
        Second(1.0, Phase.RAMP, 2, (9.0,), {"status 500": Failure(7, "x")}),
        Second(2.0, Phase.RAMP, 4, (9.0,)),
        Second(3.0, Phase.STEADY, 4, (0.1, 0.2), {"status 500": Failure(1, "first")}),
        Second(4.0, Phase.STEADY, 4, (0.3, 0.4, 0.5)),
    )
    assert steady.figures() == {
        "throughput": 2.5,
        "p50": 0.3,
        "p95": 0.5,
        "p99": 0.5,
        "failed": pytest.approx(100 / 6),
        "requests": 6,
        "users": 4,
        "steady_seconds": 2.0,
        "ramp_seconds": 2.0,
    }
    assert sentence(steady, steady.figures()) == (
        "2.5 predictions/s a replica; p95 500 ms; 1 of 6 failed, most often: status 500."
    )


def test_answers_that_were_waited_for_count_but_not_for_the_throughput():
    steady = steady_of(
        Second(1.0, Phase.RAMP, 1),
        Second(2.0, Phase.STEADY, 1, (0.1,)),
        Second(4.0, Phase.DRAIN, 0, (2.5,), {"no answer within 10 s": Failure(2)}),
    )
    figures = steady.figures()
    assert (figures["throughput"], figures["p99"], figures["requests"]) == (1.0, 2.5, 4)
    assert figures["failed"] == 50.0


@pytest.mark.parametrize("failures", [{}, {"connection refused": Failure(3, "")}])
def test_nothing_answered_is_never_enough(failures):
    steady = steady_of(Second(1.0, Phase.RAMP, 1), Second(2.0, Phase.STEADY, 1, (), failures))
    figures = steady.figures()
    assert figures["failed"] == 100.0
    assert figures["p50"] is None
    most_lenient = ServiceLevels(throughput=0.0, failed_predictions=100.0)
    assert not is_enough(figures, most_lenient)
    assert "fail" in sentence(steady, figures)
    json.dumps(figures, allow_nan=False)


def test_the_series_has_one_row_a_second():
    steady = steady_of(
        Second(1.003, Phase.RAMP, 2, (0.1,)),
        Second(2.004, Phase.STEADY, 4, (0.2, 0.3)),
        Second(2.012, Phase.STEADY, 4, (0.4,), {"status 500": Failure(1)}),
        Second(3.001, Phase.DRAIN, 0),
    )
    assert steady.series() == [[1, 1, 0, 0.1, 0.1, 2], [2, 4, 1, 0.3, 0.4, 4], [3, 0, 0, None, None, 0]]


def test_the_series_and_the_reasons_are_bounded():
    steady = Steady()
    for at in range(1, 500):
        steady.add(Second(float(at), Phase.STEADY, 1, (0.1,), {f"status {400 + at}": Failure(at, "x")}))
    assert len(steady.series()) == 300
    assert [each["count"] for each in steady.reasons()] == list(range(499, 489, -1))


@pytest.mark.parametrize(
    ("second", "percent", "phase"),
    [
        (None, 0, "starting the load generator"),
        (Second(1.0, Phase.RAMP, 2), 8, "ramping up, 2 of 4 users"),
        (Second(7.0, Phase.STEADY, 4, (0.1,) * 50), 58, "steady, 5 of 10 s, 10/s"),
        (Second(13.0, Phase.DRAIN, 1), 99, "waiting for the last answers"),
    ],
)
def test_progress_in_words(second, percent, phase):
    steady = steady_of(Second(2.0, Phase.RAMP, 4), *([second] if second else []))
    if second and second.phase == Phase.RAMP:
        steady = steady_of(second)
    assert progress(second, LOAD, steady) == (percent, phase)


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://127.8.0.1", True),
        ("http://[::1]:8000", True),
        ("http://localhost:8000", True),
        ("http://10.0.0.1:8000", False),
        ("http://model.example:8000", False),
        ("", False),
    ],
)
def test_whether_the_generator_shares_the_machine(url, loopback):
    assert is_loopback(url) is loopback
