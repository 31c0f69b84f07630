from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from lifecycle import dossier, printing
from lifecycle.printing import NotPrintedError
from portal.access import actor_of, version_for


def page(request: HttpRequest, slug: str, version: int) -> HttpResponse:
    """Everything about one version's way to its stage, to be printed."""
    found = version_for(request, slug, version)
    document = dossier.dossier_of(found, now=timezone.now(), by=actor_of(request).name)
    return render(request, "dossier/dossier.html", {"version": found, "document": document})


def pdf(request: HttpRequest, slug: str, version: int) -> HttpResponse:
    """The same as a PDF."""
    found, now = version_for(request, slug, version), timezone.now()
    try:
        content = printing.pdf(dossier.dossier_of(found, now=now, by=actor_of(request).name), now)
    except NotPrintedError as error:
        return render(request, "dossier/problem.html", {"version": found, "problem": error}, status=503)
    response = HttpResponse(content, content_type="application/pdf")
    name = f"dossier-{found.model.slug}-version-{found.version}.pdf"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
