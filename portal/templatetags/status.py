"""How templates show the parts of the system: signs, words, figures and links."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import template
from django.contrib.humanize.templatetags.humanize import intcomma
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from lifecycle.domain.permissions import Action, Actor, may
from lifecycle.domain.system import Figure, Link, State
from portal.permissions import needs
from portal.signs import HEALTH, Health, Sign
from portal.templatetags.stagegate import when

register = template.Library()

WORDS = {
    State.HEALTHY: "Works",
    State.DEGRADED: "Needs attention",
    State.DOWN: "Does not work",
    State.UNKNOWN: "Not known",
    State.UNUSED: "Not in use",
}


@register.filter
def state_sign(state: State) -> Sign:
    return HEALTH[Health.UNKNOWN if state == State.UNUSED else Health(state.value)]


@register.filter
def state_words(state: State) -> str:
    return WORDS[state]


@register.filter
def figure_value(figure: Figure) -> SafeString:
    if isinstance(figure.value, datetime):
        return when(figure.value)
    return format_html("<bdi>{}</bdi>", intcomma(figure.value) if isinstance(figure.value, int) else figure.value)


@register.filter
def capital(text: str) -> str:
    """With a capital first letter, and the rest as it is."""
    return text[:1].upper() + text[1:]


@register.filter
def leads_to(link: Link, actor: Actor) -> str:
    """The address, "" where this person may not look."""
    needed: Any = needs(link.page, "GET")
    if isinstance(needed, Action) and not may(actor, needed):
        return ""
    return reverse(link.page, args=link.about)
