"""How templates show a stage, a status, a verdict, a criterion, a measure or a health: its picture, and its colour."""

from __future__ import annotations

from django import template
from django.utils.safestring import SafeString

from portal import signs
from portal.templatetags.stagegate import icon

register = template.Library()


@register.simple_tag
def sign(family: str, value: str) -> SafeString:
    """The picture: ``{% sign "verdict" "hold" %}``. Words stand beside it."""
    return icon(signs.sign(family, value).icon)


@register.filter
def tone(value: str, family: str) -> str:
    """The class that gives the colour to what stands inside it, "tone-hold"."""
    return f"tone-{signs.sign(family, value).tone}"
