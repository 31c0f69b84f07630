from dataclasses import fields, replace
from datetime import timedelta
from functools import reduce

import pytest
from hypothesis import given, settings

from lifecycle.domain.criteria import TO_ARCHIVED, TO_PRODUCTION, TO_STAGING, Criterion
from lifecycle.domain.permissions import Role
from lifecycle.domain.policy import (
    Benchmark,
    Benchmarks,
    LoadTest,
    Policy,
    PolicyError,
    ServiceLevels,
    Step,
    dump,
    load,
)
from lifecycle.domain.policy_rules import ASKABLE
from lifecycle.domain.stages import Stage
from tests.support.policies import policies

HOUR = timedelta(hours=1)


def body_with(path, value):
    """A body with one value, given by its path: ("retention.archived", "90d")."""
    return reduce(lambda inner, name: {name: inner}, reversed(path.split(".")), value)


def problems_of(body):
    with pytest.raises(PolicyError) as caught:
        load(body)
    return [(problem.where, problem.message) for problem in caught.value.problems]


def step(weight, minimum="1h"):
    return {"weight": weight, "minimum": minimum, "requests": 0}


def test_the_defaults_are_those_of_the_lifecycle_strategy():
    policy = Policy()
    assert [each.weight for each in policy.canary_steps] == [5, 25, 50, 100]
    assert [each.minimum / HOUR for each in policy.canary_steps] == [1, 2, 4, 0]
    assert policy.staging_weight == 10
    assert policy.soak.duration == 24 * HOUR
    assert (policy.retention.production.days, policy.retention.staging.days, policy.retention.archived.days) == (
        30,
        7,
        90,
    )
    levels = policy.service_levels
    assert [each.total_seconds() for each in (levels.latency_p50, levels.latency_p95, levels.latency_p99)] == [
        0.5,
        1,
        2,
    ]
    assert (levels.throughput, levels.failed_predictions, levels.malformed_rejected) == (100, 0.1, 100)
    assert policy.benchmarks.classification.at_least == 0.85
    assert policy.benchmarks.regression.at_most_metric == "baseline_rmse"
    assert len(policy.evidence.required_tags) == 7
    assert not policy.shortened


def test_the_defaults_obey_their_own_rules():
    assert load({}) == load(dump(Policy())) == Policy()


@settings(max_examples=50)
@given(policies)
def test_a_policy_survives_json(policy):
    assert load(dump(policy)) == policy


def test_lengths_of_time_are_kept_as_people_write_them():
    body = dump(Policy(canary_steps=(Step(5, timedelta(seconds=2.5)), Step(100, timedelta(0)))))
    assert (body["soak"]["duration"], body["retention"]["archived"]) == ("24h", "90d")
    assert body["canary_steps"] == [step(5, "2.5s"), step(100, "0s")]


@pytest.mark.parametrize("written", [3600, 3600.0, "1h", "60m", "3600s", "PT1H"])
def test_a_length_of_time_can_be_written_in_many_ways(written):
    assert load({"warm_window": written}).warm_window == HOUR


# ---------------------------------------------------------------- every range: at, just below, just above

PERCENTS = [
    "service_levels.malformed_rejected",
    "offline_regression.tolerance",
    "comparison.error_rate_increase",
    "comparison.staging_error_rate",
    "comparison.production_error_rate",
]
NUMBERS = [
    *((path, 0, 100, 0.001) for path in PERCENTS),
    ("service_levels.throughput", 0, 1_000_000, 0.5),
    ("comparison.latency_p95_increase", 0, 10_000, 0.5),
    ("comparison.business_metric_change", 0, 10_000, 0.5),
    ("comparison.drift", 0, 10, 0.001),
    ("comparison.prediction_psi", 0, 10, 0.001),
    ("soak.requests", 0, 1_000_000_000, 1),
    ("staging_weight", 0, 50, 1),
    ("checks.load_test.users", 1, 500, 1),
    ("checks.malformed_inputs", 1, 5_000, 1),
]


@pytest.mark.parametrize(("path", "low", "high", "bit"), NUMBERS)
def test_a_number_has_a_range(path, low, high, bit):
    for value in (low, high):
        load(body_with(path, value))
    for value in (low - bit, high + bit):
        [(where, message)] = problems_of(body_with(path, value))
        assert where == path
        assert message.startswith(f"{value} is out of range: it has to be from {low:g} to {high:g}")


@pytest.mark.parametrize(("value", "wrong"), [(0.0001, False), (100, False), (0, True), (100.1, True), (-0.1, True)])
def test_less_than_no_failure_at_all_cannot_be_asked(value, wrong):
    body = body_with("service_levels.failed_predictions", value)
    assert [where for where, _ in problems_of(body)] == ["service_levels.failed_predictions"] if wrong else load(body)


LENGTHS = [
    "soak.duration",
    "warm_window",
    "checks.load_test.ramp",
    "retention.production",
    "retention.staging",
    "retention.archived",
    "retention.minimum_age",
]
SOME_TIME = [
    "service_levels.latency_p50",
    "comparison.staging_latency_p95",
    "evidence.longest",
    "waivers.longest",
    "checks.load_test.steady",
    "start_limit",
]


@pytest.mark.parametrize("path", LENGTHS + SOME_TIME)
def test_a_length_of_time_is_never_negative(path):
    load(body_with(path, "1ms"))
    assert problems_of(body_with(path, "-1ms")) == [(path, "-1ms is negative: it has to be 0 seconds or longer.")]


@pytest.mark.parametrize("path", LENGTHS)
def test_some_lengths_may_be_0(path):
    load(body_with(path, 0))


@pytest.mark.parametrize("path", SOME_TIME)
def test_some_lengths_of_0_nobody_could_satisfy(path):
    [(where, message)] = problems_of(body_with(path, 0))
    assert where == path
    assert "longer than 0 seconds" in message


def test_no_length_is_longer_than_dates_can_bear():
    load({"warm_window": "36500d"})
    [(_, message)] = problems_of({"warm_window": "36500d 1s"})
    assert "36500 days or shorter" in message


# ---------------------------------------------------------------- rules about several values


@pytest.mark.parametrize(
    ("weights", "where", "complaint"),
    [
        ([], "canary_steps", "at least one step"),
        ([50], "canary_steps[0].weight", "last step has to be 100 percent, not 50"),
        ([50, 99], "canary_steps[1].weight", "last step"),
        ([0, 100], "canary_steps[0].weight", "from 1 to 100"),
        ([5, 101], "canary_steps[1].weight", "from 1 to 100"),
        ([50, 50, 100], "canary_steps[1].weight", "50 does not rise"),
        ([50, 49, 100], "canary_steps[1].weight", "49 does not rise: the step before it has 50"),
        ([*range(1, 51), 100], "canary_steps", "there may be 50"),
    ],
)
def test_steps_rise_to_100_percent(weights, where, complaint):
    [(found, message)] = problems_of({"canary_steps": [step(weight) for weight in weights]})
    assert found == where
    assert complaint in message


@pytest.mark.parametrize("weights", [[100], [1, 100], [5, 25, 50, 100], [99, 100]])
def test_steps_that_rise_are_taken(weights):
    assert [
        each.weight for each in load({"canary_steps": [step(weight) for weight in weights]}).canary_steps
    ] == weights


@pytest.mark.parametrize(
    ("p50", "p95", "p99", "wrong"),
    [
        ("1s", "1s", "1s", []),
        ("1001ms", "1s", "1s", ["latency_p95"]),
        ("1s", "1s", "999ms", ["latency_p99"]),
        ("3s", "2s", "1s", ["latency_p95", "latency_p99"]),
    ],
)
def test_a_higher_percentile_is_never_faster(p50, p95, p99, wrong):
    body = {"service_levels": {"latency_p50": p50, "latency_p95": p95, "latency_p99": p99}}
    assert (
        [where for where, _ in problems_of(body)] == [f"service_levels.{name}" for name in wrong]
        if wrong
        else load(body)
    )


@pytest.mark.parametrize(
    ("benchmark", "complaint"),
    [
        ({"metrics": ["f1"]}, "there is none"),
        ({"metrics": ["f1"], "at_least": 0, "at_most": 1}, r"there are 2 \(at_least, at_most\)"),
        ({"metrics": ["f1"], "at_least": 0, "at_least_metric": "base"}, "there are 2"),
        ({"metrics": [], "at_least": 0.9}, "at least one entry"),
        ({"at_least": 0.9}, "metrics is missing"),
        ({"metrics": ["f1"], "at_least": float("nan")}, "no number to compare with"),
        ({"metrics": ["f1"], "at_least": float("inf")}, "no number to compare with"),
        ({"metrics": ["f1"], "at_least_metric": ""}, "has to be a name"),
    ],
)
def test_a_benchmark_has_one_bound_and_a_metric(benchmark, complaint):
    with pytest.raises(PolicyError, match=complaint):
        load({"benchmarks": {"classification": benchmark}})


def test_a_benchmark_that_says_all_is_taken():
    benchmark = {"metrics": ["accuracy"], "at_least_metric": "baseline_accuracy"}
    wanted = Benchmark(("accuracy",), at_least_metric="baseline_accuracy")
    assert load({"benchmarks": {"classification": benchmark}}).benchmarks == Benchmarks(classification=wanted)


@pytest.mark.parametrize(("ramp", "steady", "fits"), [("0s", "3m", True), ("1m", "2m", True), ("1m", "2m 1s", False)])
def test_a_load_test_fits_into_a_task(ramp, steady, fits):
    body = {"checks": {"load_test": {"ramp": ramp, "steady": steady}}}
    if fits:
        assert isinstance(load(body).checks.load_test, LoadTest)
    else:
        assert [where for where, _ in problems_of(body)] == ["checks.load_test.steady"]


def test_a_metric_has_one_direction():
    lists = {"higher_is_better": ["a"], "lower_is_better": ["b", "a"], "ignored": ["b"]}
    assert [where for where, _ in problems_of({"offline_regression": lists})] == [
        "offline_regression.lower_is_better[1]",
        "offline_regression.ignored[0]",
    ]


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("evidence.required_tags", ["a", "b", "a"], "in this list already"),
        ("evidence.required_tags", [" a"], "without spaces"),
        ("evidence.required_tags", ["a\0"], "cannot be shown"),
        ("evidence.required_tags", ["a\u202eb"], "cannot be shown"),
        ("evidence.required_tags", ["\ud800"], "cannot be shown"),
        ("evidence.required_tags", ["x" * 251], "longer than 250"),
        ("evidence.required_tags", [str(number) for number in range(201)], "has 201 entries"),
        ("evidence.required_tags", "training_date", "has to be a list"),
        ("evidence.required_tags", [3], "has to be text"),
        ("waivers.never", ["drift", "drift"], "in this list already"),
        ("waivers.roles", ["auditor"], "the roles that may waive are"),
        ("waivers.roles", ["service"], "the roles that may waive are"),
        ("approvals_to_production", ["administrator"], "the roles that may approve are product_owner and ml_engineer"),
        ("approvals_to_production", ["product_ownr"], "no role “product_ownr”. Did you mean product_owner"),
        ("approvals_to_production", ["ml_engineer"] * 11, "11 people"),
        ("checks.in_staging", ["unit_tests"], "the checks of Stagegate are"),
        ("checks.in_staging", ["load_tets"], "Did you mean load_test"),
        ("checks.formats", ["json"], "MLmodel is missing"),
        ("checks.formats", ["MLmodel", "../x"], "not the ending"),
        ("checks.formats", ["MLmodel", ".json"], "not the ending"),
        ("checks.trusted_types", ["os system"], "not the name of a Python type"),
        ("criteria.to_staging", ["unit_tests", "unit_tests"], "in this list already"),
    ],
)
def test_a_list_says_what_cannot_stand_in_it(path, value, complaint):
    [(where, message)] = problems_of(body_with(path, value))
    assert where.startswith(path)
    assert complaint in message


@pytest.mark.parametrize("stage", [Stage.STAGING, Stage.PRODUCTION, Stage.ARCHIVED])
@pytest.mark.parametrize("criterion", Criterion)
def test_a_criterion_can_be_asked_only_where_it_can_be_answered(stage, criterion):
    body = {"criteria": {f"to_{stage.lower()}": [criterion]}}
    if criterion in ASKABLE[stage]:
        assert load(body).criteria.of(stage) == (criterion,)
    else:
        assert "cannot stand here" in problems_of(body)[0][1]


def test_what_can_be_asked_where():
    assert set(TO_STAGING) <= set(ASKABLE[Stage.STAGING])
    assert {*TO_STAGING, *TO_PRODUCTION} == set(ASKABLE[Stage.PRODUCTION])
    assert Criterion.LOAD_TEST in ASKABLE[Stage.STAGING]
    assert not {Criterion.SOAK, Criterion.LIVE_COMPARISON, Criterion.DRIFT} & set(ASKABLE[Stage.STAGING])
    assert set(ASKABLE[Stage.ARCHIVED]) == {*TO_ARCHIVED, Criterion.APPROVALS}


def test_a_role_may_be_asked_for_twice():
    twice = ["ml_engineer", "ml_engineer"]
    assert load({"approvals_to_staging": twice}).approvals(Stage.STAGING) == (Role.ML_ENGINEER,) * 2


# ---------------------------------------------------------------- what is no policy


@pytest.mark.parametrize(
    ("body", "where", "complaint"),
    [
        ({"staging_wieght": 10}, "staging_wieght", "Did you mean staging_weight?"),
        ({"xyz": 10}, "xyz", "There is no value called “xyz” here."),
        ({"retention": {"arcived": 1}}, "retention.arcived", "Did you mean archived?"),
        ({"checks": {"load_test": {"user": 1}}}, "checks.load_test.user", "Did you mean users?"),
        ({"canary_steps": [{"weight": 100, "minimum": 0, "wait": 1}]}, "canary_steps[0].wait", "no value called"),
        ({"canary_steps": [{"weight": 100}]}, "canary_steps[0].minimum", "minimum is missing"),
        ({"canary_steps": [100]}, "canary_steps[0]", "group of values: weight, minimum"),
        ({"canary_steps": {}}, "canary_steps", "has to be a list"),
        ({"soak": None}, "soak", "group of values: duration, requests"),
        ({"soak": {"requests": 1.5}}, "soak.requests", "whole number"),
        ({"soak": {"requests": True}}, "soak.requests", "whole number"),
        ({"staging_weight": "10"}, "staging_weight", "whole number, not “10”"),
        ({"comparison": {"drift": "0.3"}}, "comparison.drift", "a number"),
        ({"comparison": {"drift": float("nan")}}, "comparison.drift", "out of range"),
        ({"comparison": {"drift": 10**400}}, "comparison.drift", "a number"),
        ({"shortened": "no"}, "shortened", "true or false"),
        ({"warm_window": "a day"}, "warm_window", "such as 24h"),
        ([], "", "group of values"),
        (None, "", "group of values"),
        ({1: 2}, "[1]", "no value called"),
    ],
)
def test_what_is_no_value_of_a_policy_is_refused(body, where, complaint):
    [(found, message)] = problems_of(body)
    assert found == where
    assert complaint in message


def test_every_problem_is_told_at_once():
    body = {
        "staging_weight": 51,
        "retention": {"archived": "-1d", "stagin": "7d"},
        "criteria": {"to_staging": ["soak", "unit_test"]},
        "service_levels": {"latency_p50": "3s"},
        "benchmarks": {"regression": {"metrics": ["rmse"]}},
        "sook": {},
    }
    wrong = problems_of(body)
    assert {where for where, _ in wrong} == {
        "staging_weight",
        "retention.archived",
        "retention.stagin",
        "criteria.to_staging[0]",
        "criteria.to_staging[1]",
        "service_levels.latency_p95",
        "benchmarks.regression",
        "sook",
    }
    with pytest.raises(PolicyError, match="And 3 more") as caught:
        load(body)
    assert "criteria.to_staging[0]: soak cannot stand here" in str(caught.value)


def test_what_is_written_by_somebody_is_shown_short_and_visible():
    [(_, message)] = problems_of({"soak": {"requests": "x" * 5000 + "\0"}})
    assert len(message) < 150
    [(_, message)] = problems_of({"soak": {"requests": "a\0b\u202e"}})
    assert "a�b�" in message


def test_values_made_in_code_are_looked_at_when_they_are_loaded():
    wrong = replace(Policy(), service_levels=ServiceLevels(latency_p50=timedelta(seconds=9)))
    assert [where for where, _ in problems_of(dump(wrong))] == ["service_levels.latency_p95"]


def test_every_group_of_the_policy_refuses_unknown_names():
    for each in fields(Policy):
        group = getattr(Policy(), each.name)
        if not isinstance(group, tuple | int | timedelta):
            assert problems_of({each.name: {"no_such_value": 1}})[0][0] == f"{each.name}.no_such_value"
