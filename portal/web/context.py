"""What every page's frame needs."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest

from lifecycle.queries import waiting_for
from lifecycle.queries_rollouts import asking
from portal.access import actor_of


def shell(request: HttpRequest) -> dict[str, Any]:
    if not request.user.is_authenticated:
        return {"demo": settings.DEMO}
    actor = actor_of(request)
    return {"demo": settings.DEMO, "actor": actor, "inbox_count": len(waiting_for(actor)) + len(asking(actor))}
