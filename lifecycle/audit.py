"""The only writer of the record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction

from lifecycle.domain import chain
from lifecycle.domain.permissions import Actor
from lifecycle.models import AuditEntry, ModelVersion, RegisteredModel, Transition

LOCK = 0x5347_4155
"""The key of PostgreSQL's advisory lock that makes writers of the record take turns ("SGAU")."""
HASHED = (
    *("seq", "at", "action", "refused", "actor", "actor_id", "actor_roles", "signed_in_by", "address"),
    *("model", "version", "semantic_version", "from_stage", "to_stage", "reason", "details", "transition", "policy"),
    *("evidence_digest", "previous_hash"),
)
"""The columns that an entry's hash is computed over."""
_recording: ContextVar[bool] = ContextVar("recording", default=False)


@contextmanager
def recording() -> Iterator[None]:
    """A transaction that records something.

    Entries follow each other without gaps, so their writers have to take turns. They do so from the beginning of the
    transaction: taking the turn at its end, when rows are locked already, would let two of them wait for each other. On
    SQLite every transaction takes its turn at its beginning anyway.
    """
    with transaction.atomic():
        connection = connections[DEFAULT_DB_ALIAS]
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        token = _recording.set(True)
        try:
            yield
        finally:
            _recording.reset(token)


def record(
    action: str,
    *,
    actor: Actor,
    now: datetime,
    model: RegisteredModel | None = None,
    version: ModelVersion | None = None,
    transition: Transition | None = None,
    from_stage: str = "",
    to_stage: str = "",
    reason: str = "",
    refused: bool = False,
    details: Mapping[str, Any] | None = None,
    evidence_digest: str = "",
) -> AuditEntry:
    """Append one entry. Call it inside ``recording``, with what it records: both are written or neither is.

    What the transition knows (model, version, stages, policy, what its approvals are bound to) is taken from it where
    it is not given. Raises RuntimeError outside of ``recording``.
    """
    if not _recording.get():
        raise RuntimeError("record() belongs inside recording(): with what it records, and in turn with other writers")
    if transition is not None:
        version = version or transition.version
        from_stage = from_stage or transition.from_stage
        to_stage = to_stage or transition.to_stage
        evidence_digest = evidence_digest or transition.digest
    if version is not None:
        model = model or version.model
    return _append(
        at=now,
        action=action,
        refused=refused,
        actor=chain.text(actor.name)[:200],
        actor_id=actor.user_id,
        actor_roles=sorted(actor.roles),
        signed_in_by=chain.text(actor.signed_in_by)[:40],
        address=chain.text(actor.address)[:64],
        model=chain.text(model.name) if model else "",
        version=version.version if version else None,
        semantic_version=chain.text(version.semantic_version)[:100] if version else "",
        from_stage=from_stage,
        to_stage=to_stage,
        reason=chain.text(reason),
        details=chain.plain(details or {}),
        transition=transition.pk if transition else None,
        policy=transition.policy.number if transition else None,
        evidence_digest=evidence_digest,
    )


def _append(**values: Any) -> AuditEntry:
    last = AuditEntry.objects.order_by("-seq").values_list("seq", "hash").first()
    seq, previous = (last[0] + 1, last[1]) if last else (1, chain.FIRST)
    entry = AuditEntry(seq=seq, previous_hash=previous, **values)
    entry.hash = chain.entry_hash(body(entry))
    entry.save(force_insert=True)
    return entry


def body(entry: AuditEntry) -> dict[str, Any]:
    """What an entry's hash is computed over, and what an export shows beside the hash: JSON values only."""
    values = {name: getattr(entry, name) for name in HASHED}
    return {**values, "at": chain.timestamp(entry.at)}
