"""Going on without approvals, and during a freeze: both with a reason, and both looked at afterwards."""

from __future__ import annotations

from datetime import datetime

from lifecycle import freezes, people
from lifecycle.approvals import behind, still_missing, took_part_in_bypass
from lifecycle.audit import record
from lifecycle.bindings import renew
from lifecycle.dispatch import wake
from lifecycle.domain.permissions import Action, Actor
from lifecycle.domain.words import listed
from lifecycle.models import Kind, Status, Transition
from lifecycle.operations.common import need_reason, recorded
from lifecycle.operations.transitions import awaiting, check_open, locked, need_confirmed
from lifecycle.transitions import RefusedError, change_status


def bypass(*, transition: Transition, reason: str, actor: Actor, now: datetime) -> Transition:
    """Let a transition go on in an emergency without the approvals that are missing. Its gate must be open.

    It is flagged until somebody else has reviewed it. Raises RefusedError.
    """
    with recorded(Action.BYPASS, actor, now, transition=transition, reason=reason) as actor:
        cleaned = need_reason(reason)
        row = awaiting(transition)
        _need_bypass_role(row, actor)
        need_confirmed(row, actor, now)
        if people.same_people(actor.accounts, behind(row)):
            raise RefusedError(
                "You asked for this transition, so somebody else has to let it go on.", rule="own_change", status=403
            )
        renew(row, now)
        check_open(row, now)
        missing = [role.label for role in still_missing(row)]
        change_status(
            row,
            Status.AWAITING_APPROVAL,
            status=Status.APPROVED,
            due_at=now,
            bypassed_at=now,
            bypassed_by=actor.user_id,
            bypassed_by_name=actor.name,
            bypass_reason=cleaned,
            bypass_missing=missing,
            bypass_reviewed_at=None,
            bypass_reviewed_by_name="",
            bypass_review="",
        )
        details = {"without": missing}
        record("approvals_bypassed", actor=actor, now=now, transition=row, reason=cleaned, details=details)
        wake(row.pk)
        row.refresh_from_db()
        return row


def _need_bypass_role(row: Transition, actor: Actor) -> None:
    if actor.shared:
        raise RefusedError(
            "Several people use this account. Sign in with your own account for this.",
            rule="shared_account",
            status=403,
        )
    allowed = row.policy.values.approval.bypass
    if actor.roles & set(allowed):
        return
    if not allowed:
        raise RefusedError(
            "The policy lets nobody go on without approvals. Wait for them, or ask an administrator to change it.",
            rule="no_bypass",
            status=403,
        )
    named = listed([role.label for role in allowed], "or")
    raise RefusedError(
        f"To go on without approvals, you need the role {named}. Ask somebody who has it.", rule="role", status=403
    )


def review_bypass(*, transition: Transition, reason: str, actor: Actor, now: datetime) -> Transition:
    """Say what there is to say about a bypass; until then it is on the front page. Raises RefusedError."""
    with recorded(Action.REVIEW_BYPASS, actor, now, transition=transition, reason=reason) as actor:
        cleaned = need_reason(reason)
        row = locked(transition)
        if row.bypassed_at is None:
            raise RefusedError("No approvals were bypassed here, so there is nothing to review.", rule="no_bypass")
        if actor.shared or took_part_in_bypass(row, actor):
            raise RefusedError("Somebody else has to review this: you took part in it.", rule="reviewer", status=403)
        reviewed = {
            "bypass_reviewed_at": now,
            "bypass_reviewed_by_name": actor.name,
            "bypass_review": cleaned,
        }
        if Transition.objects.filter(pk=row.pk, bypass_reviewed_at=None).update(**reviewed) != 1:
            raise RefusedError(
                "This has been reviewed already: read on its page what was said.", rule="already_reviewed"
            )
        record("bypass_reviewed", actor=actor, now=now, transition=row, reason=cleaned)
        row.refresh_from_db()
        return row


def override_freeze(*, transition: Transition, reason: str, actor: Actor, now: datetime) -> Transition:
    """Let one transition go on although a freeze holds it. Raises RefusedError."""
    with recorded(Action.OVERRIDE_FREEZE, actor, now, transition=transition, reason=reason) as actor:
        cleaned = need_reason(reason)
        row = locked(transition)
        waits = row.status in (Status.AWAITING_APPROVAL, Status.APPROVED) and row.checked_at is None
        if not waits or row.kind not in (Kind.PROMOTION, Kind.ARCHIVAL) or freezes.holding(row, now) is None:
            raise RefusedError("No freeze holds this transition: it moves without this.", rule="not_frozen")
        overridden = {"override_at": now, "override_by_name": actor.name, "override_reason": cleaned, "due_at": now}
        Transition.objects.filter(pk=row.pk).update(**overridden)
        record("freeze_overridden", actor=actor, now=now, transition=row, reason=cleaned)
        if row.status == Status.APPROVED:
            wake(row.pk)
        row.refresh_from_db()
        return row
