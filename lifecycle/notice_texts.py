"""Notices in words: ``templates/notices/<event>`` with the facts of a notice."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.template import Context
from django.template.loader import get_template

from lifecycle.domain.notices import LONGEST_SUBJECT, Event, for_chat, line
from lifecycle.models import Notice
from lifecycle.ports import Message, Tone

_TONES = {
    Event.WAITING: Tone.WARNING,
    Event.VOIDED: Tone.WARNING,
    Event.HELD: Tone.WARNING,
    Event.BYPASSED: Tone.WARNING,
    Event.ROLLED_BACK: Tone.FAILURE,
    Event.FAILED: Tone.FAILURE,
    Event.REJECTED: Tone.FAILURE,
    Event.APPROVED: Tone.SUCCESS,
    Event.FINISHED: Tone.SUCCESS,
}


def message_of(notice: Notice) -> Message:
    """Subject, plain text and HTML. Only a chat room's own markup is defused in plain text: mail has none."""
    event = Event(notice.event)
    facts = notice.facts if notice.person_id else for_chat(notice.facts)
    context = {**_moments(facts), "event": event, "channel": notice.channel, "site": settings.PUBLIC_URL}
    return Message(
        subject=line(_render(f"{event}.subject.txt", context, html=False), LONGEST_SUBJECT),
        text=_render(f"{event}.txt", context, html=False),
        html=_render(f"{event}.html", {**context, **_moments(notice.facts)}, html=True),
        key=f"{notice.pk}.{notice.key}",
        tone=_TONES.get(event, Tone.INFO),
    )


def _render(name: str, context: Mapping[str, Any], *, html: bool) -> str:
    template: Any = get_template(f"notices/{name}")
    text = str(template.template.render(Context(context, autoescape=html)))
    return re.sub(r"[ \t]*\n(\s*\n)+", "\n\n", text).strip() + "\n"


def _moments(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts, with times that templates can write in words."""
    return {**facts, "until": _moment(facts.get("until")), "versions": _dated(facts.get("versions"))}


def _dated(versions: Any) -> list[dict[str, Any]]:
    return [{**each, "at": _moment(each.get("at"))} for each in versions or ()]


def _moment(text: Any) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) and text else None
