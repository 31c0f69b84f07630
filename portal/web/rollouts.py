"""Steering a rollout, and its course over time as charts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from lifecycle import operations, queries_rollouts
from lifecycle.domain import words
from lifecycle.models import Transition
from lifecycle.queries_rollouts import Course, Standing
from portal import charts
from portal.access import actor_of, transition_for, version_for
from portal.web.answers import invalid, refused
from portal.web.forms import SteerForm

# ---------------------------------------------------------------- steering


@require_POST
def pause(request: HttpRequest, pk: int) -> HttpResponse:
    return _steer(request, pk, operations.pause)


@require_POST
def resume(request: HttpRequest, pk: int) -> HttpResponse:
    return _steer(request, pk, operations.resume)


@require_POST
def skip(request: HttpRequest, pk: int) -> HttpResponse:
    return _steer(request, pk, operations.skip)


@require_POST
def promote(request: HttpRequest, pk: int) -> HttpResponse:
    return _steer(request, pk, operations.promote)


@require_POST
def let_go_on(request: HttpRequest, pk: int) -> HttpResponse:
    return _steer(request, pk, operations.let_go_on)


def _steer(request: HttpRequest, pk: int, operation: Callable[..., Transition]) -> HttpResponse:
    """``step`` is the one that the person saw: what they decided on may have moved on meanwhile."""
    transition = transition_for(request, pk)
    form = SteerForm(request.POST)
    if not form.is_valid():
        return invalid(request, form, back="transition", pk=pk)
    try:
        operation(
            transition=transition,
            reason=form.cleaned_data["reason"],
            actor=actor_of(request),
            now=timezone.now(),
            step=form.cleaned_data["step"],
        )
    except operations.RefusedError as error:
        return refused(request, error, back="transition", pk=pk)
    return redirect("transition", pk=pk)


# ---------------------------------------------------------------- charts


@require_GET
def transition_charts(request: HttpRequest, pk: int) -> JsonResponse:
    """What the page draws, as JSON; ``ended`` says that it will not change any more."""
    transition, now = transition_for(request, pk), timezone.now()
    course = queries_rollouts.course_of_transition(transition, now)
    standing = queries_rollouts.standing_of_transition(transition)
    over = transition.finished_at is not None and now > transition.finished_at + queries_rollouts.AFTERWARDS
    return _drawn(course, standing, ended=over)


@require_GET
def version_charts(request: HttpRequest, slug: str, version: int) -> JsonResponse:
    """As those of a transition, for a version that is judged while it serves."""
    standing = queries_rollouts.standing_of_version(version_for(request, slug, version))
    if standing is None:
        raise Http404(f"Version {version} of {slug} is not judged now.")
    return _drawn(queries_rollouts.course_of_version(standing, timezone.now()), standing, ended=False)


def _drawn(course: Course, standing: Standing | None, *, ended: bool) -> JsonResponse:
    course = charts.in_zone(course, timezone.get_current_timezone())
    figures = {
        "errors": (charts.errors(course), _errors_in_words(course)),
        "latency": (charts.latency(course), _latency_in_words(course)),
        "requests": (charts.requests(course), _requests_in_words(course)),
        "predictions": (charts.predictions(course), ""),
        **(_distributions(standing) if standing else {}),
    }
    found = {name: {"figure": drawn, "words": told} for name, (drawn, told) in figures.items()}
    return JsonResponse({"charts": found, "ended": ended})


FEATURES_DRAWN = 3


def _distributions(standing: Standing) -> dict[str, tuple[charts.Figure | None, str]]:
    """The predictions, and the features that lie farthest apart, of both versions since the trial began."""
    names = standing.trial.version.label, standing.trial.stable.label if standing.trial.stable else ""
    drawn = {
        "distribution": (charts.side_by_side(_both(names, standing.stable.prediction, standing.canary.prediction)), "")
    }
    for place, name in enumerate(queries_rollouts.farthest_features(standing)[:FEATURES_DRAWN]):
        both = _both(names, standing.stable.features.get(name), standing.canary.features.get(name))
        drawn[f"feature-{place}"] = (charts.side_by_side(both), charts.shortened(name))
    return drawn


def _both(names: tuple[str, str], stable: Any, canary: Any) -> Sequence[tuple[str, str, Any]]:
    """With the colours that the two have elsewhere: one that is judged alone is the stable one."""
    tone = charts.CANARY if names[1] else charts.STABLE
    return ((names[1], charts.STABLE, stable), (names[0], tone, canary))


# ---------------------------------------------------------------- charts in words


def _short(value: float | None) -> float:
    return float(f"{value or 0.0:.3g}")


def _errors_in_words(course: Course) -> str:
    """The latest bin of each version that has one: what a chart says to those who do not see it."""
    told = []
    for line in course.lines:
        seen = [point for point in line.points if point.error_rate is not None]
        if seen:
            last, worst = seen[-1], max(seen, key=lambda point: point.error_rate or 0.0)
            told.append(
                f"{line.version.label}: {words.percent(_short(last.error_rate))} of requests failed last, "
                f"{words.percent(_short(worst.error_rate))} at most."
            )
    return " ".join(told)


def _latency_in_words(course: Course) -> str:
    told = []
    for line in course.lines:
        seen = [point for point in line.points if point.p95 is not None]
        if seen:
            p50, p95, p99 = (words.seconds(_short(value)) for value in (seen[-1].p50, seen[-1].p95, seen[-1].p99))
            told.append(f"{line.version.label} last: p50 {p50}, p95 {p95}, p99 {p99}.")
    return " ".join(told)


def _requests_in_words(course: Course) -> str:
    told = [
        f"{line.version.label}: {words.figure(_short(line.points[-1].rate))} a second last."
        for line in course.lines
        if line.points
    ]
    return " ".join(told)
