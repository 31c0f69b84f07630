"""Where people begin: the front page, and their inbox."""

from __future__ import annotations

from django.conf import settings
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from lifecycle import queries, queries_inbox, queries_rollbacks, queries_serving
from portal.access import actor_of
from portal.web.inboxes import inbox_of

CASES_SHOWN = 10
"""Transitions of one page of the inbox, each with its gate."""


def home(request: HttpRequest) -> HttpResponse:
    """What waits for this person, what runs, and what was taken back lately."""
    inbox = inbox_of(request)
    context = {
        "inbox": inbox,
        "waiting": inbox.waiting,
        "asking": inbox.asking,
        "to_review": inbox.reviews,
        "bypasses": queries_inbox.bypasses(),
        "running": queries.running(),
        "failing": queries_serving.failing(),
        "rolled_back": queries.lately_rolled_back(timezone.now()),
        "wrong": queries_rollbacks.disagreements_everywhere(),
        "model_count": queries.models_matching().count(),
        "mirror": queries.mirror_state(),
        "registry_url": settings.MLFLOW_PUBLIC_URL,
    }
    return render(request, "home/home.html", context)


def inbox(request: HttpRequest) -> HttpResponse:
    """What this person can decide, each with its gate, and what they wait for themselves."""
    actor, now = actor_of(request), timezone.now()
    found = inbox_of(request)
    page = Paginator(found.waiting, CASES_SHOWN).get_page(request.GET.get("page"))
    context = {
        "inbox": found,
        "page_of_cases": page,
        "cases": [queries_inbox.case_of(each, actor, now) for each in page.object_list],
        "asked": queries_inbox.asked_by(actor, now),
        "asking": found.asking,
        "bypasses": found.bypasses,
        "to_review": found.reviews,
        "now": now,
    }
    return render(request, "inbox/inbox.html", context)
