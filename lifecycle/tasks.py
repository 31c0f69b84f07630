"""Celery's way in: each task makes one call. Messages carry ids; the truth is in the database."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from lifecycle import adapters, engine, mirror, upkeep


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


@shared_task(name="lifecycle.refresh_model")
def refresh_model(name: str) -> None:
    mirror.refresh_model(adapters.registry(), name, timezone.now())
