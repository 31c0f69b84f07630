"""MLflow's webhooks: genuine ones wake the mirror, everything else is refused and changes nothing."""

import base64
import hashlib
import hmac
import json

import pytest
from django.conf import settings

from lifecycle import dispatch
from lifecycle.models import WebhookDelivery

BODY = json.dumps(
    {
        "entity": "model_version_tag",
        "action": "set",
        "timestamp": "2026-03-01T09:00:00Z",
        "data": {"name": "iris", "version": "1"},
    }
).encode()


@pytest.fixture
def woken(monkeypatch, world, django_capture_on_commit_callbacks):
    """What the mirror was asked to read."""
    sent = []
    monkeypatch.setattr(dispatch, "send", lambda task, *args, queue: sent.append((task, *args)))
    monkeypatch.setattr(dispatch.transaction, "on_commit", lambda call: call())
    return sent


def deliver(client, now, body=BODY, *, delivery="d-1", secret=None, at=None, **headers):
    stamp = str(int((at or now).timestamp()))
    secret = settings.WEBHOOK_SECRET if secret is None else secret
    digest = hmac.new(secret.encode(), f"{delivery}.{stamp}.".encode() + body, hashlib.sha256).digest()
    signed = {
        "X-MLflow-Delivery-Id": delivery,
        "X-MLflow-Timestamp": stamp,
        "X-MLflow-Signature": "v1," + base64.b64encode(digest).decode(),
    }
    return client.post("/api/v1/hooks/mlflow/", body, content_type="application/json", headers={**signed, **headers})


def test_a_genuine_delivery_has_the_model_read_afresh(world, client, woken):
    assert deliver(client, world.now).status_code == 202
    assert woken == [("lifecycle.refresh", "iris", 1)]


def test_a_delivery_that_comes_again_has_no_effect(world, client, woken):
    """MLflow sends one again when the answer was lost; whoever replays one learns and changes nothing either."""
    deliver(client, world.now)
    again = deliver(client, world.now)
    assert (again.status_code, again.json()) == (200, {"status": "taken already"})
    assert len(woken) == 1
    assert WebhookDelivery.objects.count() == 1


def test_an_id_under_another_timestamp_is_the_same_delivery(world, client, woken):
    """Whoever knows the secret signs what they like; the id alone says what was taken."""
    deliver(client, world.now)
    world.pass_time(minutes=4)
    assert deliver(client, world.now).status_code == 200
    assert len(woken) == 1


def test_a_replay_after_the_window_is_stale(world, client, woken):
    sent = world.now
    deliver(client, sent)
    world.pass_time(minutes=5, seconds=1)
    assert deliver(client, world.now, at=sent).status_code == 403
    assert len(woken) == 1


@pytest.mark.parametrize("length", ["99999999999999999999", "300000"])
def test_a_huge_length_is_enough_to_refuse(world, client, woken, length):
    response = client.post("/api/v1/hooks/mlflow/", b"", content_type="application/json", CONTENT_LENGTH=length)
    assert (response.status_code, response["Content-Type"]) == (413, "application/problem+json")


def test_whoever_goes_on_forging_is_told_to_wait(world, client, woken, settings):
    settings.API_STRANGERS_A_MINUTE = 2
    refused = [deliver(client, world.now, delivery=f"d-{n}", secret="guessed") for n in range(3)]
    assert [each.status_code for each in refused] == [403, 403, 429]
    assert 1 <= int(refused[-1]["Retry-After"]) <= 60
    assert deliver(client, world.now, delivery="genuine").status_code == 202


def test_a_forged_delivery_is_refused(world, client, woken):
    assert deliver(client, world.now, secret="guessed").status_code == 403
    assert not woken


def test_a_stale_delivery_is_refused(world, client, woken):
    sent = world.now
    world.pass_time(minutes=6)
    response = deliver(client, world.now, at=sent)
    assert response.status_code == 403
    assert "away" in response.json()["detail"]
    assert not woken


def test_a_huge_delivery_is_refused_before_it_is_read(world, client, woken):
    assert deliver(client, world.now, body=b"x" * 300_000).status_code == 413
    assert not woken


def test_a_delivery_without_headers_is_refused(world, client, woken):
    response = client.post("/api/v1/hooks/mlflow/", BODY, content_type="application/json")
    assert response.status_code == 403
    assert "missing" in response.json()["detail"]


def test_without_a_secret_webhooks_are_off(world, client, woken, settings):
    settings.WEBHOOK_SECRET = ""
    assert deliver(client, world.now, secret="").status_code == 403
    assert not WebhookDelivery.objects.exists()


def test_only_posts_are_taken(world, client):
    assert client.get("/api/v1/hooks/mlflow/").status_code == 405
