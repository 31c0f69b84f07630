"""How the system is, as pages, the API and monitoring show it: a bounded number of queries, and nothing that waits."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection
from django.db.models import Count, DateTimeField, Exists, Min, OuterRef, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from lifecycle import health, heartbeats
from lifecycle.domain import system
from lifecycle.domain.system import Look, MirrorFacts, Part, RecordFacts, Section, System, Waiting
from lifecycle.models import (
    EXECUTING,
    UNFINISHED_EXPORTS,
    AuditEntry,
    Channel,
    Checkpoint,
    CheckRun,
    CheckStatus,
    ExportJob,
    MirrorState,
    ModelIndex,
    ModelVersion,
    Notice,
    NoticeState,
    RetentionRun,
    Transition,
    Variant,
)

GIVEN_UP_FOR = timedelta(days=7)
"""A notice that was given up longer ago is no news any more."""
KNOWN_FOR = timedelta(seconds=40)
"""What was found outside longer ago says nothing about now."""


def of_now(now: datetime) -> System:
    """All parts, with what was found outside within the last seconds; where nobody has looked, that is asked now."""
    return system_at(now, health.latest(now) or health.look(now))


def system_at(now: datetime, look: Look | None) -> System:
    """All parts. ``look`` is what was found outside; None: it has not been asked yet."""
    began = time.monotonic()
    beats = heartbeats.beats()
    took = time.monotonic() - began
    waits = _waits(now)
    said, mirror = look.answers if look else {}, _facts(MirrorState.objects.first(), waits)
    registry = system.registry(said.get("registry"), mirror, _address(settings.MLFLOW_PUBLIC_URL))
    outside = (
        registry,
        system.gateway(said.get("gateway"), waits["routes"].count, _address(settings.GATEWAY_URL)),
        system.servers(look),
        system.broker(said.get("broker")),
        system.database(connection.vendor, took),
    )
    inside = (
        _mirror(mirror, registry, now),
        system.transitions(waits["transitions"], now),
        *(system.work(kind, waits[kind], now) for kind in ("checks", "exports", "clean_ups")),
        _notices(waits, now),
        system.record(_record(), now),
    )
    sections = (
        Section("What Stagegate stands on", outside),
        Section("Who does the work", system.workers(beats, now, look=look, busy=_busy_now(waits))),
        Section("The work", inside),
    )
    return System(now, look.at if look else None, sections)


@dataclass(frozen=True, slots=True)
class Known:
    """Where the mirror stands, None before the registry was first read; how many models it holds; and what keeps a
    queue's worker from giving a sign of life."""

    mirror: MirrorState | None
    models: int
    busy: Mapping[str, str]


def known(now: datetime) -> Known:
    """In one query."""
    everything = ModelIndex.objects.order_by().annotate(everything=Value(1)).values("everything")
    models = Subquery(everything.annotate(number=Count("pk")).values("number"))
    checking, cleaning = _at_work(now)
    state = MirrorState.objects.annotate(
        models=Coalesce(models, Value(0)), checking=Exists(checking), cleaning=Exists(cleaning)
    ).first()
    if state is None:
        return Known(None, 0, {})
    return Known(state, state.models, _busy(checking=state.checking, cleaning=state.cleaning))


def troubles(now: datetime, known: Known) -> tuple[Part, ...]:
    """The parts that are known to be in trouble, for the front page: asks nobody outside, and reads one small table."""
    look = health.latest(now, within=KNOWN_FOR)
    said, mirror = look.answers if look else {}, _facts(known.mirror)
    registry = system.registry(said.get("registry"), mirror, _address(settings.MLFLOW_PUBLIC_URL))
    parts = [registry, _mirror(mirror, registry, now)]
    if look is not None:
        parts += [system.broker(look.answers.get("broker")), system.servers(look)]
        parts.append(system.gateway(look.answers.get("gateway"), look.needed, _address(settings.GATEWAY_URL)))
    workers = system.workers(heartbeats.beats(), now, look=look, busy=known.busy)
    return system.in_trouble((*parts, *workers))


@dataclass(frozen=True, slots=True)
class Pulse:
    """For monitoring: seconds since the last sign of life, and messages that wait, by queue."""

    ages: Mapping[str, float]
    lengths: Mapping[str, int]


def pulse(now: datetime) -> Pulse:
    ages = {queue: (now - each.seen_at).total_seconds() for queue, each in heartbeats.beats().items()}
    look = health.latest(now, within=KNOWN_FOR)
    return Pulse(ages, look.waiting if look else {})


# ---------------------------------------------------------------- what waits, in one query


def _waits(now: datetime) -> dict[str, Waiting]:
    """How much of each kind of work waits, and since when the oldest does; empty kinds too."""
    kinds = _kinds(now)
    first, *rest = (_counted(kind, rows, at) for kind, (rows, at) in kinds.items())
    found = {kind: Waiting(count, oldest) for kind, count, oldest in first.union(*rest, *_pass(), all=True)}
    return {kind: found.get(kind, Waiting()) for kind in (*kinds, "known", "seen")}


def _kinds(now: datetime) -> dict[str, tuple[QuerySet[Any], str]]:
    """By kind: its rows, and the column that says since when each waits."""
    held = Q(lease_until__gte=now)
    checking, cleaning = _at_work(now)
    mine = Notice.objects.filter(created_at__gte=now - GIVEN_UP_FOR)
    return {
        "transitions": (Transition.objects.filter(status__in=EXECUTING, due_at__lt=now), "due_at"),
        "checks": (CheckRun.objects.filter(status=CheckStatus.QUEUED), "requested_at"),
        "exports": (ExportJob.objects.exclude(held).filter(status__in=UNFINISHED_EXPORTS), "created_at"),
        "clean_ups": (RetentionRun.objects.filter(running=True).exclude(held), "started_at"),
        "notices": (Notice.objects.filter(state=NoticeState.WAITING, due_at__lt=now), "due_at"),
        "given_up": (mine.filter(state=NoticeState.FAILED), "due_at"),
        "checking": (checking, "started_at"),
        "cleaning": (cleaning, "started_at"),
        "routes": (Variant.objects.filter(weight__gt=0, model__removed_at=None), "weight_since"),
        "channels": (Channel.objects.filter(removed_at=None), "created_at"),
    }


def _counted(kind: str, rows: QuerySet[Any], at: str) -> QuerySet[Any]:
    counted = rows.order_by().annotate(sort_of=Value(kind)).values("sort_of")
    return counted.annotate(found=Count("pk"), oldest=Min(at)).values_list("sort_of", "found", "oldest")


def _pass() -> list[QuerySet[Any]]:
    """How many versions there are, and how many of them the pass over the registry has seen."""
    this_pass = MirrorState.objects.values("pass_number")[:1]
    never = Value(None, DateTimeField())
    known = ModelIndex.objects.order_by().annotate(sort_of=Value("known")).values("sort_of")
    seen = ModelVersion.objects.filter(seen_pass=Subquery(this_pass)).order_by().annotate(sort_of=Value("seen"))
    return [
        known.annotate(found=Sum("version_count"), oldest=never).values_list("sort_of", "found", "oldest"),
        seen.values("sort_of").annotate(found=Count("pk"), oldest=never).values_list("sort_of", "found", "oldest"),
    ]


def _at_work(now: datetime) -> tuple[QuerySet[CheckRun], QuerySet[RetentionRun]]:
    """The checks and clean-ups whose worker has said within its lease that it is at it."""
    held = Q(lease_until__gte=now)
    return (
        CheckRun.objects.filter(held, status=CheckStatus.RUNNING),
        RetentionRun.objects.filter(held, running=True),
    )


def _busy_now(waits: Mapping[str, Waiting]) -> dict[str, str]:
    return _busy(checking=bool(waits["checking"].count), cleaning=bool(waits["cleaning"].count))


def _busy(*, checking: bool, cleaning: bool) -> dict[str, str]:
    """What keeps a queue's worker from giving a sign of life, by the lease that it renews meanwhile."""
    if checking:
        return {"checks": "it carries a check out"}
    return {"checks": "it cleans up"} if cleaning else {}


def _notices(waits: Mapping[str, Waiting], now: datetime) -> Part:
    used = bool(settings.MAIL_URL) or bool(waits["channels"].count)
    return system.notices(waits["notices"], waits["given_up"], now, used=used)


def _address(url: str) -> str:
    """Without what it may hold of credentials."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


# ---------------------------------------------------------------- the mirror and the record


def _facts(state: MirrorState | None, waits: Mapping[str, Waiting] | None = None) -> MirrorFacts | None:
    """None before the registry was first read; ``waits`` knows how far the pass over it is."""
    if state is None:
        return None
    return MirrorFacts(
        last_success_at=state.last_success_at,
        last_full_pass_at=state.last_full_pass_at,
        pass_started_at=state.pass_started_at,
        last_error=state.last_error,
        last_error_at=state.last_error_at,
        seen=waits["seen"].count if waits else 0,
        known=waits["known"].count if waits else 0,
    )


def _mirror(facts: MirrorFacts | None, registry: Part, now: datetime) -> Part:
    every = timedelta(seconds=settings.MIRROR_SECONDS)
    return system.mirror(facts, now, every=every, unreachable=bool(registry.trouble))


def _record() -> RecordFacts:
    open_ones = AuditEntry.objects.filter(seq__gt=OuterRef("seq")).order_by("seq").values("at")[:1]
    last = AuditEntry.objects.order_by("-seq").values("seq")[:1]
    newest = Checkpoint.objects.annotate(open_since=Subquery(open_ones), last=Subquery(last)).order_by("-seq").first()
    signs = settings.CHECKPOINT_KEY_FILE is not None
    if newest is None:
        first = AuditEntry.objects.order_by("seq").values_list("at", flat=True).first()
        entries = AuditEntry.objects.order_by("-seq").values_list("seq", flat=True).first() or 0
        return RecordFacts(entries=entries, unsealed_since=first, signs=signs)
    return RecordFacts(
        entries=newest.last or 0,
        sealed=newest.seq,
        sealed_at=newest.at,
        places=tuple(newest.delivered),
        unsealed_since=newest.open_since,
        problem=newest.last_error,
        signs=signs,
    )
