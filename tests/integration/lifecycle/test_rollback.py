"""Going back: while a change runs, and after it has finished."""

from datetime import timedelta

import pytest
from django.db import transaction

from lifecycle import disagreements, engine, history, operations, queries_rollbacks, rollbacks
from lifecycle.audit import recording
from lifecycle.domain.permissions import STAGEGATE
from lifecycle.domain.stages import Stage
from lifecycle.models import AuditEntry, Disagreement, Effect, Kind, Status, Transition, Variant, VariantRole
from lifecycle.operations import RefusedError, roll_back_transition
from lifecycle.ports import FencedError, TemporaryError, VersionRef
from tests.support.served import production, promoted, serves


def at_step(world, number, step):
    """A canary of this version that has reached the step."""
    world.drive(world.approved(number, Stage.STAGING))
    transition = world.approved(number, Stage.PRODUCTION)
    return world.drive(transition, until=lambda row: row.step == step and row.step_since is not None)


@pytest.mark.parametrize("step", [0, 1, 2, 3])
def test_a_canary_goes_back_from_any_step(world, step):
    promoted(world, 1)
    serves(world, {1: 100}, {1: VariantRole.PRODUCTION})
    transition = at_step(world, 2, step)
    assert world.roll_back().pk == transition.pk
    world.drive(transition)
    assert (transition.status, world.weights()) == (Status.ROLLED_BACK, {1: 100})
    assert world.registry.version(VersionRef("iris", 2)).stage == "Staging"
    assert world.registry.version(VersionRef("iris", 1)).stage == "Production"
    assert world.registry.model("iris").aliases["production"] == 1
    assert transition.outcome == "Errors went up."


def test_after_the_finish_the_previous_version_comes_back(world):
    world.in_production(1)
    world.in_production(2)
    rollback = world.drive(world.roll_back())
    assert (rollback.kind, rollback.status, world.weights()) == (Kind.ROLLBACK, Status.FINISHED, {1: 100})
    stages = {number: world.registry.version(VersionRef("iris", number)).stage for number in (1, 2)}
    assert stages == {1: "Production", 2: "Archived"}
    assert world.model.aliases == {"production": 1}
    assert history.production_version(world.model).version == 1


def test_a_graceful_rollback_leaves_the_version_in_staging(world):
    production(world)
    world.drive(world.roll_back(emergency=False))
    assert (world.version(2).stage, world.model.aliases) == ("Staging", {"production": 1, "staging": 2})


def test_while_the_previous_version_is_warm_a_rollback_is_one_change_of_weights(world):
    production(world)
    starts = dict(world.serving.starts)
    rollback = world.drive(world.roll_back())
    assert dict(world.serving.starts) == starts
    assert rollback.effects.all()[0].kind == "traffic"


def test_a_previous_version_that_is_cold_is_started_first(world):
    production(world)
    world.serving.remove(VersionRef("iris", 1), slug="iris")
    Variant.objects.filter(version=world.version(1)).delete()
    rollback = world.drive(world.roll_back())
    assert [effect.kind for effect in rollback.effects.all()][:2] == ["server", "traffic"]
    assert world.weights() == {1: 100}


def test_traffic_comes_back_while_mlflow_is_down_and_the_registry_follows_later(world):
    production(world)
    world.registry.down = True
    rollback = world.roll_back()
    world.tick(rollback, times=10)
    assert world.weights() == {1: 100}
    assert rollback.traffic_back_at is not None
    assert rollback.status == Status.ROLLING_BACK
    assert "MLflow does not answer yet" in rollback.waiting_for
    world.registry.down = False
    assert world.drive(rollback).status == Status.FINISHED
    assert world.version(2).stage == "Archived"


def test_traffic_comes_back_while_nobody_can_say_how_the_servers_are(world, monkeypatch):
    def away(*_, **__):
        raise TemporaryError("the supervisor does not answer")

    production(world)
    monkeypatch.setattr(world.serving, "status", away)
    assert world.drive(world.roll_back()).status == Status.FINISHED
    assert world.weights() == {1: 100}


def test_a_rollback_cancels_what_waits_for_approval(world):
    production(world)
    waiting = world.request(3, Stage.STAGING)
    world.drive(world.roll_back())
    waiting.refresh_from_db()
    assert waiting.status == Status.CANCELLED


def test_a_rollback_takes_the_transition_away_from_its_executor(world):
    world.in_production(1)
    transition = at_step(world, 2, 1)
    world.pass_time(seconds=60)
    slow = engine._claim(transition.pk, world.now)
    world.roll_back()
    engine.tick(transition.pk, now=world.now)
    assert world.weights() == {1: 100}
    with pytest.raises(engine.LostClaimError):
        slow.write(step=3)
    with pytest.raises(FencedError):
        engine.world.carry_out(world.model, engine.effects.ShiftTraffic({2: 100}), fence=slow.fence)


def test_there_is_nothing_to_go_back_to_before_a_second_version(world):
    with pytest.raises(RefusedError, match="No version serves"):
        world.roll_back()
    promoted(world, 1)
    serves(world, {1: 100}, {1: VariantRole.PRODUCTION})
    with pytest.raises(RefusedError, match="first version in Production"):
        world.roll_back()


def test_a_second_click_is_told_that_a_rollback_is_under_way(world):
    production(world)
    world.roll_back()
    with pytest.raises(RefusedError, match="under way"):
        world.roll_back(by="mia")


@pytest.fixture
def waits_for_mlflow(world):
    """1.1.0 serves Production; 1.2.0 is approved to follow it, and MLflow does not answer."""
    production(world)
    world.drive(world.approved(3, Stage.STAGING))
    approved = world.approved(3, Stage.PRODUCTION)
    world.registry.down = True
    return world.tick(approved, times=3)


def test_what_has_moved_nothing_yet_holds_up_no_rollback_of_production(world, waits_for_mlflow):
    offer = queries_rollbacks.offers(world.model, world.people["emil"]).main
    assert (offer.deed, offer.target.version) == ("emergency", 1)
    assert "The request to move 1.2.0 to Production is cancelled" in offer.consequence
    rollback = world.tick(world.roll_back(), times=10)
    waits_for_mlflow.refresh_from_db()
    assert (waits_for_mlflow.status, world.weights()) == (Status.CANCELLED, {1: 100})
    assert (rollback.version.version, rollback.previous.version) == (2, 1)


def test_from_its_own_page_it_is_what_goes_back(world, waits_for_mlflow):
    offers = queries_rollbacks.offers_here(waits_for_mlflow, world.people["emil"])
    assert (offers.main.deed, offers.main.version.version) == ("turn_back", 3)
    roll_back_transition(transition=waits_for_mlflow, reason="Late.", actor=world.people["emil"], now=world.now)
    waits_for_mlflow.refresh_from_db()
    assert waits_for_mlflow.status == Status.ROLLING_BACK


def test_where_nothing_could_come_back_it_is_what_goes_back(world):
    promoted(world, 1)
    serves(world, {1: 100}, {1: VariantRole.PRODUCTION})
    approved = world.approved(2, Stage.STAGING)
    assert queries_rollbacks.offers(world.model, world.people["emil"]).main.deed == "turn_back"
    assert world.roll_back().pk == approved.pk


def test_what_was_taken_back_and_waits_for_mlflow_holds_up_no_rollback_of_production(world):
    production(world)
    taken_back = world.approved(3, Stage.STAGING)
    world.drive(taken_back, until=lambda row: row.step_since is not None)
    world.registry.down = True
    assert world.roll_back().pk == taken_back.pk
    with pytest.raises(RefusedError, match="under way"):
        world.roll_back()
    world.tick(taken_back, times=5)
    assert (taken_back.status, world.weights()) == (Status.ROLLING_BACK, {2: 100})
    assert queries_rollbacks.offers(world.model, world.people["emil"]).main.deed == "emergency"
    world.tick(world.roll_back(), times=10)
    assert world.weights() == {1: 100}


@pytest.mark.parametrize("moved", [False, True], ids=["whose server does not start", "that fails as well"])
def test_a_rollback_to_a_version_is_replaced_by_one_to_another(world, moved):
    promoted(world, 1, 2, 3)
    roles = {1: VariantRole.NONE, 2: VariantRole.WARM, 3: VariantRole.PRODUCTION}
    serves(world, {1: 0, 2: 0, 3: 100}, roles)
    if not moved:
        world.serving.remove(VersionRef("iris", 2), slug="iris")
        Variant.objects.filter(version=world.version(2)).delete()
    first = world.roll_back()
    world.registry.down = True
    world.tick(first, times=10 if moved else 1)
    assert world.weights() == ({2: 100} if moved else {3: 100})
    with pytest.raises(RefusedError, match="under way"):
        world.roll_back(to_version=2)
    second = world.tick(world.roll_back(to_version=1), times=10)
    first.refresh_from_db()
    assert (first.status, world.weights()) == (Status.CANCELLED, {1: 100})
    world.registry.down = False
    assert world.drive(second).status == Status.FINISHED
    assert (world.version(3).stage, world.model.aliases) == ("Archived", {"production": 1})


def test_a_planned_rollback_takes_the_role_with_the_alias(world):
    production(world)
    world.drive(world.approved(3, Stage.STAGING))
    world.drive(world.roll_back(emergency=False))
    for _ in range(3):
        world.pass_time(seconds=10)
        disagreements.look(world.now)
    assert not Disagreement.objects.exists()


def test_a_named_version_must_have_served(world):
    production(world)
    with pytest.raises(RefusedError, match="never served"):
        world.roll_back(to_version=3)
    with pytest.raises(RefusedError, match="no other version 9"):
        world.roll_back(to_version=9)
    assert world.drive(world.roll_back(to_version=1)).previous.version == 1


def test_an_auditor_cannot_roll_back(world):
    production(world)
    with pytest.raises(RefusedError) as refusal:
        world.roll_back(by="aron")
    assert refusal.value.status == 403


def test_going_back_twice_does_not_bring_the_bad_version_back(world):
    production(world)
    world.drive(world.roll_back())
    with pytest.raises(RefusedError, match="first version in Production"):
        world.roll_back()


def test_an_old_transitions_page_takes_nothing_back(world):
    promoted(world, 1, 2, 3)
    serves(world, {2: 0, 3: 100}, {2: VariantRole.WARM, 3: VariantRole.PRODUCTION})
    first = Transition.objects.get(version__version=2)
    with pytest.raises(RefusedError, match="does not serve Production any more"):
        roll_back_transition(transition=first, reason="Late.", actor=world.people["emil"], now=world.now)


def test_a_first_promotion_that_is_taken_back_leaves_nobody_serving(world):
    world.drive(world.approved(1, Stage.STAGING))
    transition = world.approved(1, Stage.PRODUCTION)
    world.drive(transition, until=lambda row: bool(world.weights()))
    world.roll_back()
    world.drive(transition)
    assert (transition.status, world.weights(), world.version(1).stage) == (Status.ROLLED_BACK, {}, "Staging")


def test_the_record_says_how_long_the_traffic_took(world):
    production(world)
    world.drive(world.roll_back())
    entry = AuditEntry.objects.get(action="traffic_back")
    assert entry.details["seconds"] >= 0
    assert entry.details["weights"] == {"1": 100}


# ---------------------------------------------------------------- nobody to go back to


@pytest.fixture
def first(world):
    """1.0.0 is the first version in Production."""
    promoted(world, 1)
    serves(world, {1: 100}, {1: VariantRole.PRODUCTION})
    return world


def test_serving_stops_when_somebody_wants_that(first):
    rollback = first.drive(first.roll_back(stop=True))
    assert (rollback.status, rollback.previous, first.weights()) == (Status.FINISHED, None, {})
    assert first.registry.version(VersionRef("iris", 1)).stage == "Archived"
    assert "production" not in first.registry.model("iris").aliases
    assert history.production_version(first.model) is None


def test_a_version_can_be_promoted_after_serving_has_stopped(world):
    world.in_production(1)
    world.drive(world.roll_back(stop=True))
    world.in_production(2)
    assert world.weights() == {2: 100}


@pytest.mark.parametrize("how", [{"emergency": False}, {"to_version": 1}])
def test_to_stop_serving_is_an_emergency_without_a_target(first, how):
    with pytest.raises(RefusedError, match="emergency rollback to nobody"):
        first.roll_back(stop=True, **how)


def test_a_promotion_is_turned_back_before_serving_stops(world):
    production(world)
    under_way(world, 3, Stage.STAGING)
    with pytest.raises(RefusedError, match="on its way to Staging just now"):
        world.roll_back(stop=True)


# ---------------------------------------------------------------- out of Staging


@pytest.fixture
def staged(world):
    """1.0.0 serves Production with 90 %, 1.1.0 Staging with 10 %."""
    promoted(world, 1)
    serves(world, {1: 90, 2: 10}, {1: VariantRole.PRODUCTION, 2: VariantRole.STAGING})
    return world


def withdraw(world, number=2, by="emil"):
    return operations.withdraw(
        version=world.version(number), reason="Slow answers.", actor=world.people[by], now=world.now
    )


def test_a_version_leaves_staging_and_its_users_go_to_production(staged):
    rollback = staged.drive(withdraw(staged))
    assert (rollback.from_stage, rollback.to_stage, rollback.status) == ("Staging", "Development", Status.FINISHED)
    assert staged.weights() == {1: 100}
    assert staged.registry.version(VersionRef("iris", 2)).stage == "None"
    assert staged.registry.version(VersionRef("iris", 1)).stage == "Production"
    assert staged.registry.model("iris").aliases == {"production": 1}
    roles = {variant.version.version: variant.role for variant in staged.model.variants.all()}
    assert roles == {1: VariantRole.PRODUCTION, 2: VariantRole.NONE}


def test_a_version_that_serves_staging_alone_leaves_nobody(world):
    serves(world, {2: 0}, {2: VariantRole.STAGING})
    rollback = world.drive(withdraw(world))
    assert (rollback.status, rollback.previous, world.weights()) == (Status.FINISHED, None, {})


def test_only_what_serves_staging_is_withdrawn(staged):
    with pytest.raises(RefusedError, match="does not serve Staging"):
        withdraw(staged, 1)
    with pytest.raises(RefusedError, match="need the role"):
        withdraw(staged, by="aron")


def test_nothing_is_withdrawn_while_a_change_is_carried_out(staged):
    under_way(staged, 2, Stage.PRODUCTION)
    with pytest.raises(RefusedError, match="on its way to Production just now"):
        withdraw(staged)


def test_a_withdrawal_cancels_what_waits_for_approval(staged):
    waiting = staged.request(2, Stage.PRODUCTION)
    withdraw(staged)
    waiting.refresh_from_db()
    assert (waiting.status, waiting.outcome) == (Status.CANCELLED, "A rollback came first.")


# ---------------------------------------------------------------- by the judge


def test_the_facts_are_frozen_into_the_record(world):
    production(world)
    with recording():
        row = rollbacks.start(
            model=world.model,
            reason="Errors.",
            by=STAGEGATE,
            now=world.now,
            emergency=True,
            details={"measures": [{"name": "errors", "estimate": 12.5}]},
        )
    entry = AuditEntry.objects.get(action="rollback_requested", transition=row.pk)
    assert entry.details == {
        "back_to": 1,
        "emergency": True,
        "measures": [{"name": "errors", "estimate": 12.5}],
    }
    assert (entry.actor, row.rollback_by, row.status) == ("Stagegate", None, Status.ROLLING_BACK)


def test_the_judge_gives_up_where_a_change_is_carried_out(world):
    production(world)
    under_way(world, 3, Stage.STAGING)
    with pytest.raises(RefusedError, match="has a transition already"), transaction.atomic():
        rollbacks.start(model=world.model, reason="Errors.", by=STAGEGATE, now=world.now, emergency=True)
    assert not Transition.objects.filter(kind=Kind.ROLLBACK).exists()


# ---------------------------------------------------------------- it wins over whatever runs


def under_way(world, number, stage, **values):
    """A change of this version that is being carried out, with an effect under way."""
    transition = world.approved(number, stage)
    Transition.objects.filter(pk=transition.pk).update(status=Status.RUNNING, lease_until=world.now, fence=7, **values)
    transition.effects.create(
        kind="stage", key="x", payload={}, summary="x", intended_at=world.now, attempted_at=world.now
    )
    transition.refresh_from_db()
    return transition


@pytest.mark.parametrize("kind", [Kind.DRILL, Kind.RECONCILIATION, Kind.ARCHIVAL])
def test_what_is_no_promotion_is_ended_and_the_rollback_starts(world, kind):
    production(world)
    running = under_way(world, 3, Stage.STAGING, kind=kind)
    rollback = world.roll_back()
    running.refresh_from_db()
    assert (running.status, running.outcome) == (Status.CANCELLED, "A rollback came first.")
    assert (running.fence, running.lease_until) == (8, None)
    assert running.effects.get().outcome == Effect.Outcome.DROPPED
    assert (rollback.kind, rollback.previous.version) == (Kind.ROLLBACK, 1)
    assert AuditEntry.objects.filter(action="transition_cancelled", transition=running.pk).exists()


def test_a_drill_keeps_nobody_from_withdrawing(staged):
    running = under_way(staged, 3, Stage.STAGING, kind=Kind.DRILL)
    withdraw(staged)
    running.refresh_from_db()
    assert running.status == Status.CANCELLED


def test_a_withdrawal_that_waits_for_mlflow_holds_up_no_rollback_of_production(world):
    promoted(world, 1, 2)
    weights = {1: 0, 2: 90, 3: 10}
    serves(world, weights, {1: VariantRole.WARM, 2: VariantRole.PRODUCTION, 3: VariantRole.STAGING})
    withdrawal = withdraw(world, 3)
    with pytest.raises(RefusedError, match="under way"):
        world.roll_back()
    Transition.objects.filter(pk=withdrawal.pk).update(traffic_back_at=world.now)
    rollback = world.roll_back()
    withdrawal.refresh_from_db()
    assert (withdrawal.status, rollback.version.version) == (Status.CANCELLED, 2)


# ---------------------------------------------------------------- the review afterwards


def review(world, transition, by="mia"):
    return operations.review_rollback(
        transition=transition, reason="It was right.", actor=world.people[by], now=world.now
    )


@pytest.fixture
def gone_back(world):
    """1.1.0 was rolled back by emil; its traffic is back."""
    production(world)
    rollback = world.roll_back()
    Transition.objects.filter(pk=rollback.pk).update(traffic_back_at=world.now)
    rollback.refresh_from_db()
    return world, rollback


def test_somebody_else_reviews_a_rollback(gone_back):
    world, rollback = gone_back
    assert list(queries_rollbacks.to_review()) == [rollback]
    with pytest.raises(RefusedError, match="Somebody other than whoever rolled back"):
        review(world, rollback, by="emil")
    seen = review(world, rollback)
    assert (seen.reviewed_by_name, seen.review, seen.reviewed_at) == ("mia", "It was right.", world.now)
    assert AuditEntry.objects.get(action="rollback_reviewed").reason == "It was right."
    with pytest.raises(RefusedError, match="mia has reviewed"):
        review(world, rollback, by="priya")
    assert not queries_rollbacks.to_review(world.model).exists()


def test_the_words_on_the_page_say_what_a_review_would_meet(gone_back):
    world, rollback = gone_back
    why = {name: queries_rollbacks.why_not_review(rollback, world.people[name]) for name in ("mia", "emil", "aron")}
    assert why["mia"] == ""
    assert "somebody else" in why["emil"]
    assert "Product owners" in why["aron"]


def test_what_was_not_rolled_back_is_not_reviewed(world):
    production(world)
    with pytest.raises(RefusedError, match="Nobody rolled this back"):
        review(world, Transition.objects.first())
    with pytest.raises(RefusedError, match="under way still"):
        review(world, world.roll_back())


# ---------------------------------------------------------------- what the pages say


def offers(world, name="emil"):
    return queries_rollbacks.offers(world.model, world.people[name])


def test_the_offers_say_what_will_happen(world):
    production(world)
    found = offers(world)
    assert found.main.consequence == "100 % of iris goes back to 1.0.0 at once, and 1.1.0 is archived."
    assert found.graceful.consequence == (
        "100 % of iris goes back to 1.0.0 at once, and 1.1.0 goes to Staging, to be looked into and tried again."
    )
    assert (found.stop, found.withdraw, found.turn_back, found.reconcile) == (None, None, None, None)
    assert found.drill.target.version == 1
    assert found.drill.refusal == ""


def test_a_cold_version_comes_back_when_its_server_has_started(world):
    production(world)
    Variant.objects.filter(version=world.version(1)).delete()
    found = offers(world)
    assert "as soon as its server has started" in found.emergency.consequence
    assert "Its server has been stopped" in found.drill.refusal


def test_the_first_version_can_only_stop(first):
    found = offers(first)
    assert "first version in Production" in found.emergency.refusal
    assert "answered with an error (503) until somebody promotes" in found.stop.consequence
    assert "none to practise going back to" in found.drill.refusal


def test_what_serves_staging_can_be_withdrawn(staged):
    offer = offers(staged).withdraw
    assert offer.consequence == "1.1.0 goes back to Development, and its 10 % of requests go to 1.0.0."


def test_the_offers_follow_what_is_under_way(world):
    production(world)
    waiting = world.request(3, Stage.STAGING)
    assert offers(world).emergency.consequence.endswith("The request to move 1.2.0 to Staging is cancelled.")
    assert "waiting for approval" in offers(world).drill.refusal
    waiting.delete()
    running = under_way(world, 3, Stage.STAGING)
    found = offers(world)
    assert found.turn_back.consequence == "100 % of iris goes back to 1.1.0 at once, and 1.2.0 stays in Development."
    assert found.emergency is None
    Transition.objects.filter(pk=running.pk).update(kind=Kind.RECONCILIATION)
    assert offers(world).emergency.consequence.endswith("The putting right that is being carried out is ended.")
    Transition.objects.filter(pk=running.pk).update(kind=Kind.ROLLBACK, status=Status.ROLLING_BACK)
    assert offers(world).main.refusal == "A rollback is under way."


def test_a_transitions_page_offers_what_belongs_there(world):
    production(world)
    older, newer = Transition.objects.order_by("requested_at")
    emil = world.people["emil"]
    assert queries_rollbacks.offers_here(older, emil) is None
    assert queries_rollbacks.offers_here(newer, emil).main.target.version == 1
    running = under_way(world, 3, Stage.STAGING)
    assert queries_rollbacks.offers_here(running, emil).main.deed == "turn_back"


def test_whoever_may_do_nothing_is_offered_nothing(world):
    production(world)
    assert offers(world, "aron") == queries_rollbacks.Offers()


# ---------------------------------------------------------------- how long it took


def timed(world, seconds, **values):
    """A rollback whose traffic was back after so many seconds; another one may follow."""
    row = world.roll_back()
    values = {"traffic_back_at": world.now + timedelta(seconds=seconds), "status": Status.CANCELLED, **values}
    Transition.objects.filter(pk=row.pk).update(**values)
    world.pass_time(minutes=10)


def test_every_rollback_is_held_against_five_minutes(world):
    production(world)
    assert queries_rollbacks.timing_summary(world.model).median is None
    timed(world, 0.4)
    timed(world, 2, rollback_by=None, rollback_by_name="Stagegate")
    timed(world, 301, kind=Kind.DRILL)
    rows = queries_rollbacks.timings(world.model)
    assert [(row.kind, row.seconds, row.in_time) for row in rows] == [
        ("drill", 301, False),
        ("automatic", 2, True),
        ("rollback", 0.4, True),
    ]
    assert {(row.left.version, row.came_back.version) for row in rows} == {(2, 1)}
    assert (rows[2].who, rows[1].who) == ("emil", "Stagegate")
    summary = queries_rollbacks.timing_summary()
    assert (summary.count, summary.in_time, summary.slowest, summary.median) == (3, 2, 301, 2)
    assert len(queries_rollbacks.timings(limit=1)) == 1


def test_a_change_that_was_turned_back_is_timed_too(world):
    production(world)
    running = under_way(world, 3, Stage.STAGING)
    world.roll_back()
    Transition.objects.filter(pk=running.pk).update(traffic_back_at=world.now)
    running.refresh_from_db()
    timing = queries_rollbacks.timing_of(running)
    assert (timing.left.version, timing.came_back.version) == (3, 2)


def test_a_promotion_that_runs_is_not_taken_back_to_somebody_else(world):
    world.in_production(1)
    world.drive(world.approved(2, Stage.STAGING))
    running = world.drive(world.approved(2, Stage.PRODUCTION), until=lambda row: row.step_since)
    with pytest.raises(RefusedError, match=r"taking that back brings 1\.0\.0 back, not version 3"):
        world.roll_back(to_version=3)
    running.refresh_from_db()
    assert running.status == Status.RUNNING


def test_what_was_planned_back_to_staging_can_be_taken_out_and_asked_for_again(world):
    world.in_production(1)
    world.in_production(2)
    world.drive(world.roll_back(emergency=False))
    assert Variant.objects.get(version=world.version(2)).role == VariantRole.STAGING
    withdrawn = operations.withdraw(
        version=world.version(2), reason="It is corrected.", actor=world.people["emil"], now=world.now
    )
    world.drive(withdrawn)
    assert world.version(2).domain_stage == Stage.DEVELOPMENT
    assert world.weights() == {1: 100}
    world.drive(world.approved(2, Stage.STAGING))
    assert world.weights() == {1: 90, 2: 10}
