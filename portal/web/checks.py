from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from lifecycle import operations
from lifecycle.models import CheckRun
from portal.access import actor_of, check_for, version_for
from portal.web.answers import invalid, refused
from portal.web.forms import CheckForm


@require_POST
def start(request: HttpRequest, slug: str, version: int) -> HttpResponse:
    found = version_for(request, slug, version)
    form = CheckForm(request.POST)
    if not form.is_valid():
        return invalid(request, form, back="version", slug=found.model.slug, version=found.version)
    try:
        operations.start_check(
            version=found, criterion=form.cleaned_data["criterion"], actor=actor_of(request), now=timezone.now()
        )
    except operations.RefusedError as error:
        return refused(request, error, back="version", slug=found.model.slug, version=found.version)
    return redirect(f"{reverse('version', args=(found.model.slug, found.version))}#gate")


@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    check: CheckRun = check_for(request, pk)
    where = {"slug": check.version.model.slug, "version": check.version.version}
    try:
        operations.cancel_check(check=check, actor=actor_of(request), now=timezone.now())
    except operations.RefusedError as error:
        return refused(request, error, back="version", **where)
    return redirect(f"{reverse('version', kwargs=where)}#gate")
