"""What an installation has written before an update is what it goes on with afterwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from lifecycle.audit import body
from lifecycle.domain import chain
from lifecycle.domain.plan import PlannedStep, load_step
from lifecycle.models import AuditEntry, Transition
from portal.accounts.models import ApiToken, User

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


@pytest.fixture
def unchained():
    """The tables as they were before the record was a chain, and approvals were bound to anything."""
    before = [("lifecycle", "0005_rollouts"), ("accounts", "0002_api_tokens")]
    yield MigrationExecutor(connection).migrate(before).apps.get_model
    MigrationExecutor(connection).migrate(MigrationExecutor(connection).loader.graph.leaf_nodes())


def test_the_record_is_chained_and_whoever_stood_behind_a_request_is_remembered(unchained):
    old = unchained
    ada, ci = (old("accounts", "User").objects.create(username=name) for name in ("ada", "ci"))
    old("accounts", "ApiToken").objects.create(
        user=ci, name="ci", prefix="abc", created_at=NOW, created_by="Ada", expires_at=NOW + timedelta(days=1)
    )
    common = {"at": NOW, "actor": "Ada", "actor_id": ada.pk, "signed_in_by": "password", "reason": "A token."}
    for action, details in (
        ("service_account_created", {"account": "ci"}),
        ("token_created", {"prefix": "abc", "days": 365.0}),
    ):
        old("lifecycle", "AuditEntry").objects.create(**common, action=action, details=details)
    model = old("lifecycle", "RegisteredModel").objects.create(name="iris", slug="iris")
    old("lifecycle", "Transition").objects.create(
        model=model,
        version=old("lifecycle", "ModelVersion").objects.create(model=model, version=2),
        kind="promotion",
        to_stage="Staging",
        status="awaiting_approval",
        policy=old("lifecycle", "Policy").objects.create(number=1, body={}, created_at=NOW),
        requested_by_id=ci.pk,
        requested_at=NOW,
        due_at=NOW,
    )
    MigrationExecutor(connection).migrate(MigrationExecutor(connection).loader.graph.leaf_nodes())
    assert Transition.objects.get().asked_by == sorted([ada.pk, ci.pk])
    assert (ApiToken.objects.get().made_by_id, User.objects.get(username="ci").made_by_id) == (ada.pk, ada.pk)
    previous = chain.FIRST
    for entry in AuditEntry.objects.order_by("seq"):
        assert (entry.previous_hash, entry.hash) == (previous, chain.entry_hash(body(entry)))
        previous = entry.hash
    with pytest.raises(DatabaseError, match="append-only"):
        AuditEntry.objects.all().delete()
