"""Putting a check into the queue, and taking it out again: what people, policies and the runner share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.db import IntegrityError

from lifecycle.audit import record, recording
from lifecycle.dispatch import wake_check
from lifecycle.domain.criteria import Criterion
from lifecycle.domain.facts import Source
from lifecycle.domain.judgements.checked import no_longer_allowed
from lifecycle.domain.permissions import STAGEGATE, Actor
from lifecycle.domain.policy import Policy as PolicyValues
from lifecycle.domain.stages import Stage
from lifecycle.evidence import why_other_artifact
from lifecycle.models import (
    UNFINISHED_CHECKS,
    CheckRun,
    CheckStatus,
    Evidence,
    Kind,
    ModelVersion,
    Policy,
    Transition,
)
from lifecycle.reads import VersionReads

LOADS_THE_MODEL = frozenset({Criterion.LOAD_TEST, Criterion.MALFORMED_INPUT})
"""The checks that start a server of the version: they come after the scan of its files, and end with its stay."""


def queue(
    version: ModelVersion, criterion: Criterion, *, policy: Policy, actor: Actor, now: datetime
) -> CheckRun | None:
    """Create the run with its audit entry, and wake a worker after commit; None when one is unfinished already.

    A check that loads the model brings the scan of its files with it, where the policy asks for one and there is none.
    """
    with recording():
        row = _create(version, criterion, policy=policy, actor=actor, now=now)
        if row is not None and scan_before(version, criterion, policy.values, now).state == ScanState.MISSING:
            _create(version, Criterion.ARTIFACT_SCAN, policy=policy, actor=actor, now=now)
    return row


def _create(
    version: ModelVersion, criterion: Criterion, *, policy: Policy, actor: Actor, now: datetime
) -> CheckRun | None:
    try:
        with recording():
            row = CheckRun.objects.create(
                version=version,
                criterion=criterion,
                policy=policy,
                requested_by_name=actor.name,
                requested_by_id=actor.user_id,
                requested_at=now,
            )
            details = {"criterion": str(criterion), "check": row.pk, "policy": policy.number}
            record("check_started", actor=actor, now=now, version=version, details=details)
    except IntegrityError:
        return None
    wake_check(row.pk)
    return row


# ---------------------------------------------------------------- the scan comes first


class ScanState(StrEnum):
    """How the scan stands that has to come before a check; LET_GO: there is none to wait for."""

    LET_GO = "let_go"
    UNDER_WAY = "under_way"
    FAILED = "failed"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class ScanBefore:
    """``why`` says why the check cannot begin, "" where it can, or only has to wait."""

    state: ScanState
    why: str = ""


def scan_before(
    version: ModelVersion,
    criterion: Criterion,
    policy: PolicyValues,
    now: datetime,
    reads: VersionReads | None = None,
) -> ScanBefore:
    """Whether the version's files, as they are now, may be loaded for this check.

    Where the policy asks for the artifact scan, it must have passed by the rules of today, or have been waived: nothing
    that may do harm to whoever loads it is loaded to see how fast it is. ``reads`` is what a page has read of the
    version; whoever is about to load it looks anew.
    """
    if criterion not in LOADS_THE_MODEL or not _asks_for_scan(policy):
        return ScanBefore(ScanState.LET_GO)
    known = reads or VersionReads(version)
    scan = _newest_scan(known)
    if _is_waived(known, policy, now) or (scan is not None and _is_enough(scan, policy)):
        return ScanBefore(ScanState.LET_GO)
    if Criterion.ARTIFACT_SCAN in known.checked_now:
        return ScanBefore(ScanState.UNDER_WAY)
    if scan is not None and not scan.passed:
        return ScanBefore(ScanState.FAILED, f"Its files did not pass the artifact scan. {scan.detail}".strip())
    ended = _how_it_ended(known.check_runs.get(Criterion.ARTIFACT_SCAN))
    return ScanBefore(ScanState.MISSING, f"Its files have to be scanned first. {ended}".strip())


def why_not_loaded(
    version: ModelVersion,
    criterion: Criterion,
    policy: PolicyValues,
    now: datetime,
    reads: VersionReads | None = None,
) -> str:
    """Why this check is not even started: the scan of the version's files found something; "" otherwise."""
    scan = scan_before(version, criterion, policy, now, reads)
    return scan.why if scan.state == ScanState.FAILED else ""


def _asks_for_scan(policy: PolicyValues) -> bool:
    wanted = (
        *policy.criteria.to_staging,
        *policy.criteria.to_production,
        *policy.checks.in_development,
        *policy.checks.in_staging,
    )
    return Criterion.ARTIFACT_SCAN in wanted


def _newest_scan(known: VersionReads) -> Evidence | None:
    """Of the newest scans the first one that is of the files as they are now."""
    scans = (row for row in known.evidence if row.criterion == Criterion.ARTIFACT_SCAN and row.origin == Source.CHECK)
    return next((row for row in scans if not why_other_artifact(row, known.version)), None)


def _is_enough(scan: Evidence, policy: PolicyValues) -> bool:
    return scan.passed and not no_longer_allowed(policy.checks, scan.measurements)


def _how_it_ended(scan: CheckRun | None) -> str:
    """Of a scan without a result; "" of any other."""
    if scan is None or scan.evidence_id is not None:
        return ""
    return f"The last scan: {scan.get_status_display()}. {scan.error}".strip()


def _is_waived(known: VersionReads, policy: PolicyValues, now: datetime) -> bool:
    if Criterion.ARTIFACT_SCAN in policy.waivers.never:
        return False
    granted = (row for row in known.waivers if row.criterion == Criterion.ARTIFACT_SCAN)
    in_force = (row for row in granted if row.revoked_at is None and row.expires_at > now)
    return any(not why_other_artifact(row, known.version) for row in in_force)


# ---------------------------------------------------------------- calling off


def why_unasked(check: CheckRun, version: ModelVersion) -> str:
    """Why nobody asks any more for what this run would find, "" while somebody does. ``version`` is as it is now.

    A load test and a malformed-input check are about the version's way through Staging: they end where it leaves, and
    where it is taken back. What is scanned stays the same files wherever the version goes.
    """
    stage = version.domain_stage
    if version.removed_at is not None:
        return "MLflow no longer has this version."
    if stage == Stage.ARCHIVED:
        return "The version was archived while it was checked, and archived versions are read-only."
    if check.criterion not in LOADS_THE_MODEL:
        return ""
    moved = version.stage_since is not None and version.stage_since > check.requested_at
    if moved and stage != Stage.STAGING:
        return f"The version has come to {stage} since this was asked for."
    back = Transition.objects.filter(version=version, rollback_requested_at__gt=check.requested_at)
    taken = back.exclude(kind=Kind.DRILL).first()
    return f"The version was taken back since this was asked for: {taken.rollback_reason[:500]}" if taken else ""


def call_off(check: CheckRun, why: str, now: datetime) -> bool:
    """End a run without evidence, and say why; its worker notices within seconds. False when it has ended already."""
    ended = {"status": CheckStatus.CANCELLED, "error": why, "finished_at": now, "lease_until": None, "phase": ""}
    with recording():
        if CheckRun.objects.filter(pk=check.pk, status__in=UNFINISHED_CHECKS).update(**ended) != 1:
            return False
        details = {"criterion": check.criterion, "check": check.pk}
        record("check_called_off", actor=STAGEGATE, now=now, version=check.version, reason=why, details=details)
    return True
