"""Whatever goes wrong below /api/ is told as a problem, and none of it is a 500."""

import pytest
from django.core.exceptions import RequestDataTooBig
from django.test import Client

MEMBERS = {"type", "title", "status", "detail", "rule", "instance"}
HUGE = 2**63
FAR = "9" * 5000


def problem(response, status, rule):
    assert response.status_code == status, response.content[:300]
    assert response["Content-Type"] == "application/problem+json"
    body = response.json()
    assert set(body) >= MEMBERS
    assert (body["status"], body["rule"], body["type"]) == (status, rule, f"urn:stagegate:{rule}")
    assert body["detail"]
    return body


@pytest.mark.parametrize(
    ("address", "status", "rule"),
    [
        ("/api/", 404, "not_found"),
        ("/api/v2/models/", 404, "not_found"),
        ("/api/v1/nothing/", 404, "not_found"),
        ("/api/v1/transitions/x/", 404, "not_found"),
        (f"/api/v1/transitions/{HUGE}/", 404, "not_found"),
        (f"/api/v1/transitions/{FAR}/", 404, "not_found"),
        (f"/api/v1/models/iris/versions/{HUGE}/", 404, "not_found"),
        (f"/api/v1/policies/{HUGE}/", 404, "not_found"),
        (f"/api/v1/audit/?version={HUGE}", 200, ""),
        (f"/api/v1/audit/?transition={FAR}", 400, "invalid"),
        (f"/api/v1/retention/?page={HUGE}", 200, ""),
        (f"/api/v1/models/iris/compare/?stable={FAR}", 400, "invalid"),
        ("/api/v1/models/a%00b/", 404, "not_found"),
        ("/api/v1/models/?search=a%00b", 400, "bad_request"),
        ("/api/v1/models/%FF%FE/", 404, "not_found"),
        ("/api/v1/models/?search=%FF", 200, ""),
        ("/api/v1/models/?format=xml", 404, "not_found"),
        ("/api/v1/models/?cursor=x", 400, "page"),
        ("/api/v1/models/?limit=0", 400, "page"),
    ],
)
def test_what_is_asked_for_can_be_anything(world, signed_in, address, status, rule):
    response = signed_in("aron").get(address)
    if status == 200:
        assert response.status_code == 200
    else:
        problem(response, status, rule)


def test_an_address_of_nothing_does_not_say_who_may_ask(world, client):
    body = problem(client.get("/api/v1/nothing/ä/"), 404, "not_found")
    assert body["instance"] == "/api/v1/nothing/%C3%A4/"


@pytest.mark.parametrize("method", ["put", "patch", "delete", "trace"])
def test_another_method_is_told_which_there_are(world, signed_in, method):
    emil = signed_in("emil")
    response = getattr(emil, method)("/api/v1/models/")
    problem(response, 405, "method_not_allowed")
    assert "GET" in response["Allow"]
    response = getattr(emil, method)("/api/v1/hooks/mlflow/")
    problem(response, 405, "method_not_allowed")
    assert response["Allow"] == "POST"


@pytest.mark.parametrize(
    ("body", "content_type", "status", "rule"),
    [
        (b"{", "application/json", 400, "parse_error"),
        (b"\xff\xfe{}", "application/json", 400, "parse_error"),
        (b'{"reason": "\xff"}', "application/json", 400, "parse_error"),
        (b"[" * 100_000, "application/json", 400, "parse_error"),
        (b'{"version": NaN}', "application/json", 400, "parse_error"),
        (b'{"version": ' + b"9" * 5000 + b"}", "application/json", 400, "parse_error"),
        (b"[]", "application/json", 400, "invalid"),
        (b"null", "application/json", 400, "invalid"),
        (b'{"model": "a\\u0000b", "version": 1, "to_stage": "Staging"}', "application/json", 400, "invalid"),
        (b'{"model": "a\\ud800b", "version": 1, "to_stage": "Staging"}', "application/json", 400, "invalid"),
        (
            b'{"model": "iris", "version": 9223372036854775808, "to_stage": "Staging"}',
            "application/json",
            404,
            "not_found",
        ),
        (b'{"reason": "' + b"x" * 300_000 + b'"}', "application/json", 413, "too_large"),
        (b"a=b", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b"<a/>", "text/xml", 415, "unsupported_media_type"),
    ],
)
@pytest.mark.parametrize("keyed", [False, True])
def test_what_is_sent_can_be_anything(world, signed_in, body, content_type, status, rule, keyed):
    headers = {"Idempotency-Key": "k"} if keyed else {}
    response = signed_in("emil").post("/api/v1/transitions/", body, content_type=content_type, headers=headers)
    problem(response, status, rule)


def test_a_media_type_that_is_not_offered(world, signed_in):
    problem(signed_in("aron").get("/api/v1/models/", headers={"Accept": "text/html"}), 406, "not_acceptable")


def test_who_is_not_signed_in_is_asked_for_a_token(world, client):
    response = client.get("/api/v1/models/")
    problem(response, 401, "not_authenticated")
    assert response["WWW-Authenticate"].startswith("Bearer")


def test_a_forged_request_is_told_so(world):
    browser = Client(enforce_csrf_checks=True)
    browser.login(username="emil", password="emil")
    response = browser.post("/api/v1/transitions/", {}, content_type="application/json")
    problem(response, 403, "permission_denied")


def test_what_breaks_is_a_problem_without_its_insides(world, signed_in, monkeypatch):
    def broken(*args):
        raise RuntimeError("a secret")

    aron = signed_in("aron")
    aron.raise_request_exception = False
    monkeypatch.setattr("portal.api.views.queries_models.models_matching", broken)
    response = aron.get("/api/v1/models/")
    problem(response, 500, "failed")
    assert b"secret" not in response.content


def test_what_django_refuses_itself_is_a_problem(world, signed_in, monkeypatch):
    def too_big(*args):
        raise RequestDataTooBig

    monkeypatch.setattr("portal.api.views.queries_models.models_matching", too_big)
    response = signed_in("aron").get("/api/v1/models/")
    problem(response, response.status_code, "bad_request" if response.status_code == 400 else "too_large")


def test_pages_keep_their_pages(world, signed_in):
    response = signed_in("aron").get("/nothing/")
    assert (response.status_code, response["Content-Type"].partition(";")[0]) == (404, "text/html")
