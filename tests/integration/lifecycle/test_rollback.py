"""Going back: while a change runs, and after it has finished."""

import pytest

from lifecycle import engine, history, queries
from lifecycle.domain.stages import Stage
from lifecycle.models import AuditEntry, Kind, Status, Variant
from lifecycle.operations import RefusedError, roll_back_transition
from lifecycle.ports import FencedError, VersionRef


def at_step(world, number, step):
    """A canary of this version that has reached the step."""
    world.drive(world.approved(number, Stage.STAGING))
    transition = world.approved(number, Stage.PRODUCTION)
    return world.drive(transition, until=lambda row: row.step == step and row.step_since is not None)


@pytest.mark.parametrize("step", [0, 1, 2, 3])
def test_a_canary_goes_back_from_any_step(world, step):
    world.in_production(1)
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
    world.in_production(1)
    world.in_production(2)
    world.drive(world.roll_back(emergency=False))
    assert (world.version(2).stage, world.model.aliases) == ("Staging", {"production": 1, "staging": 2})


def test_while_the_previous_version_is_warm_a_rollback_is_one_change_of_weights(world):
    world.in_production(1)
    world.in_production(2)
    starts = dict(world.serving.starts)
    rollback = world.drive(world.roll_back())
    assert dict(world.serving.starts) == starts
    assert rollback.effects.all()[0].kind == "traffic"


def test_a_previous_version_that_is_cold_is_started_first(world):
    world.in_production(1)
    world.in_production(2)
    world.serving.remove(VersionRef("iris", 1), slug="iris")
    Variant.objects.filter(version=world.version(1)).delete()
    rollback = world.drive(world.roll_back())
    assert [effect.kind for effect in rollback.effects.all()][:2] == ["server", "traffic"]
    assert world.weights() == {1: 100}


def test_traffic_comes_back_while_mlflow_is_down_and_the_registry_follows_later(world):
    world.in_production(1)
    world.in_production(2)
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


def test_a_rollback_cancels_what_waits_for_approval(world):
    world.in_production(1)
    world.in_production(2)
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
    world.in_production(1)
    with pytest.raises(RefusedError, match="first version in Production"):
        world.roll_back()


def test_a_second_click_is_told_that_a_rollback_is_under_way(world):
    world.in_production(1)
    world.in_production(2)
    world.roll_back()
    with pytest.raises(RefusedError, match="under way"):
        world.roll_back(by="mia")


def test_a_named_version_must_have_served(world):
    world.in_production(1)
    world.in_production(2)
    with pytest.raises(RefusedError, match="never served"):
        world.roll_back(to_version=3)
    with pytest.raises(RefusedError, match="no other version 9"):
        world.roll_back(to_version=9)
    assert world.drive(world.roll_back(to_version=1)).previous.version == 1


def test_an_auditor_cannot_roll_back(world):
    world.in_production(1)
    with pytest.raises(RefusedError) as refusal:
        world.roll_back(by="aron")
    assert refusal.value.status == 403


def test_going_back_twice_does_not_bring_the_bad_version_back(world):
    world.in_production(1)
    world.in_production(2)
    world.drive(world.roll_back())
    with pytest.raises(RefusedError, match="first version in Production"):
        world.roll_back()


def test_an_old_transitions_page_takes_nothing_back(world):
    world.in_production(1)
    first = world.in_production(2)
    world.in_production(3)
    with pytest.raises(RefusedError, match="does not serve Production any more"):
        roll_back_transition(transition=first, reason="Late.", actor=world.people["emil"], now=world.now)


def test_a_first_promotion_that_is_taken_back_leaves_nobody_serving(world):
    world.drive(world.approved(1, Stage.STAGING))
    transition = world.approved(1, Stage.PRODUCTION)
    world.drive(transition, until=lambda row: bool(world.weights()))
    world.roll_back()
    world.drive(transition)
    assert (transition.status, world.weights(), world.version(1).stage) == (Status.ROLLED_BACK, {}, "Staging")


def test_the_offer_says_what_will_happen(world):
    world.in_production(1)
    world.in_production(2)
    offer = queries.rollback_offer(world.model, world.people["emil"])
    assert offer.consequence == "100 % of iris goes back to 1.0.0 at once, and 1.1.0 is archived."
    assert queries.rollback_offer(world.model, world.people["aron"]) is None


def test_the_record_says_how_long_the_traffic_took(world):
    world.in_production(1)
    world.in_production(2)
    world.drive(world.roll_back())
    entry = AuditEntry.objects.get(action="traffic_back")
    assert entry.details["seconds"] >= 0
    assert entry.details["weights"] == {"1": 100}
