from datetime import timedelta

import pytest

from lifecycle.domain.plan import Plan, Progress, needed, registry_goal, rollback_target, split, steps_of_change
from lifecycle.domain.policy import Policy, Step
from lifecycle.domain.stages import Stage

STEPS = tuple(Step(weight, timedelta(seconds=1)) for weight in (5, 25, 50, 100))
CANARY = Plan(version=2, from_stage=Stage.STAGING, to_stage=Stage.PRODUCTION, stable=1, steps=STEPS)
BACK = Plan(version=2, from_stage=Stage.STAGING, to_stage=Stage.PRODUCTION, stable=1, steps=STEPS, turned_back=True)
ROLLBACK = Plan(version=2, from_stage=Stage.PRODUCTION, to_stage=Stage.ARCHIVED, stable=2, rollback_to=1)


@pytest.mark.parametrize(
    ("step", "weights"), [(0, {1: 95, 2: 5}), (1, {1: 75, 2: 25}), (2, {1: 50, 2: 50}), (3, {2: 100})]
)
def test_a_canary_takes_its_share_step_by_step(step, weights):
    assert split(CANARY, Progress(step=step)) == weights


@pytest.mark.parametrize("plan", [BACK, ROLLBACK])
def test_going_back_is_all_requests_to_the_version_before(plan):
    assert split(plan, Progress(step=2)) == {1: 100}
    assert needed(plan, Progress(step=2)) == (1,)


def test_a_first_promotion_that_is_turned_back_leaves_nobody_serving():
    plan = Plan(version=1, from_stage=Stage.STAGING, to_stage=Stage.PRODUCTION, steps=STEPS[3:], turned_back=True)
    assert split(plan, Progress()) == {}
    assert needed(plan, Progress()) == ()


@pytest.mark.parametrize(
    ("to_stage", "stable", "weights"),
    [
        (Stage.PRODUCTION, 1, [5, 25, 50, 100]),
        (Stage.PRODUCTION, None, [100]),
        (Stage.STAGING, 1, [10]),
        (Stage.STAGING, None, []),
        (Stage.ARCHIVED, 1, [0]),
        (Stage.ARCHIVED, None, []),
    ],
)
def test_the_steps_of_a_change(to_stage, stable, weights):
    steps = steps_of_change(to_stage, Policy(), stable=stable, version=2)
    assert [step.weight for step in steps] == weights


def test_archiving_what_gets_no_requests_moves_none():
    assert steps_of_change(Stage.ARCHIVED, Policy(), stable=1, version=2, gets_requests=False) == ()


def test_archiving_takes_the_versions_share_away_without_starting_its_server():
    plan = Plan(version=2, from_stage=Stage.STAGING, to_stage=Stage.ARCHIVED, stable=1, steps=(Step(0, timedelta(0)),))
    assert split(plan, Progress()) == {1: 100}
    assert needed(plan, Progress()) == (1,)


def test_staging_needs_a_server_even_when_it_gets_no_requests():
    plan = Plan(version=2, from_stage=Stage.DEVELOPMENT, to_stage=Stage.STAGING)
    assert split(plan, Progress()) is None
    assert needed(plan, Progress()) == (2,)


def test_promotion_moves_stage_and_alias_and_releases_staging():
    goal = registry_goal(CANARY)
    assert goal.stages == {2: Stage.PRODUCTION}
    assert goal.aliases == {"production": 2}
    assert goal.released == {"staging": 2}


def test_rollback_archives_the_bad_version_and_restores_the_previous_one():
    goal = registry_goal(ROLLBACK)
    assert goal.stages == {2: Stage.ARCHIVED, 1: Stage.PRODUCTION}
    assert goal.aliases == {"production": 1}
    assert goal.tags[2]["lifecycle.rolled_back_to"] == "1"


def test_a_graceful_rollback_puts_the_version_back_into_staging():
    goal = registry_goal(Plan(version=2, from_stage=Stage.PRODUCTION, to_stage=Stage.STAGING, stable=2, rollback_to=1))
    assert goal.stages == {2: Stage.STAGING, 1: Stage.PRODUCTION}
    assert goal.aliases == {"staging": 2, "production": 1}


def test_a_turned_back_promotion_restores_both_stages_and_aliases():
    goal = registry_goal(BACK)
    assert goal.stages == {2: Stage.STAGING, 1: Stage.PRODUCTION}
    assert goal.aliases == {"staging": 2, "production": 1}


@pytest.mark.parametrize(
    ("serving", "history", "target"), [(3, [3, 2, 1], 2), (1, [1], None), (2, [3, 2], 3), (None, [1], 1), (1, [], None)]
)
def test_the_target_of_a_rollback_is_the_last_other_version(serving, history, target):
    assert rollback_target(serving, history) == target
