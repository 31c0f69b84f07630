from dataclasses import replace
from datetime import timedelta

import pytest

from lifecycle.domain.permissions import Role
from lifecycle.domain.plan import (
    DRILL_STEPS,
    Plan,
    PlannedStep,
    Progress,
    RegistryGoal,
    Target,
    dump_step,
    dump_target,
    load_step,
    load_target,
    mirrors,
    needed,
    registry_goal,
    rollback_target,
    split,
    steps_of_change,
)
from lifecycle.domain.policy import Policy, Rollout, Step
from lifecycle.domain.stages import Stage
from lifecycle.domain.strategies import Strategy

STEPS = tuple(PlannedStep(weight, timedelta(seconds=1)) for weight in (5, 25, 50, 100))
CANARY = Plan(version=2, from_stage=Stage.STAGING, to_stage=Stage.PRODUCTION, stable=1, steps=STEPS)
BACK = replace(CANARY, turned_back=True)
ROLLBACK = Plan(
    version=2, from_stage=Stage.PRODUCTION, to_stage=Stage.ARCHIVED, stable=2, rolls_back=True, rollback_to=1
)
STOP = replace(ROLLBACK, rollback_to=None)
WITHDRAWAL = Plan(
    version=2, from_stage=Stage.STAGING, to_stage=Stage.DEVELOPMENT, stable=1, rolls_back=True, rollback_to=1
)
DRILL = Plan(
    version=2,
    from_stage=Stage.PRODUCTION,
    to_stage=Stage.PRODUCTION,
    stable=2,
    rollback_to=1,
    drill=True,
    steps=DRILL_STEPS,
)
SHADOW = replace(CANARY, steps=(PlannedStep(0, mirror=100, judged=True), PlannedStep(100)))
TARGET = Target({3: 100}, {3: Stage.PRODUCTION, 4: Stage.ARCHIVED}, {"production": 3, "staging": None})
RECONCILIATION = Plan(version=3, from_stage=Stage.PRODUCTION, to_stage=Stage.PRODUCTION, stable=3, restores=TARGET)


@pytest.mark.parametrize(
    ("step", "weights"), [(0, {1: 95, 2: 5}), (1, {1: 75, 2: 25}), (2, {1: 50, 2: 50}), (3, {2: 100})]
)
def test_a_canary_takes_its_share_step_by_step(step, weights):
    assert split(CANARY, Progress(step=step)) == weights


@pytest.mark.parametrize("plan", [BACK, ROLLBACK, WITHDRAWAL, replace(SHADOW, turned_back=True)])
def test_going_back_is_all_requests_to_the_version_before(plan):
    assert split(plan, Progress(step=2)) == {1: 100}
    assert needed(plan, Progress(step=2)) == (1,)
    assert mirrors(plan, Progress()) == {}


@pytest.mark.parametrize("plan", [STOP, replace(WITHDRAWAL, stable=None, rollback_to=None)])
def test_when_nobody_comes_back_nobody_serves(plan):
    assert split(plan, Progress()) == {}
    assert needed(plan, Progress()) == ()


def test_a_shadow_gets_copies_and_no_request():
    assert split(SHADOW, Progress()) == {1: 100}
    assert mirrors(SHADOW, Progress()) == {2: 100}
    assert needed(SHADOW, Progress()) == (1, 2)
    assert split(SHADOW, Progress(step=1)) == {2: 100}
    assert mirrors(SHADOW, Progress(step=1)) == {}


def test_a_drill_takes_all_requests_away_and_brings_them_back():
    assert split(DRILL, Progress()) == {1: 100}
    assert needed(DRILL, Progress()) == (1, 2)
    assert split(DRILL, Progress(step=1)) == {2: 100}
    assert split(replace(DRILL, turned_back=True), Progress()) == {2: 100}
    assert registry_goal(DRILL) == RegistryGoal()


def test_a_reconciliation_wants_what_it_was_told():
    assert split(RECONCILIATION, Progress()) == {3: 100}
    assert needed(RECONCILIATION, Progress()) == (3,)
    assert split(replace(RECONCILIATION, restores=replace(TARGET, weights=None)), Progress()) is None
    goal = registry_goal(RECONCILIATION)
    assert goal.stages == TARGET.stages
    assert (goal.aliases, goal.released, goal.vacant) == ({"production": 3}, {}, ("staging",))
    assert goal.tags == {3: {"lifecycle.stage": "Production"}, 4: {"lifecycle.stage": "Archived"}}


@pytest.mark.parametrize("plan", [BACK, ROLLBACK, STOP, WITHDRAWAL, DRILL, RECONCILIATION])
def test_only_a_change_that_goes_ahead_tries_a_version_out(plan):
    assert not plan.tries_out
    assert CANARY.tries_out


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


def test_the_steps_of_a_canary_are_the_policys_and_all_but_the_last_are_judged():
    canary = (Step(5, timedelta(hours=1), 300), Step(50, timedelta(0), 20, Role.PRODUCT_OWNER), Step(100, timedelta(0)))
    steps = steps_of_change(Stage.PRODUCTION, Policy(canary_steps=canary), stable=1, version=2)
    assert steps == (
        PlannedStep(5, timedelta(hours=1), 300, judged=True),
        PlannedStep(50, timedelta(0), 20, judged=True, asks=Role.PRODUCT_OWNER),
        PlannedStep(100),
    )


def test_blue_green_is_one_step():
    steps = steps_of_change(Stage.PRODUCTION, Policy(), stable=1, version=2, strategy=Strategy.BLUE_GREEN)
    assert steps == (PlannedStep(100),)


def test_the_policys_strategy_is_the_one_that_nobody_chose():
    rules = Rollout(strategy=Strategy.SHADOW, shadow_duration=timedelta(minutes=5), shadow_requests=40)
    steps = steps_of_change(Stage.PRODUCTION, Policy(rollout=rules), stable=1, version=2)
    assert steps == (PlannedStep(0, timedelta(minutes=5), 40, mirror=100, judged=True), PlannedStep(100))


@pytest.mark.parametrize("strategy", Strategy)
def test_where_nobody_serves_every_strategy_is_all_at_once(strategy):
    assert steps_of_change(Stage.PRODUCTION, Policy(), stable=None, version=2, strategy=strategy) == (PlannedStep(100),)


@pytest.mark.parametrize("step", [PlannedStep(5), PlannedStep(0, timedelta(hours=1), 7, 100, True, Role.ML_ENGINEER)])
def test_a_step_survives_its_row(step):
    assert load_step(dump_step(step)) == step


def test_a_step_of_before_there_were_verdicts_needs_none():
    assert load_step({"weight": 5, "minimum": 3600}) == PlannedStep(5, timedelta(hours=1))


@pytest.mark.parametrize("target", [TARGET, Target(), Target(weights={})])
def test_a_target_survives_its_row(target):
    assert load_target(dump_target(target)) == target


def test_archiving_what_gets_no_requests_moves_none():
    assert steps_of_change(Stage.ARCHIVED, Policy(), stable=1, version=2, gets_requests=False) == ()


def test_archiving_takes_the_versions_share_away_without_starting_its_server():
    plan = Plan(version=2, from_stage=Stage.STAGING, to_stage=Stage.ARCHIVED, stable=1, steps=(PlannedStep(0),))
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


def test_a_version_that_nobody_replaces_loses_its_alias():
    goal = registry_goal(STOP)
    assert goal.stages == {2: Stage.ARCHIVED}
    assert goal.released == {"staging": 2, "production": 2}
    assert goal.tags == {2: {"lifecycle.stage": "Archived"}}


def test_a_withdrawal_from_staging_leaves_production_alone():
    goal = registry_goal(WITHDRAWAL)
    assert goal.stages == {2: Stage.DEVELOPMENT}
    assert (goal.aliases, goal.released) == ({}, {"staging": 2, "production": 2})


def test_a_graceful_rollback_puts_the_version_back_into_staging():
    goal = registry_goal(replace(ROLLBACK, to_stage=Stage.STAGING))
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
