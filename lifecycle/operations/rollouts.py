"""Steering a rollout that runs: pausing it, and letting it go on before its time, or although the judge hesitates.

Each operation names the ``step`` that the person saw, counted from 0: what they decided on may have moved on meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import F

from lifecycle import people, trials
from lifecycle.approvals import behind
from lifecycle.audit import record
from lifecycle.dispatch import wake
from lifecycle.domain.permissions import Action, Actor
from lifecycle.domain.plan import PlannedStep, load_step
from lifecycle.domain.words import listed
from lifecycle.models import Kind, Status, Transition
from lifecycle.operations.common import need_reason, recorded
from lifecycle.transitions import RefusedError, turn_back

# ---------------------------------------------------------------- stopping


def pause(*, transition: Transition, step: int, reason: str, actor: Actor, now: datetime) -> Transition:
    """Keep a rollout at its step until somebody resumes it. It is judged all the same, and a breach takes it back.

    Whoever executes it now loses it, so that nothing decided before moves it on afterwards. Raises RefusedError.
    """
    with recorded(Action.STEER_ROLLOUT, actor, now, transition=transition, reason=reason) as actor:
        cleaned = need_reason(reason)
        row = _running(transition, step)
        if row.paused_at is not None:
            raise RefusedError(
                f"{row.paused_by_name} has paused it already. Resume it to let it go on.", rule="already_paused"
            )
        _write(
            row,
            paused_at=now,
            paused_by_name=actor.name,
            pause_reason=cleaned,
            released=step,
            lease_until=None,
            fence=F("fence") + 1,
            due_at=now,
        )
        return _done(row, "rollout_paused", cleaned, actor, now)


def resume(*, transition: Transition, step: int, reason: str, actor: Actor, now: datetime) -> Transition:
    """Let a paused rollout go on by its policy. Raises RefusedError."""
    with recorded(Action.STEER_ROLLOUT, actor, now, transition=transition, reason=reason) as actor:
        cleaned = need_reason(reason)
        row = _running(transition, step)
        if row.paused_at is None:
            raise RefusedError("It is not paused, so there is nothing to resume.", rule="not_paused")
        _write(row, paused_at=None, paused_by_name="", pause_reason="", due_at=now)
        return _done(row, "rollout_resumed", cleaned, actor, now)


def abort(*, transition: Transition, reason: str, actor: Actor, now: datetime) -> Transition:
    """Take a rollout back from whichever step it is at. Raises RefusedError."""
    with recorded(Action.ROLL_BACK, actor, now, transition=transition, reason=reason) as actor:
        cleaned = need_reason(reason)
        row = _rollout(transition)
        turn_back(row, reason=cleaned, by=actor, now=now, details=trials.facts(row))
        row.refresh_from_db()
        return row


# ---------------------------------------------------------------- going on


def skip(*, transition: Transition, step: int, reason: str, actor: Actor, now: datetime) -> Transition:
    """Send a rollout to its next step at once, whatever this one still waits for. Raises RefusedError."""
    with recorded(Action.ADVANCE_ROLLOUT, actor, now, transition=transition, reason=reason) as actor:
        row = _running(transition, step)
        return _advance(row, step + 1, "rollout_skipped", need_reason(reason), actor, now)


def promote(*, transition: Transition, step: int, reason: str, actor: Actor, now: datetime) -> Transition:
    """Send a rollout to its last step at once, past all between. Raises RefusedError."""
    with recorded(Action.ADVANCE_ROLLOUT, actor, now, transition=transition, reason=reason) as actor:
        row = _running(transition, step)
        return _advance(row, len(row.steps) - 1, "rollout_promoted", need_reason(reason), actor, now)


def let_go_on(*, transition: Transition, step: int, reason: str, actor: Actor, now: datetime) -> Transition:
    """Say yes where a rollout asks a person: the policy wants it so at this step, or the judge does not let it go on.

    Raises RefusedError.
    """
    with recorded(Action.ADVANCE_ROLLOUT, actor, now, transition=transition, reason=reason) as actor:
        row = _running(transition, step)
        if row.paused_at is None and not row.asks_person:
            raise RefusedError(f"It asks nobody just now. {row.waiting_for}".strip(), rule="asks_nobody")
        return _advance(row, step + 1, "rollout_let_go_on", need_reason(reason), actor, now)


def _advance(row: Transition, to: int, action: str, reason: str, actor: Actor, now: datetime) -> Transition:
    """Release the steps before ``to``, with the verdict that the person went past in the record."""
    steps = [load_step(raw) for raw in row.steps]
    if row.paused_at is not None:
        raise RefusedError(f"{row.paused_by_name} has paused it; resume it first.", rule="paused")
    if row.step + 1 >= len(steps):
        raise RefusedError("This is its last step; it ends by itself.", rule="last_step")
    if row.step_since is None:
        words = f"Requests are not shared out by this step yet; look again in a moment. {row.waiting_for}"
        raise RefusedError(words.strip(), rule="step_not_reached")
    if row.released >= to:
        raise RefusedError("Somebody has sent it on already; look again in a moment.", rule="already_released")
    _check_asked(row, steps[row.step : to], actor)
    _write(row, released=to, due_at=now)
    return _done(row, action, reason, actor, now, **{"from": row.step, "to": to, **trials.facts(row)})


def _check_asked(row: Transition, passed: Sequence[PlannedStep], actor: Actor) -> None:
    """Where the policy asks for a person, it is one with that role who did not ask for the change."""
    asked = {step.asks for step in passed if step.asks is not None}
    if not asked:
        return
    if actor.user_id is None or people.same_people(actor.accounts, behind(row)):
        raise RefusedError(
            "You asked for this change, so somebody else has to let it go on from here.", rule="own_change", status=403
        )
    if actor.shared:
        raise RefusedError(
            "Several people use this account, so its yes would be nobody's. Sign in with your own account.",
            rule="shared_account",
            status=403,
        )
    missing = asked - actor.roles
    if missing:
        words = listed(sorted(role.label for role in missing))
        raise RefusedError(
            f"To let it go on from here takes the role {words}. Ask somebody who has it.", rule="role", status=403
        )


# ---------------------------------------------------------------- what they share


def _rollout(transition: Transition) -> Transition:
    """The row as it is now, locked where the database has row locks, if it is a rollout that can be steered."""
    rows = Transition.objects.select_for_update(of=("self",)).select_related("version__model", "policy")
    row = rows.get(pk=transition.pk)
    if row.kind != Kind.PROMOTION or not row.steps:
        raise RefusedError(
            "Only a promotion that moves requests can be steered. Wait for this one to end.", rule="not_a_rollout"
        )
    if row.status == Status.AWAITING_APPROVAL:
        raise RefusedError("It has not begun. Cancel it if it shall not begin.", rule="not_started")
    if row.status == Status.APPROVED:
        raise RefusedError("It has not begun. Roll it back if it shall not begin.", rule="not_started")
    if row.status == Status.ROLLING_BACK:
        raise RefusedError("It is being taken back. Ask for it anew when that is over.", rule="already_rolling_back")
    if row.status != Status.RUNNING:
        raise RefusedError(
            f"It has ended: it is {row.get_status_display()}. Ask for another transition if it is needed.",
            rule="already_ended",
        )
    return row


def _running(transition: Transition, step: int) -> Transition:
    row = _rollout(transition)
    if row.step != step:
        where = load_step(row.steps[row.step])
        words = f"copies of {where.mirror} %" if where.mirror else f"{where.weight} %"
        raise RefusedError(f"It has moved on to {words} meanwhile; look again.", rule="moved_on")
    return row


def _write(row: Transition, **values: Any) -> None:
    """Compare-and-set on all that was looked at."""
    same = Transition.objects.filter(
        pk=row.pk, status=Status.RUNNING, step=row.step, released=row.released, paused_at=row.paused_at
    )
    if same.update(**values) != 1:
        raise RefusedError("Somebody else has just changed this rollout; look again.", rule="changed_meanwhile")


def _done(row: Transition, action: str, reason: str, actor: Actor, now: datetime, **details: Any) -> Transition:
    record(action, actor=actor, now=now, transition=row, reason=reason, details={"step": row.step, **details})
    wake(row.pk)
    row.refresh_from_db()
    return row
