"""Celery's way in: each task makes one call. Messages carry ids; the truth is in the database."""

from __future__ import annotations

import contextlib

from celery import shared_task
from django.utils import timezone

from lifecycle import adapters, engine, mirror, upkeep
from lifecycle.ports import NotFoundError, VersionRef


@shared_task(name="lifecycle.tick")
def tick(transition_id: int) -> None:
    engine.run(transition_id)


@shared_task(name="lifecycle.sweep")
def sweep() -> None:
    engine.sweep(now=timezone.now())


@shared_task(name="lifecycle.observe_traffic")
def observe_traffic() -> None:
    upkeep.observe_traffic(now=timezone.now())


@shared_task(name="lifecycle.retire_idle")
def retire_idle() -> None:
    upkeep.retire_idle(now=timezone.now())


@shared_task(name="lifecycle.mirror")
def mirror_registry() -> None:
    mirror.run_once(adapters.registry(), now=timezone.now())


@shared_task(name="lifecycle.refresh")
def refresh(model: str, version: int | None) -> None:
    """What is gone meanwhile has been marked as such: nothing else is left to do about it."""
    with contextlib.suppress(NotFoundError):
        if version is None:
            mirror.refresh_model(adapters.registry(), model, timezone.now())
        else:
            mirror.refresh_version(adapters.registry(), VersionRef(model, version), timezone.now())
