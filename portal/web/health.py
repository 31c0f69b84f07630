"""For machines that watch: is the process up, is everything it needs up, and what are the figures."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from lifecycle import health
from portal.web.metrics import REGISTRY


@login_not_required
def healthz(request: HttpRequest) -> JsonResponse:
    """The process answers."""
    return JsonResponse({"status": "ok"})


@login_not_required
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when everything that requests need answers, else 503; what is down is named either way."""
    parts = health.check()
    ready = not any(part.needed and part.error for part in parts)
    body = {
        "status": "ok" if ready else "unavailable",
        "parts": {part.name: {"ok": not part.error, "needed": part.needed, "error": part.error} for part in parts},
    }
    return JsonResponse(body, status=200 if ready else 503)


@login_not_required
def metrics(request: HttpRequest) -> HttpResponse:
    return HttpResponse(generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)
