"""Asking for transitions, and deciding on them."""

from __future__ import annotations

from datetime import datetime

from lifecycle import artifacts, people
from lifecycle.approvals import behind, required_roles, standing, still_missing
from lifecycle.audit import record, recording
from lifecycle.bindings import ask_again, bind, planned, renew
from lifecycle.dispatch import wake, wake_pointer
from lifecycle.domain import strategies
from lifecycle.domain.approval import Approver, check_approver
from lifecycle.domain.gates import Finding, Gate, in_words
from lifecycle.domain.permissions import Action, Actor
from lifecycle.domain.stages import Stage, check_change
from lifecycle.domain.words import listed
from lifecycle.evidence import why_other_files
from lifecycle.gating import dump_gate, gate_of
from lifecycle.history import production_version, why_past_the_gate
from lifecycle.models import (
    EXECUTING,
    Approval,
    Kind,
    ModelVersion,
    Policy,
    Status,
    Transition,
    Variant,
    VariantRole,
)
from lifecycle.operations.common import need_ready, need_reason, need_registered, read_afresh, recorded
from lifecycle.policies import approval_gap, current_policy
from lifecycle.ports import PortError
from lifecycle.transitions import RefusedError, change_status, check_not_being_deleted, insert

# ---------------------------------------------------------------- asking


def request_transition(
    *,
    version: ModelVersion,
    to_stage: Stage,
    reason: str,
    actor: Actor,
    now: datetime,
    strategy: strategies.Strategy | None = None,
) -> Transition:
    """Ask to move a version to a stage.

    1. The version is read afresh from MLflow, so that nobody decides on stale facts.
    2. The stage change must exist, its gate must be open but for the approvals, and no other transition of the model
       may be active. The gate is kept with the transition, as it was.
    3. The transition waits for the approvals that its policy asks for.

    ``strategy`` is how requests come to a version that enters Production, None for the policy's. Where nobody serves,
    it gets all of them at once. Raises RefusedError.
    """
    read_error = _read_all_afresh(version, now)
    about = {"version": version, "from_stage": version.domain_stage, "to_stage": to_stage, "reason": reason}
    with recorded(Action.REQUEST_TRANSITION, actor, now, **about) as actor:
        cleaned = need_reason(reason)
        if actor.shared:
            raise RefusedError(
                "Several people use this account, so nobody could tell who asked. Sign in with your own account.",
                rule="shared_account",
                status=403,
            )
        if read_error is not None:
            raise read_error
        _check_version(version)
        check_change(version.domain_stage, to_stage)
        _check_strategy(to_stage, strategy)
        _check_archival(version, to_stage)
        policy = current_policy(version.model, now)
        gate = gate_of(version, to_stage, now, policy=policy.values, asked_by=actor.accounts)
        if gate.to_request:
            raise _closed(f"The gate to {to_stage} is closed.", gate.to_request)
        _check_way(version, to_stage)
        _check_files(version, to_stage)
        _check_approvers(policy, version, to_stage, actor)
        created = _create_change(version, gate, policy, cleaned, actor, now, strategy)
        details = {"strategy": created.strategy}
        record("transition_requested", actor=actor, now=now, transition=created, reason=cleaned, details=details)
        wake_pointer(version.pk)
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


def _check_files(version: ModelVersion, to_stage: Stage) -> None:
    """Holds whatever a policy asks or waives."""
    why = why_other_files(version, to_stage)
    if why:
        raise RefusedError(why, rule="files_changed")


def _check_approvers(policy: Policy, version: ModelVersion, to_stage: Stage, actor: Actor) -> None:
    """Nobody waits for a yes that nobody is there to give."""
    missing = approval_gap(policy.values, to_stage, actor, version.model)
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


def _check_strategy(to_stage: Stage, strategy: strategies.Strategy | None) -> None:
    if to_stage == Stage.PRODUCTION or strategy is None or strategy == strategies.Strategy.CANARY:
        return
    raise RefusedError(
        f"{strategy.label.capitalize()} is a way into Production. In Staging a version gets its share of requests "
        "at once, and one that is archived gets none: ask again without a strategy.",
        rule="strategy",
        status=422,
    )


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
    version: ModelVersion,
    gate: Gate,
    policy: Policy,
    reason: str,
    actor: Actor,
    now: datetime,
    strategy: strategies.Strategy | None,
) -> Transition:
    to_stage = gate.to_stage
    stable = production_version(version.model)
    way = planned(version, to_stage, policy, stable, strategy)
    row = insert(
        model=version.model,
        version=version,
        kind=Kind.ARCHIVAL if to_stage == Stage.ARCHIVED else Kind.PROMOTION,
        from_stage=version.domain_stage,
        to_stage=to_stage,
        strategy=way.strategy,
        wanted_strategy=strategy.value if strategy else "",
        status=Status.AWAITING_APPROVAL if policy.values.approvals(to_stage) else Status.APPROVED,
        reason=reason,
        policy=policy,
        gate=dump_gate(gate),
        stable=stable,
        steps=way.steps,
        requested_by_id=actor.user_id,
        requested_by_name=actor.name,
        requested_at=now,
        asked_by=sorted(actor.accounts),
        due_at=now,
    )
    bind(row, now)
    return row


# ---------------------------------------------------------------- deciding


def approve(*, transition: Transition, reason: str, actor: Actor, now: datetime, seen: str = "") -> Transition:
    """Say yes. The last yes that the policy asks for starts the execution.

    The gate must still be open. While MLflow cannot be read, that is judged by what was last read: the engine reads
    afresh before anything moves. ``seen`` is the digest of what the person was shown, "" when they decide on whatever
    there is: a yes to something else is refused. Raises RefusedError.
    """
    read_error = read_afresh(transition.version, now)
    renewed = _renewed(transition, now)
    with recorded(Action.APPROVE, actor, now, transition=transition, reason=reason) as actor:
        cleaned = need_reason(reason)
        row = awaiting(transition)
        person = _need_eligible(row, actor)
        _check_gate(row, read_error, now)
        if (renewed and not seen) or (seen and seen != row.digest):
            raise RefusedError(
                f"{renewed or 'What you were shown is not what there is now.'} Nothing was decided: look at it as it "
                "is now, and decide again.",
                rule="changed_since_shown",
            )
        need_confirmed(row, actor, now)
        _decide(row, person, actor, now, cleaned, approved=True)
        record("transition_approved", actor=actor, now=now, transition=row, reason=cleaned)
        if not still_missing(row):
            change_status(row, Status.AWAITING_APPROVAL, status=Status.APPROVED, due_at=now)
            wake(row.pk)
        row.refresh_from_db()
        return row


def _renewed(transition: Transition, now: datetime) -> str:
    """What has changed since this was last shown to anybody, "" when nothing has; kept whatever becomes of the yes."""
    with recording():
        row = locked(transition)
        return renew(row, now) if row.status == Status.AWAITING_APPROVAL else ""


def need_confirmed(row: Transition, actor: Actor, now: datetime) -> None:
    """A yes to Production takes somebody who has lately shown who they are."""
    rules = row.policy.values.approval
    if row.to_stage != Stage.PRODUCTION:
        return
    if actor.confirmed_at is None or now - actor.confirmed_at > rules.confirm_after:
        raise RefusedError(
            "It is a while since you signed in. Show once more that it is you, then say yes: this is a yes to "
            "Production.",
            rule="confirm_again",
            status=403,
        )


def _check_gate(row: Transition, read_error: RefusedError | None, now: datetime) -> None:
    if read_error is not None and read_error.rule == "version_removed":
        raise read_error
    check_open(row, now)


def check_open(row: Transition, now: datetime) -> None:
    """Raises RefusedError when the gate of a waiting transition has closed, but for the approvals."""
    closed_by = gate_of(row.version, Stage(row.to_stage), now, transition=row).to_request
    if closed_by:
        raise _closed(f"The gate to {row.to_stage} has closed since this was asked for.", closed_by)
    _check_files(row.version, Stage(row.to_stage))


def reject(*, transition: Transition, reason: str, actor: Actor, now: datetime) -> Transition:
    """Say no, which ends the transition. Raises RefusedError."""
    with recorded(Action.REJECT, actor, now, transition=transition, reason=reason) as actor:
        cleaned = need_reason(reason)
        row = awaiting(transition)
        person = _need_eligible(row, actor)
        _decide(row, person, actor, now, cleaned, approved=False)
        change_status(row, Status.AWAITING_APPROVAL, status=Status.REJECTED, finished_at=now, outcome=cleaned)
        record("transition_rejected", actor=actor, now=now, transition=row, reason=cleaned)
        row.refresh_from_db()
        return row


def take_back(*, transition: Transition, reason: str, actor: Actor, now: datetime) -> Transition:
    """Take one's own yes back, as long as the execution has not begun. Raises RefusedError."""
    with recorded(Action.TAKE_BACK, actor, now, transition=transition, reason=reason) as actor:
        cleaned = need_reason(reason)
        row = locked(transition)
        if row.status not in (Status.AWAITING_APPROVAL, Status.APPROVED) or row.checked_at is not None:
            raise RefusedError(
                f"It is too late to take your approval back: this transition is {row.get_status_display()}. "
                "Roll back instead, if it serves anybody.",
                rule="already_started",
            )
        taken = row.approvals.filter(person=actor.user_id, approved=True, voided_at=None, withdrawn_at=None)
        if taken.update(withdrawn_at=now, withdrawn_reason=cleaned) != 1:
            raise RefusedError(
                "There is no approval of yours to take back: you have not said yes, or it counts no more. Look again.",
                rule="no_approval",
            )
        record("approval_taken_back", actor=actor, now=now, transition=row, reason=cleaned)
        ask_again(row, now)
        row.refresh_from_db()
        return row


def cancel(*, transition: Transition, reason: str, actor: Actor, now: datetime) -> Transition:
    """Withdraw a transition that has not begun. Raises RefusedError."""
    with recorded(Action.CANCEL, actor, now, transition=transition, reason=reason) as actor:
        cleaned = need_reason(reason)
        row = locked(transition)
        if row.status in EXECUTING:
            raise RefusedError("This transition is being carried out; roll it back instead.", rule="already_started")
        _need_active(row)
        change_status(row, row.status, status=Status.CANCELLED, finished_at=now, outcome=cleaned)
        record("transition_cancelled", actor=actor, now=now, transition=row, reason=cleaned)
        row.refresh_from_db()
        return row


def locked(transition: Transition) -> Transition:
    """The row as it is now, locked where the database has row locks."""
    return (
        Transition.objects.select_for_update(of=("self",))
        .select_related("version__model", "model", "policy", "stable")
        .get(pk=transition.pk)
    )


def awaiting(transition: Transition) -> Transition:
    row = locked(transition)
    if row.status != Status.AWAITING_APPROVAL:
        raise RefusedError(
            f"There is nothing to decide any more: this transition is {row.get_status_display()}.",
            rule="already_decided",
        )
    return row


def _need_active(row: Transition) -> None:
    if not row.is_active:
        raise RefusedError(
            f"This transition has ended: it is {row.get_status_display()}. Ask for a new one if it is needed.",
            rule="already_ended",
        )


def _need_eligible(row: Transition, actor: Actor) -> int:
    """The account of whoever decides. Raises ApprovalRefusedError, or RefusedError, when they may not decide here."""
    if actor.user_id is None:
        raise RefusedError("Only a person can decide. Sign in, and do it in the portal.", rule="approver", status=403)
    check_approver(
        approver=Approver(actor.user_id, actor.roles, actor.identities, actor.shared),
        asked_by=people.of(behind(row)),
        decided_by=people.of(each.person_id for each in standing(row)),
        required=required_roles(row),
    )
    return actor.user_id


def _decide(row: Transition, person: int, actor: Actor, now: datetime, reason: str, *, approved: bool) -> None:
    Approval.objects.create(
        transition=row,
        person_id=person,
        person_name=actor.name,
        roles=sorted(actor.roles),
        approved=approved,
        reason=reason,
        decided_at=now,
        digest=row.digest,
        signed_in_by=actor.signed_in_by,
        confirmed_at=actor.confirmed_at,
        expires_at=now + row.policy.values.approval.expires if approved else None,
    )
