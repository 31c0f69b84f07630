"""A metric through the versions of a model."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from lifecycle import metric_history, policies
from portal import charts
from portal.access import model_for
from portal.sparklines import sparkline


def metrics(request: HttpRequest, slug: str) -> HttpResponse:
    """The course of one metric as a chart and a table; ``?metric=`` says which, else it is the first one."""
    model = model_for(request, slug)
    rules = policies.current_policy(model, timezone.now()).values.offline_regression
    course = metric_history.course(model, request.GET.get("metric"), rules)
    values = [line.second if line else None for line in course.lines]
    drawn = sparkline(course.name, values, course.versions, None)
    context = {
        "model": model,
        "course": course,
        "rows": list(zip(course.versions, course.lines, strict=True))[::-1],
        "chart": charts.metric(course),
        "words": drawn.words if drawn else "",
    }
    return render(request, "metrics/metrics.html", context)
