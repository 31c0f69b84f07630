"""Starting a clean-up: what people and the clock share."""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError

from lifecycle.audit import record, recording
from lifecycle.dispatch import wake_clean_up
from lifecycle.domain.permissions import Actor
from lifecycle.models import RetentionRun


def begin(*, requested_by: Actor, now: datetime, reason: str = "") -> RetentionRun | None:
    """Create a clean-up with its audit entry, and wake a worker after commit; None while another one runs."""
    try:
        with recording():
            row = RetentionRun.objects.create(started_at=now, requested_by_name=requested_by.name)
            record("clean_up_started", actor=requested_by, now=now, reason=reason, details={"clean_up": row.pk})
    except IntegrityError:
        return None
    wake_clean_up(row.pk)
    return row
