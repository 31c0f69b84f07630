"""Signs of life: what the page of the system's status is read from."""

from __future__ import annotations

from django.db import models


class Heartbeat(models.Model):
    """The last sign of life of one queue: a message that was sent, and that a worker of the queue took.

    ``sent_at`` is when it was sent and ``seen_at`` when a worker took it: the difference is how long a message waits.
    ``worker`` is the worker's name, as Celery has it.
    """

    queue = models.CharField(max_length=64, unique=True)
    sent_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    worker = models.CharField(max_length=200)

    class Meta:
        ordering = ("queue",)

    def __str__(self) -> str:
        return f"{self.queue}: {self.worker}"
