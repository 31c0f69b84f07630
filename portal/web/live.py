from __future__ import annotations

from datetime import UTC, datetime

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from lifecycle import live_at
from lifecycle.operations import RefusedError
from portal.access import model_for
from portal.filters import Moment


class AtForm(forms.Form):
    """``at`` is a wall-clock time of the viewer's zone, as the browser's picker gives it, or ISO 8601 with a zone."""

    at = Moment(
        required=False,
        error_messages={"invalid": "That is no date and time. Write it like 2026-01-31T08:00, or with a zone."},
    )


def live(request: HttpRequest, slug: str) -> HttpResponse:
    """Which version served what share at ``at``, and the changes around it."""
    model, now = model_for(request, slug), timezone.now()
    form = AtForm(request.GET)
    answer, problem = None, ""
    if form.is_valid():
        try:
            answer = live_at.live_at(model, form.cleaned_data["at"] or now, now)
        except RefusedError as error:
            problem = str(error)
    else:
        problem = " ".join(str(each) for each in form.errors["at"])
    context = {
        "model": model,
        "answer": answer,
        "problem": problem,
        "asked": request.GET.get("at", ""),
        "picked": _picked(answer.at) if answer else "",
        "earlier": _address(answer.previous) if answer else "",
        "later": _address(answer.next) if answer else "",
        "is_now": not request.GET.get("at"),
    }
    return render(request, "live/live.html", context, status=422 if problem else 200)


def _picked(at: datetime) -> str:
    """As the browser's picker of date and time has it, in the viewer's zone."""
    return f"{timezone.localtime(at):%Y-%m-%dT%H:%M:%S}"


def _address(at: datetime | None) -> str:
    """A moment for an address: exact, in UTC. "" for none."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z") if at else ""
