"""Notices for pages and the API: who wants what, and what has become of each. No address is among it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from django.conf import settings
from django.db.models import Count, Max, Q, QuerySet

from lifecycle.domain.notices import CHOICES, Event
from lifecycle.models import Channel, Notice, NoticeSetting, NoticeState

OWN_SHOWN = 50
TROUBLED = (NoticeState.WAITING, NoticeState.FAILED)


@dataclass(frozen=True, slots=True)
class Choice:
    """An event, who hears of it, and whether it is wanted here."""

    event: Event
    wanted: bool


def own_choices(person_id: int) -> list[Choice]:
    setting = NoticeSetting.objects.filter(person=person_id).first()
    muted = setting.muted if setting else []
    return [Choice(event, event.value not in muted) for event in CHOICES]


def choices(wanted: Collection[str]) -> list[Choice]:
    return [Choice(event, event.value in wanted) for event in CHOICES]


def own_notices(person_id: int) -> QuerySet[Notice]:
    """The latest ones of a person, newest first."""
    return Notice.objects.filter(person=person_id)[:OWN_SHOWN]


def sends_mail() -> bool:
    return bool(settings.MAIL_URL)


def channels() -> QuerySet[Channel]:
    """Those in use by name, with the time of the last notice that arrived and how many are given up."""
    failed = Count("notices", filter=Q(notices__state=NoticeState.FAILED))
    rows = Channel.objects.filter(removed_at=None).select_related("team")
    return rows.annotate(last_sent=Max("notices__sent_at"), given_up=failed)


def delivery(states: Collection[str] = ()) -> QuerySet[Notice]:
    """Notices to anybody, newest first; those in any of ``states``, or all."""
    rows = Notice.objects.select_related("person", "channel", "model")
    return rows.filter(state__in=states) if states else rows


def counts() -> dict[str, int]:
    """How many notices there are, by state."""
    return dict(Notice.objects.order_by().values_list("state").annotate(Count("pk")))
