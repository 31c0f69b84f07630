"""Every pair of stages, allowed and refused, at the operation, on the page and through the API."""

from datetime import timedelta

import pytest

from lifecycle import mirror
from lifecycle.domain.criteria import Criterion
from lifecycle.domain.stages import Stage, possible_changes, to_mlflow
from lifecycle.models import ModelVersion, Policy, Transition
from lifecycle.operations import RefusedError
from lifecycle.ports import VersionRef
from tests.support.world import NAME, POLICY

ALLOWED = {
    (Stage.DEVELOPMENT, Stage.STAGING),
    (Stage.STAGING, Stage.PRODUCTION),
    (Stage.STAGING, Stage.ARCHIVED),
    (Stage.PRODUCTION, Stage.ARCHIVED),
    (Stage.ARCHIVED, Stage.STAGING),
}
PAIRS = [(current, wanted) for current in Stage for wanted in Stage]
WORDS = {
    (Stage.DEVELOPMENT, Stage.PRODUCTION): "Stages cannot be skipped",
    (Stage.ARCHIVED, Stage.PRODUCTION): "Stages cannot be skipped",
    (Stage.PRODUCTION, Stage.STAGING): "leaves Production by a rollback",
    (Stage.DEVELOPMENT, Stage.ARCHIVED): "Its next stages are: Staging",
}


def in_stage(world, stage):
    """Version 2 in the stage, as MLflow has it, since before there was a policy; nothing of it serves."""
    world.registry.set_stage(VersionRef(NAME, 2), to_mlflow(stage))
    mirror.full_pass(world.registry, world.now)
    ModelVersion.objects.filter(version=2).update(stage_since=world.now - timedelta(days=1))


def words_for(current, wanted):
    if current == wanted:
        return f"in {wanted} already"
    if wanted == Stage.DEVELOPMENT:
        return "never goes back to Development"
    return WORDS[current, wanted]


@pytest.mark.parametrize(("current", "wanted"), PAIRS)
def test_at_the_operation(world, current, wanted):
    in_stage(world, current)
    if (current, wanted) in ALLOWED:
        assert world.request(2, wanted).to_stage == wanted
        return
    with pytest.raises(RefusedError, match=words_for(current, wanted)) as refusal:
        world.request(2, wanted)
    assert refusal.value.rule == "stage_order"
    assert not Transition.objects.exists()


@pytest.mark.parametrize(("current", "wanted"), PAIRS)
def test_through_the_api(world, signed_in, current, wanted):
    in_stage(world, current)
    body = {"model": NAME, "version": 2, "to_stage": wanted, "reason": "It is time."}
    response = signed_in("emil").post("/api/v1/transitions/", body, content_type="application/json")
    if (current, wanted) in ALLOWED:
        assert (response.status_code, response.json()["to_stage"]) == (201, wanted)
        return
    problem = response.json()
    assert (response.status_code, problem["type"]) == (409, "urn:stagegate:stage_order")
    assert words_for(current, wanted) in problem["detail"]
    assert not Transition.objects.exists()


@pytest.mark.parametrize(("current", "wanted"), PAIRS)
def test_on_the_page(world, signed_in, current, wanted):
    in_stage(world, current)
    emil, address = signed_in("emil"), f"/models/{NAME}/versions/2/"
    offers = f'name="to_stage" value="{wanted}"' in emil.get(address).content.decode()
    assert offers == ((current, wanted) in ALLOWED)
    response = emil.post(f"{address}request/", {"to_stage": wanted, "reason": "It is time."}, follow=True)
    assert Transition.objects.exists() == ((current, wanted) in ALLOWED)
    assert response.status_code == 200


@pytest.mark.parametrize("current", list(Stage))
def test_the_table_is_what_may_be_asked_for(current):
    assert {(current, wanted) for wanted in possible_changes(current)} == {
        pair for pair in ALLOWED if pair[0] == current
    }


CLOSED_BY = {
    Stage.STAGING: Criterion.CODE_REVIEW,
    Stage.PRODUCTION: Criterion.SECURITY_SCAN,
    Stage.ARCHIVED: Criterion.REPLACED,
}


@pytest.mark.parametrize(("current", "wanted"), sorted(ALLOWED - {(Stage.STAGING, Stage.ARCHIVED)}))
def test_an_allowed_change_is_refused_while_its_gate_is_closed(world, signed_in, current, wanted):
    criterion = CLOSED_BY[wanted]
    closed = {**POLICY, "criteria": {**POLICY["criteria"], f"to_{wanted.lower()}": [criterion]}}
    Policy.objects.create(number=2, body=closed, reason="test", created_by="test", created_at=world.now)
    in_stage(world, current)
    emil = signed_in("emil")
    body = {"model": NAME, "version": 2, "to_stage": wanted, "reason": "It is time."}
    problem = emil.post("/api/v1/transitions/", body, content_type="application/json").json()
    assert (problem["status"], problem["type"]) == (409, "urn:stagegate:gate_closed")
    assert [each["criterion"] for each in problem["closed_by"]] == [criterion]
    assert problem["closed_by"][0]["why"]
    form = {"to_stage": wanted, "reason": "It is time."}
    page = emil.post(f"/models/{NAME}/versions/2/request/", form, follow=True).content.decode()
    assert f"The gate to {wanted} is closed" in page
    assert not Transition.objects.exists()
