"""Starting and cancelling the checks that collect evidence."""

from __future__ import annotations

from datetime import datetime

from lifecycle.audit import record
from lifecycle.check_queue import queue, why_not_loaded
from lifecycle.domain.criteria import Criterion, Origin
from lifecycle.domain.permissions import Action, Actor
from lifecycle.models import UNFINISHED_CHECKS, CheckRun, CheckStatus, ModelVersion, Variant
from lifecycle.operations.common import need_ready, need_writable, recorded
from lifecycle.policies import current_policy
from lifecycle.transitions import RefusedError


def start_check(*, version: ModelVersion, criterion: Criterion, actor: Actor, now: datetime) -> CheckRun:
    """Have Stagegate collect evidence for a criterion. Raises RefusedError."""
    with recorded(Action.START_CHECK, actor, now, version=version) as actor:
        _check_subject(version, criterion)
        policy = current_policy(version.model, now)
        barred = why_not_loaded(version, criterion, policy.values, now)
        if barred:
            raise RefusedError(
                f"{barred} So the model is not loaded for this check. Read what the scan found first.",
                rule="scan_failed",
            )
        created = queue(version, criterion, policy=policy, actor=actor, now=now)
        if created is None:
            raise RefusedError(
                f"{criterion.label}: this check is under way already; wait for it, or cancel it.",
                rule="check_under_way",
            )
        return created


def _check_subject(version: ModelVersion, criterion: Criterion) -> None:
    if criterion.about.origin != Origin.CHECKED:
        raise RefusedError(
            f"{criterion.label} is not something that Stagegate checks by a run. Look at its line at the "
            "gate: it says where this comes from.",
            rule="not_a_check",
        )
    need_writable(version)
    need_ready(version)
    if criterion == Criterion.DRIFT and not Variant.objects.filter(version=version, weight__gt=0).exists():
        raise RefusedError(
            "Drift is measured on users' requests, and this version gets none. Bring it to Staging first.",
            rule="no_requests",
        )


def cancel_check(*, check: CheckRun, actor: Actor, now: datetime) -> CheckRun:
    """Stop a check that has not ended; its worker notices within seconds. Raises RefusedError."""
    with recorded(Action.START_CHECK, actor, now, version=check.version) as actor:
        ended = {"status": CheckStatus.CANCELLED, "finished_at": now, "lease_until": None, "phase": "", "error": ""}
        if CheckRun.objects.filter(pk=check.pk, status__in=UNFINISHED_CHECKS).update(**ended) != 1:
            raise RefusedError(
                "This check has ended already; its outcome stands at the gate. Start it again for another one.",
                rule="already_ended",
            )
        details = {"criterion": check.criterion, "check": check.pk}
        record("check_cancelled", actor=actor, now=now, version=check.version, details=details)
        check.refresh_from_db()
        return check
