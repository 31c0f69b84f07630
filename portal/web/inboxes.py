"""What waits for the person who is signed in, read once a request: in full for a page that lists it, else counted."""

from __future__ import annotations

from django.http import HttpRequest

from lifecycle import queries_inbox
from lifecycle.queries_inbox import Inbox
from portal.access import actor_of

KEPT = "_stagegate_inbox"


def inbox_of(request: HttpRequest) -> Inbox:
    found: Inbox | None = getattr(request, KEPT, None)
    if found is None:
        found = queries_inbox.inbox(actor_of(request))
        setattr(request, KEPT, found)
    return found


def count_of(request: HttpRequest) -> int:
    """How much waits, for the frame of every page."""
    found: Inbox | None = getattr(request, KEPT, None)
    return queries_inbox.count(actor_of(request)) if found is None else found.count
