"""Every write that a person can ask for.

Each operation checks the person's role, then the rules, then writes the change and its audit entry in one transaction.
What is refused is recorded too, and changes nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction

from lifecycle import adapters, mirror
from lifecycle.audit import record
from lifecycle.dispatch import wake, wake_mirror
from lifecycle.domain import policy as policy_values
from lifecycle.domain.approval import ApprovalRefusedError, Approver, check_approver
from lifecycle.domain.permissions import Action, Actor, NotAllowedError, require
from lifecycle.domain.plan import steps_of_change
from lifecycle.domain.stages import Stage, StageChangeRefusedError, check_change
from lifecycle.domain.webhooks import Delivery, names_of
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
    WebhookDelivery,
)
from lifecycle.ports import NotFoundError, PortError, VersionRef
from lifecycle.queries import previous_version, production_history, production_version, required_roles, still_missing
from lifecycle.transitions import RefusedError, change_status, turn_back

KEPT_DELIVERIES = timedelta(hours=1)
"""How long a webhook's id is remembered: longer than its signature stays valid."""


@contextmanager
def _recorded(action: Action, actor: Actor, now: datetime, **about: Any) -> Iterator[None]:
    """Turn a broken rule into RefusedError and record the attempt, outside the transaction that was rolled back."""
    try:
        with transaction.atomic():
            require(actor, action)
            yield
    except (RefusedError, NotAllowedError, StageChangeRefusedError, ApprovalRefusedError) as error:
        refusal = _refusal(error)
        record(action, actor=actor, now=now, refused=True, details={"refusal": str(refusal)}, **about)
        raise refusal from error


def _refusal(error: Exception) -> RefusedError:
    if isinstance(error, RefusedError):
        return error
    if isinstance(error, NotAllowedError):
        return RefusedError(str(error), rule="role", status=403)
    if isinstance(error, StageChangeRefusedError):
        return RefusedError(str(error), rule="stage_order")
    return RefusedError(str(error), rule="approver", status=403)


def _need_reason(reason: str) -> str:
    cleaned = reason.strip()
    if not cleaned:
        raise RefusedError("Say why: a reason is part of the record.", rule="reason", status=422)
    if len(cleaned) > 2000:
        raise RefusedError("The reason is longer than 2,000 characters; shorten it.", rule="reason", status=422)
    return cleaned


# ---------------------------------------------------------------- asking


def request_transition(
    *, version: ModelVersion, to_stage: Stage, reason: str, actor: Actor, now: datetime
) -> Transition:
    """Ask to move a version to a stage.

    1. The version is read afresh from MLflow, so that nobody decides on stale facts.
    2. The stage change must exist, and no other transition of the model may be active.
    3. The transition waits for the approvals that its policy asks for.

    Raises RefusedError.
    """
    read_error = _read_afresh(version, now)
    version.refresh_from_db()
    about = {"version": version, "from_stage": version.domain_stage, "to_stage": to_stage, "reason": reason}
    with _recorded(Action.REQUEST_TRANSITION, actor, now, **about):
        cleaned = _need_reason(reason)
        if read_error is not None:
            raise read_error
        _check_version(version)
        check_change(version.domain_stage, to_stage)
        _check_archival(version, to_stage)
        created = _create_change(version, to_stage, cleaned, actor, now)
        record("transition_requested", actor=actor, now=now, transition=created, reason=cleaned)
        return created


def _read_afresh(version: ModelVersion, now: datetime) -> RefusedError | None:
    try:
        mirror.refresh_version(adapters.registry(), VersionRef(version.model.name, version.version), now)
    except NotFoundError:
        return RefusedError("MLflow no longer has this version.", rule="version_removed")
    except PortError as error:
        return RefusedError(
            f"MLflow cannot be read just now ({error}), so this version's facts cannot be confirmed. "
            "Try again when it is back.",
            rule="registry_unreachable",
            status=503,
        )
    return None


def _check_version(version: ModelVersion) -> None:
    if version.removed_at is not None:
        raise RefusedError("MLflow no longer has this version.", rule="version_removed")
    if not version.model.exact_name:
        raise RefusedError(
            "The model's name holds characters that cannot be passed on safely; rename it in MLflow.", rule="model_name"
        )
    if version.status != "READY":
        raise RefusedError(
            f"MLflow says that this version is {version.status}; wait until it is READY.", rule="version_not_ready"
        )


def _check_archival(version: ModelVersion, to_stage: Stage) -> None:
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


def _create_change(version: ModelVersion, to_stage: Stage, reason: str, actor: Actor, now: datetime) -> Transition:
    policy = current_policy(version.model, now)
    stable = production_version(version.model)
    steps = steps_of_change(to_stage, policy.values, stable=stable.version if stable else None, version=version.version)
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


def current_policy(model: RegisteredModel, now: datetime) -> Policy:
    """The newest policy of the model, else the newest one for all models; the first use writes the defaults."""
    found = Policy.objects.filter(model=model).first() or Policy.objects.filter(model=None).first()
    if found is not None:
        return found
    default, _ = Policy.objects.get_or_create(
        number=1,
        defaults={
            "body": policy_values.dump(policy_values.Policy()),
            "reason": "The values of the model lifecycle strategy.",
            "created_by": "Stagegate",
            "created_at": now,
        },
    )
    return default


# ---------------------------------------------------------------- deciding


def approve(*, transition: Transition, reason: str, actor: Actor, now: datetime) -> Transition:
    """Say yes. The last yes that the policy asks for starts the execution. Raises RefusedError."""
    with _recorded(Action.APPROVE, actor, now, transition=transition, reason=reason):
        cleaned = _need_reason(reason)
        row = _awaiting(transition)
        _decide(row, actor, now, cleaned, approved=True)
        record("transition_approved", actor=actor, now=now, transition=row, reason=cleaned)
        if not still_missing(row):
            change_status(row, Status.AWAITING_APPROVAL, status=Status.APPROVED, due_at=now)
            wake(row.pk)
        row.refresh_from_db()
        return row


def reject(*, transition: Transition, reason: str, actor: Actor, now: datetime) -> Transition:
    """Say no, which ends the transition. Raises RefusedError."""
    with _recorded(Action.REJECT, actor, now, transition=transition, reason=reason):
        cleaned = _need_reason(reason)
        row = _awaiting(transition)
        _decide(row, actor, now, cleaned, approved=False)
        change_status(row, Status.AWAITING_APPROVAL, status=Status.REJECTED, finished_at=now, outcome=cleaned)
        record("transition_rejected", actor=actor, now=now, transition=row, reason=cleaned)
        row.refresh_from_db()
        return row


def cancel(*, transition: Transition, reason: str, actor: Actor, now: datetime) -> Transition:
    """Withdraw a transition that has not begun. Raises RefusedError."""
    with _recorded(Action.CANCEL, actor, now, transition=transition, reason=reason):
        cleaned = _need_reason(reason)
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
    with _recorded(Action.ROLL_BACK, actor, now, model=model, reason=reason):
        cleaned = _need_reason(reason)
        active = _active(model)
        if active is not None and active.status in EXECUTING:
            return _turn_back(active, cleaned, actor, now)
        created = _start_rollback(model, active, cleaned, actor, now, emergency=emergency, to_version=to_version)
        wake(created.pk, urgent=True)
        return created


def roll_back_transition(*, transition: Transition, reason: str, actor: Actor, now: datetime) -> Transition:
    """Roll back from a transition's own page: turn it back while it runs, else undo the promotion it made."""
    with _recorded(Action.ROLL_BACK, actor, now, transition=transition, reason=reason):
        _need_reason(reason)
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
        return chosen
    found = previous_version(model, current)
    if found is None:
        raise RefusedError(
            f"{current.label} is the first version in Production: there is no previous one to go back to.",
            rule="no_previous_version",
        )
    return found


# ---------------------------------------------------------------- what MLflow tells us


def take_webhook(*, delivery: Delivery, now: datetime) -> None:
    """Have whatever a genuine delivery is about read afresh. Raises RefusedError for a replayed one."""
    with transaction.atomic():
        WebhookDelivery.objects.filter(received_at__lt=now - KEPT_DELIVERIES).delete()
        _, first = WebhookDelivery.objects.get_or_create(delivery_id=delivery.id, defaults={"received_at": now})
        if not first:
            raise RefusedError("This delivery has been taken already.", rule="replayed", status=403)
        subject = names_of(delivery)
        if subject is not None:
            wake_mirror(subject.model, subject.version)
