"""Steering a rollout, and its course over time as charts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from lifecycle import operations, queries_rollouts
from lifecycle.domain import words
from lifecycle.domain.drift import Distribution
from lifecycle.models import Transition
from lifecycle.queries_rollouts import Course, Line, Standing
from lifecycle.reads import ModelReads
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
    found = version_for(request, slug, version)
    reads = ModelReads(found.model, about=found)
    standing = queries_rollouts.standing_of_version(found, reads)
    if standing is None:
        raise Http404(f"Version {version} of {slug} is not judged now.")
    return _drawn(queries_rollouts.course_of_version(standing, timezone.now(), reads), standing, ended=False)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A chart, None where there is nothing to draw; what it says in words; and a ``name`` that its title ends with."""

    figure: charts.Figure | None
    words: str
    name: str = ""


def _drawn(course: Course, standing: Standing | None, *, ended: bool) -> JsonResponse:
    course = charts.in_zone(course, timezone.get_current_timezone())
    found = {
        "errors": Drawn(charts.errors(course), _errors_in_words(course)),
        "latency": Drawn(charts.latency(course), _latency_in_words(course)),
        "requests": Drawn(charts.requests(course), _requests_in_words(course)),
        "predictions": Drawn(charts.predictions(course), _predictions_in_words(course)),
        **(_distributions(standing) if standing else {}),
    }
    shown = {name: {"figure": drawn.figure, "words": drawn.words, "name": drawn.name} for name, drawn in found.items()}
    return JsonResponse({"charts": shown, "ended": ended})


FEATURES_DRAWN = 3
Parts = Sequence[tuple[str, str, Distribution | None]]
"""A name, a colour and the counts of each of the distributions that are laid side by side."""


def _distributions(standing: Standing) -> dict[str, Drawn]:
    """The predictions, and the features that lie farthest apart, of both versions since the trial began."""
    names = standing.trial.version.label, standing.trial.stable.label if standing.trial.stable else ""
    both = _both(names, standing.stable.prediction, standing.canary.prediction)
    drawn = {"distribution": Drawn(charts.side_by_side(both), _distributions_in_words(both))}
    for place, name in enumerate(queries_rollouts.farthest_features(standing)[:FEATURES_DRAWN]):
        both = _both(names, standing.stable.features.get(name), standing.canary.features.get(name))
        figure, told = charts.side_by_side(both), _distributions_in_words(both)
        drawn[f"feature-{place}"] = Drawn(figure, told, charts.shortened(name))
    return drawn


def _both(names: tuple[str, str], stable: Distribution | None, canary: Distribution | None) -> Parts:
    """With the colours that the two have elsewhere: one that is judged alone is the stable one."""
    tone = charts.CANARY if names[1] else charts.STABLE
    return ((names[1], charts.STABLE, stable), (names[0], tone, canary))


# ---------------------------------------------------------------- charts in words


def _short(value: float | None) -> float:
    return float(f"{value or 0.0:.3g}")


def _errors_in_words(course: Course) -> str:
    """Of each version, and the limit: what a chart says to those who do not see it."""
    told = [_errors_of(line) for line in course.lines if any(point.error_rate is not None for point in line.points)]
    if told and course.error_limit is not None:
        told.append(f"The limit is {words.percent(course.error_limit)}.")
    return " ".join(told)


def _errors_of(line: Line) -> str:
    """The latest bin and the worst one."""
    seen = [point for point in line.points if point.error_rate is not None]
    last, worst = seen[-1], max(seen, key=lambda point: point.error_rate or 0.0)
    if not worst.errors:
        requests = sum(point.requests for point in seen)
        return f"{line.version.label}: none of {words.counted(requests, 'request')} failed."
    return (
        f"{line.version.label}: {words.percent(_short(last.error_rate))} of requests failed last, "
        f"{words.percent(_short(worst.error_rate))} at most."
    )


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
    if told and any(weight for _, weight in course.shares):
        told.append(f"Weight: {course.shares[-1][1]} %.")
    return " ".join(told)


def _predictions_in_words(course: Course) -> str:
    told = []
    for line in course.lines:
        seen = [point.prediction for point in line.points if point.prediction and point.prediction.total]
        if seen and line.classes:
            told.append(f"{line.version.label} last: {_shares_in_words(seen[-1])}.")
    return " ".join(told)


def _distributions_in_words(parts: Parts) -> str:
    return " ".join(f"{name}: {_shares_in_words(counts)}." for name, _, counts in parts if counts and counts.total)


SHARES_TOLD = 4


def _shares_in_words(counts: Distribution) -> str:
    """The largest parts first: "52 % versicolor, 48 % setosa"."""
    parts = sorted(zip(counts.shares, charts.names_of(counts), strict=True), key=lambda part: -part[0])
    told = [f"{words.percent(_short(100 * share))} {charts.shortened(name)}" for share, name in parts[:SHARES_TOLD]]
    return ", ".join(told) + (f" and {len(parts) - SHARES_TOLD} more" if len(parts) > SHARES_TOLD else "")
