"""Where browsers report what the content security policy kept them from doing."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

from allauth.core import ratelimit
from django.contrib.auth.decorators import login_not_required
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

logger = logging.getLogger(__name__)
LONGEST = 16 * 1024
"""Bytes of one report, or of a few sent together."""
MOST = 10
"""Reports that are read of those sent together."""
COUNT = "csp-reports"
FIELDS = (("effective-directive", "effectiveDirective"), ("blocked-uri", "blockedURL"), ("document-uri", "documentURL"))


@csrf_exempt
@require_POST
@login_not_required
def report(request: HttpRequest) -> HttpResponse:
    """One line in the log for each report, and one more in the figures. Anybody can write here, so little is kept."""
    if not ratelimit.consume(request, action="csp_report"):
        return HttpResponse(status=429)
    body = request.read(LONGEST + 1)
    if len(body) > LONGEST:
        return HttpResponse(status=413)
    try:
        told = list(_told(json.loads(body)))
    except (ValueError, RecursionError):
        return HttpResponse(status=400)
    for each in told[:MOST]:
        logger.warning("Content security policy: %s", " ".join(f"{name}={value!r}" for name, value in each.items()))
    if told:
        _count(len(told[:MOST]))
    return HttpResponse(status=204)


def _told(body: Any) -> Iterator[dict[str, str]]:
    """The reports in either of the two forms that browsers send."""
    for each in body if isinstance(body, list) else [body]:
        found = (each.get("csp-report") or each.get("body")) if isinstance(each, dict) else None
        if isinstance(found, dict):
            yield {old: _short(found.get(old, found.get(new))) for old, new in FIELDS}


def _short(value: Any) -> str:
    """Without the query, which may hold what is nobody's business."""
    return str(value or "").partition("?")[0][:200]


def _count(reports: int) -> None:
    cache.add(COUNT, 0, timeout=None)
    cache.incr(COUNT, reports)


def reports_counted() -> int:
    """Since the shared cache was last emptied."""
    return int(cache.get(COUNT, 0))
