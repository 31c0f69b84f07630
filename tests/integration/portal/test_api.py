"""The REST API: the same operations, as JSON; refusals are problem details."""

import pytest
from django.test import Client

from lifecycle.domain.stages import Stage
from lifecycle.models import AuditEntry, Transition


def post(browser, address, body):
    return browser.post(f"/api/v1/{address}", body, content_type="application/json")


def test_models_and_versions(world, signed_in):
    aron = signed_in("aron")
    listed = aron.get("/api/v1/models/").json()
    assert [row["name"] for row in listed["results"]] == ["iris"]
    model = aron.get("/api/v1/models/iris/").json()
    assert [row["version"] for row in model["versions"]] == [3, 2, 1]
    version = aron.get("/api/v1/models/iris/versions/2/").json()
    assert (version["semantic_version"], version["stage"]) == ("1.1.0", "Development")


def test_the_whole_path(world, signed_in):
    body = {"model": "iris", "version": 1, "to_stage": "Staging", "reason": "Ready."}
    created = post(signed_in("emil"), "transitions/", body)
    assert created.status_code == 201
    pk = created.json()["id"]
    approved = post(signed_in("mia"), f"transitions/{pk}/approve/", {"reason": "Good."})
    assert (approved.status_code, approved.json()["status"]) == (200, "approved")
    world.drive(Transition.objects.get())
    seen = signed_in("aron").get(f"/api/v1/transitions/{pk}/").json()
    assert seen["status"] == "finished"
    assert [effect["outcome"] for effect in seen["effects"]] == ["done"] * len(seen["effects"])
    actions = [entry["action"] for entry in signed_in("aron").get("/api/v1/audit/").json()["results"]]
    assert actions[0] == "transition_finished"
    assert actions[-1] == "transition_requested"


def test_a_rollback_is_accepted(world, signed_in):
    world.in_production(1)
    world.in_production(2)
    response = post(signed_in("emil"), "models/iris/rollback/", {"reason": "Errors."})
    assert response.status_code == 202
    body = response.json()
    assert (body["kind"], body["version"], body["previous"]) == ("rollback", 2, 1)


@pytest.mark.parametrize(
    ("name", "address", "body", "status", "rule"),
    [
        ("aron", "models/iris/rollback/", {"reason": "x"}, 403, "role"),
        ("emil", "models/iris/rollback/", {"reason": "x"}, 409, "nothing_serves"),
        ("emil", "models/iris/rollback/", {}, 422, "reason"),
        ("emil", "models/iris/rollback/", {"reason": "x", "kind": "gentle"}, 400, "invalid"),
        ("emil", "models/none/rollback/", {"reason": "x"}, 404, "not_found"),
        (
            "emil",
            "transitions/",
            {"model": "iris", "version": 1, "to_stage": "Production", "reason": "x"},
            409,
            "stage_order",
        ),
        (
            "emil",
            "transitions/",
            {"model": "iris", "version": 9, "to_stage": "Staging", "reason": "x"},
            404,
            "not_found",
        ),
        ("emil", "transitions/", {"model": "iris", "version": 0, "to_stage": "Staging", "reason": "x"}, 400, "invalid"),
        ("priya", "transitions/", {"model": "iris", "version": 1, "to_stage": "Staging", "reason": "x"}, 403, "role"),
    ],
)
def test_a_refusal_is_a_problem_that_names_its_rule(world, signed_in, name, address, body, status, rule):
    response = post(signed_in(name), address, body)
    problem = response.json()
    assert response["Content-Type"] == "application/problem+json"
    assert (response.status_code, problem["status"], problem["type"]) == (status, status, f"urn:stagegate:{rule}")
    assert problem["detail"]
    assert not Transition.objects.exists()


def test_an_attempt_without_a_reason_is_on_the_record(world, signed_in):
    post(signed_in("emil"), "models/iris/rollback/", {"reason": " "})
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.refused, entry.actor, entry.model) == ("roll_back", True, "emil", "iris")


def test_self_approval_is_refused(world, signed_in):
    pk = world.request(1, Stage.STAGING).pk
    response = post(signed_in("emil"), f"transitions/{pk}/approve/", {"reason": "Mine."})
    assert (response.status_code, response.json()["type"]) == (403, "urn:stagegate:approver")


def test_without_signing_in_nothing_is_told(world, client):
    for address in ("models/", "models/iris/", "audit/", "transitions/1/"):
        response = client.get(f"/api/v1/{address}")
        assert response.status_code == 401, address
        assert response.json()["status"] == 401


def test_a_session_needs_its_csrf_token(world):
    browser = Client(enforce_csrf_checks=True)
    browser.login(username="emil", password="emil")
    assert post(browser, "models/iris/rollback/", {"reason": "Forged."}).status_code == 403


def test_what_is_not_json_is_refused(world, signed_in):
    response = signed_in("emil").post("/api/v1/transitions/", "{", content_type="application/json")
    assert response.status_code == 400
    response = signed_in("emil").post("/api/v1/transitions/", "a=b", content_type="application/x-www-form-urlencoded")
    assert response.status_code == 415


def test_the_record_of_one_transition(world, signed_in):
    first = world.drive(world.approved(1, Stage.STAGING))
    second = world.request(2, Stage.STAGING)
    aron = signed_in("aron")
    for transition in (first, second):
        entries = aron.get(f"/api/v1/audit/?transition={transition.pk}").json()["results"]
        assert {entry["transition"] for entry in entries} == {transition.pk}


@pytest.mark.parametrize(
    "wrong",
    [
        *("since=yesterday", "until=2026-13-01", "version=one", "transition=x"),
        *("since=0001-01-01T00:00:00%2B14:00", "until=9999-12-31T23:59:59-14:00", "since=1969-12-31T23:59:59Z"),
    ],
)
def test_a_filter_that_cannot_be_read_is_refused_not_ignored(world, signed_in, wrong):
    response = signed_in("aron").get(f"/api/v1/audit/?{wrong}")
    assert response.status_code == 400
    assert wrong.partition("=")[0] in response.json()["errors"]
