"""How the system is: every part of it, since when, and what to do about it."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.cache import never_cache

from lifecycle import health, queries_status
from portal.access import actor_of
from portal.web.answers import wants_part


@never_cache
def status(request: HttpRequest) -> HttpResponse:
    """All parts. htmx asks for them alone, again and again.

    The page itself waits for nobody: what was found outside within the last seconds is shown with it, and where nobody
    has looked, the part that it asks for at once does.
    """
    actor, now = actor_of(request), timezone.now()
    if wants_part(request):
        # Without the request: the frame's figures are not asked for.
        return HttpResponse(
            render_to_string("status/_parts.html", {"system": queries_status.of_now(now), "actor": actor})
        )
    return render(request, "status/status.html", {"system": queries_status.system_at(now, health.latest(now))})
