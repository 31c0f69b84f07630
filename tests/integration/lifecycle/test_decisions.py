"""Requesting, approving, rejecting and cancelling: who may, and what is refused."""

import pytest

from lifecycle import approvals, operations, queries_inbox
from lifecycle.domain.permissions import Actor, Role
from lifecycle.domain.stages import Stage
from lifecycle.models import AuditEntry, Status, Transition
from lifecycle.operations import RefusedError
from lifecycle.ports import VersionRef


def refusals():
    return list(AuditEntry.objects.filter(refused=True).values_list("action", "actor"))


def test_staging_needs_one_ml_engineer_production_also_a_product_owner(world):
    staging = world.request(1, Stage.STAGING)
    assert world.approve(staging, "mia").status == Status.APPROVED
    world.drive(staging)
    production = world.request(1, Stage.PRODUCTION)
    assert world.approve(production, "priya").status == Status.AWAITING_APPROVAL
    assert approvals.still_missing(production) == (Role.ML_ENGINEER,)
    assert world.approve(production, "mia").status == Status.APPROVED


@pytest.mark.parametrize("operation", [operations.approve, operations.reject])
def test_the_requester_decides_nothing_even_with_a_second_role(world, operation):
    transition = world.request(1, Stage.STAGING)
    emil = world.people["emil"]
    both = Actor(emil.name, emil.user_id, emil.roles | {Role.PRODUCT_OWNER})
    with pytest.raises(RefusedError, match="somebody else"):
        operation(transition=transition, reason="I say so.", actor=both, now=world.now)
    assert Transition.objects.get().status == Status.AWAITING_APPROVAL
    assert len(refusals()) == 1


@pytest.mark.parametrize("name", ["aron", "ada"])
def test_auditors_and_administrators_do_not_approve(world, name):
    with pytest.raises(RefusedError, match="product owner") as refusal:
        world.approve(world.request(1, Stage.STAGING), name)
    assert refusal.value.status == 403
    assert refusals() == [("approve", name)]


@pytest.mark.parametrize("name", ["priya", "aron", "ada"])
def test_only_ml_engineers_request(world, name):
    with pytest.raises(RefusedError, match="ML engineer"):
        world.request(1, Stage.STAGING, by=name)
    assert not Transition.objects.exists()


@pytest.mark.parametrize("reason", ["", "   ", "x" * 2001])
def test_a_reason_is_asked_for(world, reason):
    with pytest.raises(RefusedError, match="reason") as refusal:
        world.request(1, Stage.STAGING, reason=reason)
    assert refusal.value.status == 422


def test_nobody_decides_twice_or_after_the_end(world):
    world.drive(world.approved(1, Stage.STAGING))
    transition = world.approve(world.request(1, Stage.PRODUCTION), "mia")
    with pytest.raises(RefusedError, match="already"):
        world.approve(transition, "mia")
    rejected = operations.reject(transition=transition, reason="Not yet.", actor=world.people["priya"], now=world.now)
    assert (rejected.status, rejected.outcome) == (Status.REJECTED, "Not yet.")
    with pytest.raises(RefusedError, match="rejected"):
        world.approve(transition, "priya")


def test_cancelling_frees_the_model(world):
    transition = world.request(1, Stage.STAGING)
    operations.cancel(transition=transition, reason="Wrong version.", actor=world.people["emil"], now=world.now)
    assert world.request(2, Stage.STAGING).status == Status.AWAITING_APPROVAL


def test_what_runs_is_rolled_back_not_cancelled(world):
    transition = world.approved(1, Stage.STAGING)
    with pytest.raises(RefusedError, match="roll it back"):
        operations.cancel(transition=transition, reason="Stop.", actor=world.people["emil"], now=world.now)


def test_a_request_reads_the_version_afresh(world):
    world.registry.set_stage(VersionRef("iris", 1), "Archived")
    with pytest.raises(RefusedError, match="Archived"):
        world.request(1, Stage.PRODUCTION)


def test_no_request_while_mlflow_cannot_be_read(world):
    world.registry.down = True
    with pytest.raises(RefusedError, match="MLflow cannot be read") as refusal:
        world.request(1, Stage.STAGING)
    assert refusal.value.status == 503
    assert refusals() == [("request_transition", "emil")]


def test_a_version_that_is_gone_cannot_be_asked_for(world):
    world.registry.delete_version(VersionRef("iris", 1))
    with pytest.raises(RefusedError, match="no longer has"):
        world.request(1, Stage.STAGING)


def test_what_serves_or_is_kept_warm_is_not_archived(world):
    world.in_production(1)
    with pytest.raises(RefusedError, match="serves Production"):
        world.request(1, Stage.ARCHIVED)
    world.in_production(2)
    with pytest.raises(RefusedError, match="kept warm"):
        world.request(1, Stage.ARCHIVED)


def test_the_inbox_shows_what_this_person_can_decide(world):
    transition = world.request(1, Stage.STAGING)
    inboxes = {name: queries_inbox.inbox(actor).waiting for name, actor in world.people.items()}
    assert inboxes == {"priya": [], "emil": [], "mia": [transition], "aron": [], "ada": []}
