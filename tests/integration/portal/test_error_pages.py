"""Whatever goes wrong, the page says in the portal's own frame what happened and what to do."""

import re

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import InterfaceError, OperationalError, connection
from django.test import Client

from lifecycle import queries_record
from lifecycle.operations import RefusedError
from lifecycle.ports import TemporaryError
from portal.web.answers import database_down, failed, page_above, too_many
from tests.support.served import production

ACTS = re.compile(
    r"[Tt]ry again|Open (it|the page) again|Go to|Sign in (again|to)|Shorten|Search|See how it is|can give you|send it"
)
"""What to do, in one of the words for it."""


@pytest.fixture
def emil(world, signed_in):
    browser = signed_in("emil")
    browser.raise_request_exception = False
    return browser


def told(response, status: int) -> str:
    """The page, once it is what a page that went wrong has to be."""
    page = response.content.decode()
    assert response.status_code == status, page[:500]
    assert 'class="panel error-page"' in page
    assert 'class="brand"' in page
    assert re.search(rf'class="error-code">\s*{status}\s*<', page)
    assert ACTS.search(re.sub(r"<[^>]+>", " ", page)), page
    scripts = re.findall(r"<script[^>]*>", page)
    assert scripts
    assert all("nonce=" in each and 'nonce=""' not in each for each in scripts)
    return page


def break_with(monkeypatch, error: Exception):
    def broken(*args, **kwargs):
        raise error

    monkeypatch.setattr(queries_record, "record_page", broken)


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (ZeroDivisionError("x"), 500, "done whole or not at all"),
        (OperationalError("database is locked"), 503, "The database does not answer"),
        (TemporaryError("MLflow cannot be reached."), 502, "MLflow cannot be reached."),
        (RefusedError("Somebody else was faster.", rule="changed_meanwhile"), 409, "Somebody else was faster."),
    ],
)
def test_what_broke_says_whether_anything_was_done(emil, monkeypatch, error, status, words):
    break_with(monkeypatch, error)
    response = emil.get("/record/")
    assert words in told(response, status)
    assert (response.headers.get("Retry-After") is not None) == (status in (502, 503))


def test_the_page_for_a_failure_asks_the_database_nothing(emil, monkeypatch, rf, django_assert_num_queries):
    break_with(monkeypatch, OperationalError("database is locked"))
    page = told(emil.get("/record/?model=iris"), 503)
    assert "emil" not in page
    assert 'href="/record/?model=iris"' in page
    with django_assert_num_queries(0):
        assert failed(rf.get("/record/")).status_code == database_down(rf.post("/record/")).status_code - 3 == 500


@pytest.mark.parametrize(
    ("error", "status", "rule"),
    [(OperationalError("locked"), 503, "busy"), (TemporaryError("No answer."), 502, "unreachable")],
)
def test_a_program_is_told_as_well(emil, monkeypatch, error, status, rule):
    def broken(*args):
        raise error

    monkeypatch.setattr("portal.api.views.Models.get_queryset", broken)
    response = emil.get("/api/v1/models/")
    assert (response.status_code, response.json()["rule"], response["Retry-After"]) == (status, rule, "10")
    assert "ry again" in response.json()["detail"]


@pytest.mark.parametrize("error", [OperationalError("server closed the connection"), InterfaceError("closed")])
def test_a_database_that_is_down_fails_in_the_first_query(emil, error):
    def broken(*args):
        raise error

    with connection.execute_wrapper(broken):
        page, sent, missing = emil.get("/record/?model=iris"), emil.post("/sign-out/"), emil.get("/nowhere/")
        answer = emil.get("/api/v1/models/")
    assert "The database does not answer" in told(page, 503)
    assert 'href="/record/?model=iris"' in told(page, 503)
    assert {each["Retry-After"] for each in (page, sent, missing, answer)} == {"10"}
    assert (answer.status_code, answer.json()["rule"]) == (503, "busy")


@pytest.mark.parametrize(
    "address",
    [
        "/people/?name=a%00b",
        "/from-mlflow/models/a%00/1/",
        "/from-mlflow/runs/a%00/",
        "/models/?search=%00",
        "/models/?tag=a%00b",
        "/models/?framework=a%00b",
        "/models/?%00=team",
        "/models/a%00b/",
        "/models/a%00b/live/",
        "/nowhere%00/",
    ],
)
def test_no_address_holds_nul(emil, address):
    page = told(emil.get(address), 400)
    assert "The address holds the character NUL" in page
    assert re.search(r'class="button button-act" href="(/|/models/)">Open the page again', page)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("/models/irsi/", 'value="irsi"'),
        ("/models/iris/versions/99/", "iris has no version 99."),
        ("/transitions/999/", "There is no transition 999."),
        ("/people/999999/", "There is no person 999999."),
        ("/nowhere/", "/nowhere/"),
    ],
)
def test_what_is_not_there_says_what_was_looked_for(emil, address, words):
    page = told(emil.get(address), 404)
    assert words in page
    assert 'name="search"' in page


def test_a_stranger_is_shown_the_way_in(db, client):
    page = told(client.get("/nowhere/"), 404).partition("<main")[2]
    assert 'href="/sign-in/"' in page
    assert "/models/" not in page


def test_a_refusal_names_the_role_and_who_gives_it(emil, people):
    page = told(emil.get("/settings/people/"), 403)
    assert "you need the role administrator" in page
    assert "ML engineer" in page
    assert f'href="/people/{people["ada"].user_id}/"' in page


@pytest.mark.parametrize("signed", [True, False])
def test_a_form_of_another_session_says_that_nothing_was_done(world, people, signed):
    production(world)
    browser = Client(enforce_csrf_checks=True)
    if signed:
        browser.login(username="emil", password="emil")
    forged = {"reason": "Errors.", "csrfmiddlewaretoken": "a" * 64}
    page = told(browser.post("/models/iris/roll-back/", forged), 403)
    assert "What you typed is kept" in page
    assert ('href="/models/iris/"' in page) if signed else ("/sign-in/?next=/models/iris/" in page)


def test_whoever_sent_a_form_after_the_session_ended_is_back_on_its_page(world, client, people):
    sent = client.post(
        "/models/iris/roll-back/", {"reason": "x"}, headers={"Referer": "http://testserver/retention/?show=runs"}
    )
    assert sent["Location"] == "/sign-in/?next=/retention/%3Fshow%3Druns"
    page = client.get(sent["Location"]).content.decode()
    assert "Your session has ended, so nothing was done" in page


@pytest.mark.parametrize(
    "named",
    [
        "https://evil.example/retention/",
        "http://testserver//evil.example/",
        "http://[bad/x",
        "http://testserver/api/v1/models/",
        "http://testserver/readyz",
        "http://testserver/sign-in/",
        "",
    ],
)
def test_only_a_page_is_gone_back_to(world, client, named):
    sent = client.post("/models/iris/roll-back/", {}, headers={"Referer": named})
    assert sent["Location"] == "/sign-in/?next=/models/iris/"


@pytest.mark.parametrize(
    ("address", "above"),
    [
        ("/transitions/5/approve/", "/transitions/5/"),
        ("/models/iris/versions/3/waivers/", "/models/iris/versions/3/"),
        ("/settings/people/3/roles/take/", "/settings/people/3/"),
        ("/waivers/3/revoke/", "/"),
        ("/sign-out/", "/"),
    ],
)
def test_the_page_above_an_address_is_the_nearest_that_opens(address, above):
    assert page_above(address) == above


def test_an_address_for_forms_leads_to_its_page(emil):
    response = emil.get("/models/iris/roll-back/")
    assert 'href="/models/iris/"' in told(response, 405)
    assert response["Allow"] == "POST"


def test_too_large_a_form_says_how_large_it_may_be(emil):
    page = told(emil.post("/models/iris/roll-back/", {"reason": "x" * 3_000_000}), 413)
    assert "2,000 characters" in page


def test_too_many_attempts_say_when_to_try_again(rf):
    request = rf.get("/account/password/")
    request.user = AnonymousUser()
    response = too_many(request)
    assert "Try again in 60 seconds" in response.content.decode()
    assert response["Retry-After"] == "60"
