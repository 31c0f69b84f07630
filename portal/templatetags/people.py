"""Names of people, each leading to the page about them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django import template
from django.urls import reverse
from django.utils.html import format_html
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
    shown = Truncator(name).chars(LONGEST)
    return format_html(
        '<a class="person"{}{} href="{}"><bdi>{}</bdi></a>',
        format_html(' id="{}"', element) if element else "",
        format_html(' title="{}"', name) if shown != name else "",
        profile_address(name, user_id),
        shown or user_id,
    )


def profile_address(name: str, user_id: int | None) -> str:
    """Where the page about a person is: by their key, or by their name where a row has kept nothing else."""
    if user_id is not None:
        return reverse("profile", args=[user_id])
    return f"{reverse('people-named')}?{urlencode({'name': name})}"
