"""Where notices go: what people want to hear of, the channels of teams, and trying again what did not arrive.

The address of a channel holds its secret: it is encrypted here, and nothing but its ``shown`` part is recorded.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction

from lifecycle import adapters
from lifecycle.audit import record
from lifecycle.domain.notices import CHOICES, Event, line
from lifecycle.domain.permissions import Action, Actor
from lifecycle.models import Channel, Notice, NoticeSetting, NoticeState, Team
from lifecycle.operations.common import need_reason, recorded
from lifecycle.ports import PortError
from lifecycle.sealing import seal
from lifecycle.transitions import RefusedError

LONGEST_NAME = 60
LONGEST_ADDRESS = 2000

# ---------------------------------------------------------------- one's own


def choose_notices(*, wanted: Collection[str], reason: str, actor: Actor, now: datetime) -> NoticeSetting:
    """Get e-mail of these events and of no others. Raises RefusedError."""
    with recorded(Action.VIEW, actor, now, reason=reason) as actor:
        cleaned = need_reason(reason)
        person = _person(actor)
        events = _events(wanted)
        muted = [event.value for event in CHOICES if event not in events]
        before = NoticeSetting.objects.filter(person=person).first()
        if (before.muted if before else []) == muted:
            raise RefusedError("Nothing would change: this is how it is already.", rule="nothing_changes")
        row, _ = NoticeSetting.objects.update_or_create(person=person, defaults={"muted": muted})
        record("notices_chosen", actor=actor, now=now, reason=cleaned, details={"muted": muted})
        return row


def send_test_to_self(*, actor: Actor, now: datetime) -> Notice:
    """Send oneself a test, once a minute at most. Raises RefusedError."""
    with recorded(Action.VIEW, actor, now) as actor:
        person = _person(actor)
        if not settings.MAIL_URL:
            raise RefusedError(
                "This installation sends no e-mail: no mail server is set up. Read docs/NOTICES.md to set one up.",
                rule="no_mail_server",
            )
        if not person.email:
            raise RefusedError(
                "You have no e-mail address here, so nothing can be sent to you. Ask an administrator to enter one.",
                rule="no_address",
            )
        row = _test(actor, now, person=person)
        record("notice_test_sent", actor=actor, now=now, details={"to": "own e-mail address"})
        return row


def _person(actor: Actor) -> Any:
    person = get_user_model().objects.filter(pk=actor.user_id or 0).first()
    if person is None or person.is_service:
        raise RefusedError(
            "Only people get notices. Add a channel for what many should hear.", rule="not_a_person", status=403
        )
    return person


# ---------------------------------------------------------------- channels


def add_channel(
    *, name: str, address: str, events: Collection[str], team: Team | None, reason: str, actor: Actor, now: datetime
) -> Channel:
    """Have a channel hear of these events, for a team's models or, without one, for all. Raises RefusedError."""
    shown, problem = _described(address)
    with recorded(Action.MANAGE_CHANNELS, actor, now, reason=reason) as actor:
        cleaned = need_reason(reason)
        if problem is not None:
            raise problem
        row = Channel(name=_name(name), team=team, events=_ordered(events), shown=shown, url=seal(address.strip()))
        row.created_at, row.created_by_name = now, actor.name
        try:
            with transaction.atomic():
                row.save(force_insert=True)
        except IntegrityError:
            raise _name_taken(row.name) from None
        record("channel_added", actor=actor, now=now, reason=cleaned, details=_facts(row))
        return row


def change_channel(
    *,
    channel: Channel,
    events: Collection[str],
    team: Team | None,
    reason: str,
    actor: Actor,
    now: datetime,
    address: str = "",
) -> Channel:
    """Change what a channel hears of and, where ``address`` is given, where it is. Raises RefusedError."""
    shown, problem = _described(address) if address.strip() else ("", None)
    with recorded(Action.MANAGE_CHANNELS, actor, now, reason=reason) as actor:
        cleaned = need_reason(reason)
        if problem is not None:
            raise problem
        row = _in_use(channel)
        before = _facts(row)
        row.events, row.team = _ordered(events), team
        if shown:
            row.url, row.shown = seal(address.strip()), shown
        if _facts(row) == before and not shown:
            raise RefusedError("Nothing would change: this is how it is already.", rule="nothing_changes")
        row.save(update_fields=["events", "team", "url", "shown"])
        details = {**_facts(row), "before": before, "new_address": bool(shown)}
        record("channel_changed", actor=actor, now=now, reason=cleaned, details=details)
        return row


def remove_channel(*, channel: Channel, reason: str, actor: Actor, now: datetime) -> Channel:
    """Send nothing there any more, and forget its address for good. Raises RefusedError."""
    with recorded(Action.MANAGE_CHANNELS, actor, now, reason=reason) as actor:
        cleaned = need_reason(reason)
        row = _in_use(channel)
        details = _facts(row)
        row.removed_at, row.url, row.name = now, b"", f"{row.name} (removed, {row.pk})"
        row.save(update_fields=["removed_at", "url", "name"])
        record("channel_removed", actor=actor, now=now, reason=cleaned, details=details)
        return row


def send_test_to_channel(*, channel: Channel, actor: Actor, now: datetime) -> Notice:
    """Send a test there, once a minute at most. Raises RefusedError."""
    with recorded(Action.MANAGE_CHANNELS, actor, now) as actor:
        row = _test(actor, now, channel=_in_use(channel))
        record("notice_test_sent", actor=actor, now=now, details=_facts(channel))
        return row


def _described(address: str) -> tuple[str, RefusedError | None]:
    """The part of an address that may be seen, or why it cannot be used; a refusal never repeats it."""
    if len(address) > LONGEST_ADDRESS:
        return "", RefusedError(
            "This is too long for an address. Give it as Apprise or the service itself writes it.",
            rule="channel_address",
            status=422,
        )
    try:
        return adapters.messages().describe(address), None
    except PortError as error:
        return "", RefusedError(str(error), rule="channel_address", status=422)


def _in_use(channel: Channel) -> Channel:
    row = Channel.objects.select_for_update(of=("self",)).select_related("team").get(pk=channel.pk)
    if row.removed_at is not None:
        raise RefusedError("This channel has been removed. Add it anew if it is needed.", rule="already_removed")
    return row


def _name(name: str) -> str:
    cleaned = line(name, LONGEST_NAME + 1)
    if not 1 <= len(cleaned) <= LONGEST_NAME:
        raise RefusedError(
            f"Give the channel a name of up to {LONGEST_NAME} characters.", rule="channel_name", status=422
        )
    return cleaned


def _name_taken(name: str) -> RefusedError:
    return RefusedError(
        f"There is a channel called “{name}” already. Choose another name.", rule="channel_name", status=409
    )


def _ordered(events: Collection[str]) -> list[str]:
    chosen = _events(events)
    if not chosen:
        raise RefusedError("Choose at least one thing to hear of.", rule="channel_events", status=422)
    return [event.value for event in CHOICES if event in chosen]


def _events(values: Collection[str]) -> set[Event]:
    if not set(values) <= {event.value for event in CHOICES}:
        raise RefusedError("Choose from the list what to hear of.", rule="events", status=422)
    return {Event(value) for value in values}


def _facts(row: Channel) -> dict[str, Any]:
    return {
        "channel": row.pk,
        "name": row.name,
        "where": row.shown,
        "team": row.team.name if row.team else None,
        "events": row.events,
    }


# ---------------------------------------------------------------- delivery


def _test(actor: Actor, now: datetime, **to: Any) -> Notice:
    key = f"{Event.TEST}:{actor.user_id}:{now:%Y-%m-%dT%H:%M}"
    by = line(actor.name)
    facts = {"what": f"asked for by {by}", "by": by, "because": "you asked for it"}
    try:
        with transaction.atomic():
            return Notice.objects.create(event=Event.TEST, key=key, facts=facts, created_at=now, due_at=now, **to)
    except IntegrityError:
        raise RefusedError("A test is on its way already; wait a minute.", rule="test_sent", status=429) from None


def try_again(*, notice: Notice, reason: str, actor: Actor, now: datetime) -> Notice:
    """Send a notice now that waits for its next attempt, or was given up. Raises RefusedError."""
    with recorded(Action.MANAGE_CHANNELS, actor, now, reason=reason) as actor:
        cleaned = need_reason(reason)
        rows = Notice.objects.filter(pk=notice.pk, state__in=(NoticeState.WAITING, NoticeState.FAILED))
        if rows.update(state=NoticeState.WAITING, due_at=now) != 1:
            raise RefusedError(
                "This notice is not waiting to be sent. Look at its line for what has become of it.", rule="not_waiting"
            )
        details = {"notice": notice.pk, "event": notice.event, "attempts": notice.attempts}
        record("notice_tried_again", actor=actor, now=now, reason=cleaned, details=details)
        notice.refresh_from_db()
        return notice
