from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.domain.compare import VerdictKind
from lifecycle.domain.decide import (
    LOOK,
    Checked,
    Do,
    Fail,
    Finish,
    Look,
    NextStep,
    Smoke,
    StepReached,
    TurnBack,
    Wait,
    decide,
    give_up,
)
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
from lifecycle.domain.permissions import Role
from lifecycle.domain.plan import DRILL_STEPS, Judged, Pause, Plan, PlannedStep, Progress, Target
from lifecycle.domain.stages import Stage

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
STEPS = (PlannedStep(5, timedelta(minutes=1)), PlannedStep(100))
PLAN = Plan(version=2, from_stage=Stage.STAGING, to_stage=Stage.PRODUCTION, stable=1, steps=STEPS)
CHECKED = Progress(checked=True, started_at=NOW, routed=True, smoked=True)
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


def test_what_is_started_again_knows_how_the_server_before_it_ended():
    back = replace(PLAN, turned_back=True)
    failed = Observed({1: ServerSeen(ServerPhase.FAILED, "No module named lightgbm")})
    assert decide(back, CHECKED, failed, NOW) == Do(StartServer(1, after="No module named lightgbm"))


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


# ---------------------------------------------------------------- the verdict

JUDGED_STEPS = (
    PlannedStep(5, timedelta(minutes=1), 300, judged=True),
    PlannedStep(50, timedelta(minutes=1), judged=True, asks=Role.PRODUCT_OWNER),
    PlannedStep(100),
)
JUDGED = replace(PLAN, steps=JUDGED_STEPS)
AT_FIVE = replace(CHECKED, step_since=NOW)
SHARES = {0: {1: 95, 2: 5}, 1: {1: 50, 2: 50}, 2: {2: 100}}
MINUTE = NOW + timedelta(minutes=1)
DAYS = NOW + timedelta(days=2)


def said(kind=VerdictKind.PROCEED, at=MINUTE, requests=1000, **values):
    return Judged(kind, f"The judge says {kind}.", requests, at, **values)


def at_step(judged, now=MINUTE, progress=AT_FIVE, plan=JUDGED, **seen):
    observed = {"servers": BOTH_READY, "weights": SHARES[progress.step], **seen}
    return decide(plan, progress, Observed(judged=judged, **observed), now)


def test_a_fresh_verdict_to_proceed_lets_a_judged_step_go_on():
    assert at_step(said()) == NextStep(1)
    assert at_step(said(at=MINUTE - JUDGED.grace)) == NextStep(1)


@pytest.mark.parametrize(
    ("judged", "words"),
    [
        (None, "no verdict on this step yet"),
        (said(at=MINUTE - JUDGED.grace - timedelta(seconds=1)), "nothing goes on without a fresh one"),
        (said(at=MINUTE + JUDGED.grace + timedelta(seconds=1)), "nothing goes on without a fresh one"),
        (said(VerdictKind.HOLD), "The judge says hold."),
        (said(requests=0), "waits for 300 more requests to the new version"),
        (said(requests=299), "waits for 1 more request to the new version"),
        (said(VerdictKind.HOLD, requests=299), "1 more request to the new version. The judge says hold."),
    ],
)
def test_without_one_it_waits_and_says_for_what(judged, words):
    decision = at_step(judged)
    assert isinstance(decision, Wait)
    assert words in decision.why
    assert decision.why.endswith("If that lasts, a person is asked.")
    assert (decision.asks_person, decision.shown_until) == (False, NOW + JUDGED.patience)
    assert decision.until == MINUTE + LOOK


@pytest.mark.parametrize("judged", [None, said(at=NOW), said(VerdictKind.HOLD, at=DAYS), said(at=DAYS, requests=1)])
def test_what_takes_longer_than_the_policys_patience_asks_a_person(judged):
    decision = at_step(judged, DAYS)
    assert isinstance(decision, Wait)
    assert decision.asks_person
    assert "longer than 1 day. Somebody has to let it go on, or abort it." in decision.why


def test_a_breach_that_holds_asks_a_person_at_once():
    decision = at_step(said(VerdictKind.HOLD, at=NOW, asks=True), NOW)
    assert isinstance(decision, Wait)
    assert decision.asks_person
    assert decision.why == "The judge says hold. Somebody has to let it go on, or abort it."


def test_a_step_that_asks_waits_for_that_role_once_the_verdict_is_to_proceed():
    progress = replace(AT_FIVE, step=1)
    assert not at_step(said(VerdictKind.HOLD), progress=progress).asks_person
    decision = at_step(said(), progress=progress)
    assert decision.asks_person
    assert "product owner" in decision.why


def test_a_step_says_how_long_it_lasts_and_is_looked_at_all_the_while():
    decision = at_step(said(), NOW)
    assert decision == Wait(NOW + LOOK, "5 % of requests go to the new version; this step lasts 1 minute.", MINUTE)
    late = MINUTE - timedelta(seconds=1)
    assert at_step(said(), late).until == MINUTE


def test_a_verdict_to_roll_back_does_not_wait_for_a_dead_server():
    servers = {1: READY, 2: ServerSeen(ServerPhase.UNKNOWN)}
    assert at_step(said(VerdictKind.ROLL_BACK), servers=servers) == TurnBack("The judge says roll_back.")


def test_a_step_that_is_not_judged_is_not_turned_back_by_a_verdict():
    assert at_step(said(VerdictKind.ROLL_BACK), progress=replace(AT_FIVE, step=2)) == Look()


# ---------------------------------------------------------------- what people do


def test_a_person_lets_it_go_on_past_whatever_it_waits_for():
    released = replace(AT_FIVE, released=1)
    assert at_step(said(VerdictKind.HOLD, asks=True), NOW, released) == NextStep(1)
    assert at_step(None, NOW, replace(AT_FIVE, released=2), servers={}) == NextStep(2)
    assert at_step(None, NOW, replace(AT_FIVE, released=9)) == NextStep(2)


def test_a_step_that_has_been_released_is_still_applied():
    progress = replace(CHECKED, step=1, released=1)
    assert at_step(None, NOW, progress, weights=SHARES[0]) == Do(ShiftTraffic(SHARES[1]))


def test_a_pause_says_who_since_when_and_why():
    progress = replace(AT_FIVE, paused=Pause("Emil", NOW, "The figures look odd."))
    decision = at_step(said(), progress=progress)
    assert decision == Wait(MINUTE + LOOK, "Paused by Emil on 2026-01-01 12:00:00 UTC: The figures look odd.")
    assert at_step(said(VerdictKind.ROLL_BACK), progress=progress) == TurnBack("The judge says roll_back.")


# ---------------------------------------------------------------- the smoke request


@pytest.mark.parametrize("to_stage", [Stage.STAGING, Stage.PRODUCTION])
def test_a_version_answers_before_it_gets_its_first_request(to_stage):
    plan, progress = replace(PLAN, to_stage=to_stage), replace(CHECKED, smoked=False)
    assert decide(plan, progress, Observed(BOTH_READY, weights={1: 100}), NOW) == Smoke(2)
    loading = {1: READY, 2: ServerSeen(ServerPhase.STARTING)}
    assert isinstance(decide(plan, progress, Observed(loading, weights={1: 100}), NOW), Wait)


def test_a_version_in_staging_answers_even_when_it_gets_no_request():
    plan = Plan(version=2, from_stage=Stage.DEVELOPMENT, to_stage=Stage.STAGING)
    assert decide(plan, replace(CHECKED, smoked=False), Observed({2: READY}), NOW) == Smoke(2)
    assert decide(plan, CHECKED, Observed({2: READY}), NOW) == Look()


# ---------------------------------------------------------------- copies of requests

SHADOW = replace(PLAN, steps=(PlannedStep(0, timedelta(hours=1), 50, mirror=100, judged=True), PlannedStep(100)))


def test_a_shadow_is_applied_once_its_copies_are_seen():
    observed = Observed(BOTH_READY, weights={1: 100}, mirrors={})
    assert decide(SHADOW, CHECKED, observed, NOW) == Do(ShiftTraffic({1: 100}, {2: 100}))
    assert decide(SHADOW, CHECKED, replace(observed, mirrors={2: 100}), NOW) == StepReached()
    waiting = decide(SHADOW, AT_FIVE, replace(observed, mirrors={2: 100}), NOW)
    assert waiting.why == "Copies of 100 % of requests go to the new version; this step lasts 1 hour."


def test_a_rollback_out_of_a_shadow_has_not_arrived_before_the_copies_are_gone():
    back = replace(SHADOW, turned_back=True)
    observed = Observed({1: READY}, weights={1: 100, 2: 0}, mirrors={2: 100})
    assert decide(back, CHECKED, observed, NOW) == Do(ShiftTraffic({1: 100}))
    assert decide(back, CHECKED, replace(observed, mirrors={}), NOW) == StepReached()


def test_weights_that_are_right_by_chance_are_written_once_more():
    """The change before may have kept users with one version in another way."""
    observed = Observed(BOTH_READY, weights={1: 95, 2: 5})
    assert decide(PLAN, replace(CHECKED, routed=False), observed, NOW) == Do(ShiftTraffic({1: 95, 2: 5}))
    alone = replace(PLAN, steps=(PlannedStep(100),))
    assert decide(alone, replace(CHECKED, routed=False), replace(observed, weights={2: 100}), NOW) == StepReached()


# ---------------------------------------------------------------- drills and reconciliations

DRILL = Plan(
    version=2,
    from_stage=Stage.PRODUCTION,
    to_stage=Stage.PRODUCTION,
    stable=2,
    rollback_to=1,
    drill=True,
    steps=DRILL_STEPS,
)
DEAD = {1: ServerSeen(ServerPhase.FAILED, "out of memory"), 2: READY}


def test_a_drill_goes_there_and_back_without_looking_at_the_registry():
    there, back = Progress(started_at=NOW), Progress(step=1, started_at=NOW)
    assert decide(DRILL, there, Observed(BOTH_READY, weights={2: 100}), NOW) == Do(ShiftTraffic({1: 100}))
    assert decide(DRILL, there, Observed(BOTH_READY, weights={1: 100}), NOW) == StepReached()
    arrived = replace(there, step_since=NOW)
    assert decide(DRILL, arrived, Observed(BOTH_READY, weights={1: 100}), NOW) == NextStep(1)
    assert decide(DRILL, back, Observed(BOTH_READY, weights={1: 100}), NOW) == Do(ShiftTraffic({2: 100}))
    assert decide(DRILL, replace(back, step_since=NOW), Observed(BOTH_READY, weights={2: 100}), NOW) == Finish()


def test_a_drill_whose_target_is_dead_fails_without_having_moved_anything():
    decision = decide(DRILL, Progress(), Observed(DEAD, weights={2: 100, 1: 0}), NOW)
    assert decision == Fail("No request has been moved. The model server did not start: out of memory")
    loading = {1: ServerSeen(ServerPhase.STARTING), 2: READY}
    late = NOW + DRILL.start_limit + timedelta(seconds=1)
    assert isinstance(decide(DRILL, Progress(started_at=NOW), Observed(loading, weights={2: 100}), late), Fail)


@pytest.mark.parametrize("weights", [{1: 100}, {1: 60, 2: 40}, None])
def test_a_drill_that_has_moved_something_goes_back_instead(weights):
    assert decide(DRILL, Progress(), Observed(DEAD, weights=weights), NOW) == NextStep(1)


@pytest.mark.parametrize("phase", [ServerPhase.ABSENT, ServerPhase.STARTING])
def test_a_drill_leaves_nobody_at_a_server_that_has_died_meanwhile(phase):
    gone = Observed({1: ServerSeen(phase), 2: READY}, weights={1: 100})
    assert decide(DRILL, Progress(), gone, NOW) == NextStep(1)
    assert decide(DRILL, Progress(step_since=NOW), gone, NOW) == NextStep(1)
    assert decide(DRILL, Progress(), replace(gone, weights={2: 100}), NOW) != NextStep(1)


def test_a_drill_that_cannot_see_what_it_has_moved_waits():
    assert isinstance(decide(DRILL, Progress(), Observed(DEAD, gateway_error="refused"), NOW), Wait)


def test_the_way_back_of_a_drill_is_never_given_up():
    gone = {1: READY, 2: ServerSeen(ServerPhase.FAILED)}
    assert decide(DRILL, Progress(step=1), Observed(gone, weights={1: 100}), NOW) == Do(StartServer(2))
    assert give_up(DRILL, Progress(step=1), 2, Observed(gone), "no port", NOW) is None


def test_a_reconciliation_puts_right_what_it_was_told_and_nothing_else():
    target = Target({3: 100}, {3: Stage.PRODUCTION}, {"production": 3, "staging": None})
    plan = Plan(version=3, from_stage=Stage.PRODUCTION, to_stage=Stage.PRODUCTION, stable=3, restores=target)
    observed = Observed({3: READY}, weights={3: 90, 4: 10}, mirrors={})
    assert decide(plan, Progress(), observed, NOW) == Do(ShiftTraffic({3: 100}))
    assert decide(plan, Progress(), replace(observed, weights={3: 100}, mirrors={4: 50}), NOW) == Do(
        ShiftTraffic({3: 100})
    )
    there = replace(observed, weights={3: 100})
    assert decide(plan, Progress(), there, NOW) == StepReached()
    reached = Progress(step_since=NOW)
    tags = {3: {"lifecycle.stage": "Production"}}
    seen = RegistrySeen({3: Stage.PRODUCTION}, {"production": 3, "staging": 4, "champion": 4}, tags)
    assert decide(plan, reached, replace(there, registry=seen), NOW) == Do(SetAlias("staging", None))
    right = replace(seen, aliases={"production": 3, "champion": 4})
    assert decide(plan, reached, replace(there, registry=right), NOW) == Finish()


# ---------------------------------------------------------------- whatever happens

OFTEN = settings(max_examples=200, deadline=None)
worlds = st.builds(
    Observed,
    servers=st.fixed_dictionaries({version: st.builds(ServerSeen, st.sampled_from(ServerPhase)) for version in (1, 2)}),
    weights=st.sampled_from([*SHARES.values(), None, {1: 100}]),
    gateway_error=st.sampled_from(["", "refused"]),
    registry=st.sampled_from([None, STAGING]),
    judged=st.none()
    | st.builds(
        Judged,
        st.sampled_from(VerdictKind),
        st.just("So it is."),
        st.integers(0, 600),
        st.integers(0, 3 * 86400).map(lambda seconds: NOW + timedelta(seconds=seconds)),
        st.booleans(),
    ),
)
courses = st.builds(
    Progress,
    checked=st.just(True),
    step=st.integers(0, 2),
    step_since=st.none() | st.just(NOW),
    started_at=st.just(NOW),
    routed=st.booleans(),
    smoked=st.booleans(),
    released=st.integers(0, 3),
    paused=st.none() | st.just(Pause("Emil", NOW, "Wait.")),
)
moments = st.integers(0, 3 * 86400).map(lambda seconds: NOW + timedelta(seconds=seconds))


@given(courses, worlds, moments)
@OFTEN
def test_a_judged_step_goes_on_by_a_fresh_verdict_or_by_a_person(progress, observed, now):
    decision = decide(JUDGED, progress, observed, now)
    if not isinstance(decision, NextStep):
        return
    assert progress.paused is None
    if progress.step < progress.released:
        assert decision.step == min(progress.released, 2)
        return
    step, judged = JUDGED_STEPS[progress.step], observed.judged
    assert decision.step == progress.step + 1
    assert judged.kind == VerdictKind.PROCEED
    assert now - judged.at <= JUDGED.grace
    assert judged.requests >= step.requests
    assert now - NOW >= step.minimum
    assert step.asks is None


@given(courses, worlds, moments)
@OFTEN
def test_a_verdict_to_roll_back_always_wins(progress, observed, now):
    judged = Judged(VerdictKind.ROLL_BACK, "It fails.", 10, NOW)
    decision = decide(JUDGED, replace(progress, step=progress.step % 2), replace(observed, judged=judged), now)
    assert decision == TurnBack("It fails.")


@given(courses, worlds, moments)
@OFTEN
def test_what_is_paused_never_moves_on(progress, observed, now):
    paused = replace(progress, paused=Pause("Emil", NOW, "Wait."))
    decision = decide(JUDGED, paused, observed, now)
    assert not isinstance(decision, NextStep | Finish)


EFFECTS = [
    StartServer(2),
    ShiftTraffic({1: 75, 2: 25}),
    ShiftTraffic({1: 100}, {2: 100}),
    ShiftTraffic({1: 100}),
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
