"""Going back and being sure of it: rollbacks, withdrawals, drills, putting right, and reviews."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from lifecycle import operations, queries_rollbacks
from lifecycle.models import Transition
from lifecycle.reads import ModelReads
from portal.access import actor_of, model_for, transition_for, version_for
from portal.web.answers import invalid, refused, wants_part
from portal.web.forms import ReasonForm, RollbackForm

ASKS = ("roll-back", "put-right")


def ask(request: HttpRequest, slug: str, what: str) -> HttpResponse:
    """The question behind a button of a list: a dialog where a script asks for it, else a page of its own.

    A list says nothing of what each of its buttons would do: that is read when one of them is pressed.
    """
    if what not in ASKS:
        raise Http404("There is nothing to be asked here.")
    model = model_for(request, slug)
    reads = ModelReads(model)
    context = {
        "model": model,
        "what": what,
        "offers": queries_rollbacks.offers(model, actor_of(request), reads),
        "wrong": reads.wrong,
    }
    return render(request, "rollbacks/_ask.html" if wants_part(request) else "rollbacks/ask.html", context)


@require_POST
def roll_back(request: HttpRequest, slug: str) -> HttpResponse:
    model = model_for(request, slug)
    form = RollbackForm(request.POST)
    if not form.is_valid():
        return invalid(request, form, back="model", slug=model.slug)
    asked = form.cleaned_data
    return _carry_out(
        request,
        operations.roll_back,
        back="model",
        where={"slug": model.slug},
        model=model,
        reason=asked["reason"],
        emergency=asked["kind"] != "graceful",
        to_version=asked["to_version"],
        stop=asked["stop"],
    )


@require_POST
def replace(request: HttpRequest, pk: int) -> HttpResponse:
    """Another way out of a rollback that is under way; whoever comes second sees what the first one chose."""
    transition = transition_for(request, pk)
    form = RollbackForm(request.POST)
    if not form.is_valid():
        return invalid(request, form, back="transition", pk=pk)
    asked = form.cleaned_data
    try:
        changed = operations.replace_rollback(
            transition=transition,
            reason=asked["reason"],
            actor=actor_of(request),
            now=timezone.now(),
            to_version=asked["to_version"],
            stop=asked["stop"],
        )
    except operations.RefusedError as error:
        transition.refresh_from_db()
        instead = queries_rollbacks.instead_of(transition)
        return refused(request, error, back="transition", pk=instead.pk if instead else pk)
    return redirect("transition", pk=changed.pk)


@require_POST
def withdraw(request: HttpRequest, slug: str, version: int) -> HttpResponse:
    found = version_for(request, slug, version)
    where = {"slug": found.model.slug, "version": found.version}
    return _with_reason(request, operations.withdraw, back="version", where=where, version=found)


@require_POST
def drill(request: HttpRequest, slug: str) -> HttpResponse:
    model = model_for(request, slug)
    return _with_reason(request, operations.drill, back="model", where={"slug": model.slug}, model=model)


@require_POST
def put_right(request: HttpRequest, slug: str) -> HttpResponse:
    model = model_for(request, slug)
    return _with_reason(request, operations.reconcile, back="model", where={"slug": model.slug}, model=model)


@require_POST
def review(request: HttpRequest, pk: int) -> HttpResponse:
    transition = transition_for(request, pk)
    operation = operations.review_rollback
    return _with_reason(request, operation, back="transition", where={"pk": pk}, transition=transition)


def _with_reason(
    request: HttpRequest, operation: Callable[..., Transition], *, back: str, where: dict[str, Any], **about: Any
) -> HttpResponse:
    form = ReasonForm(request.POST)
    if not form.is_valid():
        return invalid(request, form, back=back, **where)
    return _carry_out(request, operation, back=back, where=where, reason=form.cleaned_data["reason"], **about)


def _carry_out(
    request: HttpRequest, operation: Callable[..., Transition], *, back: str, where: dict[str, Any], **about: Any
) -> HttpResponse:
    """To the page of the transition; where it was refused, back with the refusal."""
    try:
        changed = operation(actor=actor_of(request), now=timezone.now(), **about)
    except operations.RefusedError as error:
        return refused(request, error, back=back, **where)
    return redirect("transition", pk=changed.pk)
