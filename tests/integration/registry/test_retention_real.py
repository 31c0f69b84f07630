"""The clean-up against a real MLflow: versions leave its registry and files its disk; what is protected stays."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from lifecycle import adapters, dispatch, mirror, retention
from lifecycle.adapters.memory import MemoryServing
from lifecycle.adapters.mlflow_registry import MlflowRegistry
from lifecycle.domain.permissions import STAGEGATE
from lifecycle.models import Deletion, Hold, ModelVersion, Policy, RetentionRun
from lifecycle.ports import NotFoundError, VersionRef
from lifecycle.retention_queue import begin
from tests.contract.registry import new_name
from tests.integration.registry.server import MlflowWorld

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


@pytest.fixture
def world(world: MlflowWorld, registry: MlflowRegistry, monkeypatch: pytest.MonkeyPatch, db: None) -> MlflowWorld:
    serving = MemoryServing()
    monkeypatch.setattr(adapters, "registry", lambda: registry)
    monkeypatch.setattr(adapters, "serving", lambda: serving)
    monkeypatch.setattr(dispatch, "send", lambda *args, **kwargs: None)
    body: Mapping[str, object] = {"retention": {"minimum_age": 0}}
    Policy.objects.create(number=1, body=body, reason="-", created_by="-", created_at=timezone.now())
    return world


def clean_up(now: datetime) -> RetentionRun:
    row = begin(requested_by=STAGEGATE, now=now)
    assert row is not None
    retention.run(row.pk, clock=lambda: now)
    row.refresh_from_db()
    assert not row.running
    return row


def on_disk(world: MlflowWorld, source: str) -> Path:
    return world.server.database.parent / "files" / source.removeprefix("mlflow-artifacts:/")


def test_old_versions_are_really_gone_and_protected_ones_are_not(world: MlflowWorld, registry: MlflowRegistry) -> None:
    name = new_name()
    world.create_model(name)
    refs = [world.create_version(name, files={"model.bin": b"x" * 1000}) for _ in range(5)]
    gone, held, aliased, young, sharing = refs
    sources = {ref: registry.version(ref).source for ref in refs}
    other = new_name()
    world.create_model(other)
    run_id = registry.version(sharing).run_id
    world.call("POST", "mlflow/model-versions/create", name=other, source=sources[sharing], run_id=run_id)
    for ref in refs:
        world.set_stage(ref, "Archived")
    world.set_alias(aliased, "champion")
    now = timezone.now()
    for each in refs:
        mirror.refresh_version(registry, each, now)
    mirror.refresh_version(registry, VersionRef(other, 1), now)
    rows = ModelVersion.objects.filter(model__name=name)
    rows.exclude(version=young.version).update(stage_since=now - timedelta(days=91))
    Hold.objects.create(
        version=rows.get(version=held.version), reason="A court asked.", placed_by="aron", placed_at=now
    )
    row = clean_up(now)
    assert (row.planned, row.deleted, row.stuck, row.error) == (2, 2, 0, "")
    assert row.freed_bytes > 1000
    for ref in (gone, sharing):
        with pytest.raises(NotFoundError):
            registry.version(ref)
    assert not on_disk(world, sources[gone]).exists()
    for ref in (held, aliased, young):
        assert registry.version(ref).stage == "Archived"
    for ref in (held, aliased, young, sharing):
        assert (on_disk(world, sources[ref]) / "model.bin").stat().st_size == 1000
    kept = Deletion.objects.get(version__version=sharing.version)
    assert (kept.status, kept.kept_because) == ("done", f"{other} version 1 uses the same files.")
    assert registry.files(sources[sharing], run_id)


def test_files_that_the_store_does_not_let_go_are_reported_and_go_later(
    world: MlflowWorld, registry: MlflowRegistry
) -> None:
    name = new_name()
    world.create_model(name)
    ref = world.create_version(name, files={"model.bin": b"x"})
    source = registry.version(ref).source
    world.set_stage(ref, "Archived")
    now = timezone.now()
    mirror.refresh_version(registry, ref, now)
    ModelVersion.objects.update(stage_since=now - timedelta(days=91))
    directory = on_disk(world, source)
    moved = directory.with_name("elsewhere")
    directory.rename(moved)
    directory.symlink_to(moved)
    row = clean_up(now)
    assert (row.deleted, row.stuck) == (0, 1)
    assert Deletion.objects.get().last_error
    assert (moved / "model.bin").exists()
    directory.unlink()
    moved.rename(directory)
    assert clean_up(now + timedelta(days=1)).deleted == 1
    assert not directory.exists()
