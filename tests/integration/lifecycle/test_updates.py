"""What an installation has written before an update is what it goes on with afterwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from lifecycle.domain.plan import PlannedStep, load_step

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
BEFORE, AFTER = [("lifecycle", "0004_policies_in_groups")], [("lifecycle", "0005_rollouts")]
STEPS = [{"weight": 5, "minimum": 3600.0}, {"weight": 100, "minimum": 0.0}]


@pytest.fixture
def old():
    """The tables as they were before rollouts were judged; they are as they should be again afterwards."""
    yield MigrationExecutor(connection).migrate(BEFORE).apps.get_model
    MigrationExecutor(connection).migrate(MigrationExecutor(connection).loader.graph.leaf_nodes())


def test_readings_and_running_rollouts_outlive_the_update_to_judged_rollouts(old):
    model = old("lifecycle", "RegisteredModel").objects.create(name="iris", slug="iris")
    version = old("lifecycle", "ModelVersion").objects.create(model=model, version=2)
    policy = old("lifecycle", "Policy").objects.create(
        number=1, body={}, reason="test", created_by="test", created_at=NOW
    )
    old("lifecycle", "CounterReading").objects.create(version=version, read_at=NOW, requests=1000, errors=10)
    old("lifecycle", "Transition").objects.create(
        model=model,
        version=version,
        kind="promotion",
        from_stage="Staging",
        to_stage="Production",
        strategy="canary",
        status="running",
        reason="test",
        policy=policy,
        requested_at=NOW,
        due_at=NOW,
        steps=STEPS,
    )
    new = MigrationExecutor(connection).migrate(AFTER).apps.get_model
    reading = new("lifecycle", "CounterReading").objects.get()
    assert (reading.counter, reading.instance) == ("gateway", "gateway")
    assert (reading.counts, reading.read_at) == ({"requests": 1000, "errors": 10}, NOW)
    steps = [load_step(step) for step in new("lifecycle", "Transition").objects.get().steps]
    assert steps == [PlannedStep(5, timedelta(hours=1), judged=True), PlannedStep(100)]
