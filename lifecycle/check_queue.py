"""Putting a check into the queue: what people and policies share."""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction

from lifecycle.audit import record
from lifecycle.dispatch import wake_check
from lifecycle.domain.criteria import Criterion
from lifecycle.domain.permissions import Actor
from lifecycle.models import CheckRun, ModelVersion, Policy


def queue(
    version: ModelVersion, criterion: Criterion, *, policy: Policy, actor: Actor, now: datetime
) -> CheckRun | None:
    """Create the run with its audit entry, and wake a worker after commit; None when one is unfinished already."""
    try:
        with transaction.atomic():
            row = CheckRun.objects.create(
                version=version,
                criterion=criterion,
                policy=policy,
                requested_by_name=actor.name,
                requested_by_id=actor.user_id,
                requested_at=now,
            )
            details = {"criterion": str(criterion), "check": row.pk, "policy": policy.number}
            record("check_started", actor=actor, now=now, version=version, details=details)
    except IntegrityError:
        return None
    wake_check(row.pk)
    return row
