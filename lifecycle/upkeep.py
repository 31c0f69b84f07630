"""What is done regularly without being asked: idle servers are stopped, failed ones started again, approvals of what
has changed made void, and trials that are over thinned out."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import reduce

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, TextField
from django.db.models.functions import Cast

from lifecycle import adapters
from lifecycle.audit import record, recording
from lifecycle.bindings import is_current, renew
from lifecycle.domain import compare, observations
from lifecycle.domain.compare import MeasureState, VerdictKind
from lifecycle.domain.permissions import STAGEGATE
from lifecycle.models import (
    ACTIVE,
    EXECUTING,
    AuditEntry,
    Kind,
    ModelVersion,
    Status,
    Transition,
    Trial,
    Variant,
    VariantRole,
    Verdict,
)
from lifecycle.ports import PortError, ServerState, VersionRef

logger = logging.getLogger(__name__)

DAYS_APART = timedelta(hours=48)
"""For as long every day in Production stays a trial of its own; observations stay as they were counted as long."""


# ---------------------------------------------------------------- idle servers


def retire_idle(*, now: datetime) -> int:
    """Stop the servers of versions that have no role, no traffic and no request in flight; return how many.

    A version is marked before its server is stopped, so a transition that wants it meanwhile waits and starts it anew;
    a mark left behind by a killed process is taken up by the next call.
    """
    expired = Q(role=VariantRole.WARM, warm_until__lt=now)
    unused = Q(role=VariantRole.NONE)
    drained = now - timedelta(seconds=settings.DRAIN_SECONDS)
    idle = Variant.objects.filter(Q(retiring=True) | expired | unused, weight=0, idle_since__lt=drained)
    return sum(_retire(variant, now) for variant in idle.select_related("version__model"))


def _retire(variant: Variant, now: datetime) -> bool:
    version, model = variant.version, variant.version.model
    ref = VersionRef(model.name, version.version)
    try:
        if (adapters.traffic().weights(model.slug) or {}).get(version.version, 0):
            logger.warning("the gateway sends requests to %s, which should get none; its server stays", ref)
            return False
        if adapters.serving().status(ref, slug=model.slug).in_flight:
            return False
        if not _mark(variant):
            return False
        adapters.serving().remove(ref, slug=model.slug)
    except PortError as error:
        logger.warning("%s is still to be stopped: %s", ref, error)
        return False
    with recording():
        Variant.objects.filter(pk=variant.pk).delete()
        record("server_stopped", actor=STAGEGATE, now=now, version=version, reason="idle and drained")
    return True


def _mark(variant: Variant) -> bool:
    """Claim the server for stopping, unless a transition of its model is active or has just changed the variant."""
    busy = Transition.objects.filter(status__in=ACTIVE).values("model")
    unchanged = Variant.objects.filter(pk=variant.pk, role=variant.role, weight=0)
    return unchanged.filter(Q(retiring=True) | ~Q(model__in=busy)).update(retiring=True) == 1


# ---------------------------------------------------------------- what approvals are bound to


def renew_approvals(*, now: datetime) -> int:
    """Void the approvals of transitions that have not begun where what was said yes to has changed, or a yes has
    expired; return how many transitions were concerned."""
    waiting = Transition.objects.filter(
        status__in=(Status.AWAITING_APPROVAL, Status.APPROVED),
        checked_at=None,
        kind__in=(Kind.PROMOTION, Kind.ARCHIVAL),
    )
    return sum(_try_to_renew(pk, now) for pk in list(waiting.values_list("pk", flat=True)))


def _try_to_renew(pk: int, now: datetime) -> bool:
    """One that cannot be looked at keeps no other one from it."""
    try:
        return _renew(pk, now)
    except Exception:
        logger.exception("the approvals of transition %s cannot be renewed", pk)
        return False


def _renew(pk: int, now: datetime) -> bool:
    rows = Transition.objects.select_related("version__model", "model", "policy", "stable")
    if is_current(rows.get(pk=pk), now):
        return False
    with recording():
        row = rows.select_for_update(of=("self",)).get(pk=pk)
        if row.status not in (Status.AWAITING_APPROVAL, Status.APPROVED) or row.checked_at is not None:
            return False
        renew(row, now)
    return True


# ---------------------------------------------------------------- failed servers

STARTED_AGAIN = "server_started_again"
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(minutes=10)
"""Between two starts of a server that fails again: each is twice as long as the one before."""
FORGIVEN = timedelta(hours=1)
"""Failures that lie further back are not held against a server."""


def revive(*, now: datetime) -> int:
    """Start the servers again that have failed for good while somebody counts on them; return how many.

    Whoever keeps the servers running gives one up that ends again and again while it loads. Outside of a transition
    nobody else would start it: users would be without an answer, or a rollback without its warm version.
    """
    executing = Transition.objects.filter(status__in=EXECUTING).values("model")
    needed = Variant.objects.filter(retiring=False).exclude(role=VariantRole.NONE, weight=0).exclude(url="")
    return sum(_revive(each, now) for each in needed.exclude(model__in=executing).select_related("version__model"))


def _revive(variant: Variant, now: datetime) -> bool:
    version, model = variant.version, variant.version.model
    ref = VersionRef(model.name, version.version)
    try:
        seen = adapters.serving().status(ref, slug=model.slug)
        if seen.state not in (ServerState.FAILED, ServerState.ABSENT) or not _is_due(version, now):
            return False
        adapters.serving().ensure(ref, slug=model.slug)
    except PortError as error:
        logger.warning("%s cannot be started again: %s", ref, error)
        return False
    with recording():
        # Somebody who looked at the same moment may have started the same server, and said so.
        if not _is_due(version, now):
            return False
        why, details = "its server had failed", {"error": seen.detail}
        record(STARTED_AGAIN, actor=STAGEGATE, now=now, version=version, reason=why, details=details)
    return True


def _is_due(version: ModelVersion, now: datetime) -> bool:
    before = AuditEntry.objects.filter(action=STARTED_AGAIN, model=version.model.name, version=version.version)
    starts = list(before.filter(at__gt=now - FORGIVEN).order_by("-id").values_list("at", flat=True))
    return not starts or now >= starts[0] + min(FIRST_PAUSE * 2 ** (len(starts) - 1), LONGEST_PAUSE)


# ---------------------------------------------------------------- trials that are over


def thin_out_trials(*, now: datetime) -> None:
    """Make one trial of quiet days in Production that followed each other, and forget what no shadow waits for.

    A day is quiet when none of its verdicts named a limit that was breached. The trials of transitions and of stays in
    Staging are kept as they are, as long as the version.
    """
    over = Trial.objects.filter(until__isnull=False).exclude(transition__status__in=ACTIVE)
    over.exclude(pending={}).update(pending={})
    for days in _in_a_row(_quiet_days(now)):
        _merge(days)


def _quiet_days(now: datetime) -> QuerySet[Trial]:
    said = Verdict.objects.filter(trial=OuterRef("pk")).annotate(text=Cast("measures", TextField()))
    loud = said.filter(Q(kind=VerdictKind.ROLL_BACK) | Q(text__contains=f'"{MeasureState.BREACHED}"'))
    days = Trial.objects.filter(~Exists(loud), kind=compare.Trial.PRODUCTION, until__lt=now - DAYS_APART)
    return days.only("version", "weight", "since", "seen_until").order_by("version", "weight", "since", "pk")


def _in_a_row(days: Iterable[Trial]) -> Iterator[list[int]]:
    """The keys of those between which no interval is missing."""
    row: list[Trial] = []
    for day in days:
        if row and not _follows(row[-1], day):
            yield [each.pk for each in row]
            row = []
        row.append(day)
    yield [each.pk for each in row]


def _follows(before: Trial, day: Trial) -> bool:
    return (before.version_id, before.weight) == (day.version_id, day.weight) and day.since <= before.seen_until


def _merge(keys: Sequence[int]) -> None:
    """The first one takes the others in. Exactly those must go, or nothing changes: somebody else has been here."""
    if len(keys) < 2:
        return
    with transaction.atomic():
        days = list(Trial.objects.filter(pk__in=keys).order_by("since", "pk"))
        _, gone = Trial.objects.filter(pk__in=keys[1:]).delete()
        if len(days) != len(keys) or gone.get(Trial._meta.label) != len(keys) - 1:
            transaction.set_rollback(True)
            return
        last = days[-1]
        Trial.objects.filter(pk=days[0].pk).update(
            until=last.until,
            seen_until=last.seen_until,
            last_seen=last.last_seen,
            looks=sum(day.looks for day in days),
            canary=observations.dump(reduce(observations.add, (observations.load(day.canary) for day in days))),
            verdict=last.verdict,
            judged_at=last.judged_at,
        )
