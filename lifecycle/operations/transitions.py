"""Asking for transitions, deciding on them, rolling back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from lifecycle import artifacts
from lifecycle.approvals import required_roles, still_missing
from lifecycle.audit import record
from lifecycle.dispatch import wake
from lifecycle.domain.approval import Approver, check_approver
from lifecycle.domain.gates import Finding, Gate, in_words
from lifecycle.domain.permissions import Action, Actor
from lifecycle.domain.plan import steps_of_change
from lifecycle.domain.stages import Stage, check_change
from lifecycle.domain.words import listed
from lifecycle.evidence import why_other_files
from lifecycle.gating import dump_gate, gate_of
from lifecycle.history import previous_version, production_history, production_version, why_past_the_gate
from lifecycle.models import (
    ACTIVE,
    EXECUTING,
    Approval,
    Kind,
    ModelVersion,
    Policy,
    RegisteredModel,
    Status,
    Strategy,
    Transition,
    Variant,
    VariantRole,
)
from lifecycle.operations.common import need_ready, need_reason, need_registered, read_afresh, recorded
from lifecycle.operations.retention import check_not_being_deleted
from lifecycle.policies import approval_gap, current_policy
from lifecycle.ports import PortError
from lifecycle.transitions import RefusedError, change_status, turn_back

# ---------------------------------------------------------------- asking


def request_transition(
    *, version: ModelVersion, to_stage: Stage, reason: str, actor: Actor, now: datetime
) -> Transition:
    """Ask to move a version to a stage.

    1. The version is read afresh from MLflow, so that nobody decides on stale facts.
    2. The stage change must exist, its gate must be open but for the approvals, and no other transition of the model
       may be active. The gate is kept with the transition, as it was.
    3. The transition waits for the approvals that its policy asks for.

    Raises RefusedError.
    """
    read_error = _read_all_afresh(version, now)
    about = {"version": version, "from_stage": version.domain_stage, "to_stage": to_stage, "reason": reason}
    with recorded(Action.REQUEST_TRANSITION, actor, now, **about):
        cleaned = need_reason(reason)
        if read_error is not None:
            raise read_error
        _check_version(version)
        check_change(version.domain_stage, to_stage)
        _check_archival(version, to_stage)
        policy = current_policy(version.model, now)
        gate = gate_of(version, to_stage, now, policy=policy.values, asked_by=actor.user_id)
        if gate.to_request:
            raise _closed(f"The gate to {to_stage} is closed.", gate.to_request)
        _check_way(version, to_stage)
        _check_files(version, to_stage)
        _check_approvers(policy, to_stage, actor)
        created = _create_change(version, gate, policy, cleaned, actor, now)
        record("transition_requested", actor=actor, now=now, transition=created, reason=cleaned)
        return created


def _read_all_afresh(version: ModelVersion, now: datetime) -> RefusedError | None:
    """The version and, by their names and sizes, its files; returns why they cannot be confirmed."""
    read_error = read_afresh(version, now)
    version.refresh_from_db()
    if read_error is not None:
        return read_error
    try:
        artifacts.check_listing(version, now)
    except PortError as error:
        return RefusedError(
            f"The version's files cannot be listed just now ({error}), so nobody can say that they are still those of "
            "its evidence. Try again when their store is back.",
            rule="artifacts_unreachable",
            status=503,
        )
    return None


def _closed(opening: str, findings: tuple[Finding, ...]) -> RefusedError:
    return RefusedError(f"{opening} {in_words(findings)}", rule="gate_closed", findings=findings)


def _check_way(version: ModelVersion, to_stage: Stage) -> None:
    """Holds whatever a policy asks or waives: no stage is skipped by a change in MLflow."""
    why = why_past_the_gate(version, to_stage)
    if why:
        raise RefusedError(why, rule="past_the_gate")


def _check_files(version: ModelVersion, to_stage: Stage, asked_at: datetime | None = None) -> None:
    """Holds whatever a policy asks or waives."""
    why = why_other_files(version, to_stage, asked_at)
    if why:
        raise RefusedError(why, rule="files_changed")


def _check_approvers(policy: Policy, to_stage: Stage, actor: Actor) -> None:
    """Nobody waits for a yes that nobody is there to give."""
    missing = approval_gap(policy.values, to_stage, actor.user_id)
    if not missing:
        return
    wanted = listed([role.label for role in missing])
    raise RefusedError(
        f"Nobody else could say yes as {wanted}, so this could never be approved: whoever asks cannot decide, and "
        "one person fills one role. Ask an administrator to give somebody the role, or to change the policy.",
        rule="no_eligible_approver",
    )


def _check_version(version: ModelVersion) -> None:
    need_registered(version)
    need_ready(version)
    check_not_being_deleted(version)


def _check_archival(version: ModelVersion, to_stage: Stage) -> None:
    """Holds whatever a policy asks or waives: users' requests, and the way back, never lose their version."""
    if to_stage != Stage.ARCHIVED:
        return
    variant = Variant.objects.filter(version=version).first()
    if variant and variant.role == VariantRole.PRODUCTION:
        raise RefusedError(
            "This version serves Production. Promote another version first, or roll back.", rule="serves_production"
        )
    if variant and variant.role == VariantRole.WARM:
        raise RefusedError(
            "This version is kept warm so that a rollback takes a second; archive it when that time is over.",
            rule="rollback_target",
        )


def _create_change(
    version: ModelVersion, gate: Gate, policy: Policy, reason: str, actor: Actor, now: datetime
) -> Transition:
    to_stage = gate.to_stage
    stable = production_version(version.model)
    steps = steps_of_change(
        to_stage,
        policy.values,
        stable=stable.version if stable else None,
        version=version.version,
        gets_requests=Variant.objects.filter(version=version, weight__gt=0).exists(),
    )
    strategies = {True: Strategy.NONE, False: Strategy.CANARY if len(steps) > 1 else Strategy.DIRECT}
    return _insert(
        model=version.model,
        version=version,
        kind=Kind.ARCHIVAL if to_stage == Stage.ARCHIVED else Kind.PROMOTION,
        from_stage=version.domain_stage,
        to_stage=to_stage,
        strategy=strategies[not steps],
        status=Status.AWAITING_APPROVAL if policy.values.approvals(to_stage) else Status.APPROVED,
        reason=reason,
        policy=policy,
        gate=dump_gate(gate),
        stable=stable,
        steps=[{"weight": step.weight, "minimum": step.minimum.total_seconds()} for step in steps],
        requested_by_id=actor.user_id,
        requested_by_name=actor.name,
        requested_at=now,
        due_at=now,
    )


def _insert(**values: Any) -> Transition:
    """Create a transition; the schema refuses a second active one of the same model."""
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


# ---------------------------------------------------------------- deciding


def approve(*, transition: Transition, reason: str, actor: Actor, now: datetime) -> Transition:
    """Say yes. The last yes that the policy asks for starts the execution.

    The gate must still be open. While MLflow cannot be read, that is judged by what was last read: the engine reads
    afresh before anything moves. Raises RefusedError.
    """
    read_error = read_afresh(transition.version, now)
    with recorded(Action.APPROVE, actor, now, transition=transition, reason=reason):
        cleaned = need_reason(reason)
        row = _awaiting(transition)
        _decide(row, actor, now, cleaned, approved=True)
        _check_gate(row, read_error, now)
        record("transition_approved", actor=actor, now=now, transition=row, reason=cleaned)
        if not still_missing(row):
            change_status(row, Status.AWAITING_APPROVAL, status=Status.APPROVED, due_at=now)
            wake(row.pk)
        row.refresh_from_db()
        return row


def _check_gate(row: Transition, read_error: RefusedError | None, now: datetime) -> None:
    if read_error is not None and read_error.rule == "version_removed":
        raise read_error
    closed_by = gate_of(row.version, Stage(row.to_stage), now, transition=row).to_request
    if closed_by:
        raise _closed(f"The gate to {row.to_stage} has closed since this was asked for.", closed_by)
    _check_files(row.version, Stage(row.to_stage), row.requested_at)


def reject(*, transition: Transition, reason: str, actor: Actor, now: datetime) -> Transition:
    """Say no, which ends the transition. Raises RefusedError."""
    with recorded(Action.REJECT, actor, now, transition=transition, reason=reason):
        cleaned = need_reason(reason)
        row = _awaiting(transition)
        _decide(row, actor, now, cleaned, approved=False)
        change_status(row, Status.AWAITING_APPROVAL, status=Status.REJECTED, finished_at=now, outcome=cleaned)
        record("transition_rejected", actor=actor, now=now, transition=row, reason=cleaned)
        row.refresh_from_db()
        return row


def cancel(*, transition: Transition, reason: str, actor: Actor, now: datetime) -> Transition:
    """Withdraw a transition that has not begun. Raises RefusedError."""
    with recorded(Action.CANCEL, actor, now, transition=transition, reason=reason):
        cleaned = need_reason(reason)
        row = _locked(transition)
        if row.status in EXECUTING:
            raise RefusedError("This transition is being carried out; roll it back instead.", rule="already_started")
        _need_active(row)
        change_status(row, row.status, status=Status.CANCELLED, finished_at=now, outcome=cleaned)
        record("transition_cancelled", actor=actor, now=now, transition=row, reason=cleaned)
        row.refresh_from_db()
        return row


def _locked(transition: Transition) -> Transition:
    """The row as it is now, locked where the database has row locks."""
    return (
        Transition.objects.select_for_update(of=("self",))
        .select_related("version__model", "policy")
        .get(pk=transition.pk)
    )


def _awaiting(transition: Transition) -> Transition:
    row = _locked(transition)
    if row.status != Status.AWAITING_APPROVAL:
        raise RefusedError(
            f"There is nothing to decide any more: this transition is {row.get_status_display()}.",
            rule="already_decided",
        )
    return row


def _need_active(row: Transition) -> None:
    if not row.is_active:
        raise RefusedError(f"This transition has ended: it is {row.get_status_display()}.", rule="already_ended")


def _decide(row: Transition, actor: Actor, now: datetime, reason: str, *, approved: bool) -> None:
    if actor.user_id is None:
        raise RefusedError("Only a person can decide.", rule="approver", status=403)
    approver = Approver(actor.user_id, actor.roles)
    check_approver(
        approver=approver,
        requester_id=row.requested_by_id,
        decided_by=[approval.person_id for approval in row.approvals.all()],
        required=required_roles(row),
    )
    Approval.objects.create(
        transition=row,
        person_id=actor.user_id,
        person_name=actor.name,
        roles=sorted(actor.roles),
        approved=approved,
        reason=reason,
        decided_at=now,
    )


# ---------------------------------------------------------------- rolling back


def roll_back(
    *,
    model: RegisteredModel,
    reason: str,
    actor: Actor,
    now: datetime,
    emergency: bool = True,
    to_version: int | None = None,
) -> Transition:
    """Bring the previous version back. It needs no approval, and it wins over whatever runs.

    1. A change that is being carried out is turned back: traffic to the version that served before it.
    2. Otherwise the version in Production goes to Archived (emergency) or Staging (graceful), and the previous
       Production version, or ``to_version``, comes back. A change that still waits for approval is cancelled.

    Raises RefusedError when there is nothing to go back to.
    """
    with recorded(Action.ROLL_BACK, actor, now, model=model, reason=reason):
        cleaned = need_reason(reason)
        active = _active(model)
        if active is not None and active.status in EXECUTING:
            return _turn_back(active, cleaned, actor, now)
        created = _start_rollback(model, active, cleaned, actor, now, emergency=emergency, to_version=to_version)
        wake(created.pk, urgent=True)
        return created


def roll_back_transition(*, transition: Transition, reason: str, actor: Actor, now: datetime) -> Transition:
    """Roll back from a transition's own page: turn it back while it runs, else undo the promotion it made."""
    with recorded(Action.ROLL_BACK, actor, now, transition=transition, reason=reason):
        need_reason(reason)
        serving = production_version(transition.model)
        undoes = serving is not None and serving.pk == transition.version_id
        if transition.status not in EXECUTING and not undoes:
            raise RefusedError(
                "This transition's version does not serve Production any more, so there is nothing to take back.",
                rule="nothing_to_roll_back",
            )
    return roll_back(model=transition.model, reason=reason, actor=actor, now=now)


def _active(model: RegisteredModel) -> Transition | None:
    rows = Transition.objects.select_for_update(of=("self",)).select_related("version__model", "policy")
    return rows.filter(model=model, status__in=ACTIVE).first()


def _turn_back(row: Transition, reason: str, actor: Actor, now: datetime) -> Transition:
    """Turn a running change around, and take it away from whoever executes it: their next write is refused."""
    if row.status == Status.ROLLING_BACK or row.kind == Kind.ROLLBACK:
        raise RefusedError("A rollback is under way already.", rule="already_rolling_back")
    turn_back(row, reason=reason, by=actor, now=now)
    row.refresh_from_db()
    return row


def _start_rollback(
    model: RegisteredModel,
    waiting: Transition | None,
    reason: str,
    actor: Actor,
    now: datetime,
    *,
    emergency: bool,
    to_version: int | None,
) -> Transition:
    current = production_version(model)
    if current is None:
        raise RefusedError("No version serves Production, so there is nothing to roll back.", rule="nothing_serves")
    previous = _previous(model, current, to_version)
    if waiting is not None:
        change_status(
            waiting, waiting.status, status=Status.CANCELLED, finished_at=now, outcome="A rollback came first."
        )
        record("transition_cancelled", actor=actor, now=now, transition=waiting, reason=f"Rollback: {reason}")
    created = _insert(
        model=model,
        version=current,
        kind=Kind.ROLLBACK,
        emergency=emergency,
        from_stage=Stage.PRODUCTION,
        to_stage=Stage.ARCHIVED if emergency else Stage.STAGING,
        strategy=Strategy.DIRECT,
        status=Status.ROLLING_BACK,
        reason=reason,
        policy=current_policy(model, now),
        stable=current,
        previous=previous,
        requested_by_id=actor.user_id,
        requested_by_name=actor.name,
        requested_at=now,
        rollback_reason=reason,
        rollback_by_name=actor.name,
        rollback_requested_at=now,
        due_at=now,
    )
    record(
        "rollback_requested",
        actor=actor,
        now=now,
        transition=created,
        reason=reason,
        details={"back_to": previous.version, "emergency": emergency},
    )
    return created


def _previous(model: RegisteredModel, current: ModelVersion, to_version: int | None) -> ModelVersion:
    versions = model.versions.filter(removed_at=None)
    if to_version is not None:
        chosen = versions.filter(version=to_version).exclude(pk=current.pk).first()
        if chosen is None:
            raise RefusedError(
                f"There is no other version {to_version} to go back to.", rule="no_such_version", status=404
            )
        if chosen.version not in production_history(model):
            raise RefusedError(
                f"{chosen.label} has never served Production, so it cannot be the target of a rollback.",
                rule="never_served",
            )
        check_not_being_deleted(chosen)
        return chosen
    found = previous_version(model, current)
    if found is None:
        raise RefusedError(
            f"{current.label} is the first version in Production: there is no previous one to go back to.",
            rule="no_previous_version",
        )
    return found
