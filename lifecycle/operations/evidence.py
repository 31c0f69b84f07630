"""Reporting evidence from outside, and letting a criterion pass without it."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from lifecycle import evidence
from lifecycle.audit import record
from lifecycle.domain.criteria import FROM_OUTSIDE, Criterion, Origin
from lifecycle.domain.gates import Source
from lifecycle.domain.permissions import Action, Actor
from lifecycle.domain.policy import Policy as PolicyValues
from lifecycle.models import ACTIVE, Evidence, ModelVersion, Policy, Transition, Waiver
from lifecycle.operations.common import need_reason, need_writable, recorded
from lifecycle.policies import current_policy
from lifecycle.transitions import RefusedError

SAME_REPORT_WITHIN = timedelta(minutes=10)
"""A report that repeats the newest one of its criterion within this time is the same report, sent again."""

LONGEST_URL = 2000
LONGEST_DETAIL = 5000
LONGEST_UNIT = 40


# ---------------------------------------------------------------- evidence


def record_evidence(
    *,
    version: ModelVersion,
    criterion: Criterion,
    passed: bool,
    actor: Actor,
    now: datetime,
    value: float | None = None,
    unit: str = "",
    url: str = "",
    detail: str = "",
) -> Evidence:
    """Write down what a CI system (with a token) or a person reports.

    A person gives a link or a note. A report that repeats the newest one, as when a CI system sends it again, changes
    nothing: the row that is there comes back, with an earlier ``recorded_at`` than ``now``. Raises RefusedError.
    """
    with recorded(Action.RECORD_EVIDENCE, actor, now, version=version, reason=detail[:LONGEST_DETAIL]) as actor:
        origin = Source.PERSON if actor.scopes is None else Source.CI
        _check_reported(criterion)
        _check_values(value, unit, url, detail)
        _check_says_enough(origin, criterion, value, url, detail)
        row = _writable(version)
        policy = current_policy(row.model, now).values
        report: dict[str, Any] = {"value": value, "unit": unit, "url": url, "detail": detail}
        newest = row.evidence.filter(criterion=criterion).first()
        if newest is not None and _repeats(newest, row, policy, actor, now, passed=passed, origin=origin, **report):
            return newest
        return evidence.append(
            version=row,
            criterion=criterion,
            passed=passed,
            origin=origin,
            policy=policy,
            actor=actor,
            now=now,
            **report,
        )


def _check_reported(criterion: Criterion) -> None:
    if criterion in FROM_OUTSIDE:
        return
    names = ", ".join(FROM_OUTSIDE)
    if criterion.about.origin == Origin.CHECKED:
        why = "Stagegate measures this itself: start the check on the version's page."
    else:
        why = "Stagegate reads this itself, from MLflow, its record and the traffic, whenever somebody looks."
    raise RefusedError(
        f"{criterion.label}: {why} Choose what is reported from outside: {names}.", rule="not_reported", status=422
    )


def _check_values(value: float | None, unit: str, url: str, detail: str) -> None:
    if value is not None and not math.isfinite(value):
        raise RefusedError(
            "The value is not a finite number. Give one such as 0.97, or leave it out.", rule="value", status=422
        )
    if len(unit) > LONGEST_UNIT:
        raise RefusedError(f"The unit is longer than {LONGEST_UNIT} characters; shorten it.", rule="unit", status=422)
    if len(detail) > LONGEST_DETAIL:
        raise RefusedError(
            f"The note is longer than {LONGEST_DETAIL:,} characters; shorten it, or link to it.",
            rule="detail",
            status=422,
        )
    if url:
        _check_url(url)


def _check_url(url: str) -> None:
    """Only what is safe to click on, and nothing that carries a password into the record."""
    try:
        parts = urlsplit(url)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname)
        has_credentials = parts.username is not None or parts.password is not None
    except ValueError:
        is_web = has_credentials = False
    if not is_web or not url.isprintable() or " " in url or len(url) > LONGEST_URL:
        raise RefusedError(
            f"The link has to be an http or https address of at most {LONGEST_URL:,} characters.",
            rule="url",
            status=422,
        )
    if has_credentials:
        raise RefusedError(
            "The link carries a user name or password, which everybody could read; leave that out.",
            rule="url",
            status=422,
        )


def _check_says_enough(origin: Source, criterion: Criterion, value: float | None, url: str, detail: str) -> None:
    if origin == Source.PERSON and not (url or detail.strip()):
        raise RefusedError(
            "Give a link or a note, so that others can see what you saw.", rule="evidence_source", status=422
        )
    if origin == Source.CI and criterion == Criterion.DRIFT and value is None:
        raise RefusedError("A report on drift needs its score: give it as the value.", rule="value", status=422)
    if criterion == Criterion.DRIFT and value is not None and value < 0:
        raise RefusedError("A score of drift is 0 or more. Give it as the value.", rule="value", status=422)


def _writable(version: ModelVersion) -> ModelVersion:
    """The version as it is now, locked where the database has row locks. Raises RefusedError when it is read-only."""
    row = ModelVersion.objects.select_for_update(of=("self",)).select_related("model").get(pk=version.pk)
    need_writable(row)
    return row


def _repeats(
    newest: Evidence, version: ModelVersion, policy: PolicyValues, actor: Actor, now: datetime, **report: object
) -> bool:
    """Whether the newest evidence says the same, by the same, about the same files and tags."""
    return (
        now - newest.recorded_at <= SAME_REPORT_WITHIN
        and newest.recorded_by_id == actor.user_id
        and all(getattr(newest, name) == value for name, value in report.items())
        and newest.tags == evidence.watched_tags(version, policy)
        and not evidence.why_other_artifact(newest, version)
    )


# ---------------------------------------------------------------- waivers


def grant_waiver(
    *, version: ModelVersion, criterion: Criterion, reason: str, expires_at: datetime, actor: Actor, now: datetime
) -> Waiver:
    """Let a criterion pass until ``expires_at`` that is failed or missing. Raises RefusedError.

    1. Only somebody with a role that the policy names, in person, and never for a change that they asked for.
    2. Only a criterion of the policy's gates that the policy lets be waived, and at most for as long as it says.
    3. It is bound to the version's files: with other files it counts no longer.
    """
    with recorded(Action.GRANT_WAIVER, actor, now, version=version, reason=reason) as actor:
        cleaned = need_reason(reason)
        row = _writable(version)
        policy = current_policy(row.model, now)
        _check_waiving_role(policy, actor)
        _check_waivable(criterion, policy)
        _check_expiry(expires_at, policy, now)
        _check_not_own_change(row, actor)
        _check_not_waived(row, criterion, expires_at, now)
        return _create_waiver(row, criterion, cleaned, expires_at, policy, actor, now)


def _check_waiving_role(policy: Policy, actor: Actor) -> None:
    roles = policy.values.waivers.roles
    if not actor.roles & frozenset(roles):
        named = " or ".join(role.label for role in roles) or "nobody"
        raise RefusedError(
            f"Those who may waive a criterion by {policy}: {named}. Ask one of them.", rule="role", status=403
        )


def _check_waivable(criterion: Criterion, policy: Policy) -> None:
    values = policy.values
    asked = {*values.criteria.to_staging, *values.criteria.to_production, *values.criteria.to_archived}
    if criterion not in asked:
        raise RefusedError(
            f"{criterion.label}: {policy} does not ask for it, so there is nothing to waive.", rule="not_asked"
        )
    if criterion in values.waivers.never:
        raise RefusedError(
            f"{criterion.label}: {policy} lets nobody waive this. Fulfil it, or ask an administrator to change that.",
            rule="never_waived",
        )


def _check_expiry(expires_at: datetime, policy: Policy, now: datetime) -> None:
    longest = policy.values.waivers.longest
    if not now < expires_at <= now + longest:
        raise RefusedError(
            f"A waiver ends in the future, and {policy} allows at most {longest / timedelta(days=1):g} days.",
            rule="expiry",
            status=422,
        )


def _check_not_own_change(version: ModelVersion, actor: Actor) -> None:
    own = Transition.objects.filter(version=version, status__in=ACTIVE, requested_by_id=actor.user_id)
    if own.exists():
        raise RefusedError(
            "You asked for this version's transition, so somebody else has to waive what it lacks.",
            rule="own_request",
            status=403,
        )


def _check_not_waived(version: ModelVersion, criterion: Criterion, expires_at: datetime, now: datetime) -> None:
    """A second click grants nothing twice; a longer waiver may follow a shorter one."""
    held = version.waivers.filter(criterion=criterion, revoked_at=None, expires_at__gt=now, expires_at__gte=expires_at)
    for waiver in held:
        if not evidence.why_other_artifact(waiver, version):
            raise RefusedError(
                f"{criterion.label}: {waiver.granted_by} has waived this already, for as long or longer. End that one "
                "first to grant another.",
                rule="already_waived",
            )


def _create_waiver(
    version: ModelVersion,
    criterion: Criterion,
    reason: str,
    expires_at: datetime,
    policy: Policy,
    actor: Actor,
    now: datetime,
) -> Waiver:
    row = Waiver.objects.create(
        version=version,
        criterion=criterion,
        reason=reason,
        run_id=version.run_id,
        source=version.source,
        artifact_digest=version.artifact_digest,
        granted_by=actor.name,
        granted_by_id=actor.user_id,
        granted_at=now,
        expires_at=expires_at,
    )
    details = {**_about(row), "expires_at": expires_at.isoformat(), "policy": policy.number}
    record("waiver_granted", actor=actor, now=now, version=version, reason=reason, details=details)
    return row


def revoke_waiver(*, waiver: Waiver, reason: str, actor: Actor, now: datetime) -> Waiver:
    """End a waiver before its time. Raises RefusedError."""
    with recorded(Action.GRANT_WAIVER, actor, now, version=waiver.version, reason=reason) as actor:
        cleaned = need_reason(reason)
        in_force = Waiver.objects.filter(pk=waiver.pk, revoked_at=None, expires_at__gt=now)
        if in_force.update(revoked_at=now, revoked_by=actor.name, revoked_reason=cleaned) != 1:
            raise RefusedError(
                "This waiver has ended already. Grant another one if it is needed again.", rule="already_ended"
            )
        record("waiver_revoked", actor=actor, now=now, version=waiver.version, reason=cleaned, details=_about(waiver))
        waiver.refresh_from_db()
        return waiver


def _about(waiver: Waiver) -> dict[str, object]:
    return {"criterion": str(waiver.criterion), "waiver": waiver.pk}
