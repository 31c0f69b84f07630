"""What every page's frame needs."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from portal.access import actor_of
from portal.web.inboxes import inbox_of


def shell(request: HttpRequest) -> dict[str, Any]:
    frame = {"demo": settings.DEMO, "csp_nonce": getattr(request, "csp_nonce", "")}
    if not request.user.is_authenticated:
        return frame
    actor = actor_of(request)
    return {**frame, "actor": actor, "inbox_count": inbox_of(request).count}
