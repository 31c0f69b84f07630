"""Any policy that can be obeyed, for property tests."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import strategies as st

from lifecycle.domain.criteria import Criterion
from lifecycle.domain.permissions import Role
from lifecycle.domain.policy import (
    Benchmark,
    Benchmarks,
    Checks,
    Comparison,
    Criteria,
    EvidenceRules,
    LoadTest,
    MetricQueries,
    OfflineRegression,
    Policy,
    Retention,
    Rollout,
    ServiceLevels,
    Soak,
    Step,
    WaiverRules,
)
from lifecycle.domain.policy_rules import ASKABLE, BOUNDS, CHECKED
from lifecycle.domain.stages import Stage
from lifecycle.domain.strategies import BreachAction, Gateway, Sticky, Strategy


def listed(values, **sizes) -> st.SearchStrategy:
    return st.lists(values, unique=True, max_size=5, **sizes).map(tuple)


lengths = st.timedeltas(timedelta(0), timedelta(days=36_500))
some_time = st.timedeltas(timedelta(microseconds=1), timedelta(days=36_500))
percents = st.floats(0, 100)
letters = st.characters(codec="utf-8", exclude_categories=["C", "Z"])
# Also what YAML could take for something else than text.
names = st.text(letters, min_size=1, max_size=20) | st.sampled_from(
    ["yes", "null", "1e3", "1:30", "010", "~", "- a", "#"]
)


def step(weight: int) -> st.SearchStrategy:
    asks = st.none() | st.sampled_from([Role.PRODUCT_OWNER, Role.ML_ENGINEER])
    return st.builds(Step, st.just(weight), lengths, st.integers(0, 10**9), asks)


def rising(count: int) -> st.SearchStrategy:
    weights = st.lists(st.integers(1, 99), unique=True, max_size=count).map(sorted)
    return weights.flatmap(lambda each: st.tuples(*(step(weight) for weight in [*each, 100])))


def benchmarks(bound: str) -> st.SearchStrategy:
    value = names if bound.endswith("metric") else st.floats(allow_nan=False, allow_infinity=False)
    return st.builds(Benchmark, metrics=listed(names, min_size=1), **{bound: value})


bounded = st.sampled_from(BOUNDS).flatmap(benchmarks)
approvals = st.lists(st.sampled_from([Role.PRODUCT_OWNER, Role.ML_ENGINEER]), max_size=3).map(tuple)

policies = st.builds(
    Policy,
    criteria=st.builds(
        Criteria,
        to_staging=listed(st.sampled_from(ASKABLE[Stage.STAGING])),
        to_production=listed(st.sampled_from(ASKABLE[Stage.PRODUCTION])),
        to_archived=listed(st.sampled_from(ASKABLE[Stage.ARCHIVED])),
    ),
    benchmarks=st.builds(Benchmarks, bounded, bounded),
    service_levels=st.lists(some_time, min_size=3, max_size=3)
    .map(sorted)
    .flatmap(
        lambda each: st.builds(ServiceLevels, *map(st.just, each), st.floats(0, 1e6), st.floats(1e-6, 100), percents)
    ),
    soak=st.builds(Soak, lengths, st.integers(0, 10**9)),
    offline_regression=st.builds(OfflineRegression, percents, listed(names)),
    comparison=st.builds(
        Comparison,
        error_rate_increase=percents,
        latency_p95_increase=st.floats(0, 1e4),
        drift=st.floats(0, 10),
        staging_latency_p95=some_time,
        on_latency=st.sampled_from(BreachAction),
        confidence=st.floats(80, 99.99),
    ),
    rollout=st.builds(
        Rollout,
        strategy=st.sampled_from(Strategy),
        shadow_duration=some_time,
        shadow_requests=st.integers(0, 10**9),
        shadow_agreement=percents,
        shadow_tolerance=st.sampled_from([0.0, 0.1, 1.0, 5.0, 20.0]),
        patience=some_time,
        grace=some_time,
        sticky=st.sampled_from(Sticky),
        sticky_name=st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,20}", fullmatch=True),
    ),
    metrics=st.builds(
        MetricQueries,
        gateway=st.sampled_from(Gateway),
        requests=st.text(letters, max_size=40).map(lambda text: text and f'{text}{{version="{{version}}"}}'),
    ),
    evidence=st.builds(EvidenceRules, some_time, listed(names)),
    waivers=st.builds(
        WaiverRules,
        listed(st.sampled_from([Role.PRODUCT_OWNER, Role.ML_ENGINEER, Role.ADMINISTRATOR])),
        some_time,
        listed(st.sampled_from(Criterion)),
    ),
    checks=st.builds(
        Checks,
        in_development=listed(st.sampled_from(CHECKED)),
        in_staging=listed(st.sampled_from(CHECKED)),
        load_test=st.builds(
            LoadTest,
            st.integers(1, 500),
            st.timedeltas(timedelta(0), timedelta(minutes=1)),
            st.timedeltas(timedelta(microseconds=1), timedelta(minutes=2)),
        ),
        malformed_inputs=st.integers(1, 5000),
    ),
    retention=st.builds(Retention, lengths, lengths, lengths, lengths),
    canary_steps=rising(6),
    staging_weight=st.integers(0, 50),
    approvals_to_staging=approvals,
    approvals_to_production=approvals,
    start_limit=some_time,
    warm_window=lengths,
    shortened=st.booleans(),
)
