from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_POST

from lifecycle import operations
from portal.access import actor_of, version_for
from portal.web.answers import invalid, refused
from portal.web.forms import SemanticVersionForm


@require_POST
def accept(request: HttpRequest, slug: str, version: int) -> HttpResponse:
    """Give the version the semantic version that its page proposed."""
    found = version_for(request, slug, version)
    form = SemanticVersionForm(request.POST)
    if not form.is_valid():
        return invalid(request, form, back="version", slug=found.model.slug, version=found.version)
    proposed = form.cleaned_data["semantic_version"]
    try:
        operations.accept_semantic_version(
            version=found, proposed=proposed, actor=actor_of(request), now=timezone.now()
        )
    except operations.RefusedError as error:
        return refused(request, error, back="version", slug=found.model.slug, version=found.version)
    messages.success(request, f"It is called {proposed} now. The tag semantic_version is in MLflow.")
    return redirect("version", slug=found.model.slug, version=found.version)
