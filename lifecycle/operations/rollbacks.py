"""Rolling back, what is done to be sure that it works, and what is done when the world was changed elsewhere."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from lifecycle import disagreements, people, rollbacks
from lifecycle.audit import record
from lifecycle.dispatch import wake
from lifecycle.domain.permissions import Action, Actor
from lifecycle.domain.plan import dump_target
from lifecycle.domain.stages import Stage
from lifecycle.history import previous_version, production_version
from lifecycle.models import (
    EXECUTING,
    Disagreement,
    Kind,
    ModelVersion,
    RegisteredModel,
    Status,
    Strategy,
    Transition,
)
from lifecycle.operations.common import need_reason, recorded
from lifecycle.policies import current_policy
from lifecycle.rollbacks import active_transition, drill_refusal, gives_way, who_comes_back
from lifecycle.transitions import RefusedError, insert, turn_back


def roll_back(
    *,
    model: RegisteredModel,
    reason: str,
    actor: Actor,
    now: datetime,
    emergency: bool = True,
    to_version: int | None = None,
    stop: bool = False,
) -> Transition:
    """Bring the previous version back. It needs no approval, and it wins over whatever runs.

    1. A promotion that is being carried out is turned back: traffic to the version that served before it.
    2. Otherwise the version in Production goes to Archived (emergency) or Staging (graceful), and the previous
       Production version, or ``to_version``, comes back; with ``stop`` nobody does. A change that has moved no request
       yet is cancelled, and a drill or a reconciliation is ended; so is what only waits for MLflow after it was taken
       back.

    Raises RefusedError when there is nothing to go back to.
    """
    with recorded(Action.ROLL_BACK, actor, now, model=model, reason=reason) as actor:
        cleaned = need_reason(reason)
        active = active_transition(model)
        if active is not None and _is_meant(active, to_version, stop):
            return _turn_back(active, cleaned, actor, now, stop=stop, to_version=to_version)
        return rollbacks.start(
            model=model, reason=cleaned, by=actor, now=now, emergency=emergency, to_version=to_version, stop=stop
        )


def _is_meant(active: Transition, to_version: int | None, stop: bool) -> bool:
    """Whether this promotion is to be turned back, and not what serves Production: it moves users' requests, or there
    is nothing else that could go back."""
    if active.kind != Kind.PROMOTION or active.status not in EXECUTING:
        return False
    if not gives_way(active):
        return True
    serving = production_version(active.model)
    something_else = stop or to_version is not None or (serving and previous_version(active.model, serving))
    return active.status == Status.APPROVED and not something_else


def replace_rollback(
    *,
    transition: Transition,
    reason: str,
    actor: Actor,
    now: datetime,
    to_version: int | None = None,
    stop: bool = False,
) -> Transition:
    """Give a rollback of Production up while it is under way: ``to_version`` comes back instead, or nobody (``stop``).

    The version that leaves goes where that rollback takes it. ``transition`` is the rollback that the person saw: of
    two people who decide at once, or of two clicks, the second one is told what the first one did. Raises RefusedError.
    """
    with recorded(Action.ROLL_BACK, actor, now, transition=transition, reason=reason) as actor:
        cleaned = need_reason(reason)
        active = active_transition(transition.model)
        if active is None or active.pk != transition.pk:
            raise _decided_already(transition, actor)
        if not rollbacks.can_be_replaced(active):
            raise RefusedError(
                "Only a rollback of what serves Production can go another way. Let this one end first.",
                rule="not_a_rollback",
            )
        if to_version is None and not stop:
            raise RefusedError("Choose the version to go back to, or stop serving.", rule="no_way_chosen", status=422)
        return rollbacks.start(
            model=active.model,
            reason=cleaned,
            by=actor,
            now=now,
            emergency=stop or active.emergency,
            to_version=to_version,
            stop=stop,
        )


def _decided_already(transition: Transition, actor: Actor) -> RefusedError:
    """What happened to a rollback that is not under way any more."""
    row = Transition.objects.select_related("previous", "version").get(pk=transition.pk)
    instead = rollbacks.replaced_by(row)
    if instead is None:
        words = f"This rollback is over: it is {row.get_status_display()}. Nothing was changed."
        return RefusedError(words, rule="already_ended")
    who = "You have" if actor.user_id == instead.requested_by_id else f"{instead.requested_by_name} has"
    way = f"to go back to {instead.previous.label}" if instead.previous else "to stop serving"
    words = f"{who} decided already {way}: “{instead.reason[:200]}” Nothing else was changed."
    return RefusedError(words, rule="already_decided")


def roll_back_transition(*, transition: Transition, reason: str, actor: Actor, now: datetime) -> Transition:
    """Roll back from a transition's own page: turn it back while it runs, else undo the promotion it made."""
    with recorded(Action.ROLL_BACK, actor, now, transition=transition, reason=reason) as actor:
        need_reason(reason)
        serving = production_version(transition.model)
        undoes = serving is not None and serving.pk == transition.version_id
        if transition.status not in EXECUTING and not undoes:
            raise RefusedError(
                "This transition's version does not serve Production any more, so there is nothing to take back.",
                rule="nothing_to_roll_back",
            )
        row = active_transition(transition.model)
        if row is not None and row.pk == transition.pk and row.status == Status.APPROVED:
            return _turn_back(row, need_reason(reason), actor, now)
    return roll_back(model=transition.model, reason=reason, actor=actor, now=now)


def _turn_back(
    row: Transition, reason: str, actor: Actor, now: datetime, *, stop: bool = False, to_version: int | None = None
) -> Transition:
    """Turn a running change around, and take it away from whoever executes it: their next write is refused."""
    if row.status == Status.ROLLING_BACK:
        raise RefusedError("A rollback is under way already. Watch it on its page.", rule="already_rolling_back")
    if to_version is not None and (row.stable is None or row.stable.version != to_version):
        back = f"brings {row.stable.label} back" if row.stable else "leaves nobody who serves"
        raise RefusedError(
            f"{row.version.label} is on its way to {row.to_stage} just now, and taking that back {back}, not version "
            f"{to_version}. Roll back without naming a version first.",
            rule="one_active_transition",
        )
    if stop and row.stable is not None:
        raise RefusedError(
            f"{row.version.label} is on its way to {row.to_stage} just now. Roll that back first; then stop serving.",
            rule="one_active_transition",
        )
    turn_back(row, reason=reason, by=actor, now=now)
    row.refresh_from_db()
    return row


def withdraw(*, version: ModelVersion, reason: str, actor: Actor, now: datetime) -> Transition:
    """Take a version that serves its share in Staging back to Development. Raises RefusedError."""
    with recorded(Action.ROLL_BACK, actor, now, version=version, reason=reason) as actor:
        return rollbacks.withdraw(version=version, reason=need_reason(reason), by=actor, now=now)


def review_rollback(*, transition: Transition, reason: str, actor: Actor, now: datetime) -> Transition:
    """Say afterwards, as somebody other than whoever rolled back, what is to be thought of it. Raises RefusedError."""
    with recorded(Action.APPROVE, actor, now, transition=transition, reason=reason) as actor:
        cleaned = need_reason(reason)
        row = Transition.objects.select_related("version__model", "policy").get(pk=transition.pk)
        _check_review(row, actor)
        unseen = Transition.objects.filter(pk=row.pk, reviewed_at=None)
        if unseen.update(reviewed_at=now, reviewed_by_name=actor.name, review=cleaned) != 1:
            raise RefusedError(
                f"{row.reviewed_by_name} has reviewed this rollback: read on its page what was said.",
                rule="reviewed_already",
            )
        record("rollback_reviewed", actor=actor, now=now, transition=row, reason=cleaned)
        row.refresh_from_db()
        return row


def _check_review(row: Transition, actor: Actor) -> None:
    if row.rollback_requested_at is None or row.kind == Kind.DRILL:
        raise RefusedError("Nobody rolled this back, so there is nothing to review.", rule="nothing_to_review")
    if row.is_active and row.traffic_back_at is None:
        raise RefusedError("The rollback is under way still; review it when it is over.", rule="already_rolling_back")
    if actor.user_id is None or people.same_people({row.rollback_by_id or 0}, actor.accounts):
        raise RefusedError(
            "Somebody other than whoever rolled back reviews it. Ask a colleague.", rule="own_rollback", status=403
        )


# ---------------------------------------------------------------- drills


def drill(
    *, model: RegisteredModel, reason: str, actor: Actor, now: datetime, to_version: int | None = None
) -> Transition:
    """Send all requests to the version that a rollback would bring back, then all of them back, and time it.

    Nothing else changes. Both versions must be healthy, and the other one's server must be up. Raises RefusedError.
    """
    with recorded(Action.DRILL, actor, now, model=model, reason=reason) as actor:
        cleaned = need_reason(reason)
        current = production_version(model)
        if current is None:
            raise RefusedError(
                "No version serves Production, so there is nothing to drill. Promote a version first.",
                rule="nothing_serves",
            )
        other = who_comes_back(model, current, to_version)
        refusal = drill_refusal(current, other)
        if refusal is not None:
            raise refusal
        click = {"rollback_requested_at": now, "rollback_reason": cleaned}
        created = _insert(Kind.DRILL, current, Stage.PRODUCTION, cleaned, actor, now, previous=other, **click)
        record("drill_started", actor=actor, now=now, transition=created, reason=cleaned, details={"to": other.version})
        wake(created.pk, urgent=True)
        return created


# ---------------------------------------------------------------- putting right


def reconcile(*, model: RegisteredModel, reason: str, actor: Actor, now: datetime) -> Transition:
    """Put the gateway and MLflow back to what Stagegate left there. Raises RefusedError."""
    with recorded(Action.RECONCILE, actor, now, model=model, reason=reason) as actor:
        cleaned = need_reason(reason)
        wrong = [str(row) for row in Disagreement.objects.filter(model=model)]
        if not wrong:
            raise RefusedError("Nothing is to be put right: all is as Stagegate left it.", rule="nothing_to_put_right")
        version = disagreements.main_version(model)
        if version is None:
            raise RefusedError(
                "No version of this model runs, so there is nothing to go back to. Promote one.", rule="nothing_runs"
            )
        target = disagreements.target(model)
        stage = target.stages.get(version.version, version.domain_stage)
        created = _insert(Kind.RECONCILIATION, version, stage, cleaned, actor, now, target=dump_target(target))
        details = {"wrong": wrong, "target": created.target}
        record("reconciliation_started", actor=actor, now=now, transition=created, reason=cleaned, details=details)
        wake(created.pk, urgent=True)
        return created


def _insert(
    kind: Kind, version: ModelVersion, stage: Stage, reason: str, actor: Actor, now: datetime, **values: Any
) -> Transition:
    """What leaves every version in the stage that it has by right, and needs no check before it begins."""
    return insert(
        model=version.model,
        version=version,
        kind=kind,
        from_stage=stage,
        to_stage=stage,
        strategy=Strategy.DIRECT,
        status=Status.RUNNING,
        reason=reason,
        policy=current_policy(version.model, now),
        stable=production_version(version.model),
        requested_by_id=actor.user_id,
        requested_by_name=actor.name,
        requested_at=now,
        checked_at=now,
        started_at=now,
        due_at=now,
        **values,
    )
