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


def test_a_replayed_delivery_is_refused(world, client, woken):
    deliver(client, world.now)
    assert deliver(client, world.now).status_code == 403
    assert len(woken) == 1


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
