"""What the frame around every page says of where one is."""

from __future__ import annotations

from typing import Any

from django import template
from django.urls import reverse
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_tag(takes_context=True)
def current(context: dict[str, Any], name: str, below: str = "") -> SafeString:
    """The ``aria-current`` of a link to the page ``name``: "page" on that page, "true" on those below it, else nothing.

    ``below``: how the addresses of the pages below it begin, with spaces between.
    """
    path = context["request"].path
    if path == reverse(name):
        return SafeString('aria-current="page"')
    return SafeString('aria-current="true"') if path.startswith(tuple(below.split())) else SafeString("")


@register.simple_tag(takes_context=True)
def is_below(context: dict[str, Any], below: str) -> bool:
    """Whether the page's address begins with one of these, which have spaces between."""
    return bool(context["request"].path.startswith(tuple(below.split())))
