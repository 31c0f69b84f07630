"""Waking workers. A wake-up is a hint for speed: the sweep finds whatever a lost one leaves behind."""

from __future__ import annotations

import logging
from typing import Any

from celery import current_app
from celery.signals import before_task_publish
from django.db import transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

DEFAULT_QUEUE = "default"
ROLLBACK_QUEUE = "rollbacks"
CHECKS_QUEUE = "checks"
OBSERVATIONS_QUEUE = "observations"
QUEUES = (DEFAULT_QUEUE, ROLLBACK_QUEUE, CHECKS_QUEUE, OBSERVATIONS_QUEUE)
SENT_AT = "stagegate_sent_at"
"""The header of every message that says when it was sent."""


@before_task_publish.connect
def _say_when(headers: dict[str, Any], **_: object) -> None:
    headers[SENT_AT] = timezone.now().isoformat()


def wake(transition_id: int, *, urgent: bool = False) -> None:
    """Ask a worker, once the running transaction has committed, to look at a transition."""
    queue = ROLLBACK_QUEUE if urgent else DEFAULT_QUEUE
    transaction.on_commit(lambda: send("lifecycle.tick", transition_id, queue=queue))


def wake_check(check_id: int) -> None:
    """Ask a worker of the checks' own queue, after commit, to carry a check out."""
    transaction.on_commit(lambda: send("lifecycle.check", check_id, queue=CHECKS_QUEUE))


def wake_clean_up(run_id: int) -> None:
    """Ask a worker of the checks' queue, after commit, to go on with a clean-up: it takes long, and nobody waits."""
    transaction.on_commit(lambda: send("lifecycle.clean_up", run_id, queue=CHECKS_QUEUE))


def wake_export(job_id: int) -> None:
    """Ask a worker, after commit, to go on with writing an export: somebody looks at its progress."""
    transaction.on_commit(lambda: send("lifecycle.export", job_id, queue=DEFAULT_QUEUE))


def wake_mirror(model_name: str, version: int | None) -> None:
    """Ask a worker, after commit, to read one version afresh, or the registered model when ``version`` is None."""
    transaction.on_commit(lambda: send("lifecycle.refresh", model_name, version, queue=DEFAULT_QUEUE))


def wake_pointer(version_id: int) -> None:
    """Ask a worker, after commit, to tell MLflow where the version's page is; nobody waits for it."""
    transaction.on_commit(lambda: send("lifecycle.point_back", version_id, queue=DEFAULT_QUEUE))


def send(task: str, *args: Any, queue: str, expires: float | None = None) -> None:
    """Publish one message; a broker that cannot be reached is logged and left to the sweep.

    A worker that finds it more than ``expires`` seconds later drops it.
    """
    try:
        current_app.send_task(task, args=args, queue=queue, expires=expires, retry=False, ignore_result=True)
    except OperationalError as error:
        logger.warning("broker unreachable, %s%r is left to the sweep: %s", task, args, error)
