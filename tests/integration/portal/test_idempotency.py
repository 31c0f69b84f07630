"""A request that is sent again with its key is answered again, and carried out once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import connection
from django.test import Client

from lifecycle import operations
from lifecycle.domain.permissions import Action
from lifecycle.models import AuditEntry, Transition
from lifecycle.ports import TemporaryError
from portal.accounts.tokens import Wanted, create_own
from portal.api import idempotency
from portal.api.models import KeyedRequest
from tests.support.asked import asked

BODY = {"model": "iris", "version": 1, "to_stage": "Staging", "reason": "Ready."}


def ask(browser, body=BODY, key="k-1", address="transitions/"):
    return browser.post(f"/api/v1/{address}", body, content_type="application/json", headers={"Idempotency-Key": key})


def test_the_same_request_is_answered_again_and_carried_out_once(world, signed_in):
    emil = signed_in("emil")
    first, again = ask(emil), ask(emil)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert again["Content-Type"] == first["Content-Type"]
    assert ("Idempotency-Replayed" in first, again["Idempotency-Replayed"]) == (False, "true")
    assert Transition.objects.count() == 1
    assert AuditEntry.objects.filter(refused=True).count() == 0


def test_without_a_key_nothing_is_kept(world, signed_in):
    assert signed_in("emil").post("/api/v1/transitions/", BODY, content_type="application/json").status_code == 201
    assert not KeyedRequest.objects.exists()


def test_a_key_belongs_to_one_request(world, signed_in):
    emil = signed_in("emil")
    ask(emil)
    for other in (
        ask(emil, {**BODY, "version": 2}),
        ask(emil, {"reason": "x"}, address="models/iris/rollback/"),
        ask(emil, address="transitions/?again"),
    ):
        assert (other.status_code, other.json()["type"]) == (422, "urn:stagegate:idempotency_key_reused")
    assert Transition.objects.count() == 1


def test_everybody_has_keys_of_their_own(world, signed_in):
    """A person's tokens are callers of their own too: two programs may count their requests from 1."""
    ask(signed_in("emil"))
    assert ask(signed_in("mia")).status_code == 409
    assert KeyedRequest.objects.values("caller").distinct().count() == 2


def test_a_refusal_is_an_answer_and_is_kept(world, signed_in):
    priya = signed_in("priya")
    refused = [ask(priya) for _ in range(2)]
    assert [each.status_code for each in refused] == [403, 403]
    assert refused[0].content == refused[1].content
    assert refused[1]["Content-Type"] == "application/problem+json"
    assert AuditEntry.objects.filter(refused=True).count() == 1


def test_to_be_asked_who_one_is_ends_nothing(world, signed_in):
    """The same request, with its key, is carried out once the person has shown that it is them."""
    address = f"transitions/{asked(world).pk}/approve/"
    mia = signed_in("mia")
    world.pass_time(hours=1)
    early = ask(mia, {"reason": "Good."}, address=address)
    assert (early.status_code, early.json()["rule"]) == (403, "confirm_again")
    assert not KeyedRequest.objects.exists()
    confirmed = ask(signed_in("mia"), {"reason": "Good."}, address=address)
    assert (confirmed.status_code, "Idempotency-Replayed" in confirmed) == (200, False)


@pytest.mark.parametrize("key", ["", "two words", "ü", "x" * 201, "tab\tbed"])
def test_a_key_is_short_and_visible(world, signed_in, key):
    response = ask(signed_in("emil"), key=key)
    assert (response.status_code, response.json()["type"]) == (400, "urn:stagegate:idempotency_key")
    assert not Transition.objects.exists()


def claimed(world, **values):
    """Another process holds the key and has not answered yet."""
    user = world.people["emil"].user_id
    row = KeyedRequest.objects.create(caller=f"user:{user}", key="k-1", digest="", claimed_at=world.now)
    for name, value in values.items():
        setattr(row, name, value)
    row.save()
    return row


@pytest.fixture
def same_request(monkeypatch):
    monkeypatch.setattr(idempotency, "_digest", lambda request: "")


def test_while_the_first_is_under_way_the_second_waits(world, signed_in, same_request):
    claimed(world)
    world.pass_time(seconds=59)
    response = ask(signed_in("emil"))
    assert (response.status_code, response["Retry-After"]) == (409, "1")
    assert response.json()["type"] == "urn:stagegate:still_running"
    assert not Transition.objects.exists()


def test_the_claim_of_a_dead_process_is_taken_over(world, signed_in, same_request):
    dead = claimed(world)
    world.pass_time(seconds=60)
    assert ask(signed_in("emil")).status_code == 201
    dead.refresh_from_db()
    assert (dead.status, dead.claimed_at) == (201, world.now)
    assert ask(signed_in("emil"))["Idempotency-Replayed"] == "true"


def test_whoever_lost_the_claim_keeps_nothing(world, rf):
    row = claimed(world)
    KeyedRequest.objects.filter(pk=row.pk).update(claimed_at=world.now + timedelta(minutes=1))
    idempotency.give_back(row)
    assert KeyedRequest.objects.get().status is None


def test_the_crash_between_effect_and_answer_repeats_nothing(world, signed_in, monkeypatch):
    """The effect is there, its answer is not: the next try is refused by the state, as it would be without a key."""
    emil = signed_in("emil")
    with monkeypatch.context() as patch:
        patch.setattr("portal.api.base.keep", lambda row, response: None)
        assert ask(emil).status_code == 201
    KeyedRequest.objects.update(claimed_at=world.now - timedelta(hours=1))
    again = ask(emil)
    assert again.status_code == 409
    assert Transition.objects.count() == 1


def test_a_failure_is_not_an_answer(world, signed_in, monkeypatch):
    def broken(**kwargs):
        raise OSError("the disk is full")

    emil = signed_in("emil")
    emil.raise_request_exception = False
    with monkeypatch.context() as patch:
        patch.setattr(operations, "request_transition", broken)
        failed = ask(emil)
    assert (failed.status_code, failed["Content-Type"]) == (500, "application/problem+json")
    assert failed.json()["type"] == "urn:stagegate:failed"
    assert not KeyedRequest.objects.exists()
    assert ask(emil).status_code == 201


def test_a_registry_that_is_away_is_not_an_answer(world, signed_in):
    emil = signed_in("emil")
    world.registry.fail_next = TemporaryError("It is being restarted.")
    assert ask(emil).status_code == 503
    assert ask(emil).status_code == 201


def test_answers_are_kept_for_a_day(world, signed_in):
    emil = signed_in("emil")
    ask(emil)
    world.pass_time(hours=24)
    signed_in("mia").post(
        "/api/v1/models/iris/rollback/", {}, content_type="application/json", headers={"Idempotency-Key": "other"}
    )
    assert KeyedRequest.objects.get().key == "other"


def test_of_many_at_once_one_is_carried_out(transactional_db, world, signed_in):
    browsers = [signed_in("emil") for _ in range(8)]
    at_once = Barrier(len(browsers))

    def send(browser):
        at_once.wait(30)
        try:
            return ask(browser)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(browsers)) as pool:
        answers = list(pool.map(send, browsers))
    assert Transition.objects.count() == 1
    assert {(each.status_code, each.json().get("rule")) for each in answers} <= {(201, None), (409, "still_running")}
    assert sum(each.status_code == 201 and "Idempotency-Replayed" not in each for each in answers) == 1


def test_a_token_and_its_owner_do_not_share_keys(world, signed_in):
    ask(signed_in("emil"))
    wanted = Wanted("ci", frozenset({Action.REQUEST_TRANSITION}), world.now + timedelta(days=1), "Try.")
    text = create_own(wanted=wanted, actor=world.people["emil"], now=world.now).text
    again = ask(Client(headers={"Authorization": f"Bearer {text}"}))
    assert (again.status_code, "Idempotency-Replayed" in again) == (409, False)
    assert KeyedRequest.objects.filter(caller__startswith="token:").count() == 1
