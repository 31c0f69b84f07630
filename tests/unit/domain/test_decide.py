from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lifecycle.domain.decide import Checked, Do, Fail, Finish, Look, NextStep, StepReached, TurnBack, Wait, decide
from lifecycle.domain.effects import (
    Observed,
    RegistrySeen,
    ServerPhase,
    ServerSeen,
    SetAlias,
    SetStage,
    SetTags,
    ShiftTraffic,
    StartServer,
    dump,
    kind_of,
    load,
    satisfied,
)
from lifecycle.domain.plan import Plan, Progress
from lifecycle.domain.policy import Step
from lifecycle.domain.stages import Stage

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
STEPS = (Step(5, timedelta(minutes=1)), Step(100, timedelta(0)))
PLAN = Plan(version=2, from_stage=Stage.STAGING, to_stage=Stage.PRODUCTION, stable=1, steps=STEPS)
CHECKED = Progress(checked=True, started_at=NOW)
READY = ServerSeen(ServerPhase.READY)
BOTH_READY = {1: READY, 2: READY}
STAGING = RegistrySeen(stages={1: Stage.PRODUCTION, 2: Stage.STAGING}, aliases={"production": 1, "staging": 2})


def test_before_anything_moves_the_registry_is_read():
    assert decide(PLAN, Progress(), Observed(), NOW) == Look()


def test_the_approved_facts_still_hold():
    assert decide(PLAN, Progress(), Observed(registry=STAGING), NOW) == Checked()


def test_nothing_moves_while_the_registry_cannot_be_read():
    decision = decide(PLAN, Progress(), Observed(registry_error="refused"), NOW)
    assert isinstance(decision, Wait)
    assert "refused" in decision.why


@pytest.mark.parametrize(
    ("stages", "words"), [({}, "deleted"), ({2: Stage.ARCHIVED}, "Archived"), ({2: Stage.DEVELOPMENT}, "Development")]
)
def test_a_version_that_changed_since_the_approval_fails(stages, words):
    decision = decide(PLAN, Progress(), Observed(registry=RegistrySeen(stages, {})), NOW)
    assert isinstance(decision, Fail)
    assert words in decision.why


def test_an_absent_server_is_started():
    servers = {1: READY, 2: ServerSeen(ServerPhase.ABSENT)}
    assert decide(PLAN, CHECKED, Observed(servers), NOW) == Do(StartServer(2))


def test_a_loading_server_is_waited_for():
    servers = {1: READY, 2: ServerSeen(ServerPhase.STARTING)}
    assert isinstance(decide(PLAN, CHECKED, Observed(servers), NOW), Wait)


def test_a_new_version_that_cannot_start_is_turned_back_with_its_own_words():
    servers = {1: READY, 2: ServerSeen(ServerPhase.FAILED, "No module named lightgbm")}
    assert decide(PLAN, CHECKED, Observed(servers), NOW) == TurnBack(
        "The model server did not start: No module named lightgbm"
    )


def test_a_new_version_that_loads_for_too_long_is_turned_back():
    servers = {1: READY, 2: ServerSeen(ServerPhase.STARTING)}
    late = NOW + PLAN.start_limit + timedelta(seconds=1)
    assert isinstance(decide(PLAN, CHECKED, Observed(servers), late), TurnBack)


def test_going_back_never_gives_up_on_the_version_that_served_before():
    back = replace(PLAN, turned_back=True)
    assert decide(back, CHECKED, Observed({1: ServerSeen(ServerPhase.FAILED)}), NOW) == Do(StartServer(1))


def test_traffic_moves_once_both_servers_are_ready():
    assert decide(PLAN, CHECKED, Observed(BOTH_READY, weights={1: 100}), NOW) == Do(ShiftTraffic({1: 95, 2: 5}))


def test_weights_of_zero_serve_nobody_and_do_not_matter():
    observed = Observed(BOTH_READY, weights={1: 95, 2: 5, 7: 0})
    assert decide(PLAN, CHECKED, observed, NOW) == StepReached()


def test_weights_edited_by_hand_are_put_right():
    progress = replace(CHECKED, step_since=NOW)
    observed = Observed(BOTH_READY, weights={1: 50, 2: 50})
    assert decide(PLAN, progress, observed, NOW) == Do(ShiftTraffic({1: 95, 2: 5}))


def test_a_gateway_that_does_not_answer_is_waited_for():
    decision = decide(PLAN, CHECKED, Observed(BOTH_READY, gateway_error="refused"), NOW)
    assert isinstance(decision, Wait)
    assert "refused" in decision.why


@pytest.mark.parametrize(
    ("elapsed", "expected"),
    [
        (timedelta(0), Wait),
        (timedelta(seconds=59), Wait),
        (timedelta(seconds=60), NextStep),
        (timedelta(hours=1), NextStep),
    ],
)
def test_a_step_lasts_its_minimum(elapsed, expected):
    progress = replace(CHECKED, step_since=NOW)
    decision = decide(PLAN, progress, Observed(BOTH_READY, weights={1: 95, 2: 5}), NOW + elapsed)
    assert isinstance(decision, expected)


def at_the_end(registry=None, **values):
    progress = replace(CHECKED, step=1, step_since=NOW)
    return decide(PLAN, progress, Observed(BOTH_READY, weights={2: 100}, registry=registry, **values), NOW)


def test_the_registry_follows_the_traffic():
    assert at_the_end() == Look()
    assert at_the_end(STAGING) == Do(SetStage(2, Stage.PRODUCTION))


def test_the_registry_is_written_one_effect_at_a_time_until_it_agrees():
    stages = {2: Stage.PRODUCTION}
    assert at_the_end(RegistrySeen(stages, {"production": 1})) == Do(SetAlias("production", 2))
    aliases = {"production": 2}
    assert at_the_end(RegistrySeen(stages, {**aliases, "staging": 2})) == Do(SetAlias("staging", None))
    assert at_the_end(RegistrySeen(stages, aliases)) == Do(SetTags(2, {"lifecycle.stage": "Production"}))
    assert at_the_end(RegistrySeen(stages, aliases, {2: {"lifecycle.stage": "Production"}})) == Finish()


def test_a_registry_that_is_down_keeps_the_transition_open():
    decision = at_the_end(registry_error="refused")
    assert isinstance(decision, Wait)
    assert "Traffic is where it should be" in decision.why


def test_going_back_moves_traffic_without_reading_the_registry():
    back = replace(PLAN, turned_back=True)
    assert decide(back, Progress(), Observed({1: READY}, weights={1: 75, 2: 25}), NOW) == Do(ShiftTraffic({1: 100}))


EFFECTS = [
    StartServer(2),
    ShiftTraffic({1: 75, 2: 25}),
    SetStage(2, Stage.PRODUCTION),
    SetAlias("production", 2),
    SetAlias("staging", None),
    SetTags(2, {"lifecycle.stage": "Production"}),
]


@pytest.mark.parametrize("effect", EFFECTS)
def test_an_effect_survives_the_journal(effect):
    assert load(kind_of(effect), dump(effect)) == effect


@pytest.mark.parametrize("effect", EFFECTS)
def test_nothing_is_satisfied_by_a_world_that_was_not_looked_at(effect):
    assert not satisfied(effect, Observed())


def test_effects_have_different_keys():
    assert len({effect.key for effect in EFFECTS}) == len(EFFECTS)
