"""Names of people, each leading to the page about them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

from django import template
from django.urls import reverse
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from lifecycle.domain.permissions import COMMAND_LINE, STAGEGATE, STAGEGATE_ASKED_BY

register = template.Library()

LONGEST = 60
"""Characters of a name that are shown; the whole of it is on hover, and on the page that it leads to."""
NOBODYS = {
    STAGEGATE.name: "Stagegate did this by itself",
    COMMAND_LINE: "Somebody at the command line of Stagegate's own machine",
    "MLflow": "Changed in MLflow, not in Stagegate",
}
"""Names that are no person's, with what they mean."""


@register.simple_tag
def person(name: str, user_id: int | None = None, element: str = "", key: Any = "") -> SafeString:
    """A person's name as a link to the page about them; it asks the database nothing.

    Without ``user_id`` the link leads to whoever has this name when it is followed. What acts by itself is no link.
    ``element``, with the ``key`` of what the name stands beside, is the link's id: needed in a part of a page that is
    exchanged while somebody may have the focus on it.
    """
    element = f"{element}-{key}" if key != "" else element
    if user_id is None and (meaning := _meaning(name)):
        return format_html('<span class="nobody" title="{}"><bdi>{}</bdi></span>', meaning, name)
    if user_id is None and name.startswith(STAGEGATE_ASKED_BY):
        return format_html("{}{}", STAGEGATE_ASKED_BY, _link(name.removeprefix(STAGEGATE_ASKED_BY), None, element))
    return _link(name, user_id, element) if name else SafeString("somebody")


def _meaning(name: str) -> str:
    at_command = name.startswith(f"{STAGEGATE.name} (")
    return NOBODYS.get(COMMAND_LINE if at_command else name, "")


def _link(name: str, user_id: int | None, element: str) -> SafeString:
    shown = name if len(name) <= LONGEST else Truncator(name).chars(LONGEST)
    # A page names up to a hundred people, which format_html, once for each part, takes milliseconds for.
    marked = f' id="{escape(element)}"' if element else ""
    whole = f' title="{escape(name)}"' if shown != name else ""
    address = escape(profile_address(name, user_id))
    return SafeString(f'<a class="person"{marked}{whole} href="{address}"><bdi>{escape(shown or user_id)}</bdi></a>')


def profile_address(name: str, user_id: int | None) -> str:
    """Where the page about a person is: by their key, or by their name where a row has kept nothing else."""
    return f"{_address(None)}?{urlencode({'name': name})}" if user_id is None else _address(user_id)


@lru_cache(maxsize=1000)
def _address(user_id: int | None) -> str:
    return reverse("people-named") if user_id is None else reverse("profile", args=[user_id])
