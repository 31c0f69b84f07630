"""How often one caller may ask."""

import re
from datetime import timedelta

import pytest
from django.test import Client

from lifecycle.domain.permissions import Action
from portal.accounts.tokens import Wanted, create_own
from portal.api import throttling


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """The beginning of a minute, which ends when a test says so."""
    now = [1_800_000_000.0]
    monkeypatch.setattr(throttling.time, "time", lambda: now[0])
    return now


def bearer(world, name, called):
    wanted = Wanted(called, frozenset({Action.RECORD_EVIDENCE}), world.now + timedelta(days=1), "Try.")
    text = create_own(wanted=wanted, actor=world.people[name], now=world.now).text
    return Client(headers={"Authorization": f"Bearer {text}"})


def statuses(browser, times, address="/api/v1/models/"):
    return [browser.get(address).status_code for _ in range(times)]


def test_a_caller_has_so_many_requests_a_minute(world, signed_in, settings, clock):
    settings.API_REQUESTS_A_MINUTE = 3
    emil = signed_in("emil")
    assert statuses(emil, 4) == [200, 200, 200, 429]
    clock[0] += 20
    refused = emil.get("/api/v1/models/")
    assert (refused["Content-Type"], refused.json()["rule"]) == ("application/problem+json", "throttled")
    assert refused["Retry-After"] == "40"
    assert (refused["RateLimit-Policy"], refused["RateLimit"]) == ('"requests";q=3;w=60', '"requests";r=0;t=40')
    clock[0] += 40
    assert statuses(emil, 1) == [200]


def test_every_answer_says_what_is_left(world, signed_in, settings):
    settings.API_REQUESTS_A_MINUTE = 3
    emil = signed_in("emil")
    left = [re.search("r=([0-9]+)", emil.get("/api/v1/models/")["RateLimit"])[1] for _ in range(3)]
    assert left == ["2", "1", "0"]


def test_each_token_and_each_person_is_a_caller(world, signed_in, settings):
    settings.API_REQUESTS_A_MINUTE = 1
    for browser in (signed_in("emil"), signed_in("mia"), bearer(world, "emil", "one"), bearer(world, "emil", "two")):
        assert statuses(browser, 2) == [200, 429]


def test_pages_are_not_counted(world, signed_in, settings):
    settings.API_REQUESTS_A_MINUTE = 1
    assert statuses(signed_in("emil"), 3, "/models/") == [200, 200, 200]


def test_strangers_are_counted_by_address(world, client, signed_in, settings):
    settings.API_STRANGERS_A_MINUTE = 2
    assert statuses(client, 3) == [401, 401, 429]
    wrong = Client(headers={"Authorization": "Bearer sg_no"})
    assert statuses(wrong, 1) == [429]
    assert client.get("/api/v1/models/", REMOTE_ADDR="192.0.2.7").status_code == 401
    assert statuses(signed_in("emil"), 1) == [200], "whoever is signed in is not refused for their address"


def test_what_is_refused_is_not_carried_out_and_takes_no_key(world, signed_in, settings):
    settings.API_REQUESTS_A_MINUTE = 1
    emil = signed_in("emil")
    statuses(emil, 1)
    body = {"model": "iris", "version": 1, "to_stage": "Staging", "reason": "Ready."}
    sent = {"content_type": "application/json", "headers": {"Idempotency-Key": "k"}}
    assert emil.post("/api/v1/transitions/", body, **sent).status_code == 429
    settings.API_REQUESTS_A_MINUTE = 100
    assert emil.post("/api/v1/transitions/", body, **sent).status_code == 201


def test_a_counter_that_was_thrown_away_begins_anew(monkeypatch):
    monkeypatch.setattr(throttling.cache, "add", lambda *args, **kwargs: False)

    def gone(key):
        raise ValueError(key)

    monkeypatch.setattr(throttling.cache, "incr", gone)
    assert throttling.count("user:1", 5, 1_800_000_000.0).used == 1
