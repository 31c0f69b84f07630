"""From the record to notices: who is to be told what, written down once, and sent by ``lifecycle.notice_delivery``.

The record is the outbox. Whoever changes something records it in the same transaction and calls nothing here; a task
reads on from the last entry that it has seen, and writes the notices and its new place in one transaction. So nothing
is told that was rolled back, and what is told twice by two tasks, or after a crash, is written once.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from lifecycle import freezes, notice_addressees, notice_facts, notice_retention
from lifecycle.approvals import still_missing
from lifecycle.domain.notices import ACTIONS, TELLS_DOER, Event, event_of
from lifecycle.domain.plan import load_step
from lifecycle.models import (
    AuditEntry,
    Channel,
    Kind,
    ModelVersion,
    Notice,
    NoticeCursor,
    RegisteredModel,
    Status,
    Transition,
)
from lifecycle.sealing import SealBrokenError, is_current, seal, unseal

logger = logging.getLogger(__name__)

BATCH = 200
"""Entries of the record that are read in one transaction."""
CURSOR = 1
"""The key of the one row that says how far the record has been told of."""
OLD = timedelta(days=1)
"""What was recorded longer ago is no news, should nobody have looked for so long."""
LATE = timedelta(seconds=60)
"""A rollback whose requests are not back by then is told of before its end."""
KEPT = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class News:
    """Something to tell. ``key`` names it: nobody is told it twice. ``people`` says why each of them is told."""

    event: Event
    key: str
    facts: Mapping[str, Any]
    people: Mapping[int, str]
    model: RegisteredModel | None = None
    transition: Transition | None = None
    doer: int | None = None


def collect(*, now: datetime) -> None:
    """Write down what is to be told by now."""
    if NoticeCursor.objects.filter(pk=CURSOR).first() is None:
        _begin()
    while _read_on(now):
        pass
    for news in _held(now):
        tell(news, now)
    if notice_retention.tell(now=now):
        _tidy(now)


def _begin() -> None:
    """What was recorded before anybody was to be told is not told now."""
    last = AuditEntry.objects.order_by("-seq").values_list("seq", flat=True).first()
    NoticeCursor.objects.get_or_create(pk=CURSOR, defaults={"seq": last or 0})


def _read_on(now: datetime) -> bool:
    """Tell of the next entries; False when there are none, or another task was first."""
    seen = NoticeCursor.objects.get(pk=CURSOR).seq
    entries = list(AuditEntry.objects.filter(seq__gt=seen).order_by("seq")[:BATCH])
    if not entries:
        return False
    told = [news for entry in entries if (news := _readable(entry, now)) is not None]
    with transaction.atomic():
        if NoticeCursor.objects.filter(pk=CURSOR, seq=seen).update(seq=entries[-1].seq) != 1:
            return False
        for news in told:
            tell(news, now)
    return True


def _readable(entry: AuditEntry, now: datetime) -> News | None:
    """One entry that makes no news keeps nobody from hearing of the next ones."""
    try:
        return _news_of(entry, now)
    except Exception:
        logger.exception("entry %s cannot be told of", entry.seq)
        return None


def tell(news: News, now: datetime) -> None:
    """One notice for each person and channel that hears of it, unless they have it already."""
    keys = set(news.people) - (set() if news.event in TELLS_DOER else {news.doer})
    of_it: dict[str, Any] = {
        "event": news.event,
        "key": news.key,
        "model": news.model,
        "transition": news.transition,
        "created_at": now,
        "due_at": now,
    }
    rows = [
        Notice(**of_it, person=person, facts={**news.facts, "because": news.people[person.pk]})
        for person in notice_addressees.reachable(news.event, keys)
    ]
    teams = [news.model.team_id] if news.model and news.model.team_id else []
    rows += [
        Notice(**of_it, channel=channel, facts={**news.facts})
        for channel in notice_addressees.channels_for(news.event, teams)
    ]
    Notice.objects.bulk_create(rows, ignore_conflicts=True)


# ---------------------------------------------------------------- from the record


def _news_of(entry: AuditEntry, now: datetime) -> News | None:
    """What an entry tells people, None for nothing."""
    if entry.refused or entry.action not in ACTIONS or entry.at < now - OLD:
        return None
    row = _transition(entry)
    event = event_of(entry.action, row.kind if row else "")
    if event is None:
        return None
    if row is None:
        return _news_of_version(event, entry)
    if not _is_news(event, row):
        return None
    return News(
        event=event,
        key=_key(event, row, entry),
        facts=notice_facts.of_transition(event, row, entry),
        people=notice_addressees.of_transition(event, row),
        model=row.model,
        transition=row,
        doer=entry.actor_id,
    )


def _transition(entry: AuditEntry) -> Transition | None:
    rows = Transition.objects.select_related("model", "version__model", "policy", "stable", "previous")
    return rows.filter(pk=entry.transition).first() if entry.transition else None


def _news_of_version(event: Event, entry: AuditEntry) -> News | None:
    model = RegisteredModel.objects.filter(name=entry.model).first()
    if model is None:
        return None
    version = ModelVersion.objects.filter(model=model, version=entry.version).first() if entry.version else None
    return News(
        event=event,
        key=f"{event}:entry:{entry.seq}",
        facts=notice_facts.of_version(model, version, entry),
        people=notice_addressees.owners(model),
        model=model,
        doer=entry.actor_id,
    )


def _is_news(event: Event, row: Transition) -> bool:
    """Whether it still is as the entry says, where it would be of no use otherwise.

    A yes is no news before it is the last one that was missing.
    """
    if event == Event.WAITING:
        return row.status == Status.AWAITING_APPROVAL
    if event == Event.APPROVED:
        return row.bypassed_at is None and not still_missing(row)
    return True


def _key(event: Event, row: Transition, entry: AuditEntry) -> str:
    """Several entries may say one thing: two approvals that are void at once, or a rollback's two ends."""
    if event == Event.APPROVED:
        return f"{event}:{row.pk}:{row.digest}"
    if event == Event.VOIDED:
        return f"{event}:{row.pk}:{entry.at.isoformat()}"
    return f"{event}:{row.pk}:{entry.seq}" if event in (Event.HELD, Event.WAITING) else f"{event}:{row.pk}"


# ---------------------------------------------------------------- what is so for a while


def _held(now: datetime) -> Iterator[News]:
    """What holds a transition without an entry of the record: the judge, a freeze, a server that does not start."""
    waits = Q(status=Status.RUNNING, asks_person=True)
    frozen = Q(status=Status.APPROVED, checked_at=None, kind__in=(Kind.PROMOTION, Kind.ARCHIVAL))
    late = Q(status=Status.ROLLING_BACK, traffic_back_at=None, rollback_requested_at__lt=now - LATE)
    rows = Transition.objects.filter(waits | frozen | late)
    for row in rows.select_related("model", "version__model", "policy", "stable", "previous"):
        hold = _hold(row, now)
        if hold is not None and not Notice.objects.filter(transition=row, key=hold[0]).exists():
            key, facts = hold
            who = notice_addressees.of_transition(Event.HELD, row)
            yield News(Event.HELD, key, facts, who, model=row.model, transition=row)


def _hold(row: Transition, now: datetime) -> tuple[str, notice_facts.Facts] | None:
    """The key of what holds it, and the facts. A rollout is told of once a step, however often the judge hesitates."""
    if row.status == Status.RUNNING:
        asked = load_step(row.steps[row.step]).asks if row.steps else None
        facts = notice_facts.of_hold(row, "asks", row.waiting_for)
        return f"held:{row.pk}:asks:{row.step}", {**facts, "asks": asked.label if asked else ""}
    if row.status == Status.ROLLING_BACK:
        return f"held:{row.pk}:late", notice_facts.of_hold(row, "rollback", row.waiting_for)
    freeze = freezes.holding(row, now)
    if freeze is None:
        return None
    window = freeze.occurrence
    key = f"held:{row.pk}:freeze:{freeze.row.pk}:{window.since.isoformat()}"
    return key, notice_facts.of_hold(row, "freeze", freeze.sentence, window.until)


# ---------------------------------------------------------------- once a week


def _tidy(now: datetime) -> None:
    """Forget the notices of three months ago, and encrypt the addresses of channels with the secret key of today."""
    Notice.objects.filter(created_at__lt=now - KEPT).delete()
    for channel in Channel.objects.filter(removed_at=None):
        if not is_current(channel.url):
            with contextlib.suppress(SealBrokenError):
                Channel.objects.filter(pk=channel.pk, url=channel.url).update(url=seal(unseal(channel.url)))
