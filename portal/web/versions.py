from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from lifecycle import operations, queries
from lifecycle.domain.stages import Stage
from portal.access import actor_of, version_for
from portal.web.answers import invalid, refused
from portal.web.forms import RequestForm


def version_detail(request: HttpRequest, slug: str, version: int) -> HttpResponse:
    found = version_for(request, slug, version)
    context = {
        "page": queries.version_page(found, actor_of(request)),
        "registry_url": settings.MLFLOW_PUBLIC_URL,
    }
    return render(request, "versions/detail.html", context)


@require_POST
def request_transition(request: HttpRequest, slug: str, version: int) -> HttpResponse:
    found = version_for(request, slug, version)
    where = {"slug": found.model.slug, "version": found.version}
    form = RequestForm(request.POST)
    if not form.is_valid():
        return invalid(request, form, back="version", **where)
    try:
        created = operations.request_transition(
            version=found,
            to_stage=Stage(form.cleaned_data["to_stage"]),
            reason=form.cleaned_data["reason"],
            actor=actor_of(request),
            now=timezone.now(),
        )
    except operations.RefusedError as error:
        return refused(request, error, back="version", **where)
    return redirect("transition", pk=created.pk)
