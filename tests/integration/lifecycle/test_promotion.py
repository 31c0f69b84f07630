"""A promotion from request to finish."""

import pytest

from lifecycle import queries
from lifecycle.domain.stages import Stage
from lifecycle.models import AuditEntry, Status, Variant
from lifecycle.operations import RefusedError
from lifecycle.ports import PermanentError, VersionRef
from tests.support.world import NAME


def seen_weights(world, transition):
    seen = []

    def note(row):
        if world.weights() not in seen:
            seen.append(world.weights())
        return not row.is_active

    world.drive(transition, until=note)
    return seen


def test_a_first_version_goes_to_staging_and_then_serves_everybody(world):
    staged = world.drive(world.approved(1, Stage.STAGING))
    assert staged.status == Status.FINISHED
    assert (world.version(1).stage, world.model.aliases) == ("Staging", {"staging": 1})
    assert world.weights() == {}

    promoted = world.drive(world.approved(1, Stage.PRODUCTION))
    assert promoted.status == Status.FINISHED
    assert (world.version(1).stage, world.model.aliases) == ("Production", {"production": 1})
    assert world.weights() == {1: 100}


def test_a_second_version_gets_ten_percent_in_staging_and_then_steps_up(world):
    world.in_production(1)
    world.drive(world.approved(2, Stage.STAGING))
    assert world.weights() == {1: 90, 2: 10}
    steps = seen_weights(world, world.approved(2, Stage.PRODUCTION))
    assert steps == [{1: 90, 2: 10}, {1: 95, 2: 5}, {1: 75, 2: 25}, {1: 50, 2: 50}, {2: 100}]


def test_each_step_lasts_its_minimum(world):
    world.in_production(1)
    world.drive(world.approved(2, Stage.STAGING))
    transition = world.approved(2, Stage.PRODUCTION)
    world.drive(transition, until=lambda row: row.step_since is not None)
    world.pass_time(seconds=8)
    assert world.tick(transition).step == 0
    world.pass_time(seconds=2)
    assert world.tick(transition).step == 1


def test_the_registry_says_production_only_after_all_requests_have_moved(world):
    world.in_production(1)
    world.drive(world.approved(2, Stage.STAGING))
    transition = world.approved(2, Stage.PRODUCTION)
    world.drive(transition, until=lambda row: row.step == 3 and row.step_since is not None)
    assert world.registry.version(VersionRef("iris", 2)).stage == "Staging"
    assert world.weights() == {2: 100}
    world.drive(transition)
    assert world.registry.version(VersionRef("iris", 2)).stage == "Production"
    assert world.registry.model("iris").aliases == {"production": 2}


def test_the_replaced_version_stays_warm(world):
    world.in_production(1)
    world.in_production(2)
    warm = Variant.objects.get(version=world.version(1))
    assert (warm.role, warm.weight) == ("warm", 0)
    assert warm.warm_until > world.now


def test_a_version_that_cannot_load_is_turned_back_with_the_reason(world):
    world.in_production(1)
    world.serving.broken.add(VersionRef("iris", 2))
    transition = world.drive(world.approved(2, Stage.STAGING))
    assert transition.status == Status.ROLLED_BACK
    assert "can't be loaded" in transition.outcome
    assert world.weights() == {1: 100}
    assert world.version(2).stage == "None"


def test_a_version_deleted_after_approval_fails_and_nothing_moves(world):
    transition = world.approved(1, Stage.STAGING)
    world.registry.delete_version(VersionRef("iris", 1))
    assert world.drive(transition).status == Status.FAILED
    assert "deleted" in transition.outcome
    assert not world.serving.starts


def test_a_stage_changed_in_mlflow_after_approval_fails(world):
    transition = world.approved(1, Stage.STAGING)
    world.registry.set_stage(VersionRef("iris", 1), "Archived")
    assert world.drive(transition).status == Status.FAILED
    assert "Archived" in transition.outcome


def test_a_gateway_that_is_down_is_waited_for(world):
    world.in_production(1)
    world.drive(world.approved(2, Stage.STAGING))
    transition = world.approved(2, Stage.PRODUCTION)
    world.traffic.down = True
    world.tick(transition, times=20)
    assert transition.status == Status.RUNNING
    assert "gateway" in transition.waiting_for
    world.traffic.down = False
    assert world.drive(transition).status == Status.FINISHED


def test_a_gateway_that_accepts_but_does_not_apply_never_counts_as_done(world):
    world.in_production(1)
    world.drive(world.approved(2, Stage.STAGING))
    transition = world.approved(2, Stage.PRODUCTION)
    world.traffic.applies = False
    world.tick(transition, times=40)
    assert (transition.step, transition.step_since) == (0, None)
    effect = transition.effects.get(kind="traffic")
    assert effect.outcome == "open"
    assert 1 < effect.attempts < 20


def test_an_effect_that_is_refused_shows_why_and_is_tried_again(world):
    transition = world.approved(1, Stage.STAGING)
    world.drive(transition, until=lambda row: row.effects.filter(kind="server", outcome="done").exists())
    world.registry.down = True
    world.drive(transition, until=lambda row: "MLflow does not answer" in row.waiting_for)
    world.registry.down = False
    assert world.drive(transition).status == Status.FINISHED


def test_a_server_that_can_never_be_started_is_turned_back_at_once(world, monkeypatch):
    transition = world.approved(1, Stage.STAGING)

    def refuse(*args, **kwargs):
        raise PermanentError("no free port between 8200 and 8299")

    monkeypatch.setattr(world.serving, "ensure", refuse)
    assert world.drive(transition).status == Status.ROLLED_BACK
    assert "no free port" in transition.outcome


def test_a_server_that_is_not_ready_in_time_is_turned_back(world):
    world.serving.loads_at_once = False
    transition = world.approved(1, Stage.STAGING)
    world.drive(transition, until=lambda row: row.effects.filter(kind="server").exists())
    world.pass_time(minutes=11)
    assert world.drive(transition).status == Status.ROLLED_BACK
    assert "not ready within 10 minutes" in transition.outcome


def test_everything_is_on_the_record(world):
    world.in_production(1)
    actions = list(AuditEntry.objects.order_by("id").values_list("action", "actor"))
    assert ("transition_requested", "emil") in actions
    assert ("transition_approved", "priya") in actions
    assert ("traffic_changed", "Stagegate") in actions
    assert actions[-1] == ("transition_finished", "Stagegate")


def test_only_one_transition_of_a_model_is_active(world):
    world.request(1, Stage.STAGING)
    with pytest.raises(RefusedError, match="has a transition already"):
        world.request(2, Stage.STAGING)
    refused = AuditEntry.objects.get(refused=True)
    assert (refused.action, refused.actor, refused.version) == ("request_transition", "emil", 2)


def test_archiving_a_version_without_requests_leaves_the_others_their_shares(world):
    world.in_production(1)
    world.drive(world.approved(2, Stage.STAGING))
    world.drive(world.approved(3, Stage.STAGING))
    assert world.weights() == {1: 90, 3: 10}
    archived = world.drive(world.approved(2, Stage.ARCHIVED))
    assert archived.status == Status.FINISHED
    assert world.weights() == {1: 90, 3: 10}
    assert world.registry.version(VersionRef(NAME, 2)).stage == "Archived"


def test_a_version_in_staging_keeps_its_colour_while_another_one_is_asked_for(world):
    world.in_production(1)
    world.drive(world.approved(2, Stage.STAGING))
    asked = world.request(3, Stage.STAGING)
    page = queries.transition_page(asked, world.people["mia"], world.now)
    assert [(share.version.version, share.tone) for share in page.shares] == [(1, "stable"), (2, "canary")]
