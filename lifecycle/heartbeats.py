"""Signs of life: every 10 seconds beat sends one to the general worker, which sends one on to each other queue.

What a worker takes of a queue proves that it is there; the time between sending and taking is how long a message of
that queue waits. A sign is only sent on while few messages wait, so that none pile up where no worker is. Where many
wait, those are the sign: whatever a worker takes counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from django.core.cache import cache

from lifecycle.dispatch import DEFAULT_QUEUE, QUEUES, send
from lifecycle.domain.system import Beat
from lifecycle.models import Heartbeat

EVERY = timedelta(seconds=10)
"""How often beat sends one."""
KEPT = timedelta(minutes=15)
"""A worker that finds an older one drops it. A queue may be late by as much and still show that it is worked off."""
MOST_WAITING = 10
"""No sign is sent on to a queue where so many messages wait."""

_noted: dict[str, datetime] = {}
"""When this process has last written down a sign of each queue."""


def note(queue: str, *, sent_at: datetime | None, worker: str, now: datetime) -> None:
    """Write down, in one statement, that ``worker`` took at ``now`` a message of ``queue`` that was sent at ``sent_at``
    (None: not known, so just now)."""
    row = Heartbeat(queue=queue, sent_at=sent_at or now, seen_at=now, worker=worker[:200])
    values = ("sent_at", "seen_at", "worker")
    Heartbeat.objects.bulk_create([row], update_conflicts=True, unique_fields=("queue",), update_fields=values)
    _noted[queue] = now


def note_work(queue: str, *, sent_at: datetime | None, worker: str, now: datetime) -> None:
    """The same of any other message, as often as signs of life come at most.

    Not of the general worker's queue: its signs always come, and by them it is told whether beat is there.
    """
    noted = _noted.get(queue)
    if queue == DEFAULT_QUEUE or queue not in QUEUES or (noted is not None and now - noted < EVERY):
        return
    note(queue, sent_at=sent_at, worker=worker, now=now)


def is_due() -> bool:
    """Whether to look around and to send signs on: once for a heap of signs that have waited."""
    return cache.add("heartbeats-sent-on", 1, EVERY.total_seconds() / 2)


def send_on(waiting: Mapping[str, int]) -> None:
    """Ask each other queue's worker for a sign of life; ``waiting`` messages there are in each, where that is known."""
    for queue in QUEUES:
        if queue != DEFAULT_QUEUE and waiting.get(queue, MOST_WAITING) < MOST_WAITING:
            send("lifecycle.heartbeat", queue, queue=queue, expires=KEPT.total_seconds())


def beats() -> dict[str, Beat]:
    """The last one of each queue that was ever heard of."""
    rows: Iterable[Heartbeat] = Heartbeat.objects.all()
    return {row.queue: Beat(row.queue, row.sent_at, row.seen_at, row.worker) for row in rows}
