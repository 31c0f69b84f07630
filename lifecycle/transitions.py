"""The writes to a transition that people and the engine share."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from lifecycle.audit import record
from lifecycle.dispatch import wake
from lifecycle.domain.gates import Finding
from lifecycle.domain.permissions import Actor
from lifecycle.models import Effect, Status, Transition


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


def change_status(row: Transition, expected: str, **values: Any) -> None:
    """Compare-and-set on the status: whoever comes second is told so."""
    if Transition.objects.filter(pk=row.pk, status=expected).update(**values) != 1:
        raise RefusedError("Somebody else has just changed this transition; look again.", rule="changed_meanwhile")


def turn_back(row: Transition, *, reason: str, by: Actor, now: datetime) -> None:
    """Make a running change go back, inside the caller's transaction, and record who wanted it."""
    change_status(
        row,
        row.status,
        status=Status.ROLLING_BACK,
        rollback_reason=reason,
        rollback_by_name=by.name,
        rollback_requested_at=now,
        step_since=None,
        lease_until=None,
        fence=row.fence + 1,
        due_at=now,
        waiting_for="",
        waiting_until=None,
    )
    row.effects.filter(outcome=Effect.Outcome.OPEN).update(outcome=Effect.Outcome.DROPPED, finished_at=now)
    record("rollback_requested", actor=by, now=now, transition=row, reason=reason)
    wake(row.pk, urgent=True)
