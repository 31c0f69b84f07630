"""How templates show what the record keeps: each detail leads to the page of what it names."""

from __future__ import annotations

from typing import Any

from django import template
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from lifecycle.models import AuditEntry
from portal.templatetags.people import person
from portal.templatetags.stagegate import detail

register = template.Library()

PEOPLE = frozenset({"person", "account", "owner", "by", "placed_by"})
"""Details that are the name of a person or of an account."""


@register.simple_tag
def detail_of(entry: AuditEntry, name: str, value: Any) -> SafeString | str:
    """A detail of an entry as ``detail`` writes it; a link where there is a page about what it names."""
    shown = detail(value)
    if not shown or isinstance(value, list | dict):
        return format_html("<bdi>{}</bdi>", shown) if shown else ""
    if name in PEOPLE and isinstance(value, str):
        return person(value)
    address = _address(entry, name, value)
    return (
        format_html('<a href="{}"><bdi>{}</bdi></a>', address, shown)
        if address
        else format_html("<bdi>{}</bdi>", shown)
    )


def _address(entry: AuditEntry, name: str, value: Any) -> str:
    """Where the page is about what this detail names; "" where there is none."""
    try:
        match name, value:
            case "team", str():
                return reverse("team", args=[value])
            case "policy", int():
                return reverse("policy", args=[value])
            case "evidence", int() if entry.model and entry.version:
                return reverse("evidence", args=[entry.model, entry.version, value])
            case "freeze", int():
                return f"{reverse('freezes')}#freeze-{value}"
            case "export", int():
                return f"{reverse('exports')}#export-{value}"
    except NoReverseMatch:
        return ""
    return ""
