from __future__ import annotations

from django.conf import settings
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from lifecycle import operations, policies, queries
from lifecycle.domain.permissions import Action, may
from lifecycle.domain.stages import Stage
from portal.access import actor_of, model_for
from portal.filters import stage_named
from portal.web.answers import invalid, refused, wants_part
from portal.web.forms import RollbackForm

PAGE_SIZE = 50


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
    context = {
        "page": queries.model_page(model, actor_of(request)),
        "policy": policies.current_policy(model, timezone.now()),
        "may_change_policy": may(actor_of(request), Action.CHANGE_POLICY),
        "gateway_url": settings.GATEWAY_URL,
    }
    return render(request, "models/_live.html" if wants_part(request) else "models/detail.html", context)


@require_POST
def roll_back(request: HttpRequest, slug: str) -> HttpResponse:
    model = model_for(request, slug)
    form = RollbackForm(request.POST)
    if not form.is_valid():
        return invalid(request, form, back="model", slug=model.slug)
    try:
        created = operations.roll_back(
            model=model,
            reason=form.cleaned_data["reason"],
            actor=actor_of(request),
            now=timezone.now(),
            emergency=form.cleaned_data["kind"] != "graceful",
        )
    except operations.RefusedError as error:
        return refused(request, error, back="model", slug=model.slug)
    return redirect("transition", pk=created.pk)
