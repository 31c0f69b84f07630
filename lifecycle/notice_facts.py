"""What a notice says: JSON values that its template puts into words. No address, token or password is among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from lifecycle.approvals import standing, still_missing
from lifecycle.domain import compare, observations
from lifecycle.domain.compare import MeasureState
from lifecycle.domain.notices import Event, cleaned
from lifecycle.domain.stages import Stage
from lifecycle.models import AuditEntry, Kind, ModelVersion, RegisteredModel, Transition, Trial

MEASURES_TOLD = 5
Facts = dict[str, Any]


def of_transition(event: Event, row: Transition, entry: AuditEntry) -> Facts:
    """The facts of an entry of the record that is about a transition."""
    found = {**about(row), "by": entry.actor, "reason": entry.reason}
    if event == Event.ROLLED_BACK:
        found |= _rollback(row)
    elif event == Event.HELD:
        found |= {"cause": "paused"}
    elif event == Event.FINISHED:
        found |= {"reason": row.outcome, "seconds": _seconds(row.started_at, row.finished_at)}
    elif event == Event.BYPASSED:
        found |= {"without": row.bypass_missing}
    return plain(found)


def of_version(model: RegisteredModel, version: ModelVersion | None, entry: AuditEntry) -> Facts:
    """The facts of a breach that nobody but a person can answer."""
    where = f"/models/{model.slug}/" + (f"versions/{version.version}/" if version else "")
    label = version.label if version else ""
    found = {"model": model.name, "version": label, "what": f"{model.name} {label}".strip(), "link": where}
    return plain({**found, "cause": "breach", "reason": entry.reason, **_breach(entry.details)})


def of_hold(row: Transition, cause: str, why: str, until: datetime | None = None) -> Facts:
    """The facts of something that holds a transition: ``cause`` is ``asks``, ``freeze`` or ``rollback``."""
    return plain({**about(row), "cause": cause, "reason": why, "until": until.isoformat() if until else None})


def about(row: Transition) -> Facts:
    """What every notice about a transition says."""
    return {
        "what": what(row),
        "model": row.model.name,
        "version": row.version.label,
        "kind": row.get_kind_display(),
        "from_stage": row.from_stage,
        "to_stage": row.to_stage,
        "strategy": row.get_strategy_display(),
        "asked_by": row.requested_by_name,
        "asked_why": row.reason,
        "approved_by": [each.person_name for each in standing(row) if each.approved],
        "missing": [role.label for role in still_missing(row)],
        "link": f"/transitions/{row.pk}/",
    }


def what(row: Transition) -> str:
    """A transition in a few words: "Move iris 1.1.0 to Production"."""
    name = f"{row.model.name} {row.version.label}"
    other = row.previous.label if row.previous else ""
    if row.kind == Kind.ARCHIVAL:
        return f"Archive {name}"
    if row.kind == Kind.PROMOTION:
        return f"Move {name} to {row.to_stage}"
    if row.kind == Kind.RECONCILIATION:
        return f"Put {name} right"
    if row.kind == Kind.DRILL:
        return f"Drill a rollback of {name} to {other}"
    if row.from_stage == Stage.STAGING:
        return f"Take {name} out of Staging"
    return f"Roll back {name} to {other}" if other else f"Stop serving {name}"


def plain(facts: Facts) -> Facts:
    return {name: cleaned(value) for name, value in facts.items()}


# ---------------------------------------------------------------- why it was rolled back


def _rollback(row: Transition) -> Facts:
    """Who or what wanted it, by which measures, and how long users had to wait for it."""
    entries = AuditEntry.objects.filter(transition=row.pk, refused=False)
    asked = entries.filter(action="rollback_requested").order_by("-seq").first()
    back = entries.filter(action="traffic_back").order_by("-seq").first()
    serves = row.previous if row.kind == Kind.ROLLBACK else row.stable
    return {
        "by": row.rollback_by_name,
        "reason": row.rollback_reason,
        "back_to": serves.label if serves else "",
        "emergency": row.emergency,
        "seconds": back.details.get("seconds") if back else None,
        **(_breach(asked.details, row) if asked else {}),
    }


def _breach(details: Mapping[str, Any], row: Transition | None = None) -> Facts:
    """The measures past their limits by which the judge decided, as the record keeps them, and on how much."""
    try:
        verdict = compare.load(details["verdict"])
    except (KeyError, TypeError, ValueError):
        return {}
    breached = [replace(each, details={}) for each in verdict.measures if each.state == MeasureState.BREACHED]
    shown = compare.dump(replace(verdict, measures=tuple(breached[:MEASURES_TOLD])))
    return {"verdict": shown, "weight": details.get("weight"), "requests": _requests(details, row)}


def _requests(details: Mapping[str, Any], row: Transition | None) -> int | None:
    """How many requests the new version had answered by then."""
    try:
        since = datetime.fromisoformat(str(details["since"]))
    except (KeyError, ValueError):
        return None
    trials = Trial.objects.filter(kind=details.get("judged", ""), since=since)
    if row is not None:
        trials = trials.filter(version=row.version_id)
    trial = trials.order_by("-pk").first()
    return observations.load(trial.canary).requests if trial else None


def _seconds(since: datetime | None, until: datetime | None) -> float | None:
    return (until - since).total_seconds() if since and until else None
