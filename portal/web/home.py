from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from lifecycle import queries
from portal.access import actor_of


def home(request: HttpRequest) -> HttpResponse:
    """What waits for this person, what runs, and what was taken back lately."""
    actor = actor_of(request)
    context = {
        "waiting": queries.waiting_for(actor),
        "running": queries.running(),
        "rolled_back": queries.lately_rolled_back(timezone.now()),
        "model_count": queries.models_matching().count(),
        "mirror": queries.mirror_state(),
        "registry_url": settings.MLFLOW_PUBLIC_URL,
    }
    return render(request, "home/home.html", context)


def inbox(request: HttpRequest) -> HttpResponse:
    return render(request, "inbox/inbox.html", {"waiting": queries.waiting_for(actor_of(request))})
