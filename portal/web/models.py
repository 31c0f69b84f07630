from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from lifecycle import queries, queries_models, queries_rollbacks, queries_rollouts, queries_serving
from lifecycle.domain.permissions import Action, may
from lifecycle.domain.stages import Stage
from lifecycle.models import ModelIndex, RegisteredModel, Team
from lifecycle.queries_models import Span
from lifecycle.reads import ModelReads
from portal.access import actor_of, model_for
from portal.accounts.models import RoleAssignment
from portal.filters import model_filter, sort_named
from portal.web.answers import wants_part
from portal.web.model_list import Asked

PAGE_SIZE = 25
DEFAULT_SPAN = Span.QUARTER
MEMBERS_SHOWN = 30


def model_list(request: HttpRequest) -> HttpResponse:
    """The models that match, with what is in each stage; htmx asks for the rows alone, and keeps the address in step.

    A form that was sent leads to the one address of its list; a tag that was just typed is among the chosen there.
    """
    asked = Asked(model_filter(request.GET), sort_named(request.GET.get("sort")))
    if "add_tag" in request.GET:
        return redirect(request.path + asked.address())
    found = queries_models.models_matching(asked.wanted)
    page = Paginator(queries_models.in_order(found, asked.sort), PAGE_SIZE).get_page(request.GET.get("page"))
    choices = queries_models.choices()
    context = {
        "asked": asked,
        "wanted": asked.wanted,
        "page": page,
        "pages": _pages(page, asked),
        "rows": queries_models.model_rows(cast("QuerySet[ModelIndex]", page.object_list), asked.sort),
        "chips": asked.chips(choices),
        "headings": asked.headings(),
        "choices": choices,
        "not_listed": asked.not_listed(choices),
        "stages": list(Stage),
        "nobody": queries_models.NOBODY,
    }
    if not wants_part(request):
        return render(request, "models/list.html", {**context, **_first_run(page, asked)})
    response = render(request, "models/_results.html", context)
    response["HX-Replace-Url"] = request.path + asked.address()
    return response


def _pages(page: Page[Any], asked: Asked) -> list[tuple[str, str]]:
    """The numbers of the pager with their addresses, "" where some are left out."""
    if page.paginator.num_pages == 1:
        return []
    numbers = page.paginator.get_elided_page_range(page.number, on_each_side=1, on_ends=1)
    return [(str(number), asked.address(number) if isinstance(number, int) else "") for number in numbers]


def _first_run(page: Page[Any], asked: Asked) -> dict[str, Any]:
    """What an installation without models says instead of an empty list."""
    if page.paginator.count or asked.wanted != queries_models.ModelFilter():
        return {}
    if queries_models.are_unlisted():
        return {"unlisted": True}
    return {"first_run": True, "registry_url": settings.MLFLOW_PUBLIC_URL, "mirror": queries.mirror_state()}


def model_detail(request: HttpRequest, slug: str) -> HttpResponse:
    model, now = model_for(request, slug), timezone.now()
    reads = ModelReads(model)
    queries_rollbacks.also_timings(reads)
    queries_models.also_past(reads)
    context = {
        "page": queries.model_page(model, reads),
        "past": queries_models.past(reads, _span(request), now),
        "default_span": DEFAULT_SPAN,
        "registry_url": settings.MLFLOW_PUBLIC_URL,
        "offers": queries_rollbacks.offers(model, actor_of(request), reads),
        "wrong": reads.wrong,
        "timings": queries_rollbacks.timings_in(reads),
        "timing_summary": queries_rollbacks.timing_summary_in(reads),
        "failing": queries_serving.failing_in(reads),
        "unserved": queries_serving.unserved_of(reads),
        "standing": queries_rollouts.standing_of_model(model, reads),
        "policy": reads.policy(now),
        "may_change_policy": may(actor_of(request), Action.CHANGE_POLICY),
        "teams": Team.objects.all(),
        "gateway_url": settings.GATEWAY_URL,
        "freeze": reads.freeze(now),
    }
    if wants_part(request):
        return render(request, "models/_live.html", context)
    return render(request, "models/detail.html", {**context, **_members(model)})


def _span(request: HttpRequest) -> Span:
    """How far back the line of time goes; as usual for any other word."""
    return next((span for span in Span if span.value == request.GET.get("history")), DEFAULT_SPAN)


def _members(model: RegisteredModel) -> dict[str, Any]:
    """Who has a role for the models of its team, by role and name."""
    if model.team_id is None:
        return {}
    held = RoleAssignment.objects.filter(team=model.team_id, user__is_active=True).select_related("user")
    members = list(held.order_by("role", "user__username")[: MEMBERS_SHOWN + 1])
    return {"members": members[:MEMBERS_SHOWN], "more_members": len(members) > MEMBERS_SHOWN}
