"""Holds, and starting the clean-up."""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction

from lifecycle import retention_outlook
from lifecycle.audit import record
from lifecycle.domain.permissions import Action, Actor
from lifecycle.models import Hold, ModelVersion, RetentionRun
from lifecycle.operations.common import need_reason, recorded
from lifecycle.retention_queue import begin
from lifecycle.transitions import RefusedError, check_not_being_deleted


def place_hold(*, version: ModelVersion, reason: str, actor: Actor, now: datetime) -> Hold:
    """Keep a version from deletion until the hold is released. Raises RefusedError."""
    with recorded(Action.PLACE_HOLD, actor, now, version=version, reason=reason) as actor:
        cleaned = need_reason(reason)
        if version.removed_at is not None:
            raise RefusedError("MLflow no longer has this version, so nothing is left to hold.", rule="version_removed")
        check_not_being_deleted(version)
        hold = _insert(version, cleaned, actor, now)
        record("hold_placed", actor=actor, now=now, version=version, reason=cleaned)
        transaction.on_commit(retention_outlook.forget)
        return hold


def _insert(version: ModelVersion, reason: str, actor: Actor, now: datetime) -> Hold:
    try:
        with transaction.atomic():
            return Hold.objects.create(
                version=version, reason=reason, placed_by=actor.name, placed_by_id=actor.user_id, placed_at=now
            )
    except IntegrityError:
        raise RefusedError(
            "A hold keeps this version already. Release that one first to place another.", rule="held_already"
        ) from None


def release_hold(*, version: ModelVersion, reason: str, actor: Actor, now: datetime) -> Hold:
    """Let the policy decide again about a version. Raises RefusedError when no hold is in force."""
    with recorded(Action.PLACE_HOLD, actor, now, version=version, reason=reason) as actor:
        cleaned = need_reason(reason)
        in_force = Hold.objects.filter(version=version, released_at=None)
        hold = in_force.first()
        released = {"released_at": now, "released_by": actor.name, "released_reason": cleaned}
        if hold is None or in_force.update(**released) != 1:
            raise RefusedError("No hold keeps this version, so there is nothing to release.", rule="not_held")
        details = {"placed_by": hold.placed_by, "placed_because": hold.reason}
        record("hold_released", actor=actor, now=now, version=version, reason=cleaned, details=details)
        transaction.on_commit(retention_outlook.forget)
        hold.refresh_from_db()
        return hold


def start_clean_up(*, reason: str, actor: Actor, now: datetime) -> RetentionRun:
    """Start the clean-up now instead of at its daily time. Raises RefusedError."""
    with recorded(Action.RUN_CLEAN_UP, actor, now, reason=reason) as actor:
        started = begin(requested_by=actor, now=now, reason=need_reason(reason))
        if started is None:
            raise RefusedError("A clean-up runs already; wait until it has finished.", rule="clean_up_runs")
        return started
