"""Where people begin: the front page, and their inbox."""

from __future__ import annotations

from django.conf import settings
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.cache import never_cache

from lifecycle import queries_home, queries_inbox
from portal.access import actor_of
from portal.web.inboxes import count_of, inbox_of

CASES_SHOWN = 5
"""Transitions of one page of the inbox, each with its gate."""


def home(request: HttpRequest) -> HttpResponse:
    """What waits for this person, what is unhealthy, what runs, and what was taken back lately."""
    inbox, now = inbox_of(request), timezone.now()
    front = queries_home.front(now)
    context = {
        "front": front,
        "inbox": inbox,
        "waiting": inbox.waiting,
        "asking": inbox.asking,
        "to_review": inbox.reviews,
        "bypasses": front.bypasses,
        "wrong": front.wrong,
        "model_count": front.model_count,
        "mirror": front.mirror,
        "registry_url": settings.MLFLOW_PUBLIC_URL,
        "now": now,
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
        "cases": queries_inbox.cases_of(list(page.object_list), actor, now),
        "asked": queries_inbox.asked_by(actor, now),
        "asking": found.asking,
        "bypasses": found.bypasses,
        "to_review": found.reviews,
        "now": now,
    }
    return render(request, "inbox/inbox.html", context)


@never_cache
def inbox_count(request: HttpRequest) -> HttpResponse:
    """What the frame's link to the inbox says, for pages that ask again: the words alone."""
    return HttpResponse(render_to_string("inbox/_count.html", {"inbox_count": count_of(request)}))
