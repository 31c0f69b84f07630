from datetime import timedelta

import pytest

from lifecycle.domain.policy import Policy, PolicyError, Step, dump, load


def test_the_defaults_are_those_of_the_lifecycle_strategy():
    policy = Policy()
    assert [step.weight for step in policy.canary_steps] == [5, 25, 50, 100]
    assert [step.minimum / timedelta(hours=1) for step in policy.canary_steps] == [1, 2, 4, 0]
    assert policy.staging_weight == 10
    assert policy.production_retention == timedelta(days=30)
    assert not policy.shortened


def test_a_policy_survives_json():
    policy = Policy(
        canary_steps=(Step(20, timedelta(seconds=1)), Step(100, timedelta(0))), staging_weight=15, shortened=True
    )
    assert load(dump(policy)) == policy


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({"canary_steps": []}, "last one must be 100"),
        ({"canary_steps": [{"weight": 50, "minimum": 1}]}, "last one must be 100"),
        (
            {
                "canary_steps": [
                    {"weight": 50, "minimum": 1},
                    {"weight": 50, "minimum": 1},
                    {"weight": 100, "minimum": 0},
                ]
            },
            "rise",
        ),
        ({"canary_steps": [{"weight": 0, "minimum": 1}, {"weight": 100, "minimum": 0}]}, "rise"),
        ({"canary_steps": [{"weight": 5, "minimum": -1}, {"weight": 100, "minimum": 0}]}, "negative"),
        ({"staging_weight": 51}, "between 0 and 50"),
        ({"staging_wait": 10}, "no value called 'staging_wait'"),
        ({"canary_steps": [{"weight": 5}]}, "not a policy"),
    ],
)
def test_a_policy_that_cannot_be_obeyed_is_refused(body, complaint):
    with pytest.raises(PolicyError, match=complaint):
        load(body)
