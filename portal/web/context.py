"""What every page's frame needs."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from portal.access import actor_of
from portal.web.inboxes import count_of


def shell(request: HttpRequest) -> dict[str, Any]:
    """A part of a page has no frame, so what waits is counted where a template asks for it."""
    frame = {"demo": settings.DEMO, "csp_nonce": getattr(request, "csp_nonce", "")}
    if not request.user.is_authenticated:
        return frame
    actor = actor_of(request)
    return {**frame, "actor": actor, "inbox_count": SimpleLazyObject(lambda: count_of(request))}
