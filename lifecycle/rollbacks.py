"""Starting a rollback of what serves: for a person, and for the judge when it has found a breach."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from lifecycle.audit import record
from lifecycle.dispatch import wake
from lifecycle.domain.permissions import Actor
from lifecycle.domain.stages import Stage
from lifecycle.history import previous_version, production_history, production_version
from lifecycle.models import (
    ACTIVE,
    EXECUTING,
    Effect,
    Kind,
    ModelVersion,
    RegisteredModel,
    Status,
    Strategy,
    Transition,
    Variant,
    VariantRole,
)
from lifecycle.policies import current_policy
from lifecycle.reads import ModelReads
from lifecycle.transitions import RefusedError, change_status, check_not_being_deleted, insert

GIVES_WAY = (Kind.DRILL, Kind.RECONCILIATION, Kind.ARCHIVAL)
"""What a rollback ends while it is carried out; a running promotion is turned back instead."""
OUTCOME = "A rollback came first."


def start(
    *,
    model: RegisteredModel,
    reason: str,
    by: Actor,
    now: datetime,
    emergency: bool,
    to_version: int | None = None,
    stop: bool = False,
    details: Mapping[str, Any] | None = None,
) -> Transition:
    """Take the version that serves Production out, and bring the previous one, or ``to_version``, back.

    It goes to Archived (``emergency``) or to Staging. With ``stop`` nobody comes back: requests are answered with 503
    until somebody promotes a version. Whatever ``gives_way`` is ended; so is a rollback of the same version, where
    somebody else than it brings back is asked for. Call it inside a transaction. ``details`` are the facts that speak
    for it, as JSON values: they are kept with the record.

    Raises RefusedError, also while another change is being carried out.
    """
    current = production_version(model)
    if current is None:
        raise RefusedError(
            "No version serves Production, so there is nothing to roll back. Promote one to serve again.",
            rule="nothing_serves",
        )
    _check_stop(stop, emergency, to_version)
    active = active_transition(model)
    if not _brings_somebody_else(active, to_version, stop):
        _check_no_rollback(active)
    previous = None if stop else who_comes_back(model, current, to_version)
    _make_way(active, f"Rollback: {reason}", by, now)
    stage = Stage.ARCHIVED if emergency else Stage.STAGING
    stages = {"from_stage": Stage.PRODUCTION, "to_stage": stage, "emergency": emergency}
    return _begin(current, reason, by, now, details, **stages, stable=current, previous=previous)


def withdraw(
    *, version: ModelVersion, reason: str, by: Actor, now: datetime, details: Mapping[str, Any] | None = None
) -> Transition:
    """Take the version that serves its share in Staging back to Development; its users go to who serves Production.

    As ``start`` otherwise; a change that is being carried out has to be rolled back by itself first.
    """
    if not Variant.objects.filter(version=version, role=VariantRole.STAGING).exists():
        raise RefusedError(
            f"{version.label} does not serve Staging, so there is nothing to withdraw.", rule="not_staging"
        )
    active = active_transition(version.model)
    _check_no_rollback(active)
    if active is not None and not gives_way(active):
        raise RefusedError(
            f"{active.version.label} is on its way to {active.to_stage} just now. Roll that back first, or wait for "
            f"its end; then withdraw {version.label}.",
            rule="one_active_transition",
        )
    _make_way(active, f"Withdrawal: {reason}", by, now)
    stable = production_version(version.model)
    stages = {"from_stage": Stage.STAGING, "to_stage": Stage.DEVELOPMENT}
    return _begin(version, reason, by, now, details, **stages, stable=stable, previous=stable)


def active_transition(model: RegisteredModel) -> Transition | None:
    """The one that waits or is being carried out, locked where the database has row locks."""
    rows = Transition.objects.select_for_update(of=("self",)).select_related("version__model", "policy")
    return rows.filter(model=model, status__in=ACTIVE).first()


def who_comes_back(model: RegisteredModel, current: ModelVersion, to_version: int | None) -> ModelVersion:
    """The version that serves after ``current``: the previous one, or the one asked for. Raises RefusedError."""
    if to_version is not None:
        return _chosen(model, current, to_version)
    found = previous_version(model, current)
    if found is None:
        raise RefusedError(
            f"{current.label} is the first version in Production: there is no previous one to go back to. "
            "Stop serving, if users suffer.",
            rule="no_previous_version",
        )
    return found


def _chosen(model: RegisteredModel, current: ModelVersion, number: int) -> ModelVersion:
    chosen = model.versions.filter(removed_at=None, version=number).exclude(pk=current.pk).first()
    if chosen is None:
        raise RefusedError(
            f"There is no other version {number} to go back to. Choose one that served Production.",
            rule="no_such_version",
            status=404,
        )
    if chosen.version not in production_history(model):
        raise RefusedError(
            f"{chosen.label} has never served Production, or was rolled back since, so it cannot be the target of a "
            "rollback. Choose one that served.",
            rule="never_served",
        )
    check_not_being_deleted(chosen)
    return chosen


def _check_stop(stop: bool, emergency: bool, to_version: int | None) -> None:
    if stop and (not emergency or to_version is not None):
        raise RefusedError(
            "To stop serving is an emergency rollback to nobody: ask for it without a version to go back to.",
            rule="stop_is_an_emergency",
        )


def gives_way(active: Transition) -> bool:
    """Whether a rollback of what serves ends this change.

    It does, where nothing of it has been carried out yet, and where all that it still does is to wait for MLflow, after
    its users are back with the version that serves Production.
    """
    if active.status not in EXECUTING or active.status == Status.APPROVED or active.kind in GIVES_WAY:
        return True
    only_waits = active.status == Status.ROLLING_BACK and active.traffic_back_at is not None
    return only_waits and (active.kind == Kind.PROMOTION or active.from_stage == Stage.STAGING)


def can_be_replaced(active: Transition) -> bool:
    """Whether it is a rollback of Production that is under way: another one takes its place, as the version that it
    brings back may not start, or fail as well."""
    leaves_production = active.kind == Kind.ROLLBACK and active.from_stage == Stage.PRODUCTION
    return leaves_production and active.status == Status.ROLLING_BACK


def replaced_by(row: Transition) -> Transition | None:
    """The rollback that took the place of this one before its end; None where none did."""
    if row.kind != Kind.ROLLBACK or row.status != Status.CANCELLED:
        return None
    later = Transition.objects.filter(model=row.model_id, version=row.version_id, kind=Kind.ROLLBACK, pk__gt=row.pk)
    return later.select_related("version", "previous").order_by("pk").first()


def _brings_somebody_else(active: Transition | None, to_version: int | None, stop: bool) -> bool:
    """Whether a rollback of Production is under way, and another way out of it is asked for."""
    if active is None or not can_be_replaced(active):
        return False
    comes = active.previous.version if active.previous else None
    return (stop or to_version is not None) and comes != (None if stop else to_version)


def _check_no_rollback(active: Transition | None) -> None:
    if active is None or gives_way(active):
        return
    if active.kind == Kind.ROLLBACK and active.from_stage == Stage.PRODUCTION and active.previous is not None:
        raise RefusedError(
            f"A rollback to {active.previous.label} is under way already. If that version does not start, or fails as "
            "well, choose another one or stop serving: on the page of that rollback, or by the API (to_version, stop).",
            rule="already_rolling_back",
        )
    if active.kind == Kind.ROLLBACK or active.status == Status.ROLLING_BACK:
        raise RefusedError("A rollback is under way already. Watch it on its page.", rule="already_rolling_back")


def _make_way(active: Transition | None, reason: str, by: Actor, now: datetime) -> None:
    """End what gives way, and a rollback that another one replaces; its executor's next write is refused.

    Any other change stays, and the schema refuses a second one beside it.
    """
    if active is None or not (gives_way(active) or active.kind == Kind.ROLLBACK):
        return
    change_status(
        active,
        active.status,
        status=Status.CANCELLED,
        finished_at=now,
        outcome=OUTCOME,
        fence=active.fence + 1,
        lease_until=None,
        waiting_for="",
        waiting_until=None,
    )
    active.effects.filter(outcome=Effect.Outcome.OPEN).update(outcome=Effect.Outcome.DROPPED, finished_at=now)
    record("transition_cancelled", actor=by, now=now, transition=active, reason=reason)


def _begin(
    version: ModelVersion, reason: str, by: Actor, now: datetime, details: Mapping[str, Any] | None, **values: Any
) -> Transition:
    created = insert(
        model=version.model,
        version=version,
        kind=Kind.ROLLBACK,
        strategy=Strategy.DIRECT,
        status=Status.ROLLING_BACK,
        reason=reason,
        policy=current_policy(version.model, now),
        requested_by_id=by.user_id,
        requested_by_name=by.name,
        requested_at=now,
        rollback_reason=reason,
        rollback_by_id=by.user_id,
        rollback_by_name=by.name,
        rollback_requested_at=now,
        due_at=now,
        **values,
    )
    previous = created.previous
    facts = {"back_to": previous.version if previous else None, "emergency": created.emergency, **(details or {})}
    record("rollback_requested", actor=by, now=now, transition=created, reason=reason, details=facts)
    wake(created.pk, urgent=True)
    return created


# ---------------------------------------------------------------- drills


def drill_refusal(current: ModelVersion, other: ModelVersion, reads: ModelReads | None = None) -> RefusedError | None:
    """Why a rollback from the one to the other cannot be drilled now; None when it can. ``reads`` is what a page has
    read of the model; a decision looks anew."""
    known = reads or ModelReads(current.model)
    if not known.is_warm(other):
        words = f"{other.label} does not run. Its server has been stopped; a drill would have to start it first."
        return RefusedError(words, rule="not_warm")
    if known.wrong:
        return RefusedError(f"{known.wrong[0]} Put that right first, then drill.", rule="disagreement")
    sharing = (each for each in known.variants if each.weight and each.version_id != current.pk)
    shared = next(sharing, None)
    if shared is not None:
        words = f"{shared.version.label} gets {shared.weight} % of requests, and a drill would take them from it."
        return RefusedError(f"{words} Drill when its time in Staging is over.", rule="requests_are_shared")
    return None
