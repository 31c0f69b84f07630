"""Criteria that are read from the registry: benchmarks, tags, semantic version, signature, offline regression."""

from datetime import UTC, datetime
from math import inf, nan

import pytest

from lifecycle.domain.criteria import Criterion
from lifecycle.domain.gates import Facts, State, gate
from lifecycle.domain.judgements.directions import Direction, direction_of
from lifecycle.domain.policy import Benchmark, Benchmarks, EvidenceRules, OfflineRegression, Policy
from lifecycle.domain.stages import Stage
from tests.support.facts import SIGNATURE, TAGS, finding, version

# ---------------------------------------------------------------- benchmarks


def benchmarks(metrics, policy=None, **tags):
    return finding(Criterion.BENCHMARKS, policy=policy, version=version(metrics=metrics, tags=tags))


@pytest.mark.parametrize(
    ("f1", "state"),
    [(0.8499, State.FAILED), (0.85, State.PASSED), (0.8501, State.PASSED), (nan, State.FAILED), (inf, State.FAILED)],
)
def test_a_classifiers_f1(f1, state):
    found = benchmarks({"f1": f1})
    assert found.state == state
    assert found.wanted == "f1 at least 0.85"


@pytest.mark.parametrize(
    ("rmse", "baseline", "state"),
    [
        (54.9, 55.0, State.PASSED),
        (55.0, 55.0, State.PASSED),
        (55.0001, 55.0, State.FAILED),
        (nan, 55.0, State.FAILED),
        (55.0, nan, State.FAILED),
        (55.0, inf, State.FAILED),
    ],
)
def test_a_regressions_rmse_beside_its_baseline(rmse, baseline, state):
    assert benchmarks({"rmse": rmse, "baseline_rmse": baseline}).state == state


def test_a_baseline_that_was_not_logged_fails_and_is_named():
    found = benchmarks({"rmse": 50.0})
    assert found.state == State.FAILED
    assert "baseline_rmse" in found.why


def test_without_a_known_metric_the_benchmarks_are_missing_and_say_what_to_log():
    found = benchmarks({"speed": 3.0})
    assert found.state == State.MISSING
    assert "Log f1 or rmse" in found.why
    assert "Log rmse" in benchmarks({"f1": 0.9}, task="regression").why


def test_the_first_metric_of_the_policys_that_was_recorded_counts():
    assert benchmarks({"f1_weighted": 0.95, "f1_macro": 0.8}).state == State.FAILED
    assert benchmarks({"f1": 0.9, "f1_macro": 0.8}).state == State.PASSED


@pytest.mark.parametrize(
    ("metrics", "state"),
    [
        ({"f1": 0.9, "rmse": 1.0, "baseline_rmse": 2.0}, State.PASSED),
        ({"f1": 0.9, "rmse": 3.0, "baseline_rmse": 2.0}, State.FAILED),
        ({"f1": 0.8, "rmse": 1.0, "baseline_rmse": 2.0}, State.FAILED),
    ],
)
def test_with_the_metrics_of_both_tasks_both_have_to_hold(metrics, state):
    assert benchmarks(metrics).state == state


def test_the_tag_task_decides():
    both = {"f1": 0.5, "rmse": 1.0, "baseline_rmse": 2.0}
    assert benchmarks(both, task="regression").state == State.PASSED
    assert benchmarks(both, task=" Classification ").state == State.FAILED
    found = benchmarks(both, task="clustering")
    assert (found.state, "clustering" in found.why) == (State.MISSING, True)


@pytest.mark.parametrize(("value", "state"), [(0.2, State.PASSED), (0.2001, State.FAILED)])
def test_a_domain_specific_metric_with_an_upper_bound(value, state):
    mine = Policy(benchmarks=Benchmarks(classification=Benchmark(metrics=("log_loss",), at_most=0.2)))
    assert benchmarks({"log_loss": value}, mine).state == state


def test_a_figure_never_looks_like_the_threshold_that_it_misses():
    assert benchmarks({"f1": 0.84999999}).measures[0].measured == "0.84999999"


# ---------------------------------------------------------------- tags


def tags(**changed):
    values = {name: value for name, value in {**TAGS, **changed}.items() if value is not None}
    return finding(Criterion.REQUIRED_TAGS, version=version(tags=values))


def test_the_seven_tags_have_one_measure_each():
    found = tags()
    assert (found.state, found.measured) == (State.PASSED, "7 of 7")
    assert [each.name for each in found.measures] == list(Policy().evidence.required_tags)


@pytest.mark.parametrize("name", list(TAGS))
@pytest.mark.parametrize("value", [None, "", "   "])
def test_a_tag_that_is_absent_or_blank_is_missing(name, value):
    found = tags(**{name: value})
    assert (found.state, found.measured) == (State.MISSING, "6 of 7")
    assert name in found.why


@pytest.mark.parametrize(
    ("name", "value", "state"),
    [
        ("training_date", "2026-03-01", State.PASSED),
        ("training_date", "2026-03-02", State.FAILED),
        ("training_date", "2026-02-30", State.FAILED),
        ("training_date", "1.2.2026", State.FAILED),
        ("trainer_email", "a@b.co", State.PASSED),
        ("trainer_email", "somebody", State.FAILED),
        ("trainer_email", "two people@b.co", State.FAILED),
        ("trainer_email", "a@b..co", State.FAILED),
        ("schema_version", "10.0.12", State.PASSED),
        ("schema_version", "1.0", State.FAILED),
        ("schema_version", "v1.0.0", State.FAILED),
        ("schema_version", "01.0.0", State.FAILED),
        ("framework", "anything", State.PASSED),
    ],
)
def test_tags_with_a_form(name, value, state):
    assert tags(**{name: value}).state == state


@pytest.mark.parametrize(("hour", "state"), [(9, State.FAILED), (10, State.PASSED)])
def test_a_date_is_in_the_future_only_when_it_is_so_everywhere(hour, state):
    now = datetime(2026, 3, 1, hour, tzinfo=UTC)
    facts = Facts(version(tags={**TAGS, "training_date": "2026-03-02"}))
    found = {each.criterion: each for each in gate(Stage.STAGING, Policy(), facts, now).findings}
    assert found[Criterion.REQUIRED_TAGS].state == state


def test_the_policy_names_the_tags():
    mine = Policy(evidence=EvidenceRules(required_tags=("owner",)))
    assert finding(Criterion.REQUIRED_TAGS, policy=mine).state == State.MISSING
    assert finding(Criterion.REQUIRED_TAGS, policy=mine, version=version(tags={"owner": "Mia"})).state == State.PASSED


# ---------------------------------------------------------------- semantic version and signature


def test_the_verdict_on_the_number_is_the_finding():
    base = version(1, semantic_version="1.0.0")
    wider = {
        **SIGNATURE,
        "inputs": [*SIGNATURE["inputs"], {"name": "sepal_width", "type": "double", "required": False}],
    }

    def of(number, signature=wider):
        mine = version(2, semantic_version=number, signature=signature)
        return finding(Criterion.SEMANTIC_VERSION, version=mine, others=(base,))

    assert (of("1.1.0").state, of("1.1.0").measured) == (State.PASSED, "1.1.0 after 1.0.0")
    low = of("1.0.1")
    assert low.state == State.FAILED
    assert [(each.name, each.passed) for each in low.measures] == [("input sepal_width", False)]
    assert (of("").state, of("1.0.0").state, of("0.9.0").state) == (State.MISSING, State.FAILED, State.FAILED)


def test_the_signature_has_to_be_readable():
    assert finding(Criterion.SIGNATURE).state == State.PASSED
    missing = finding(Criterion.SIGNATURE, version=version(signature=None))
    assert (missing.state, "signature" in missing.why) == (State.MISSING, True)
    assert finding(Criterion.SIGNATURE, version=version(signature={"inputs": 3})).state == State.FAILED


# ---------------------------------------------------------------- offline regression


def regression(mine, theirs, **rules):
    return finding(
        Criterion.OFFLINE_REGRESSION,
        policy=Policy(offline_regression=OfflineRegression(**rules)),
        version=version(metrics=mine),
        production=version(1, semantic_version="1.0.0", metrics=theirs),
    )


@pytest.mark.parametrize(
    ("name", "mine", "theirs", "tolerance", "state"),
    [
        ("f1", 0.90, 0.90, 0, State.PASSED),
        ("f1", 0.8999, 0.90, 0, State.FAILED),
        ("f1", 0.9001, 0.90, 0, State.PASSED),
        ("f1", 0.81, 0.90, 10, State.PASSED),
        ("f1", 0.8099, 0.90, 10, State.FAILED),
        ("rmse", 50.0, 50.0, 0, State.PASSED),
        ("rmse", 50.01, 50.0, 0, State.FAILED),
        ("rmse", 49.99, 50.0, 0, State.PASSED),
        ("rmse", 55.0, 50.0, 10, State.PASSED),
        ("rmse", 55.01, 50.0, 10, State.FAILED),
        ("r2", -0.22, -0.20, 10, State.PASSED),
        ("r2", -0.2201, -0.20, 10, State.FAILED),
        ("f1", nan, 0.5, 0, State.FAILED),
        ("rmse", inf, 50.0, 0, State.FAILED),
    ],
)
def test_no_metric_is_worse_than_productions(name, mine, theirs, tolerance, state):
    assert regression({name: mine}, {name: theirs}, tolerance=tolerance).state == state


def test_each_metric_has_its_figures_and_the_worse_ones_are_named():
    found = regression({"f1": 0.8, "accuracy": 0.9, "speed": 1.0}, {"f1": 0.9, "accuracy": 0.9, "speed": 2.0})
    assert found.state == State.FAILED
    assert found.measured == "worse than 1.0.0 in f1"
    assert [(each.name, each.passed) for each in found.measures] == [("accuracy", True), ("f1", False), ("speed", True)]
    assert "not compared" in found.measures[2].wanted


@pytest.mark.parametrize("theirs", [{}, {"speed": 1.0}, {"rmse": 1.0}, {"f1": nan}])
def test_without_a_common_metric_of_known_direction_it_is_missing(theirs):
    found = regression({"f1": 0.9, "speed": 1.0}, theirs)
    assert (found.state, "Log the same metrics" in found.why) == (State.MISSING, True)


def test_while_nothing_serves_there_is_nothing_to_be_worse_than():
    assert finding(Criterion.OFFLINE_REGRESSION, production=None).state == State.PASSED


def test_the_policy_turns_directions_around_adds_and_leaves_out():
    assert regression({"speed": 1.0}, {"speed": 2.0}, higher_is_better=("speed",)).state == State.FAILED
    assert regression({"speed": 1.0}, {"speed": 2.0}, lower_is_better=("Speed",)).state == State.PASSED
    assert regression({"f1": 0.1}, {"f1": 0.9}, lower_is_better=("f1",)).state == State.PASSED
    left_out = regression({"f1": 0.1, "auc": 0.9}, {"f1": 0.9, "auc": 0.9}, ignored=("f1",))
    assert left_out.state == State.PASSED


def test_only_so_many_metrics_that_are_not_compared_are_shown():
    many = {f"figure_{number}": 1.0 for number in range(500)}
    assert len(regression({"f1": 0.9, **many}, {"f1": 0.9, **many}).measures) < 40


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("accuracy", Direction.HIGHER),
        ("f1", Direction.HIGHER),
        ("f1_macro", Direction.HIGHER),
        ("test_f1_weighted", Direction.HIGHER),
        ("Val-F1-Score", Direction.HIGHER),
        ("eval/roc_auc", Direction.HIGHER),
        ("precision_recall_auc", Direction.UNKNOWN),
        ("average_precision_score", Direction.HIGHER),
        ("mean_accuracy", Direction.HIGHER),
        ("r2_score", Direction.HIGHER),
        ("rmse", Direction.LOWER),
        ("val_log_loss", Direction.LOWER),
        ("test_mean_absolute_error", Direction.LOWER),
        ("brier_score", Direction.LOWER),
        ("train_f1", Direction.UNKNOWN),
        ("baseline_rmse", Direction.UNKNOWN),
        ("duration", Direction.UNKNOWN),
        ("", Direction.UNKNOWN),
    ],
)
def test_which_way_a_metric_is_better(name, direction):
    assert direction_of(name, OfflineRegression()) == direction
