"""Strategies to their end, and people who steer them. The judge is a twin here: ``world.verdict`` is what it says."""

import json

import pytest

from lifecycle import engine, operations
from lifecycle import world as eyes
from lifecycle.domain import strategies
from lifecycle.domain.stages import Stage
from lifecycle.models import AuditEntry, Effect, Kind, Policy, Status, Strategy, Transition
from lifecycle.operations import RefusedError
from lifecycle.ports import Scored, StickyBy, TemporaryError, VersionDetails, VersionRef
from tests.support.served import staged
from tests.support.world import NAME, POLICY

SHADOW = strategies.Strategy.SHADOW
BLUE_GREEN = strategies.Strategy.BLUE_GREEN
SIGNATURE = {"inputs": [{"name": "a", "type": "double"}], "outputs": [{"type": "double"}]}
TWO = VersionRef(NAME, 2)


@pytest.fixture
def second(world):
    """The first version serves everybody, the second one its share in Staging."""
    staged(world)
    return world


def use_policy(world, **values):
    body = {**POLICY, **values}
    Policy.objects.create(number=2, body=body, reason="test", created_by="test", created_at=world.now)


def reached(world, transition, step):
    return world.drive(transition, until=lambda row: row.step == step and row.step_since is not None)


def held(world, step=0, verdict="hold", **kwargs):
    """A canary of the second version that is kept at a step by the judge."""
    transition = world.approved(2, Stage.PRODUCTION, **kwargs)
    reached(world, transition, step)
    world.verdict = verdict
    return transition


def steer(world, operation, transition, by="mia", **kwargs):
    kwargs = {"step": transition.step, "reason": "I have looked at it.", **kwargs}
    return operation(transition=transition, actor=world.people[by], now=world.now, **kwargs)


def entry(action):
    return AuditEntry.objects.filter(action=action, refused=False).latest("id")


# ---------------------------------------------------------------- strategies


def test_the_policys_strategy_is_taken_where_nobody_chooses(second):
    asked = second.request(2, Stage.PRODUCTION)
    assert (asked.strategy, len(asked.steps)) == (Strategy.CANARY, 4)
    assert entry("transition_requested").details == {"strategy": "canary"}


@pytest.mark.parametrize(("chosen", "steps"), [(BLUE_GREEN, 1), (SHADOW, 2)])
def test_a_person_chooses_a_strategy(second, chosen, steps):
    asked = second.request(2, Stage.PRODUCTION, strategy=chosen)
    assert (asked.strategy, len(asked.steps)) == (chosen.value, steps)


def test_there_is_no_strategy_into_staging(second):
    with pytest.raises(RefusedError, match="Shadow is a way into Production") as refusal:
        second.request(3, Stage.STAGING, strategy=SHADOW)
    assert refusal.value.rule == "strategy"


def test_where_nobody_serves_a_version_gets_everything_at_once(world):
    world.drive(world.approved(1, Stage.STAGING))
    promoted = world.drive(world.approved(1, Stage.PRODUCTION, strategy=SHADOW))
    assert (promoted.strategy, promoted.status) == (Strategy.DIRECT, Status.FINISHED)
    assert world.weights() == {1: 100}


def test_blue_green_cuts_over_at_once_and_the_old_version_stays_warm(second):
    promoted = second.drive(second.approved(2, Stage.PRODUCTION, strategy=BLUE_GREEN))
    keys = list(promoted.effects.filter(kind="traffic").values_list("key", flat=True))
    assert (promoted.status, keys) == (Status.FINISHED, ["weights:2=100"])
    assert second.version(1).variant.role == "warm"


def test_a_shadow_gets_copies_until_it_is_judged_well_and_then_everything(second):
    promoted = reached(second, second.approved(2, Stage.PRODUCTION, strategy=SHADOW), 0)
    assert second.weights() == {1: 100}
    assert second.traffic.mirrors(NAME) == {2: 100}
    assert entry("step_reached").details == {"weights": {"1": 100}, "mirrors": {"2": 100}}
    second.pass_time(minutes=55)
    second.drive(promoted)
    assert (promoted.status, second.weights()) == (Status.FINISHED, {2: 100})
    assert second.traffic.mirrors(NAME) == {}
    summaries = promoted.effects.filter(kind="traffic").values_list("summary", flat=True)
    assert summaries[0] == "100 % of requests to 1.0.0, copies of 100 % of requests to 1.1.0"


def test_a_rollback_out_of_a_shadow_takes_the_copies_away_before_it_counts(second):
    shadow = reached(second, second.approved(2, Stage.PRODUCTION, strategy=SHADOW), 0)
    second.traffic.applies = False
    second.roll_back()
    second.tick(shadow, times=10)
    assert shadow.traffic_back_at is None
    second.traffic.applies = True
    second.traffic.catch_up()
    second.drive(shadow)
    assert (shadow.status, second.weights()) == (Status.ROLLED_BACK, {1: 100})
    assert second.traffic.mirrors(NAME) == {}


def test_without_a_verdict_nothing_goes_on_and_in_the_end_a_person_is_asked(second):
    canary = held(second, verdict=None)
    second.pass_time(minutes=5)
    second.tick(canary, times=3)
    assert (canary.step, canary.asks_person) == (0, False)
    assert "no verdict on this step yet" in canary.waiting_for
    second.pass_time(hours=25)
    assert second.tick(canary).asks_person
    assert "Somebody has to let it go on" in canary.waiting_for
    second.verdict = "proceed"
    reached(second, canary, 1)
    assert not canary.asks_person


def test_a_breach_that_holds_asks_a_person_at_once(second):
    canary = held(second, verdict=None)
    second.judged(canary, "hold", "The share of requests is wrong.", breached=["sample_ratio"])
    assert second.tick(canary).asks_person
    assert canary.waiting_for.startswith("The share of requests is wrong.")


def test_a_verdict_to_roll_back_turns_a_canary_around_with_the_facts_in_the_record(second):
    canary = held(second, verdict=None)
    second.serving.crash(TWO)
    second.judged(canary, "roll_back", "It fails more often.", breached=["error_rate"])
    second.drive(canary)
    assert (canary.status, canary.outcome, second.weights()) == (Status.ROLLED_BACK, "It fails more often.", {1: 100})
    [measure] = entry("rollback_requested").details["verdict"]["measures"]
    assert (measure["name"], measure["state"]) == ("error_rate", "breached")


def test_while_a_step_lasts_it_is_looked_at_every_few_seconds(second):
    canary = reached(second, second.approved(2, Stage.PRODUCTION), 0)
    second.traffic.set_by_hand(NAME, {1: 10, 2: 90})
    second.tick(canary)
    assert (canary.due_at - second.now).total_seconds() <= 5
    second.tick(canary, times=3)
    assert second.weights() == {1: 95, 2: 5}
    assert canary.waiting_until == canary.step_since + canary.policy.values.canary_steps[0].minimum


# ---------------------------------------------------------------- keeping users with one version


@pytest.mark.parametrize(
    ("rollout", "kept"),
    [
        ({"sticky": "cookie", "sticky_name": "who"}, StickyBy(cookie="who")),
        ({"sticky": "header", "sticky_name": "X-Bucket"}, StickyBy(header="X-Bucket")),
        ({}, None),
    ],
)
def test_users_stay_with_a_version_while_there_are_two(second, rollout, kept):
    use_policy(second, rollout=rollout)
    canary = reached(second, second.approved(2, Stage.PRODUCTION), 0)
    assert second.traffic.sticky[NAME] == kept
    reached(second, canary, 3)
    assert second.traffic.sticky[NAME] is None


def test_a_way_of_keeping_users_ends_with_the_policy_that_wanted_it(world):
    use_policy(world, rollout={"sticky": "cookie"}, staging_weight=10)
    world.in_production(1)
    world.drive(world.approved(2, Stage.STAGING))
    assert world.traffic.sticky[NAME] is not None
    steps = [{"weight": 10, "minimum": 10}, {"weight": 100, "minimum": 0}]
    Policy.objects.create(
        number=3, body={**POLICY, "canary_steps": steps}, reason="t", created_by="t", created_at=world.now
    )
    canary = reached(world, world.approved(2, Stage.PRODUCTION), 0)
    assert world.weights() == {1: 90, 2: 10}
    assert world.traffic.sticky[NAME] is None
    assert canary.effects.filter(kind="traffic").count() == 1


# ---------------------------------------------------------------- the smoke request


@pytest.fixture
def asked(world, tmp_path, monkeypatch):
    """A model with a signature and an input example of three rows."""
    monkeypatch.setattr(eyes, "SMOKE_PAUSE", 0)
    monkeypatch.setattr(world.registry, "details", lambda version: VersionDetails(signature=SIGNATURE))
    example = {"columns": ["a"], "data": [[1.0], [2.0], [3.0]]}
    (tmp_path / "input_example.json").write_text(json.dumps(example))
    world.serving.model_files = tmp_path
    return world


def test_a_version_answers_its_input_example_before_it_gets_a_request(asked):
    staged = asked.drive(asked.approved(2, Stage.STAGING))
    [(ref, body)] = asked.serving.asked
    assert (ref, len(json.loads(body)["dataframe_split"]["data"])) == (TWO, 3)
    assert staged.smoked_at is not None
    assert entry("smoke_answered").transition == staged.pk


def test_without_an_example_it_answers_a_row_drawn_for_its_signature(asked):
    (asked.serving.model_files / "input_example.json").unlink()
    asked.drive(asked.approved(1, Stage.STAGING))
    [(_, body)] = asked.serving.asked
    assert json.loads(body)["dataframe_split"]["columns"] == ["a"]


def test_without_a_signature_readiness_counts_alone_and_the_record_says_so(world):
    world.drive(world.approved(1, Stage.STAGING))
    assert not world.serving.asked
    assert "signature" in entry("smoke_skipped").reason


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Scored(500, "no column called a"), "status 500: no column called a"),
        (Scored(200, "{}"), "an answer without predictions: {}"),
        (Scored(200, "<html>"), "an answer without predictions: <html>"),
        (Scored(200, '{"predictions": [1.0]}'), "an answer that does not fit 3 rows"),
        (Scored(503, "busy"), "status 503: busy"),
        (TemporaryError("it hangs"), "no answer came: it hangs"),
    ],
)
def test_a_version_that_answers_wrongly_is_turned_back_with_its_servers_words(asked, answer, words):
    asked.in_production(1)
    asked.serving.answers[TWO] = answer
    staged = asked.drive(asked.approved(2, Stage.STAGING))
    assert staged.status == Status.ROLLED_BACK
    assert words in staged.outcome
    assert asked.weights() == {1: 100}
    assert not staged.effects.filter(kind="traffic", outcome=Effect.Outcome.DONE).exists()


def test_no_answer_is_asked_for_again_before_it_counts(asked, monkeypatch):
    answers = [TemporaryError("it is busy"), Scored(503, "wait"), Scored(200, '{"predictions": [1, 2, 3]}')]

    def ask(*args, **kwargs):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(asked.serving, "ask", ask)
    assert asked.drive(asked.approved(1, Stage.STAGING)).status == Status.FINISHED


def test_a_rollback_asks_nobody_for_an_answer(asked):
    asked.in_production(1)
    asked.in_production(2)
    asked.serving.asked.clear()
    asked.serving.answers[VersionRef(NAME, 1)] = Scored(500, "")
    assert asked.drive(asked.roll_back()).status == Status.FINISHED
    assert not asked.serving.asked


# ---------------------------------------------------------------- pausing


def test_a_paused_rollout_stays_where_it_is_until_somebody_resumes_it(second):
    canary = reached(second, second.approved(2, Stage.PRODUCTION), 0)
    steer(second, operations.pause, canary, by="ada", reason="The figures look odd.")
    second.pass_time(hours=1)
    second.tick(canary, times=5)
    assert (canary.step, second.weights()) == (0, {1: 95, 2: 5})
    assert canary.waiting_for.startswith("Paused by ada on 2026-03-01")
    assert canary.waiting_for.endswith("The figures look odd.")
    steer(second, operations.resume, canary, by="mia")
    assert second.drive(canary).status == Status.FINISHED
    assert [entry(f"rollout_{each}").actor for each in ("paused", "resumed")] == ["ada", "mia"]


def test_a_paused_rollout_is_still_rolled_back_by_a_verdict(second):
    canary = held(second, verdict="proceed")
    steer(second, operations.pause, canary)
    second.verdict = "roll_back"
    assert second.drive(canary).status == Status.ROLLED_BACK
    assert canary.paused_at is None


def test_a_pause_takes_the_rollout_away_from_whoever_is_about_to_move_it_on(second):
    canary = reached(second, second.approved(2, Stage.PRODUCTION), 0)
    claim = engine._claim(canary.pk, second.now)
    steer(second, operations.pause, canary)
    with pytest.raises(engine.LostClaimError):
        claim.release(second.now, step=1)
    second.pass_time(minutes=5)
    assert second.tick(canary, times=5).step == 0


@pytest.mark.parametrize("operation", [operations.skip, operations.promote, operations.let_go_on])
def test_a_paused_rollout_is_sent_nowhere(second, operation):
    canary = steer(second, operations.pause, held(second))
    with pytest.raises(RefusedError, match="mia has paused it; resume it first"):
        steer(second, operation, canary)


def test_pausing_twice_and_resuming_twice_is_refused(second):
    canary = steer(second, operations.pause, held(second))
    with pytest.raises(RefusedError, match="mia has paused it already"):
        steer(second, operations.pause, canary, by="emil")
    steer(second, operations.resume, canary)
    with pytest.raises(RefusedError, match="not paused"):
        steer(second, operations.resume, canary)


# ---------------------------------------------------------------- going on


def test_a_person_skips_to_the_next_step_and_the_verdict_they_went_past_is_kept(second):
    canary = held(second)
    second.tick(canary)
    steer(second, operations.skip, canary)
    second.tick(canary, times=4)
    assert (canary.step, second.weights()) == (1, {1: 75, 2: 25})
    details = entry("rollout_skipped").details
    assert (details["from"], details["to"], details["verdict"]["kind"]) == (0, 1, "hold")


def test_a_person_promotes_to_the_last_step_past_all_between(second):
    canary = held(second)
    second.tick(canary)
    steer(second, operations.promote, canary)
    second.drive(canary)
    keys = canary.effects.filter(kind="traffic").values_list("key", flat=True)
    assert (canary.status, list(keys)) == (Status.FINISHED, ["weights:1=95,2=5", "weights:2=100"])


def test_a_second_click_moves_nothing_twice(second):
    canary = held(second)
    steer(second, operations.skip, canary)
    with pytest.raises(RefusedError, match="sent it on already"):
        steer(second, operations.skip, canary)
    reached(second, canary, 1)
    with pytest.raises(RefusedError, match=r"moved on to 25 % meanwhile; look again\."):
        steer(second, operations.skip, canary, step=0)
    second.tick(canary, times=5)
    assert canary.step == 1
    assert AuditEntry.objects.filter(action="advance_rollout", refused=True).count() == 2


def test_a_step_that_asks_waits_for_somebody_with_that_role_who_did_not_ask_for_the_change(second):
    steps = [{"weight": 5, "minimum": 10, "asks": "ml_engineer"}, {"weight": 100, "minimum": 0}]
    use_policy(second, canary_steps=steps)
    canary = held(second, verdict="proceed")
    with pytest.raises(RefusedError, match="It asks nobody just now"):
        steer(second, operations.let_go_on, canary)
    second.pass_time(seconds=20)
    assert second.tick(canary, times=2).asks_person
    assert "ML engineer" in canary.waiting_for
    with pytest.raises(RefusedError, match="You asked for this change"):
        steer(second, operations.let_go_on, canary, by="emil")
    for operation in (operations.let_go_on, operations.skip, operations.promote):
        with pytest.raises(RefusedError, match="takes the role ML engineer"):
            steer(second, operation, canary, by="priya")
    steer(second, operations.let_go_on, canary)
    assert second.drive(canary).status == Status.FINISHED
    assert entry("rollout_let_go_on").actor == "mia"


def test_a_promotion_past_a_step_that_asks_takes_its_role_too(second):
    steps = [
        {"weight": 5, "minimum": 10},
        {"weight": 50, "minimum": 10, "asks": "product_owner"},
        {"weight": 100, "minimum": 0},
    ]
    use_policy(second, canary_steps=steps)
    canary = held(second)
    with pytest.raises(RefusedError, match="takes the role product owner"):
        steer(second, operations.promote, canary)
    steer(second, operations.skip, canary)
    assert steer(second, operations.promote, reached(second, canary, 1), by="priya").released == 2


@pytest.mark.parametrize(
    ("operation", "by"),
    [
        (operations.pause, "aron"),
        (operations.resume, "aron"),
        (operations.skip, "ada"),
        (operations.promote, "aron"),
        (operations.let_go_on, "ada"),
    ],
)
def test_who_may_not_steer_is_refused_and_recorded(second, operation, by):
    canary = held(second)
    with pytest.raises(RefusedError) as refusal:
        steer(second, operation, canary, by=by)
    assert refusal.value.status == 403
    assert AuditEntry.objects.latest("id").refused


def test_a_reason_is_asked_for(second):
    canary = held(second)
    for operation in (operations.pause, operations.skip, operations.promote):
        with pytest.raises(RefusedError, match="Say why"):
            steer(second, operation, canary, reason=" ")


def test_what_does_not_run_is_not_steered(second):
    waiting = second.request(2, Stage.PRODUCTION)
    with pytest.raises(RefusedError, match="has not begun"):
        steer(second, operations.pause, waiting)
    canary = reached(second, second.approve(waiting, "mia", "priya"), 3)
    with pytest.raises(RefusedError, match="This is its last step"):
        steer(second, operations.skip, canary)
    second.drive(canary)
    with pytest.raises(RefusedError, match="it is finished"):
        steer(second, operations.pause, canary)
    rollback = second.roll_back()
    with pytest.raises(RefusedError, match="Only a promotion"):
        steer(second, operations.pause, rollback)


def test_a_step_that_is_not_applied_yet_is_not_skipped(second):
    canary = second.approved(2, Stage.PRODUCTION)
    second.traffic.applies = False
    second.tick(canary, times=6)
    with pytest.raises(RefusedError, match="not shared out by this step yet"):
        steer(second, operations.skip, canary)


def test_an_abort_takes_everything_back_with_the_verdict_that_stood(second):
    canary = held(second)
    second.tick(canary)
    operations.abort(transition=canary, reason="Enough.", actor=second.people["emil"], now=second.now)
    second.drive(canary)
    assert (canary.status, canary.outcome, second.weights()) == (Status.ROLLED_BACK, "Enough.", {1: 100})
    assert entry("rollback_requested").details["verdict"]["kind"] == "hold"
    with pytest.raises(RefusedError, match="it is rolled back"):
        operations.abort(transition=canary, reason="Again.", actor=second.people["emil"], now=second.now)


# ---------------------------------------------------------------- drills and reconciliations


def begin(world, kind, **values):
    version = world.version(2)
    return Transition.objects.create(
        **{
            "model": version.model,
            "version": version,
            "stable": version,
            "kind": kind,
            "from_stage": Stage.PRODUCTION,
            "to_stage": Stage.PRODUCTION,
            "strategy": Strategy.DIRECT,
            "status": Status.RUNNING,
            "reason": "To be sure.",
            "policy": Policy.objects.latest("number"),
            "requested_by_name": "emil",
            "requested_at": world.now,
            "rollback_requested_at": world.now,
            "due_at": world.now,
            **values,
        }
    )


@pytest.fixture
def both(world):
    """The second version serves everybody, the first one is kept warm."""
    world.in_production(1)
    world.in_production(2)
    return world


def test_a_drill_goes_there_and_back_with_mlflow_down_and_says_how_long_it_took(both):
    both.registry.down = True
    drill = both.drive(begin(both, Kind.DRILL, previous=both.version(1)))
    keys = list(drill.effects.values_list("key", flat=True))
    assert (drill.status, keys) == (Status.FINISHED, ["weights:1=100", "weights:2=100"])
    seconds = entry("traffic_back").details["seconds"]
    assert drill.outcome == f"All requests were with 1.0.0 {seconds:.1f} s after the click."
    assert [both.version(number).variant.role for number in (1, 2)] == ["warm", "production"]
    assert both.version(2).stage == "Production"


def test_a_drill_whose_target_cannot_be_made_ready_moves_nothing(both):
    both.serving.remove(VersionRef(NAME, 1), slug=NAME)
    both.serving.broken.add(VersionRef(NAME, 1))
    drill = both.drive(begin(both, Kind.DRILL, previous=both.version(1)))
    assert drill.status == Status.FAILED
    assert "No request has been moved. The model server did not start: the model can't be loaded" in drill.outcome
    assert not drill.effects.filter(kind="traffic").exists()
    assert both.weights() == {2: 100}


def test_a_drill_that_lost_its_target_half_way_goes_back(both):
    drill = begin(both, Kind.DRILL, previous=both.version(1))
    both.drive(drill, until=lambda row: both.weights() == {1: 100})
    both.serving.crash(VersionRef(NAME, 1))
    both.drive(drill)
    assert (drill.status, both.weights()) == (Status.FINISHED, {2: 100})


def test_a_reconciliation_puts_back_what_was_changed_elsewhere(both):
    both.traffic.set_by_hand(NAME, {1: 40, 2: 60})
    both.registry.set_stage(TWO, "Archived")
    both.registry.set_alias(NAME, "staging", 1)
    target = {"weights": {"2": 100}, "stages": {"2": "Production"}, "aliases": {"production": 2, "staging": None}}
    row = both.drive(begin(both, Kind.RECONCILIATION, target=target))
    assert (row.status, both.weights()) == (Status.FINISHED, {2: 100})
    assert both.registry.version(TWO).stage == "Production"
    assert both.registry.model(NAME).aliases == {"production": 2}
    assert [both.version(number).variant.role for number in (1, 2)] == ["warm", "production"]


def test_what_has_users_requests_in_the_wrong_place_has_a_queue_of_its_own(both, monkeypatch):
    sent = []
    monkeypatch.setattr(engine, "send", lambda task, pk, queue: sent.append(queue))
    row = begin(both, Kind.DRILL, previous=both.version(1))
    for values in ({}, {"kind": Kind.RECONCILIATION}, {"kind": Kind.PROMOTION}, {"status": Status.ROLLING_BACK}):
        Transition.objects.filter(pk=row.pk).update(**values)
        engine.sweep(now=both.now)
    assert sent == ["rollbacks", "rollbacks", "default", "rollbacks"]
