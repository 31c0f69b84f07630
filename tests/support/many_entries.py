"""Many entries of the record at once, chained as its writer chains them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction

from lifecycle import audit
from lifecycle.domain import chain
from lifecycle.models import AuditEntry

START = datetime(2026, 1, 1, tzinfo=UTC)
ACTIONS = ("transition_requested", "approved", "weights_changed", "limit_breached", "rolled_back", "finished")
BATCH = 1000


def write_entries(count: int, **values: Any) -> None:
    """Append so many entries, one a second; ``values`` are the same in all of them."""
    last = AuditEntry.objects.order_by("-seq").first()
    seq, previous = (last.seq, last.hash) if last else (0, chain.FIRST)
    rows: list[AuditEntry] = []
    for number in range(seq + 1, seq + count + 1):
        rows.append(_entry(number, previous, values))
        previous = rows[-1].hash
        if len(rows) == BATCH or number == seq + count:
            with transaction.atomic():
                AuditEntry.objects.bulk_create(rows)
            rows.clear()


def _entry(seq: int, previous: str, values: dict[str, Any]) -> AuditEntry:
    usual = {
        "at": START + timedelta(seconds=seq),
        "action": ACTIONS[seq % len(ACTIONS)],
        "refused": seq % 50 == 0,
        "actor": f"Person {seq % 40}",
        "actor_id": seq % 40,
        "actor_roles": ["ml_engineer"],
        "signed_in_by": "password+totp",
        "address": "192.0.2.7",
        "model": f"model-{seq % 20}",
        "version": seq % 90 + 1,
        "semantic_version": "1.2.0",
        "from_stage": "Staging",
        "to_stage": "Production",
        "reason": "The canary answers as fast, and its predictions are better by two points.",
        "details": {"weights": {"12": 95, "13": 5}, "step": seq % 4},
        "transition": seq // 12,
        "policy": 4,
        "evidence_digest": f"{seq:064x}",
    }
    entry = AuditEntry(seq=seq, previous_hash=previous, **{**usual, **values})
    entry.hash = chain.entry_hash(audit.body(entry))
    return entry
