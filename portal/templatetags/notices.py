"""How templates name the events that notices tell of."""

from __future__ import annotations

from django import template

from lifecycle.domain.notices import Event

register = template.Library()


@register.filter
def event_label(event: str) -> str:
    return Event(event).label
