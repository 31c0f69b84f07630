from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from lifecycle import queries_compare
from lifecycle.models import RegisteredModel
from lifecycle.queries_compare import NotComparableError
from portal.access import model_for

MOST_LINES = 500
"""Lines of one table that a page shows; what differs comes first, so what is left out is mostly what is the same."""
TEXTS = {"params": "Parameter", "tags": "Tag of the version", "run_tags": "Tag of the run"}


def compare(request: HttpRequest, slug: str) -> HttpResponse:
    """Two versions side by side, chosen by ``a`` and ``b``; ``only=differences`` leaves out what is the same."""
    model = model_for(request, slug)
    try:
        first, second = queries_compare.pair(model, request.GET.get("a"), request.GET.get("b"))
    except NotComparableError as error:
        return _not_comparable(request, model, error)
    context = {
        "model": model,
        "comparison": queries_compare.comparison(first, second, timezone.now()),
        "groups": queries_compare.offered(model, (first, second)),
        "only_differences": request.GET.get("only") == "differences",
        "most": MOST_LINES,
        "registry_url": settings.MLFLOW_PUBLIC_URL,
    }
    return render(request, "compare/compare.html", context)


def _not_comparable(request: HttpRequest, model: RegisteredModel, error: NotComparableError) -> HttpResponse:
    """What is wrong, beside the pickers: whoever came by a wrong address goes on from here."""
    context: dict[str, Any] = {"model": model, "problem": error, "groups": queries_compare.offered(model)}
    return render(request, "compare/problem.html", context, status=error.status)


def text(request: HttpRequest, slug: str, of: str) -> HttpResponse:
    """One parameter or tag of both versions in full: the tables show the beginning of what is long."""
    model, name = model_for(request, slug), request.GET.get("name", "")
    try:
        first, second = queries_compare.pair(model, request.GET.get("a"), request.GET.get("b"))
    except NotComparableError as error:
        return _not_comparable(request, model, error)
    line = queries_compare.text(first, second, of, name) if of in TEXTS else None
    if line is None:
        raise Http404("Neither version has such a value.")
    context = {"model": model, "first": first, "second": second, "line": line, "what": TEXTS[of]}
    return render(request, "compare/text.html", context)
