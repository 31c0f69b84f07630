"""One transition: its page, and what people decide about it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from lifecycle import operations, queries, queries_inbox, queries_rollbacks, queries_rollouts, queries_serving
from lifecycle.approvals import still_missing
from lifecycle.domain.permissions import Action, Actor, may
from lifecycle.domain.words import listed
from lifecycle.models import EXECUTING, AuditEntry, Status, Transition
from lifecycle.reads import of_transition
from portal.access import actor_of, transition_for
from portal.web.answers import invalid, refused, wants_part
from portal.web.decisions import prove_first, take_kept
from portal.web.forms import DecisionForm

LAST_YES = (
    "Somebody else has said yes meanwhile, so yours is the last yes it takes now: it would start at once. Nothing was "
    "decided: press once more if you mean that."
)
ENDS: dict[Callable[..., Transition], str] = {
    operations.reject: "transition_rejected",
    operations.cancel: "transition_cancelled",
    operations.bypass: "approvals_bypassed",
}
"""What the record says of the operations after which there is nothing to decide any more."""
OVERTAKEN = frozenset({"already_decided", "already_started", "already_ended", "changed_since_shown"})
"""What is refused because things are no longer as the person saw them: they are shown how they are now."""


def transition_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """The rollout; htmx asks for the part that moves."""
    transition = transition_for(request, pk)
    part = wants_part(request)
    kept = "" if part else take_kept(request, transition, timezone.now())
    context = _page(request, transition) | {"kept": kept, "proven": bool(kept)}
    return render(request, "transitions/_live.html" if part else "transitions/detail.html", context)


def _page(request: HttpRequest, transition: Transition) -> dict[str, Any]:
    now = timezone.now()
    actor = actor_of(request)
    reads = of_transition(transition)
    case = queries_inbox.case_of(transition, actor, now, reads)
    asks_for_review = queries_rollbacks.asks_for_review(transition)
    return {
        "case": case,
        "page": case.page,
        "offers": queries_rollbacks.offers_here(transition, actor, reads.model),
        "timing": queries_rollbacks.timing_of(transition),
        "server_wait": queries_rollbacks.server_wait(transition),
        "instead": queries_rollbacks.instead_of(transition),
        "asks_for_review": asks_for_review,
        "why_not_review": queries_rollbacks.why_not_review(transition, actor) if asks_for_review else "",
        "may_roll_back": may(actor.at(transition.model.team_id), Action.ROLL_BACK),
        "rollout": queries_rollouts.rollout_page(transition, actor, now, reads),
        "failing": queries_serving.failing_in(reads.model) if transition.status in EXECUTING else [],
        "checklist": case.checklist,
        "gate_changes": case.changes,
        "now": now,
        "effects": transition.effects.all(),
        "record": reads.model.lists["record"],
    }


# ---------------------------------------------------------------- deciding


@require_POST
def approve(request: HttpRequest, pk: int) -> HttpResponse:
    """A yes to what was shown. Who has to show who they are first comes back to it, and presses the button again."""
    transition = transition_for(request, pk)
    form = DecisionForm(request.POST)
    if not form.is_valid():
        return invalid(request, form, back="transition", pk=pk)
    given, actor, now = form.cleaned_data, actor_of(request), timezone.now()
    if _became_the_last(transition, actor, given["missing"], now):
        return _shown_again(request, pk, LAST_YES, 409, reason=given["reason"])
    try:
        changed = operations.approve(
            transition=transition, reason=given["reason"], actor=actor, now=now, seen=given["seen"]
        )
    except operations.RefusedError as error:
        if error.rule == "confirm_again":
            return prove_first(request, transition, given["reason"], now)
        if queries_inbox.has_said_yes(transition_for(request, pk), actor):
            messages.info(request, "You have already said yes.")
            return _back(transition, given["back"])
        return _refused(request, pk, error, given["reason"])
    messages.success(request, _after_yes(changed, now))
    return _back(changed, given["back"])


def _became_the_last(transition: Transition, actor: Actor, said: int | None, now: datetime) -> bool:
    """Whether the button said that nothing moves yet, and others have said yes since."""
    if said is None or said < 2:
        return False
    page = queries_inbox.case_of(transition, actor, now).page
    return page.may_decide and len(page.missing) == 1


def _after_yes(transition: Transition, now: datetime) -> str:
    said = f"You have said yes to {transition.version.label} in {transition.to_stage}."
    if transition.status == Status.AWAITING_APPROVAL:
        return f"{said} It still waits for: {listed([role.label for role in still_missing(transition)])}."
    freeze = queries.freeze_of(transition, now)
    when = f"when the freeze “{freeze.row.name}” ends" if freeze else "now"
    return f"{said} Nothing is missing any more: it starts {when}."


@require_POST
def reject(request: HttpRequest, pk: int) -> HttpResponse:
    return _decide(request, pk, operations.reject, "You have rejected it. Nothing moves.")


@require_POST
def take_back(request: HttpRequest, pk: int) -> HttpResponse:
    return _decide(request, pk, operations.take_back, "Your approval is taken back. It does not start without it.")


@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    return _decide(request, pk, operations.cancel)


@require_POST
def roll_back(request: HttpRequest, pk: int) -> HttpResponse:
    return _decide(request, pk, operations.roll_back_transition)


# ---------------------------------------------------------------- in an emergency


@require_POST
def bypass(request: HttpRequest, pk: int) -> HttpResponse:
    return _decide(request, pk, operations.bypass, "It goes on without the missing approvals, and waits for a review.")


@require_POST
def review_bypass(request: HttpRequest, pk: int) -> HttpResponse:
    return _decide(request, pk, operations.review_bypass, "Your review is recorded.")


@require_POST
def override_freeze(request: HttpRequest, pk: int) -> HttpResponse:
    return _decide(request, pk, operations.override_freeze, "The freeze does not hold it any more.")


def _decide(request: HttpRequest, pk: int, operation: Callable[..., Transition], done: str = "") -> HttpResponse:
    transition = transition_for(request, pk)
    form = DecisionForm(request.POST)
    if not form.is_valid():
        return invalid(request, form, back="transition", pk=pk)
    given = form.cleaned_data
    try:
        changed = operation(transition=transition, reason=given["reason"], actor=actor_of(request), now=timezone.now())
    except operations.RefusedError as error:
        if error.rule == "confirm_again":
            return prove_first(request, transition, given["reason"], timezone.now())
        if _did_so_before(request, pk, operation):
            messages.info(request, "You have done that already.")
            return _back(transition, given["back"])
        return _refused(request, pk, error)
    if done:
        messages.success(request, done)
    return _back(changed, given["back"])


def _did_so_before(request: HttpRequest, pk: int, operation: Callable[..., Transition]) -> bool:
    """Whether this is the second click of the person whose first click has ended the question."""
    last = queries_inbox.last_decision(transition_for(request, pk))
    return last is not None and last.actor_id == actor_of(request).user_id and last.action == ENDS.get(operation)


def _back(transition: Transition, back: str) -> HttpResponse:
    return redirect("inbox") if back == "inbox" else redirect("transition", pk=transition.pk)


def _refused(request: HttpRequest, pk: int, error: operations.RefusedError, reason: str = "") -> HttpResponse:
    """Who came second is shown how things are now, and who came first."""
    if error.rule not in OVERTAKEN:
        return refused(request, error, back="transition", pk=pk)
    first = queries_inbox.last_decision(transition_for(request, pk)) if error.rule == "already_decided" else None
    return _shown_again(request, pk, str(error), error.status, first=first, reason=reason)


def _shown_again(
    request: HttpRequest, pk: int, why: str, status: int, *, first: AuditEntry | None = None, reason: str = ""
) -> HttpResponse:
    """The page as it is now, and why nothing was done: ``first`` is what somebody else did. What was typed is kept."""
    context = _page(request, transition_for(request, pk)) | {"refusal": why, "first": first, "kept": reason}
    return render(request, "transitions/detail.html", context, status=status)
