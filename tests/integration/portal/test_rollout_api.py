"""Rollouts by API: where one stands, and steering it."""

from datetime import timedelta

import pytest

from lifecycle.domain.stages import Stage
from lifecycle.models import AuditEntry, Policy, Status, Transition
from tests.support import rollouts


@pytest.fixture
def row(world):
    return rollouts.running(world.version(2), world.version(1), Policy.objects.get(), world.now)


def post(browser, address, **body):
    return browser.post(f"/api/v1/{address}", body, content_type="application/json")


def test_a_rollout_says_where_it_stands(world, signed_in, row):
    rollouts.judged(row, rollouts.HOLD, world.now)
    found = signed_in("aron").get(f"/api/v1/rollouts/{row.pk}/").json()
    assert found["transition"]["strategy"] == "canary"
    assert [step["state"] for step in found["steps"]] == ["done", "current", "ahead", "ahead"]
    assert found["current"] == 1
    assert (found["steps"][1]["weight"], found["steps"][1]["judged"]) == (25, True)
    assert found["waiting"]["asks_person"] is False
    verdict = found["verdict"]
    assert (verdict["kind"], verdict["requests"], verdict["stable_requests"]) == ("hold", 420, 1260)
    assert {each["name"]: each["state"] for each in verdict["measures"]}["drift"] == "breached"


def test_before_the_first_verdict_there_is_none(signed_in, row):
    assert signed_in("aron").get(f"/api/v1/rollouts/{row.pk}/").json()["verdict"] is None


def test_pausing_and_resuming(signed_in, row):
    emil = signed_in("emil")
    paused = post(emil, f"rollouts/{row.pk}/pause/", reason="Until noon.", step=1)
    assert (paused.status_code, paused.json()["waiting"]["paused_by"]) == (200, "emil")
    resumed = post(emil, f"rollouts/{row.pk}/resume/", reason="It is noon.")
    assert resumed.json()["waiting"]["paused"] is False


@pytest.mark.parametrize(
    ("action", "released", "asks"), [("skip", 2, False), ("promote", 3, False), ("continue", 2, True)]
)
def test_sending_it_on(signed_in, row, action, released, asks):
    Transition.objects.update(asks_person=asks)
    assert post(signed_in("mia"), f"rollouts/{row.pk}/{action}/", reason="I looked.").status_code == 200
    row.refresh_from_db()
    assert row.released == released


def test_aborting_takes_it_back(signed_in, row):
    answer = post(signed_in("emil"), f"rollouts/{row.pk}/abort/", reason="Wrong model.")
    assert (answer.status_code, answer.json()["transition"]["status"]) == (202, Status.ROLLING_BACK)


@pytest.mark.parametrize(
    ("name", "action", "body", "status", "rule"),
    [
        ("aron", "pause", {"reason": "x"}, 403, "role"),
        ("ada", "skip", {"reason": "x"}, 403, "role"),
        ("emil", "skip", {}, 422, "reason"),
        ("emil", "skip", {"reason": "x", "step": 0}, 409, "moved_on"),
        ("emil", "resume", {"reason": "x"}, 409, "not_paused"),
        ("emil", "continue", {"reason": "x"}, 409, "asks_nobody"),
        ("emil", "skip", {"reason": "x", "step": -1}, 400, "invalid"),
        ("aron", "abort", {"reason": "x"}, 403, "role"),
    ],
)
def test_a_refusal_names_its_rule_and_changes_nothing(signed_in, row, name, action, body, status, rule):
    answer = post(signed_in(name), f"rollouts/{row.pk}/{action}/", **body)
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:stagegate:{rule}")
    row.refresh_from_db()
    assert (row.released, row.paused_at, row.status) == (0, None, Status.RUNNING)


def test_what_is_no_rollout_is_not_found(world, signed_in):
    world.in_production(1)
    world.in_production(2)
    rollback = world.roll_back()
    assert signed_in("aron").get(f"/api/v1/rollouts/{rollback.pk}/").status_code == 404
    assert signed_in("aron").get("/api/v1/rollouts/999/").status_code == 404


def test_a_transition_is_asked_for_with_a_strategy(world, signed_in):
    world.in_production(1)
    world.drive(world.approved(2, Stage.STAGING))
    body = {"model": "iris", "version": 2, "to_stage": "Production", "reason": "Better."}
    emil = signed_in("emil")
    assert post(emil, "transitions/", **body, strategy="slowly").status_code == 400
    assert post(emil, "transitions/", **body, strategy="blue_green").json()["strategy"] == "blue_green"
    assert AuditEntry.objects.filter(action="transition_requested").latest("id").details["strategy"] == "blue_green"
    assert timedelta(seconds=Transition.objects.latest("pk").steps[0]["minimum"]) == timedelta(0)


def test_who_served_at_a_moment(world, signed_in):
    aron = signed_in("aron")
    before = world.now
    world.in_production(1)
    between = world.now
    world.pass_time(seconds=1)
    world.in_production(2)

    def live(at=None):
        answer = aron.get("/api/v1/models/iris/live/", {"at": at.isoformat()} if at else {})
        return {share["version"]: share["percent"] for share in answer.json()["shares"]}

    assert (live(before), live(between), live()) == ({}, {1: 100}, {2: 100})
    halfway = AuditEntry.objects.filter(action="step_reached", details__weights={"1": 75, "2": 25}).latest("id").at
    assert live(halfway) == {1: 75, 2: 25}
    assert aron.get("/api/v1/models/iris/live/?at=yesterday").status_code == 400
    assert aron.get("/api/v1/models/none/live/").status_code == 404
