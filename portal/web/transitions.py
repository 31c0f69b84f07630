from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from lifecycle import checklists, operations, queries, queries_rollbacks, queries_rollouts, queries_serving
from lifecycle.domain.permissions import Action, may
from lifecycle.models import EXECUTING
from portal.access import actor_of, transition_for
from portal.web.answers import invalid, refused, wants_part
from portal.web.forms import ReasonForm


def transition_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """The rollout; htmx asks for the part that moves."""
    transition = transition_for(request, pk)
    now = timezone.now()
    actor = actor_of(request)
    page = queries.transition_page(transition, actor, now)
    context = {
        "page": page,
        "offers": queries_rollbacks.offers_here(transition, actor),
        "timing": queries_rollbacks.timing_of(transition),
        "server_wait": queries_rollbacks.server_wait(transition),
        "instead": queries_rollbacks.instead_of(transition),
        "asks_for_review": queries_rollbacks.asks_for_review(transition),
        "why_not_review": queries_rollbacks.why_not_review(transition, actor),
        "may_roll_back": may(actor, Action.ROLL_BACK),
        "rollout": queries_rollouts.rollout_page(transition, actor, now),
        "failing": queries_serving.failing(transition.model) if transition.status in EXECUTING else [],
        "checklist": checklists.of_transition(page),
        "gate_changes": checklists.changes(page),
        "now": now,
        "effects": transition.effects.all(),
        "approvals": transition.approvals.all(),
        "record": queries.record_of(transition)[:100],
    }
    return render(request, "transitions/_live.html" if wants_part(request) else "transitions/detail.html", context)


@require_POST
def approve(request: HttpRequest, pk: int) -> HttpResponse:
    return _decide(request, pk, operations.approve)


@require_POST
def reject(request: HttpRequest, pk: int) -> HttpResponse:
    return _decide(request, pk, operations.reject)


@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    return _decide(request, pk, operations.cancel)


@require_POST
def roll_back(request: HttpRequest, pk: int) -> HttpResponse:
    return _decide(request, pk, operations.roll_back_transition)


def _decide(request: HttpRequest, pk: int, operation: Callable[..., Any]) -> HttpResponse:
    transition = transition_for(request, pk)
    form = ReasonForm(request.POST)
    if not form.is_valid():
        return invalid(request, form, back="transition", pk=pk)
    try:
        changed = operation(
            transition=transition, reason=form.cleaned_data["reason"], actor=actor_of(request), now=timezone.now()
        )
    except operations.RefusedError as error:
        return refused(request, error, back="transition", pk=pk)
    return redirect("transition", pk=changed.pk)
