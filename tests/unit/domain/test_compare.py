"""The judge: every state of every row, and what follows from it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.domain import compare
from lifecycle.domain.compare import Evidence, Measure, MeasureState, Trial, Verdict, VerdictKind, Window, judge
from lifecycle.domain.compare.budget import budget
from lifecycle.domain.drift import Distribution
from lifecycle.domain.observations import Counts, Moments
from lifecycle.domain.policy import Comparison, Policy, Rollout
from lifecycle.domain.strategies import BreachAction

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
CLEAR, UNDECIDED, BREACHED, UNMEASURED = MeasureState
EDGES = tuple(2.0 ** (-10 + step / 10) for step in range(151))
WIDE_EDGES = tuple(2.0**step for step in range(-10, 6))
POLICY = Policy()
ROLLING_BACK = Policy(comparison=Comparison(on_latency=BreachAction.ROLL_BACK))


def latencies(requests: int, p95: float, edges: tuple[float, ...] = EDGES) -> Distribution:
    """95 % of the requests take some time below ``p95``, and the rest some time above it."""
    parts = np.linspace(0.0005, 0.9995, 1000)
    values = p95 * np.where(parts < 0.95, parts / 0.95, 1 + (parts - 0.95) * 4)
    counts = np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1) * requests / 1000
    return Distribution(tuple(map(float, counts)), edges=edges)


def bins(*shares: float, of: int = 1000) -> Distribution:
    return Distribution(tuple(of * share for share in shares), edges=tuple(map(float, range(len(shares) - 1))))


def classes(of: int, **shares: float) -> Distribution:
    return Distribution(tuple(of * share for share in shares.values()), categories=tuple(shares))


def evidence(canary: Counts, stable: Counts | None = None, **changes: Any) -> Evidence:
    looks = changes.get("look", 360)
    whole = Window(timedelta(seconds=10 * looks), looks, canary, stable or Counts())
    values: dict[str, Any] = {
        "trial": Trial.ROLLOUT,
        "look": looks,
        "steps": 3,
        "weight": 5,
        "since": NOW - whole.length,
        "seen": NOW,
    }
    return Evidence(**{**values, **changes}, whole=whole)


def measure(verdict: Verdict, name: str) -> Measure:
    return next(each for each in verdict.measures if each.name == name)


def judged(name: str, given: Evidence, policy: Policy = POLICY) -> Measure:
    return measure(judge(given, policy, NOW), name)


HEALTHY = Counts(20_000, 200, latencies(20_000, 0.1))
STABLE = Counts(380_000, 3800, latencies(380_000, 0.1))

# ---------------------------------------------------------------- the whole


def test_a_version_that_is_as_good_goes_on() -> None:
    verdict = judge(evidence(HEALTHY, STABLE), POLICY, NOW)
    assert verdict.kind == VerdictKind.PROCEED
    assert "20,000 requests to the new version" in verdict.why
    assert [each.name for each in verdict.measures] == [
        "error_rate",
        "error_rate_absolute",
        "latency_p95",
        "latency_p95_absolute",
        "drift",
        "prediction_psi",
        "business",
        "sample_ratio",
        "traffic",
    ]
    assert all(each.why and each.label for each in verdict.measures)


@pytest.mark.parametrize("trial", list(Trial))
def test_rows_come_in_the_same_order_for_everything(trial: Trial) -> None:
    order = [each.name for each in judge(evidence(HEALTHY, STABLE, trial=trial), POLICY, NOW).measures]
    empty = [each.name for each in judge(evidence(Counts(), trial=trial), POLICY, NOW).measures]
    assert order == empty
    assert ("agreement" in order) == (trial == Trial.SHADOW)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(list(Trial)),
    st.integers(0, 3000),
    st.floats(0, 1),
    st.integers(0, 50_000),
    st.floats(0, 1),
    st.integers(1, 10**6),
)
def test_a_verdict_follows_from_its_rows(
    trial: Trial, canary: int, failing: float, stable: int, stable_failing: float, look: int
) -> None:
    """Undecided never proceeds and never rolls back; only a breach that rolls back does."""
    sides = Counts(canary, int(canary * failing)), Counts(stable, int(stable * stable_failing))
    verdict = judge(evidence(*sides, trial=trial, look=look % 4000 + 1), POLICY, NOW)
    states = {each.state for each in verdict.measures}
    acting = [each for each in verdict.measures if each.state == BREACHED and each.on_breach != "hold"]
    assert (verdict.kind == VerdictKind.ROLL_BACK) == bool(acting)
    if verdict.kind == VerdictKind.PROCEED:
        assert not states & {BREACHED, UNDECIDED}
        assert canary
    assert compare.load(json.loads(json.dumps(compare.dump(verdict), allow_nan=False))) == verdict


def test_empty_counts_change_nothing() -> None:
    empty = replace(
        HEALTHY,
        features={"x": bins(0, 0)},
        prediction=bins(0, 0),
        business={"revenue": Moments()},
    )
    assert judge(evidence(empty, STABLE), POLICY, NOW).kind == VerdictKind.PROCEED
    idle = Window(timedelta(seconds=10), 1, Counts(), Counts())
    assert judge(evidence(HEALTHY, STABLE, windows=(idle,)), POLICY, NOW).kind == VerdictKind.PROCEED


def test_undecided_holds_and_says_how_many_requests_it_needs() -> None:
    verdict = judge(evidence(Counts(300, 4), Counts(5700, 57)), POLICY, NOW)
    assert verdict.kind == VerdictKind.HOLD
    assert "more requests to the new version are likely to tell" in verdict.why
    rate = measure(verdict, "error_rate")
    assert rate.state == UNDECIDED
    more = rate.details["needs"]
    grown = Counts(300 + more, round(4 * (1 + more / 300))), Counts(19 * (300 + more), round(57 * (1 + more / 300)))
    assert judged("error_rate", evidence(*grown)).state == CLEAR


def test_what_cannot_be_said_is_not_said() -> None:
    at_the_limit = evidence(Counts(10_000, 299), Counts(190_000, 1900))
    assert judged("error_rate", at_the_limit).why.endswith(
        "it is too close to the limit to say how many more requests it takes."
    )
    assert "too few requests" in judged("error_rate", evidence(Counts(), STABLE)).why


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("canary", "state"),
    [((5000, 50), CLEAR), ((50, 1), UNDECIDED), ((500, 117), BREACHED), ((50_000, 1000), CLEAR), ((500, 20), BREACHED)],
)
def test_the_increase_of_the_error_rate(canary: tuple[int, int], state: MeasureState) -> None:
    row = judged("error_rate", evidence(Counts(*canary), Counts(95_000, 475)))
    assert (row.state, row.limit, row.unit, row.on_breach) == (state, 2.0, "points", "roll_back")
    assert row.low is not None
    assert row.estimate is not None
    assert row.high is not None
    assert row.low < row.estimate < row.high


def test_a_rollback_says_what_happened_in_figures() -> None:
    verdict = judge(evidence(Counts(500, 117), Counts(9500, 48)), POLICY, NOW)
    assert verdict.kind == VerdictKind.ROLL_BACK
    assert not verdict.emergency
    assert verdict.why == (
        "The new version fails 23.4 % of its requests, 22.9 points more than the stable one does; 2 points are allowed."
    )


def test_past_the_limit_but_perhaps_no_worse_is_undecided() -> None:
    row = judged("error_rate", evidence(Counts(40, 2), Counts(760, 8)))
    assert row.estimate == pytest.approx(3.947, abs=0.001)
    assert row.low is not None
    assert row.low < 0
    assert row.state == UNDECIDED


def test_an_errors_count_ahead_of_its_requests_is_no_reason_to_stop() -> None:
    assert judged("error_rate", evidence(Counts(3, 4), STABLE)).estimate == pytest.approx(99)


@pytest.mark.parametrize(
    ("trial", "failing", "state", "act"),
    [
        (Trial.STAGING, 100, BREACHED, "roll_back"),
        (Trial.STAGING, 10, CLEAR, "roll_back"),
        (Trial.STAGING, 55, UNDECIDED, "roll_back"),
        (Trial.ROLLOUT, 200, BREACHED, "roll_back"),
        (Trial.ROLLOUT, 55, CLEAR, "roll_back"),
        (Trial.SHADOW, 200, BREACHED, "roll_back"),
        (Trial.PRODUCTION, 200, BREACHED, "emergency"),
        (Trial.PRODUCTION, 10, CLEAR, "emergency"),
        (Trial.PRODUCTION, 100, UNDECIDED, "emergency"),
    ],
)
def test_the_absolute_error_rate(trial: Trial, failing: int, state: MeasureState, act: str) -> None:
    alike = Counts(19_000, 19 * failing)
    verdict = judge(evidence(Counts(1000, failing), alike, trial=trial), POLICY, NOW)
    row = measure(verdict, "error_rate_absolute")
    assert (row.state, row.on_breach) == (state, act)
    assert row.limit == (5.0 if trial == Trial.STAGING else 10.0)
    assert verdict.emergency == (trial == Trial.PRODUCTION and state == BREACHED)


def test_what_serves_alone_is_judged_by_itself() -> None:
    alone = evidence(Counts(50_000, 100, latencies(50_000, 0.1)), trial=Trial.PRODUCTION, weight=100)
    verdict = judge(alone, POLICY, NOW)
    assert verdict.kind == VerdictKind.PROCEED
    assert "the version in Production" in verdict.why
    assert [each.name for each in verdict.measures if each.state == CLEAR] == ["error_rate_absolute", "traffic"]


@pytest.mark.parametrize(("weight", "state"), [(5, UNDECIDED), (0, UNDECIDED), (100, UNMEASURED)])
def test_without_answers_of_the_stable_version(weight: int, state: MeasureState) -> None:
    """Where it should get requests and has none, nothing goes on."""
    verdict = judge(evidence(HEALTHY, Counts(), weight=weight, sticky=True), POLICY, NOW)
    assert measure(verdict, "error_rate").state == state
    assert (verdict.kind == VerdictKind.PROCEED) == (state == UNMEASURED)


@pytest.mark.parametrize("trial", list(Trial))
@pytest.mark.parametrize("policy", [POLICY, ROLLING_BACK])
def test_all_that_can_roll_back_stays_within_the_confidence(trial: Trial, policy: Policy) -> None:
    """Over all steps, looks and windows together."""
    windows = tuple(Window(timedelta(seconds=10 * looks), looks, Counts(), Counts()) for looks in (1, 6, 30))
    given = evidence(HEALTHY, STABLE, trial=trial, windows=windows, steps=3)
    acting = [each for each in judge(given, policy, NOW).measures if each.on_breach != "hold"]
    measured = [each for each in acting if each.state != UNMEASURED]
    shared = budget(given, policy)
    looks = shared.window("roll_back", np.arange(1, 10**5), 3).sum() * 3
    assert 3 * len(measured) * (shared.whole("roll_back") + looks) <= 0.01 + 1e-12


# ---------------------------------------------------------------- windows


def surge(look: int, windows: tuple[int, ...], failing: float) -> Evidence:
    """As good as the stable version until the last two looks, at 5 requests a second."""
    latest = []
    for looks in windows:
        bad = min(looks, 2) * 50
        counts = Counts(50 * looks, int(bad * failing) + (50 * looks - bad) // 100)
        latest.append(Window(timedelta(seconds=10 * looks), looks, counts, Counts(950 * looks, 9 * looks)))
    whole = Counts(50 * look, look // 2 + int(100 * failing))
    return evidence(whole, Counts(950 * look, 9 * look), look=look, windows=tuple(latest))


@pytest.mark.parametrize("look", [3, 40, 3000, 60_000])
def test_a_surge_is_seen_within_two_looks_however_late_it_comes(look: int) -> None:
    verdict = judge(surge(look, (1, 6, 30), 1.0), POLICY, NOW)
    assert verdict.kind == VerdictKind.ROLL_BACK
    if look >= 3000:
        assert verdict.why.startswith("Over the last 10 s, the new version fails 100 % of its requests")
        assert measure(verdict, "error_rate").details == {"window": 10.0}


def test_a_slow_hour_is_seen_in_its_window() -> None:
    slow = Window(
        timedelta(minutes=5),
        30,
        Counts(1500, 15, latencies(1500, 0.25)),
        Counts(28_500, 285, latencies(28_500, 0.1)),
    )
    late = evidence(HEALTHY, STABLE, look=3000, windows=(slow,))
    row = judged("latency_p95", late, ROLLING_BACK)
    assert row.state == BREACHED
    assert row.why.startswith("Over the last 5 min")
    assert row.details == {"window": 300.0}


def test_a_window_clears_nobody() -> None:
    good = Window(timedelta(minutes=5), 30, Counts(10**6, 10_000), Counts(10**7, 100_000))
    assert judged("error_rate", evidence(Counts(50, 1), Counts(950, 9), windows=(good,))).state == UNDECIDED


# ---------------------------------------------------------------- latency


@pytest.mark.parametrize(
    ("requests", "p95", "state"),
    [(20_000, 0.1, CLEAR), (20_000, 0.07, CLEAR), (60, 0.1, UNDECIDED), (5000, 0.15, BREACHED), (400, 0.2, BREACHED)],
)
@pytest.mark.parametrize("policy", [POLICY, ROLLING_BACK])
def test_the_increase_of_latency(requests: int, p95: float, state: MeasureState, policy: Policy) -> None:
    counts = Counts(requests, requests // 100, latencies(requests, p95))
    stable = Counts(19 * requests, 19 * requests // 100, latencies(19 * requests, 0.1))
    verdict = judge(evidence(counts, stable), policy, NOW)
    row = measure(verdict, "latency_p95")
    assert (row.state, row.limit, row.unit) == (state, 20.0, "%")
    assert row.estimate == pytest.approx(100 * (p95 / 0.1 - 1), abs=8)
    if state == BREACHED:
        rolls_back = policy is ROLLING_BACK
        assert verdict.kind == (VerdictKind.ROLL_BACK if rolls_back else VerdictKind.HOLD)


def test_buckets_that_are_too_coarse_say_so() -> None:
    sides = (Counts(10**5, 0, latencies(10**5, 0.1, WIDE_EDGES)), Counts(10**6, 0, latencies(10**6, 0.1, WIDE_EDGES)))
    row = judged("latency_p95", evidence(*sides))
    assert row.state == UNDECIDED
    assert row.details == {"coarse": True}
    assert "buckets that are 100 % apart here" in row.why


def test_a_new_version_without_latencies_is_undecided_and_a_stable_one_unmeasured() -> None:
    assert judged("latency_p95", evidence(replace(HEALTHY, latency=None), STABLE)).state == UNDECIDED
    assert judged("latency_p95", evidence(HEALTHY, replace(STABLE, latency=None))).state == UNMEASURED


def test_beyond_the_last_bucket_there_is_no_upper_bound() -> None:
    row = judged("latency_p95", evidence(replace(HEALTHY, latency=latencies(20_000, 50.0)), STABLE))
    assert row.state == BREACHED
    assert row.high is None


@pytest.mark.parametrize(("p95", "state"), [(1.5, CLEAR), (1.95, UNDECIDED), (2.6, BREACHED)])
def test_the_latency_of_staging(p95: float, state: MeasureState) -> None:
    counts = Counts(2000, 20, latencies(2000, p95))
    alike = Counts(18_000, 180, latencies(18_000, p95))
    verdict = judge(evidence(counts, alike, trial=Trial.STAGING, weight=10), POLICY, NOW)
    row = measure(verdict, "latency_p95_absolute")
    assert (row.state, row.limit, row.unit, row.on_breach) == (state, 2.0, "s", "roll_back")
    assert (verdict.kind == VerdictKind.ROLL_BACK) == (state == BREACHED)
    assert judged("latency_p95_absolute", evidence(counts, alike)).state == UNMEASURED


# ---------------------------------------------------------------- drift

REFERENCE = {"age": {"edges": [1.0, 2.0], "counts": [50, 30, 20]}, "town": {"categories": ["a", "b"], "counts": [9, 1]}}


def asked(requests: int, age: tuple[float, ...], **town: float) -> Counts:
    features = {
        "age": Distribution(tuple(requests * each for each in age), edges=(1.0, 2.0)),
        "town": classes(requests, **town),
    }
    return replace(HEALTHY, features=features)


@pytest.mark.parametrize(
    ("counts", "state", "first"),
    [
        (asked(2000, (0.5, 0.3, 0.2), a=0.9, b=0.1), CLEAR, "town"),
        (asked(20, (0.5, 0.3, 0.2), a=0.9, b=0.1), UNDECIDED, "town"),
        (asked(2000, (0.05, 0.05, 0.9), a=0.9, b=0.1), BREACHED, "age"),
        (asked(2000, (0.5, 0.3, 0.2), c=1.0), BREACHED, "town"),
    ],
)
def test_drift(counts: Counts, state: MeasureState, first: str) -> None:
    verdict = judge(evidence(counts, STABLE, reference=REFERENCE), POLICY, NOW)
    row = measure(verdict, "drift")
    assert (row.state, row.limit, row.on_breach) == (state, 0.3, "hold")
    if state == BREACHED:
        assert verdict.kind == VerdictKind.HOLD
        assert f"“{first}”" in verdict.why
        assert row.details["features"][0]["name"] == first


def test_drift_needs_a_reference_in_the_same_bins() -> None:
    counts = asked(2000, (0.5, 0.3, 0.2), a=0.9, b=0.1)
    assert judged("drift", evidence(counts, STABLE)).state == UNMEASURED
    other = {"age": {"edges": [7.0], "counts": [1, 1]}}
    row = judged("drift", evidence(counts, STABLE, reference=other))
    assert row.state == UNMEASURED
    assert row.why == "“age” was counted in other bins than its training reference."


# ---------------------------------------------------------------- predictions


@pytest.mark.parametrize(
    ("canary", "stable", "state"),
    [
        (classes(2000, a=0.5, b=0.5), classes(38_000, a=0.5, b=0.5), CLEAR),
        (classes(30, a=0.5, b=0.5), classes(570, a=0.5, b=0.5), UNDECIDED),
        (classes(2000, a=0.2, b=0.8), classes(38_000, b=0.5, a=0.5), BREACHED),
        (classes(2000, c=1.0), classes(38_000, a=0.5, b=0.5), BREACHED),
        (bins(0.4, 0.3, 0.3, of=2000), bins(0.4, 0.3, 0.3, of=38_000), CLEAR),
        (bins(0.4, 0.6, of=2000), bins(0.4, 0.3, 0.3, of=38_000), UNMEASURED),
        (bins(0.4, 0.6, of=2000), None, UNMEASURED),
        (None, bins(0.4, 0.6, of=2000), UNMEASURED),
    ],
)
def test_prediction_psi(canary: Distribution | None, stable: Distribution | None, state: MeasureState) -> None:
    sides = replace(HEALTHY, prediction=canary), replace(STABLE, prediction=stable)
    row = judged("prediction_psi", evidence(*sides))
    assert (row.state, row.limit, row.on_breach) == (state, 0.2, "hold")
    if state != UNMEASURED:
        assert sum(row.details["canary"]) == pytest.approx(1)
        assert len(row.details["canary"]) == len(row.details["stable"])


# ---------------------------------------------------------------- business


def moments(count: float, mean: float, deviation: float = 1.0) -> Moments:
    return Moments(count, count * mean, count * (mean**2 + deviation**2))


@pytest.mark.parametrize(
    ("canary", "stable", "state"),
    [
        (moments(100_000, 10), moments(100_000, 10), CLEAR),
        (moments(100_000, 12), moments(100_000, 10), BREACHED),
        (moments(100_000, 8), moments(100_000, 10), BREACHED),
        (moments(100_000, -12), moments(100_000, -10), BREACHED),
        (moments(100_000, -10), moments(100_000, -10), CLEAR),
        (moments(60, 10), moments(100, 10), UNDECIDED),
        (moments(20, 12, 0), moments(100, 10, 0), UNDECIDED),
        (moments(100_000, 0.1), moments(100_000, 0), UNDECIDED),
        (moments(100_000, 10), Moments(), UNMEASURED),
        (Moments(), moments(100_000, 10), UNMEASURED),
    ],
)
def test_a_business_metric(canary: Moments, stable: Moments, state: MeasureState) -> None:
    sides = replace(HEALTHY, business={"revenue": canary}), replace(STABLE, business={"revenue": stable})
    verdict = judge(evidence(*sides), POLICY, NOW)
    row = measure(verdict, "business:revenue")
    assert (row.state, row.limit, row.unit, row.on_breach) == (state, 5.0, "%", "hold")
    assert verdict.kind == (VerdictKind.PROCEED if state in (CLEAR, UNMEASURED) else VerdictKind.HOLD)


def test_a_loss_is_told_as_one() -> None:
    sides = (moments(100_000, 8), moments(100_000, 10))
    row = judged("business:revenue", evidence(*(replace(HEALTHY, business={"revenue": each}) for each in sides)))
    assert row.estimate == pytest.approx(-20)
    assert row.high is not None
    assert row.high < -15
    assert "20 % lower" in row.why


# ---------------------------------------------------------------- traffic


@pytest.mark.parametrize(
    ("canary", "changes", "state"),
    [
        (20_000, {}, CLEAR),
        (20_100, {}, CLEAR),
        (19_700, {}, CLEAR),
        (24_000, {}, BREACHED),
        (12_000, {}, BREACHED),
        (24_000, {"sticky": True}, UNMEASURED),
        (24_000, {"weight": 100}, UNMEASURED),
        (24_000, {"weight": 0}, UNMEASURED),
        (24_000, {"trial": Trial.SHADOW}, UNMEASURED),
    ],
)
def test_the_sample_ratio(canary: int, changes: dict[str, Any], state: MeasureState) -> None:
    sides = Counts(canary, 0), Counts(400_000 - canary, 0)
    row = judged("sample_ratio", evidence(*sides, **changes))
    assert (row.state, row.on_breach) == (state, "hold")
    if state == BREACHED:
        assert "its weight is 5 %, and chance alone does not do that" in row.why


@pytest.mark.parametrize(
    ("canary", "changes", "state"),
    [
        (HEALTHY, {}, CLEAR),
        (HEALTHY, {"seen": NOW - timedelta(minutes=3)}, BREACHED),
        (HEALTHY, {"seen": None}, BREACHED),
        (Counts(), {}, BREACHED),
        (Counts(), {"seen": None, "since": NOW - timedelta(seconds=30)}, UNDECIDED),
        (Counts(), {"seen": None, "since": None}, UNDECIDED),
        (HEALTHY, {"windows": (Window(timedelta(minutes=5), 30, Counts(), STABLE),)}, BREACHED),
        (HEALTHY, {"windows": (Window(timedelta(minutes=1), 6, Counts(), STABLE),)}, CLEAR),
    ],
)
def test_no_traffic_is_never_healthy(canary: Counts, changes: dict[str, Any], state: MeasureState) -> None:
    verdict = judge(evidence(canary, STABLE, **changes), POLICY, NOW)
    assert measure(verdict, "traffic").state == state
    if state != CLEAR:
        assert verdict.kind == VerdictKind.HOLD
    if state == BREACHED:
        assert verdict.why == measure(verdict, "traffic").why


# ---------------------------------------------------------------- a shadow


@pytest.mark.parametrize(
    ("answers", "least", "state"),
    [
        ({"same": 2000, "a→b": 20}, 95.0, CLEAR),
        ({"same": 40, "a→b": 1}, 95.0, UNDECIDED),
        ({"same": 1500, "a→b": 500}, 95.0, BREACHED),
        ({"same": 100}, 100.0, CLEAR),
        ({"same": 99, "a→b": 1}, 100.0, BREACHED),
        ({}, 95.0, UNDECIDED),
    ],
)
def test_the_answers_of_a_shadow(answers: dict[str, int], least: float, state: MeasureState) -> None:
    policy = Policy(rollout=Rollout(shadow_agreement=least))
    given = evidence(replace(HEALTHY, answers=answers), STABLE, trial=Trial.SHADOW, weight=0)
    verdict = judge(given, policy, NOW)
    row = measure(verdict, "agreement")
    assert (row.state, row.limit, row.on_breach) == (state, least, "hold")
    assert verdict.kind == (VerdictKind.PROCEED if state == CLEAR else VerdictKind.HOLD)
    if answers:
        assert row.details["answers"][0] == ["same", answers["same"]]
