"""What waits for the person who is signed in: read once a request, for the count in the frame and for the page."""

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
