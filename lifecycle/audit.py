"""The only writer of the record."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from lifecycle.domain.permissions import Actor
from lifecycle.models import AuditEntry, ModelVersion, RegisteredModel, Transition


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
) -> AuditEntry:
    """Append one entry. Call it inside the transaction of what it records: both are written or neither is.

    What the transition knows (model, version, stages, policy) is taken from it where it is not given.
    """
    if transition is not None:
        version = version or transition.version
        from_stage = from_stage or transition.from_stage
        to_stage = to_stage or transition.to_stage
    if version is not None:
        model = model or version.model
    return AuditEntry.objects.create(
        at=now,
        action=action,
        refused=refused,
        actor=actor.name,
        actor_id=actor.user_id,
        actor_roles=sorted(actor.roles),
        signed_in_by=actor.signed_in_by,
        address=actor.address,
        model=model.name if model else "",
        version=version.version if version else None,
        semantic_version=version.semantic_version[:100] if version else "",
        from_stage=from_stage,
        to_stage=to_stage,
        reason=reason,
        details=dict(details or {}),
        transition=transition.pk if transition else None,
        policy=transition.policy.number if transition else None,
    )
