"""The writes to a transition that people and the engine share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from lifecycle.audit import record
from lifecycle.dispatch import wake
from lifecycle.domain.gates import Finding
from lifecycle.domain.permissions import Actor
from lifecycle.models import ACTIVE, Deletion, DeletionStatus, Effect, ModelVersion, Status, Transition


class RefusedError(Exception):
    """A request that a rule refused; nothing was changed.

    ``rule`` is a stable word for programs, ``str(error)`` a sentence for people, ``status`` the HTTP status that fits.
    ``findings`` are the criteria that keep a gate closed, where that is the rule.
    """

    def __init__(self, message: str, *, rule: str, status: int = 409, findings: tuple[Finding, ...] = ()) -> None:
        super().__init__(message)
        self.rule = rule
        self.status = status
        self.findings = findings


def check_not_being_deleted(version: ModelVersion) -> None:
    """Raises RefusedError while the clean-up is deleting the version. Call it inside the transaction that claims it.

    The version's row is locked until that transaction ends, as the clean-up locks it: whoever comes second sees what
    the first one wrote.
    """
    ModelVersion.objects.select_for_update().filter(pk=version.pk).values_list("pk").first()
    if Deletion.objects.filter(version=version).exclude(status=DeletionStatus.DONE).exists():
        raise RefusedError(
            "This version is being deleted: its time in Archived is over. Register its model anew if you need it.",
            rule="being_deleted",
        )


def change_status(row: Transition, expected: str, **values: Any) -> None:
    """Compare-and-set on the status: whoever comes second is told so."""
    if Transition.objects.filter(pk=row.pk, status=expected).update(**values) != 1:
        raise RefusedError("Somebody else has just changed this transition; look again.", rule="changed_meanwhile")


def insert(**values: Any) -> Transition:
    """Create a transition; the schema refuses a second active one of the same model. Raises RefusedError."""
    try:
        with transaction.atomic():
            return Transition.objects.create(**values)
    except IntegrityError:
        active = Transition.objects.filter(model=values["model"], status__in=ACTIVE).first()
        if active is None:
            raise
        raise RefusedError(
            f"{active.version.model.name} has a transition already: {active.version.label} to {active.to_stage}, "
            f"{active.get_status_display()}. Finish, cancel or roll back that one first.",
            rule="one_active_transition",
        ) from None


def turn_back(
    row: Transition, *, reason: str, by: Actor, now: datetime, details: Mapping[str, Any] | None = None
) -> None:
    """Make a running change go back, inside the caller's transaction, and record who wanted it.

    ``details`` are the facts that speak for it, as JSON values: they are kept with the record.
    """
    change_status(
        row,
        row.status,
        status=Status.ROLLING_BACK,
        rollback_reason=reason,
        rollback_by_name=by.name,
        rollback_by=by.user_id,
        rollback_requested_at=now,
        step_since=None,
        lease_until=None,
        fence=row.fence + 1,
        due_at=now,
        waiting_for="",
        waiting_until=None,
        asks_person=False,
        paused_at=None,
    )
    row.effects.filter(outcome=Effect.Outcome.OPEN).update(outcome=Effect.Outcome.DROPPED, finished_at=now)
    record("rollback_requested", actor=by, now=now, transition=row, reason=reason, details=details)
    wake(row.pk, urgent=True)
