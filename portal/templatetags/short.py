"""Cutting texts to a length, for every template without loading it: lists do it to some hundred names a page."""

from __future__ import annotations

from django import template
from django.template import defaultfilters

register = template.Library()


@register.filter(is_safe=True)
@defaultfilters.stringfilter
def truncatechars(value: str, length: int) -> str:
    """As Django's own, which it leaves everything to that is too long: most texts are not, and are as they were."""
    return value if len(value) <= length else defaultfilters.truncatechars(value, length)
