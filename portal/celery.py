"""The Celery application and its clock."""

from __future__ import annotations

import os

from celery import Celery
from celery.signals import setup_logging
from django.conf import settings

from lifecycle.dispatch import DEFAULT_QUEUE

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

MERGE_SECONDS = 600
REVIVE_SECONDS = 15
RENEW_SECONDS = 15
EXPORTS_LOOK_SECONDS = 15
HEARTBEAT_SECONDS = 10
HEARTBEAT_KEPT_SECONDS = 900
"""Signs of life are of use when they are late, too: then they show that their queue is."""
OUTLOOK_SECONDS = 300
RETENTION_LOOK_SECONDS = 60
"""How often it is asked whether the clean-up is due: the pause between two is settings.RETENTION_SECONDS."""

app = Celery("stagegate")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["lifecycle"])


@app.on_after_configure.connect
def _clock(sender: Celery, **_: object) -> None:
    """What beat sends. A message nobody has taken before the next one is due expires: late ones are of no use."""
    schedule = {
        "lifecycle.sweep": settings.SWEEP_SECONDS,
        "lifecycle.mirror": settings.MIRROR_SECONDS,
        "lifecycle.observe": settings.OBSERVE_SECONDS,
        "lifecycle.retire_idle": settings.SWEEP_SECONDS,
        "lifecycle.revive": REVIVE_SECONDS,
        "lifecycle.renew_approvals": RENEW_SECONDS,
        "lifecycle.merge_observations": MERGE_SECONDS,
        "lifecycle.start_checks": settings.SWEEP_SECONDS,
        "lifecycle.retention": RETENTION_LOOK_SECONDS,
        "lifecycle.retention_outlook": OUTLOOK_SECONDS,
        "lifecycle.notify": settings.SWEEP_SECONDS,
        "lifecycle.checkpoint": settings.CHECKPOINT_SECONDS,
        "lifecycle.sweep_exports": EXPORTS_LOOK_SECONDS,
    }
    for task, seconds in schedule.items():
        sender.add_periodic_task(seconds, sender.signature(task), name=task, expires=seconds)
    sign = sender.signature("lifecycle.pulse", queue=DEFAULT_QUEUE)
    sender.add_periodic_task(HEARTBEAT_SECONDS, sign, name="lifecycle.pulse", expires=HEARTBEAT_KEPT_SECONDS)


@setup_logging.connect
def _keep_django_logging(**_: object) -> None:
    """Workers log as settings.LOGGING says; without a receiver Celery would set up its own."""
