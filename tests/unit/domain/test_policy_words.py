from dataclasses import fields, is_dataclass, replace
from datetime import timedelta

import pytest
from hypothesis import given, settings

from lifecycle.domain.policy import Benchmark, Policy, Step, load
from lifecycle.domain.policy_words import PARTS, changes, sections
from tests.support.policies import policies

HOUR = timedelta(hours=1)


def change(body):
    [only] = changes(Policy(), load(body))
    return only


def leaves(value, path=""):
    """The paths of all values; a benchmark and the steps are said as one."""
    for each in fields(value):
        inner, name = getattr(value, each.name), f"{path}{each.name}"
        if is_dataclass(inner) and not isinstance(inner, Benchmark):
            yield from leaves(inner, f"{name}.")
        else:
            yield name


def test_every_value_of_a_policy_is_told_once():
    told = [entry.path for part in PARTS for entry in part.entries]
    assert sorted(told) == sorted(leaves(Policy()))


def test_labels_tell_values_apart():
    for section in sections(Policy()):
        labels = [row.label for row in section.rows]
        assert len(set(labels)) == len(labels)


def test_the_strategys_own_policy_differs_in_nothing():
    assert not any(row.differs for section in sections(Policy()) for row in section.rows)


def test_a_value_that_differs_is_marked_with_the_strategys():
    rows = {row.label: row for section in sections(load({"retention": {"archived": "30m"}})) for row in section.rows}
    row = rows["In Archived, before it is deleted"]
    assert (row.value, row.strategy, row.differs) == ("30 minutes", "90 days", True)
    assert sum(row.differs for row in rows.values()) == 1


@pytest.mark.parametrize(
    ("body", "label", "before", "after"),
    [
        ({"soak": {"requests": 2500}}, "Answered, at least", "1,000 requests", "2,500 requests"),
        ({"staging_weight": 15}, "Share of a version in Staging", "10 %", "15 %"),
        ({"comparison": {"error_rate_increase": 1.5}}, "More errors than the stable version by", "2", "1.5 percentage"),
        ({"service_levels": {"failed_predictions": 0.10001}}, "Failed predictions, less than", "0.1 %", "0.10001 %"),
        ({"service_levels": {"latency_p50": "250ms"}}, "Half of the answers within (p50)", "500 ms", "250 ms"),
        (
            {"canary_steps": [{"weight": 100, "minimum": 0}]},
            "Steps of a canary",
            "5 % for 1 hour and 500 requests, 25 % for 2 hours and 500 requests, "
            "50 % for 4 hours and 500 requests, then 100 %",
            "100 % at once",
        ),
        (
            {"canary_steps": [{"weight": 5, "minimum": "1h", "asks": "product_owner"}, {"weight": 100, "minimum": 0}]},
            "Steps of a canary",
            "5 % for 1 hour and 500 requests, 25 % for 2 hours and 500 requests, "
            "50 % for 4 hours and 500 requests, then 100 %",
            "5 % for 1 hour, until a product owner lets it go on, then 100 %",
        ),
        (
            {"benchmarks": {"classification": {"metrics": ["auc"], "at_least_metric": "old_auc"}}},
            "Classifiers",
            "f1, f1_score, f1_macro or f1_weighted at least 0.85",
            "auc at least the run's own old_auc",
        ),
        ({"shortened": True}, "Durations are shortened, as in a demo", "no", "yes"),
    ],
)
def test_a_change_is_told_in_words_with_units(body, label, before, after):
    told = change(body)
    assert told.label == label
    assert told.before.startswith(before)
    assert told.after.startswith(after)
    assert str(told) == f"{told.section}, {told.label}: {told.before} → {told.after}"


def test_a_change_of_a_list_says_what_came_and_went():
    told = change({"approvals_to_archived": ["product_owner"]})
    assert (told.added, told.removed) == (("product owner",), ("ML engineer",))
    told = change({"approvals_to_staging": ["ml_engineer", "ml_engineer"]})
    assert (told.added, told.removed, told.after) == ((), (), "ML engineer, ML engineer")
    assert change({"evidence": {"required_tags": []}}).after == "none"


def test_steps_that_last_at_100_percent_say_so():
    policy = replace(Policy(), canary_steps=(Step(50, HOUR), Step(100, HOUR)))
    assert changes(Policy(), policy)[0].after == "50 % for 1 hour, then 100 % for 1 hour"


@settings(max_examples=50)
@given(policies, policies)
def test_two_policies_differ_exactly_in_what_is_told(old, new):
    told = changes(old, new)
    assert bool(told) == (old != new)
    assert changes(old, old) == ()
    assert [(each.label, each.before, each.after) for each in told] == [
        (each.label, each.after, each.before) for each in changes(new, old)
    ]
