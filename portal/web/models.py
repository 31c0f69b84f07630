from __future__ import annotations

from django.conf import settings
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from lifecycle import freezes, policies, queries, queries_rollbacks, queries_rollouts, queries_serving
from lifecycle.domain.permissions import Action, may
from lifecycle.domain.stages import Stage
from lifecycle.models import Team
from portal.access import actor_of, model_for
from portal.filters import stage_named
from portal.web.answers import wants_part

PAGE_SIZE = 50
TIMINGS_SHOWN = 5


def model_list(request: HttpRequest) -> HttpResponse:
    """All registered models, with what is in each stage; htmx asks for the rows alone."""
    search = request.GET.get("search", "").strip()
    stage = stage_named(request.GET.get("stage"))
    page = Paginator(queries.models_matching(search, stage), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "page": page,
        "rows": queries.model_rows(list(page.object_list)),
        "search": search,
        "stage": stage,
        "stages": list(Stage),
        "registry_url": settings.MLFLOW_PUBLIC_URL,
        "mirror": queries.mirror_state(),
    }
    return render(request, "models/_rows.html" if wants_part(request) else "models/list.html", context)


def model_detail(request: HttpRequest, slug: str) -> HttpResponse:
    model = model_for(request, slug)
    page = queries.model_page(model)
    context = {
        "page": page,
        "offers": queries_rollbacks.offers(model, actor_of(request)),
        "wrong": queries_rollbacks.disagreements_of(model),
        "timings": queries_rollbacks.timings(model, limit=TIMINGS_SHOWN),
        "timing_summary": queries_rollbacks.timing_summary(model),
        "failing": queries_serving.failing(model),
        "unserved": queries_serving.unserved_of(page.variants),
        "standing": queries_rollouts.standing_of_model(model),
        "policy": policies.current_policy(model, timezone.now()),
        "may_change_policy": may(actor_of(request), Action.CHANGE_POLICY),
        "teams": Team.objects.all(),
        "gateway_url": settings.GATEWAY_URL,
        "freeze": freezes.in_force(freezes.planned(model), timezone.now()),
    }
    return render(request, "models/_live.html" if wants_part(request) else "models/detail.html", context)
