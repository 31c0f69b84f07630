"""Celery's way in: each task makes one call. Messages carry ids; the truth is in the database."""

from __future__ import annotations

import contextlib
import logging
from datetime import datetime

from celery import Task, shared_task
from celery.signals import task_prerun
from django.utils import timezone

from lifecycle import (
    adapters,
    checkpoints,
    disagreements,
    engine,
    export_jobs,
    health,
    heartbeats,
    judging,
    mirror,
    notice_delivery,
    notices,
    observing,
    pointers,
    retention,
    retention_outlook,
    upkeep,
)
from lifecycle.checks import runner
from lifecycle.dispatch import DEFAULT_QUEUE, SENT_AT
from lifecycle.ports import NotFoundError, VersionRef

logger = logging.getLogger(__name__)

CHECK_SECONDS = 870
"""Longer than the longest load test that a policy may ask for, with its download and the start of its server."""
OBSERVE_SECONDS = 45
"""Whatever is asked answers within seconds, or counts as silent; a look that hangs all the same is cut off."""

NOTIFY_SECONDS = 90
"""Far longer than a turn of sending: whatever hangs is given up before."""


@shared_task(name="lifecycle.pulse", bind=True)
def pulse(self: Task) -> None:
    """Beat's sign of life, taken by the general worker: it looks at what is outside, so that pages need not, asks the
    other queues for theirs, and writes its own down when those are on their way."""
    now = timezone.now()
    if heartbeats.is_due():
        heartbeats.send_on(health.look(now).waiting)
    heartbeats.note(DEFAULT_QUEUE, sent_at=_sent_at(self), worker=self.request.hostname or "", now=now)


@shared_task(name="lifecycle.heartbeat", bind=True)
def heartbeat(self: Task, queue: str) -> None:
    """A sign of life of one queue."""
    heartbeats.note(queue, sent_at=_sent_at(self), worker=self.request.hostname or "", now=timezone.now())


@task_prerun.connect
def _at_work(task: Task, **_: object) -> None:
    """Whoever takes any other message is there as well."""
    queue = (task.request.delivery_info or {}).get("routing_key") or ""
    if task.name != heartbeat.name:
        worker = task.request.hostname or ""
        heartbeats.note_work(queue, sent_at=_sent_at(task), worker=worker, now=timezone.now())


def _sent_at(task: Task) -> datetime | None:
    said = task.request.get(SENT_AT)
    return datetime.fromisoformat(said) if said else None


@shared_task(name="lifecycle.tick")
def tick(transition_id: int) -> None:
    engine.run(transition_id)


@shared_task(name="lifecycle.sweep")
def sweep() -> None:
    engine.sweep(now=timezone.now())


@shared_task(name="lifecycle.check", soft_time_limit=CHECK_SECONDS, time_limit=CHECK_SECONDS + 30)
def check(check_id: int) -> None:
    runner.run(check_id)


@shared_task(name="lifecycle.start_checks")
def start_checks() -> None:
    runner.call_off_unasked(now=timezone.now())
    runner.start_due(now=timezone.now())
    runner.sweep(now=timezone.now())


@shared_task(name="lifecycle.observe", soft_time_limit=OBSERVE_SECONDS, time_limit=OBSERVE_SECONDS + 15)
def observe() -> None:
    """Collect, then judge what was collected, then compare with the world; none of them waits for another's luck."""
    for part in (observing.collect, judging.judge_all, disagreements.look):
        try:
            part(now=timezone.now())
        except Exception:
            logger.exception("%s did not end", part.__module__)


@shared_task(name="lifecycle.merge_observations")
def merge_observations() -> None:
    observing.merge(now=timezone.now())
    upkeep.thin_out_trials(now=timezone.now())


@shared_task(name="lifecycle.retire_idle")
def retire_idle() -> None:
    upkeep.retire_idle(now=timezone.now())


@shared_task(name="lifecycle.renew_approvals")
def renew_approvals() -> None:
    upkeep.renew_approvals(now=timezone.now())


@shared_task(name="lifecycle.revive")
def revive() -> None:
    upkeep.revive(now=timezone.now())


@shared_task(name="lifecycle.retention")
def start_clean_up() -> None:
    retention.start_due(now=timezone.now())


@shared_task(name="lifecycle.retention_outlook")
def reckon_retention() -> None:
    retention_outlook.refresh(timezone.now())


@shared_task(name="lifecycle.clean_up", soft_time_limit=CHECK_SECONDS, time_limit=CHECK_SECONDS + 30)
def clean_up(run_id: int) -> None:
    retention.run(run_id, clock=timezone.now)


@shared_task(name="lifecycle.export")
def export(job_id: int) -> None:
    export_jobs.run(job_id, clock=timezone.now)


@shared_task(name="lifecycle.sweep_exports")
def sweep_exports() -> None:
    export_jobs.sweep(now=timezone.now())


@shared_task(name="lifecycle.checkpoint")
def checkpoint() -> None:
    checkpoints.run(now=timezone.now())


@shared_task(name="lifecycle.notify", soft_time_limit=NOTIFY_SECONDS, time_limit=NOTIFY_SECONDS + 15)
def notify() -> None:
    """Write down what is to be told, then send what is due; neither waits for the other's luck."""
    try:
        notices.collect(now=timezone.now())
    except Exception:
        logger.exception("what is to be told could not be written down")
    notice_delivery.deliver(clock=timezone.now)


@shared_task(name="lifecycle.mirror")
def mirror_registry() -> None:
    mirror.run_once(adapters.registry(), now=timezone.now())


@shared_task(name="lifecycle.point_back")
def point_back(version_id: int) -> None:
    pointers.point_back(version_id)


@shared_task(name="lifecycle.refresh")
def refresh(model: str, version: int | None) -> None:
    """What is gone meanwhile has been marked as such: nothing else is left to do about it."""
    with contextlib.suppress(NotFoundError):
        if version is None:
            mirror.refresh_model(adapters.registry(), model, timezone.now())
        else:
            mirror.refresh_version(adapters.registry(), VersionRef(model, version), timezone.now())
