"""Where a version comes from and what came after it; and the ways here from MLflow."""

from __future__ import annotations

from django.conf import settings
from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from lifecycle import lineage
from lifecycle.models import ModelVersion
from portal.access import version_for
from portal.web.answers import wants_part

MOST_VERSIONS = 100
"""Versions of one run that are listed."""


def version_lineage(request: HttpRequest, slug: str, version: int) -> HttpResponse:
    """What MLflow and the history of transitions say, for htmx; by hand the address leads to the version's page."""
    found = version_for(request, slug, version)
    if not wants_part(request):
        return redirect(reverse("version", args=[found.model.slug, found.version]) + "#lineage")
    context = {"version": found, "lineage": lineage.lineage_of(found), "registry_url": settings.MLFLOW_PUBLIC_URL}
    return render(request, "versions/_lineage.html", context)


def from_version(request: HttpRequest, name: str, version: int) -> HttpResponse:
    """From a version in MLflow, by the names that it has there, to its page."""
    rows = ModelVersion.objects.filter(model__name=name, version=version).select_related("model")
    # Models that MLflow still has come first; left alone, each database has its own place for NULL.
    there = F("model__removed_at").desc(nulls_first=True)
    found = rows.order_by("-model__exact_name", there, "-pk").first()
    if found is None:
        raise Http404(
            f"Stagegate knows no version {version} of a registered model “{name[:200]}”. A version that was registered "
            "just now appears within seconds; check the name and the number in MLflow."
        )
    return redirect("version", slug=found.model.slug, version=found.version)


def from_run(request: HttpRequest, key: str) -> HttpResponse:
    """From a run in MLflow to the version that it made, or to the list of those."""
    found = lineage.versions_of_run(key[:64], most=MOST_VERSIONS)
    if not found:
        raise Http404(
            f"No version of a registered model was made by the run {key[:64]}. Register its model in MLflow: the "
            "version appears here within seconds."
        )
    if len(found) == 1:
        return redirect("version", slug=found[0].model.slug, version=found[0].version)
    return render(request, "versions/of_run.html", {"run_id": key[:64], "versions": found})
