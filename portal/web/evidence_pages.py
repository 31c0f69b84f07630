"""One piece of evidence, with everything that it takes to believe it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from lifecycle import checklists
from lifecycle.domain.criteria import Criterion
from lifecycle.domain.policy import Policy
from portal import charts, measurements
from portal.access import evidence_for

LISTED_FILES = 500
"""How many files of a model the page lists; those that failed come first, and the API has the rest."""


def evidence_detail(request: HttpRequest, slug: str, version: int, pk: int) -> HttpResponse:
    row = evidence_for(request, pk)
    if slug not in (row.version.model.slug, row.version.model.name) or row.version.version != version:
        raise Http404(f"Version {version} of {slug} has no evidence {pk}.")
    page = checklists.evidence_page(row, timezone.now())
    shown = _SHOWN.get(page.criterion, _nothing_more)
    context = {
        "page": page,
        "evidence": row,
        "version": row.version,
        "registry_url": settings.MLFLOW_PUBLIC_URL,
        "all_measurements": measurements.dump(row.measurements) if row.measurements else "",
        **shown(row.measurements, page.policy.values),
    }
    return render(request, "evidence/detail.html", context)


Shown = Callable[[Mapping[str, Any], Policy], dict[str, Any]]


def _nothing_more(measured: Mapping[str, Any], policy: Policy) -> dict[str, Any]:
    return {}


def _load_test(measured: Mapping[str, Any], policy: Policy) -> dict[str, Any]:
    seconds = measurements.seconds_of(measured)
    ramp = measurements.number(measured.get("ramp_seconds")) or 0.0
    return {
        "chart": charts.load_test(seconds, policy.service_levels, ramp=ramp),
        "seconds": seconds,
        "reasons": measurements.reasons_of(measured),
    }


def _malformed_input(measured: Mapping[str, Any], policy: Policy) -> dict[str, Any]:
    return {"classes": measurements.classes_of(measured), "failing": measurements.failing_of(measured)}


def _artifact_scan(measured: Mapping[str, Any], policy: Policy) -> dict[str, Any]:
    files = measurements.files_of(measured)
    return {"files": files[:LISTED_FILES], "more_files": max(len(files) - LISTED_FILES, 0)}


def _drift(measured: Mapping[str, Any], policy: Policy) -> dict[str, Any]:
    features = measurements.features_of(measured)
    return {
        "features": features,
        "chart": charts.distances(features, policy.comparison.drift),
        "worst": features[0] if features else None,
        "distribution": charts.distribution(features[0]) if features else None,
    }


_SHOWN: Mapping[Criterion, Shown] = {
    Criterion.LOAD_TEST: _load_test,
    Criterion.MALFORMED_INPUT: _malformed_input,
    Criterion.ARTIFACT_SCAN: _artifact_scan,
    Criterion.DRIFT: _drift,
}
