from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from lifecycle import version_search
from lifecycle.domain.version_filter import KEYS, FilterError

PAGE_SIZE = 25


def versions(request: HttpRequest) -> HttpResponse:
    """The versions of all models that ``filter`` matches, in MLflow's words; all of them without one."""
    text = request.GET.get("filter", "").strip()
    context: dict[str, Any] = {
        "filter": text,
        "examples": version_search.EXAMPLES,
        "keys": KEYS,
        "registry_url": settings.MLFLOW_PUBLIC_URL,
    }
    try:
        keys = version_search.first_matching(text)
    except FilterError as error:
        context |= {"problem": error, "before": text[: error.position - 1], "from": text[error.position - 1 :]}
        return render(request, "version_search/versions.html", context, status=422)
    page = Paginator(keys[: version_search.MOST_FOUND], PAGE_SIZE).get_page(request.GET.get("page"))
    rows = version_search.described(version_search.loaded(list(page.object_list)))
    context |= {"page": page, "rows": rows, "more": len(keys) > version_search.MOST_FOUND}
    return render(request, "version_search/versions.html", context)
