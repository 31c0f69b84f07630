"""Evidence, waivers, checks and gates over HTTP: as CI systems post them, and as people do with forms."""

import json
from datetime import timedelta

import pytest
from django.test import Client

from lifecycle import adapters, dispatch
from lifecycle.domain.permissions import Action
from lifecycle.domain.policy import Policy as PolicyValues
from lifecycle.domain.policy import dump
from lifecycle.models import AuditEntry, CheckRun, CheckStatus, Evidence, ModelVersion, Policy, Waiver
from tests.support.tokens import program

ADDRESS = "/api/v1/models/iris/versions/1/"
REPORT = {"criterion": "unit_tests", "outcome": "passed", "url": "https://ci.example/runs/1"}
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def ci(world):
    """A CI system: no cookies, a token in the header, and every forgery check on."""
    Policy.objects.update(body=dump(PolicyValues()))
    return program(world, "ci", Action.RECORD_EVIDENCE, Action.START_CHECK)


def post(browser, path, body):
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    return browser.post(ADDRESS + path, text, content_type="application/json")


def assert_problem(response, status, rule):
    assert response["Content-Type"] == "application/problem+json"
    problem = response.json()
    assert (response.status_code, problem["status"], problem["type"]) == (status, status, f"urn:stagegate:{rule}")
    return problem


# ---------------------------------------------------------------- reporting


def test_ci_reports_and_the_gate_shows_it(ci):
    response = post(ci, "evidence/", {**REPORT, "value": 312, "unit": "tests", "detail": "All of them."})
    assert response.status_code == 201
    row = response.json()
    assert (row["criterion"], row["outcome"], row["source"], row["by"]) == ("unit_tests", "passed", "ci", "ci")
    assert (row["value"], row["unit"], row["stale"]) == (312.0, "tests", "")
    found = {each["criterion"]: each for each in ci.get(ADDRESS + "gate/").json()["findings"]}
    assert (found["unit_tests"]["state"], found["unit_tests"]["evidence"]["id"]) == ("passed", row["id"])
    assert found["integration_tests"]["state"] == "missing"


def test_a_retry_gets_200_and_the_same_row(world, ci):
    first = post(ci, "evidence/", REPORT)
    world.pass_time(seconds=8)
    again = post(ci, "evidence/", REPORT)
    assert (again.status_code, again.json()) == (200, first.json())
    assert Evidence.objects.count() == 1


def test_the_list_is_newest_first_and_says_what_is_stale(world, ci):
    for number in range(3):
        post(ci, "evidence/", {**REPORT, "value": number})
    ModelVersion.objects.filter(version=1).update(artifact_digest="d" * 64)
    post(ci, "evidence/", {**REPORT, "value": 3})
    page = ci.get(ADDRESS + "evidence/?limit=2").json()
    assert [row["value"] for row in page["results"]] == [3.0, 2.0]
    assert page["results"][0]["stale"] == ""
    assert "files have changed" in page["results"][1]["stale"]
    rest = ci.get(page["next"]).json()["results"]
    assert [row["value"] for row in rest] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({**REPORT, "criterion": "beauty"}, "criterion", "There are: unit_tests, integration_tests"),
        ({**REPORT, "criterion": ["unit_tests"]}, "criterion", "There are:"),
        ({**REPORT, "criterion": {}}, "criterion", "There are:"),
        ({**REPORT, "criterion": None}, "criterion", "null"),
        ({**REPORT, "outcome": "maybe"}, "outcome", "maybe"),
        ({"criterion": "unit_tests"}, "outcome", "required"),
        ({**REPORT, "value": "nan"}, "value", ""),
        ({**REPORT, "value": "Infinity"}, "value", ""),
        ({**REPORT, "value": [1]}, "value", "number"),
        ({**REPORT, "value": 10**400}, "value", "too large"),
        ({**REPORT, "detail": "x" * 5001}, "detail", "5000"),
        ({**REPORT, "detail": "a\0b"}, "detail", "Null"),
        ({**REPORT, "detail": "a\ud800b"}, "detail", "urrogate"),
        ({**REPORT, "url": "https://ci.example/" + "x" * 2000}, "url", "2000"),
        ({**REPORT, "unit": "\0"}, "unit", "Null"),
        ([], "non_field_errors", "dictionary"),
    ],
)
def test_a_body_that_cannot_be_read_names_the_field(ci, body, field, said):
    problem = assert_problem(post(ci, "evidence/", body), 400, "invalid")
    assert said in str(problem["errors"][field])
    assert not Evidence.objects.exists()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"criterion": "unit_tests", "outcome": "passed", "value": NaN}',
        "[" * 100_000,
        b"\xff\xfe",
        '{"value": ' + "9" * 5000 + "}",
    ],
)
def test_what_is_not_json_is_refused(ci, text):
    assert_problem(post(ci, "evidence/", text), 400, "parse_error")


def test_a_number_too_large_for_a_float_is_refused(ci):
    text = '{"criterion": "unit_tests", "outcome": "passed", "value": 1e999}'
    assert_problem(post(ci, "evidence/", text), 400, "invalid")


def test_a_huge_body_is_refused(ci):
    assert_problem(post(ci, "evidence/", {**REPORT, "padding": "x" * 300_000}), 413, "too_large")
    assert not Evidence.objects.exists()


@pytest.mark.parametrize(
    ("body", "status", "rule"),
    [
        ({**REPORT, "criterion": "load_test"}, 422, "not_reported"),
        ({**REPORT, "criterion": "soak"}, 422, "not_reported"),
        ({**REPORT, "criterion": "drift"}, 422, "value"),
        ({**REPORT, "url": "javascript:alert(1)"}, 422, "url"),
        ({**REPORT, "url": "https://me:secret@ci.example/"}, 422, "url"),
    ],
)
def test_a_refusal_names_its_rule_and_is_recorded(ci, body, status, rule):
    assert_problem(post(ci, "evidence/", body), status, rule)
    entry = AuditEntry.objects.get()
    assert (entry.refused, entry.actor, entry.signed_in_by) == (True, "ci", "token:ci")
    assert "secret" not in str(entry.details)


def test_an_archived_version_is_read_only(ci):
    ModelVersion.objects.filter(version=1).update(stage="Archived")
    assert_problem(post(ci, "evidence/", REPORT), 409, "archived_read_only")


@pytest.mark.parametrize("name", ["aron", "ada"])
def test_people_without_the_role_report_nothing(ci, signed_in, name):
    assert_problem(post(signed_in(name), "evidence/", REPORT), 403, "role")


def test_nobody_reports_without_proof_of_who_they_are(ci, client):
    assert_problem(post(client, "evidence/", REPORT), 401, "not_authenticated")


@pytest.mark.parametrize("path", ["evidence/", "waivers/", "checks/", "gate/"])
def test_a_version_that_is_not_there_is_not_found(ci, path):
    assert ci.get(f"/api/v1/models/iris/versions/9/{path}").status_code == 404
    assert ci.get(f"/api/v1/models/none/versions/1/{path}").status_code == 404


# ---------------------------------------------------------------- the gate


@pytest.mark.parametrize(
    ("address", "to"),
    [("gate/", "Staging"), ("gate/?to=Production", "Production"), ("gate/?to=Archived", "Archived")],
)
def test_the_gate_of_the_next_or_of_a_named_stage(ci, address, to):
    found = ci.get(ADDRESS + address).json()
    assert found["to"] == to
    asked = [str(each) for each in PolicyValues().criteria.of(to)]
    assert [each["criterion"] for each in found["findings"]] == asked


@pytest.mark.parametrize("word", ["Development", "nowhere", ""])
def test_there_is_no_gate_to_elsewhere(ci, word):
    assert "to" in assert_problem(ci.get(f"{ADDRESS}gate/?to={word}"), 400, "invalid")["errors"]


# ---------------------------------------------------------------- waivers


def test_a_waiver_from_grant_to_revocation(world, ci, signed_in):
    priya = signed_in("priya")
    created = post(priya, "waivers/", {"criterion": "unit_tests", "reason": "No licence yet.", "days": 7})
    assert created.status_code == 201
    row = created.json()
    assert (row["granted_by"], row["stale"], row["revoked_at"]) == ("priya", "", None)
    found = {each["criterion"]: each for each in ci.get(ADDRESS + "gate/").json()["findings"]}
    assert found["unit_tests"]["state"] == "waived"
    address = f"/api/v1/waivers/{row['id']}/revoke/"
    assert ci.post(address, {"reason": "x"}, content_type="application/json").status_code == 403
    revoked = priya.post(address, {"reason": "It came."}, content_type="application/json").json()
    assert (revoked["revoked_by"], revoked["revoked_reason"]) == ("priya", "It came.")
    assert [each["id"] for each in ci.get(ADDRESS + "waivers/").json()["results"]] == [row["id"]]
    assert priya.post("/api/v1/waivers/99/revoke/", {"reason": "x"}).status_code in (404, 415)


def test_a_waiver_until_a_named_time(world, ci, signed_in):
    until = (world.now + timedelta(days=3)).isoformat()
    body = {"criterion": "unit_tests", "reason": "x", "expires_at": until}
    assert post(signed_in("priya"), "waivers/", body).json()["expires_at"].startswith("2026-03-04T09:00")


@pytest.mark.parametrize(
    "body",
    [
        {"days": 0},
        {"days": 10**30},
        {"days": "x"},
        {},
        {"days": 1, "expires_at": "2026-03-02T00:00:00Z"},
        {"expires_at": "soon"},
        {"days": 1, "criterion": "beauty"},
    ],
)
def test_a_waiver_that_cannot_be_read_is_refused(ci, signed_in, body):
    response = post(signed_in("priya"), "waivers/", {"criterion": "unit_tests", "reason": "x", **body})
    assert_problem(response, 400, "invalid")
    assert not Waiver.objects.exists()


# ---------------------------------------------------------------- checks


@pytest.fixture
def sent(monkeypatch):
    messages = []
    monkeypatch.setattr(dispatch, "send", lambda *args, **kwargs: messages.append(args))
    return messages


def test_ci_starts_and_cancels_a_check(ci, sent):
    started = post(ci, "checks/", {"criterion": "load_test"})
    assert (started.status_code, started.json()["status"]) == (202, "queued")
    assert_problem(post(ci, "checks/", {"criterion": "load_test"}), 409, "check_under_way")
    assert_problem(post(ci, "checks/", {"criterion": "unit_tests"}), 409, "not_a_check")
    pk = started.json()["id"]
    cancelled = ci.post(f"/api/v1/checks/{pk}/cancel/", content_type="application/json")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert ci.post("/api/v1/checks/99/cancel/", content_type="application/json").status_code == 404
    rows = ci.get(ADDRESS + "checks/").json()["results"]
    assert {(row["criterion"], row["requested_by"]) for row in rows} == {("load_test", "ci"), ("artifact_scan", "ci")}
    assert CheckRun.objects.get(pk=pk).status == CheckStatus.CANCELLED


def test_what_failed_the_scan_is_not_loaded_and_its_page_says_so(ci, sent, signed_in):
    version = ModelVersion.objects.get(version=1)
    of_these_files = {"run_id": version.run_id, "source": version.source, "artifact_digest": version.artifact_digest}
    Evidence.objects.create(
        version=version, criterion="artifact_scan", passed=False, origin="check", detail="model.pkl holds code.",
        recorded_by="Stagegate", recorded_at=version.created_at, **of_these_files,
    )  # fmt: skip
    problem = assert_problem(post(ci, "checks/", {"criterion": "load_test"}), 409, "scan_failed")
    assert "model.pkl holds code." in problem["detail"]
    ModelVersion.objects.update(stage="Staging")
    page = signed_in("emil").get(PAGE).content.decode()
    assert page.count("It is not started: <bdi>Its files did not pass the artifact scan. model.pkl holds code.") == 2
    assert "Run the load test" not in page


# ---------------------------------------------------------------- by hand


PAGE = "/models/iris/versions/1/"


def test_a_person_reports_by_form(ci, signed_in):
    form = {"criterion": "code_review", "outcome": "passed", "url": "https://code.example/pulls/7", "detail": ""}
    response = signed_in("mia").post(PAGE + "evidence/", form, follow=True)
    assert response.redirect_chain == [(PAGE + "#gate", 302)]
    assert "Recorded: Code review, passed." in response.content.decode()
    row = Evidence.objects.get()
    assert (row.origin, row.recorded_by, row.passed) == ("person", "mia", True)


@pytest.mark.parametrize(
    ("name", "wrong", "said"),
    [
        ("mia", {"url": ""}, "link or a note"),
        ("mia", {"criterion": "load_test"}, "start the check"),
        ("mia", {"criterion": "beauty"}, "Select a valid choice"),
        ("mia", {"outcome": "maybe"}, "Select a valid choice"),
        ("mia", {"detail": "a\0b"}, "Null characters"),
        ("aron", {}, "you need the role"),
    ],
)
def test_a_refusal_is_shown_at_the_gate(ci, signed_in, name, wrong, said):
    form = {"criterion": "code_review", "outcome": "passed", "url": "https://code.example/7", "detail": "", **wrong}
    response = signed_in(name).post(PAGE + "evidence/", form, follow=True)
    assert response.redirect_chain == [(PAGE + "#gate", 302)]
    assert said in response.content.decode()
    assert not Evidence.objects.exists()


def test_a_person_waives_and_revokes_by_form(ci, signed_in):
    priya = signed_in("priya")
    form = {"criterion": "unit_tests", "reason": "No licence yet.", "days": 7}
    assert "Waived for 7 days: Unit tests." in priya.post(PAGE + "waivers/", form, follow=True).content.decode()
    waiver = Waiver.objects.get()
    assert "already" in priya.post(PAGE + "waivers/", form, follow=True).content.decode()
    response = priya.post(f"/waivers/{waiver.pk}/revoke/", {"reason": "It came."}, follow=True)
    assert response.redirect_chain == [(PAGE + "#gate", 302)]
    waiver.refresh_from_db()
    assert waiver.revoked_by == "priya"


@pytest.mark.parametrize("days", ["0", "31", "x", "", str(10**30)])
def test_a_waiver_has_a_length(ci, signed_in, days):
    form = {"criterion": "unit_tests", "reason": "x", "days": days}
    assert signed_in("priya").post(PAGE + "waivers/", form).status_code == 302
    assert not Waiver.objects.exists()


@pytest.mark.parametrize("address", [PAGE + "evidence/", PAGE + "waivers/", "/waivers/1/revoke/"])
def test_nothing_is_changed_by_a_link_or_a_form_from_elsewhere(ci, signed_in, address):
    assert signed_in("priya").get(address).status_code == 405
    browser = Client(enforce_csrf_checks=True)
    browser.login(username="priya", password="priya")
    assert browser.post(address, {"reason": "Forged."}).status_code == 403


def test_markup_in_a_note_stays_text(ci, signed_in):
    body = {**REPORT, "outcome": "failed", "detail": HOSTILE, "unit": HOSTILE, "value": 1}
    assert post(ci, "evidence/", body).status_code == 201
    emil = signed_in("emil")
    for address in (PAGE, "/record/"):
        assert HOSTILE not in emil.get(address).content.decode(), address


def test_no_registry_is_asked(ci, monkeypatch):
    """CI reports while MLflow is down."""
    monkeypatch.setattr(adapters, "registry", lambda: pytest.fail("the registry was asked"))
    assert post(ci, "evidence/", REPORT).status_code == 201
