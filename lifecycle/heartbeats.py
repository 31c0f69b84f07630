"""Signs of life: beat sends one to every queue, and the worker that takes it writes it down.

One row a queue proves beat, the broker and a worker of that queue at once; the time between sending and taking is how
long a message of that queue waits.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from lifecycle.domain.system import Beat
from lifecycle.models import Heartbeat

EVERY = timedelta(seconds=10)
"""How often beat sends one. A worker that finds an older one drops it unread."""


def note(queue: str, *, expires: str | None, worker: str, now: datetime) -> None:
    """Write down that ``worker`` took a message of ``queue`` at ``now``, in one statement.

    ``expires`` is when the message would have expired, as Celery says it: EVERY after it was sent.
    """
    sent_at = datetime.fromisoformat(expires) - EVERY if expires else now
    row = Heartbeat(queue=queue, sent_at=sent_at, seen_at=now, worker=worker[:200])
    values = ("sent_at", "seen_at", "worker")
    Heartbeat.objects.bulk_create([row], update_conflicts=True, unique_fields=("queue",), update_fields=values)


def beats() -> dict[str, Beat]:
    """The last one of each queue that was ever heard of."""
    rows: Iterable[Heartbeat] = Heartbeat.objects.all()
    return {row.queue: Beat(row.queue, row.sent_at, row.seen_at, row.worker) for row in rows}
