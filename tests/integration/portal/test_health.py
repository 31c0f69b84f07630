"""What machines ask: is it up, is what it needs up, what are the figures."""

import pytest
import redis

from lifecycle import health
from lifecycle.domain.stages import Stage


@pytest.fixture
def broker_up(monkeypatch):
    monkeypatch.setattr(health, "_broker", lambda: None)


def test_healthz_answers_without_signing_in(client, db):
    assert client.get("/healthz").json() == {"status": "ok"}


def test_readyz_is_ok_when_everything_answers(world, client, broker_up):
    response = client.get("/readyz")
    assert (response.status_code, response.json()["status"]) == (200, "ok")


def test_readyz_names_what_is_down(world, client, monkeypatch):
    def refuse():
        raise redis.ConnectionError("connection refused")

    monkeypatch.setattr(health, "_broker", refuse)
    world.registry.down = True
    parts = client.get("/readyz").json()["parts"]
    assert {name for name, part in parts.items() if not part["ok"]} == {"broker", "registry"}
    assert "refused" in parts["broker"]["error"]


def test_readyz_is_503_without_the_database(world, client, broker_up, monkeypatch):
    def refuse():
        raise health.DatabaseError("disk full")

    monkeypatch.setattr(health, "_database", refuse)
    response = client.get("/readyz")
    assert (response.status_code, response.json()["status"]) == (503, "unavailable")


def test_metrics_count_transitions_by_status(world, client):
    world.request(1, Stage.STAGING)
    text = client.get("/metrics").content.decode()
    assert 'stagegate_transitions{status="awaiting_approval"} 1.0' in text
    assert 'stagegate_transitions{status="failed"} 0.0' in text
    assert "stagegate_model_versions 3.0" in text
