from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from lifecycle import queries, queries_rollbacks, queries_rollouts, queries_serving
from lifecycle.domain.permissions import Action, may
from portal.access import actor_of


def home(request: HttpRequest) -> HttpResponse:
    """What waits for this person, what runs, and what was taken back lately."""
    actor = actor_of(request)
    context = {
        "waiting": queries.waiting_for(actor),
        "asking": queries_rollouts.asking(actor),
        "running": queries.running(),
        "failing": queries_serving.failing(),
        "rolled_back": queries.lately_rolled_back(timezone.now()),
        "to_review": queries_rollbacks.reviews_for(actor),
        "wrong": queries_rollbacks.disagreements_everywhere(),
        "may_roll_back": may(actor, Action.ROLL_BACK),
        "may_put_right": may(actor, Action.RECONCILE),
        "model_count": queries.models_matching().count(),
        "mirror": queries.mirror_state(),
        "registry_url": settings.MLFLOW_PUBLIC_URL,
    }
    return render(request, "home/home.html", context)


def inbox(request: HttpRequest) -> HttpResponse:
    actor = actor_of(request)
    context = {
        "waiting": queries.waiting_for(actor),
        "asking": queries_rollouts.asking(actor),
        "to_review": queries_rollbacks.reviews_for(actor),
    }
    return render(request, "inbox/inbox.html", context)
