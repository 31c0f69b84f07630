"""Sending notices: claimed, sent outside of any transaction, and tried again for a day.

Every notice is sent at least once: whoever dies between sending and writing that down sends it again, with the same
key. Mail server and channels are sent to side by side, so one that hangs keeps no other back, and nobody waits for it
longer than TURN.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.template import TemplateSyntaxError

from lifecycle import adapters, notice_addressees
from lifecycle.approvals import standing
from lifecycle.domain.notices import Event, next_try
from lifecycle.models import Notice, NoticeCursor, NoticeState, Status
from lifecycle.notice_texts import message_of
from lifecycle.ports import Message, PermanentError, PortError
from lifecycle.sealing import SealBrokenError, unseal

logger = logging.getLogger(__name__)

TURN = timedelta(seconds=20)
"""How long one turn of sending may take."""
CLAIM = timedelta(minutes=3)
"""How long a claimed notice is nobody else's; longer than a turn, and than the task that takes it."""
AT_ONCE = 20
"""Notices that one destination gets in a turn."""
MAIL = 0
"""The destination of all e-mail to people; the others are keys of channels."""
PATIENCE = 3
"""After so many failures in a row, the rest for a destination is left for another turn."""
NO_ANSWER = f"There was no answer within {TURN.total_seconds():.0f} seconds."


@dataclass(frozen=True, slots=True)
class Parcel:
    """A claimed notice with all that it takes to send it."""

    notice: int
    address: str = field(repr=False)
    to: str
    message: Message


@dataclass(slots=True)
class Outcome:
    """What came of a destination's parcels: by notice, the error, "" for none. ``began`` is the one being sent."""

    errors: dict[int, str] = field(default_factory=dict)
    hopeless: set[int] = field(default_factory=set)
    began: int | None = None


def deliver(*, clock: Callable[[], datetime]) -> int:
    """Send what is due; return how many were sent. Another task that is sending already is left to it."""
    now = clock()
    if not _begin(now):
        return 0
    try:
        parcels = {destination: _parcels(keys, clock()) for destination, keys in _due(now).items()}
        outcomes = _send_all({name: each for name, each in parcels.items() if each})
        return sum(_write_down(parcels[name], outcome, clock()) for name, outcome in outcomes.items())
    finally:
        NoticeCursor.objects.update(sending_until=None)


def _begin(now: datetime) -> bool:
    """Claim the sending, where there is something to send. Durable: nothing is sent within a transaction."""
    if not _waiting(now).exists():
        return False
    free = Q(sending_until=None) | Q(sending_until__lt=now)
    with transaction.atomic(durable=True):
        return NoticeCursor.objects.filter(free).update(sending_until=now + CLAIM) == 1


def _waiting(now: datetime) -> QuerySet[Notice]:
    free = Q(claimed_until=None) | Q(claimed_until__lt=now)
    return Notice.objects.filter(free, state=NoticeState.WAITING, due_at__lte=now)


def _due(now: datetime) -> dict[int, list[int]]:
    """The keys of what is due, oldest first, by destination: no more of each than it gets in a turn."""
    waiting = _waiting(now)
    channels = list(waiting.order_by().values_list("channel", flat=True).distinct())
    oldest = {channel: waiting.filter(channel=channel).order_by("due_at", "pk") for channel in channels}
    return {channel or MAIL: list(rows.values_list("pk", flat=True)[:AT_ONCE]) for channel, rows in oldest.items()}


# ---------------------------------------------------------------- before


def _parcels(keys: Iterable[int], now: datetime) -> list[Parcel]:
    packed = (_packed(key, now) for key in keys)
    return [parcel for parcel in packed if parcel is not None]


def _packed(key: int, now: datetime) -> Parcel | None:
    """Claim a notice and put it into words; None when it is somebody else's, not wanted, or cannot be sent at all."""
    with transaction.atomic(durable=True):
        if _waiting(now).filter(pk=key).update(claimed_until=now + CLAIM) != 1:
            return None
    rows = Notice.objects.select_related("person__notice_setting", "channel", "transition__policy", "model")
    notice = rows.get(pk=key)
    unwanted = _why_unwanted(notice)
    if unwanted:
        _close(notice.pk, NoticeState.DROPPED, unwanted)
        return None
    try:
        address = unseal(notice.channel.url) if notice.channel else settings.MAIL_URL
        to = notice.person.email if notice.person else ""
        return Parcel(notice.pk, address, to, message_of(notice))
    except SealBrokenError as error:
        _close(notice.pk, NoticeState.FAILED, f"The address of the channel cannot be read. {error}")
    except (TemplateSyntaxError, KeyError, TypeError, ValueError):
        logger.exception("notice %s cannot be put into words", key)
        _close(notice.pk, NoticeState.FAILED, "It cannot be put into words; the log says why.")
    return None


def _why_unwanted(notice: Notice) -> str:
    """Why a notice need not be sent any more, "" when it has to be."""
    if notice.channel is not None and notice.channel.removed_at is not None:
        return "The channel has been removed."
    if notice.person is not None:
        if not settings.MAIL_URL:
            return "No mail server is set up."
        if not notice.person.is_active or not notice.person.email:
            return "The person has no e-mail address here any more."
        if notice_addressees.is_muted(Event(notice.event), notice.person):
            return "The person does not want it any more."
    return _why_past(notice)


def _why_past(notice: Notice) -> str:
    row, asks = notice.transition, notice.facts.get("cause") == "asks"
    if row is None:
        return ""
    if notice.event == Event.WAITING and row.status != Status.AWAITING_APPROVAL:
        return "It has been decided meanwhile."
    if notice.event == Event.WAITING and any(each.person_id == notice.person_id for each in standing(row)):
        return "The person has decided meanwhile."
    if notice.event == Event.HELD and asks and not row.asks_person:
        return "It has gone on meanwhile."
    return ""


# ---------------------------------------------------------------- sending


def _send_all(parcels: dict[int, Sequence[Parcel]]) -> dict[int, Outcome]:
    """Each destination in a thread of its own, which does nothing but send: it touches no table."""
    until = time.monotonic() + TURN.total_seconds()
    outcomes = {destination: Outcome() for destination in parcels}
    threads = [
        threading.Thread(target=_send, args=(each, outcomes[name], until), daemon=True)
        for name, each in parcels.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(until - time.monotonic(), 0))
    return outcomes


def _send(parcels: Sequence[Parcel], outcome: Outcome, until: float) -> None:
    """One after the other, until the turn is over or the destination seems to be away."""
    failures = 0
    for parcel in parcels:
        if failures >= PATIENCE or time.monotonic() >= until:
            return
        outcome.began = parcel.notice
        outcome.errors[parcel.notice] = error = _try(parcel, outcome)
        failures = failures + 1 if error else 0


def _try(parcel: Parcel, outcome: Outcome) -> str:
    try:
        adapters.messages().send(parcel.address, parcel.message, to=parcel.to)
    except PermanentError as error:
        outcome.hopeless.add(parcel.notice)
        return str(error)
    except PortError as error:
        return str(error)
    except Exception as error:
        # Whatever a library raises may repeat the address; its kind does not.
        return f"It failed unexpectedly ({type(error).__name__})."
    return ""


# ---------------------------------------------------------------- after


def _write_down(parcels: Iterable[Parcel], outcome: Outcome, now: datetime) -> int:
    """What was not begun is due as before; what was begun and has not ended has failed. Returns how many were sent."""
    errors = dict(outcome.errors)
    for parcel in parcels:
        error = errors.get(parcel.notice, NO_ANSWER if parcel.notice == outcome.began else None)
        if error is None:
            Notice.objects.filter(pk=parcel.notice).update(claimed_until=None)
        elif error:
            _failed(parcel.notice, error, now, hopeless=parcel.notice in outcome.hopeless)
        else:
            _close(parcel.notice, NoticeState.SENT, "", sent_at=now, attempts=F("attempts") + 1)
    return sum(1 for error in errors.values() if not error)


def _failed(key: int, error: str, now: datetime, *, hopeless: bool) -> None:
    notice = Notice.objects.get(pk=key)
    attempts = notice.attempts + 1
    again = None if hopeless else next_try(attempts, notice.created_at, now)
    if again is None:
        logger.warning("notice %s is given up after %s attempts: %s", key, attempts, error)
        _close(key, NoticeState.FAILED, error, attempts=attempts)
        return
    waits = Notice.objects.filter(pk=key, state=NoticeState.WAITING)
    waits.update(claimed_until=None, due_at=again, attempts=attempts, last_error=error)


def _close(key: int, state: NoticeState, error: str, **values: object) -> None:
    waits = Notice.objects.filter(pk=key, state=NoticeState.WAITING)
    waits.update(state=state, claimed_until=None, last_error=error, **values)
