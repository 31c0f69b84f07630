"""What a person does about a criterion by hand: report evidence, waive it, take the waiver back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from lifecycle import operations
from lifecycle.models import ModelVersion
from portal.access import actor_of, version_for, waiver_for
from portal.web.answers import invalid, refused
from portal.web.forms import EvidenceForm, ReasonForm, WaiverForm


@require_POST
def record(request: HttpRequest, slug: str, version: int) -> HttpResponse:
    found = version_for(request, slug, version)

    def save(values: dict[str, Any]) -> str:
        row = operations.record_evidence(
            version=found,
            criterion=values["criterion"],
            passed=values["outcome"] == "passed",
            url=values["url"],
            detail=values["detail"],
            actor=actor_of(request),
            now=timezone.now(),
        )
        return f"Recorded: {values['criterion'].label}, {'passed' if row.passed else 'failed'}."

    return _carry_out(request, EvidenceForm(request.POST), found, save)


@require_POST
def waive(request: HttpRequest, slug: str, version: int) -> HttpResponse:
    found, now = version_for(request, slug, version), timezone.now()

    def save(values: dict[str, Any]) -> str:
        operations.grant_waiver(
            version=found,
            criterion=values["criterion"],
            reason=values["reason"],
            expires_at=now + timedelta(days=values["days"]),
            actor=actor_of(request),
            now=now,
        )
        length = "a day" if values["days"] == 1 else f"{values['days']} days"
        return f"Waived for {length}: {values['criterion'].label}."

    return _carry_out(request, WaiverForm(request.POST), found, save)


@require_POST
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    waiver = waiver_for(request, pk)

    def save(values: dict[str, Any]) -> str:
        operations.revoke_waiver(waiver=waiver, reason=values["reason"], actor=actor_of(request), now=timezone.now())
        return "The waiver has ended."

    return _carry_out(request, ReasonForm(request.POST), waiver.version, save)


def _carry_out(
    request: HttpRequest, form: Form, version: ModelVersion, save: Callable[[dict[str, Any]], str]
) -> HttpResponse:
    """``save`` gets the form's values and says what it has done; then back to the version's gate."""
    gate = reverse("version", args=(version.model.slug, version.version)) + "#gate"
    if not form.is_valid():
        return invalid(request, form, back=gate)
    try:
        done = save(form.cleaned_data)
    except operations.RefusedError as error:
        return refused(request, error, back=gate)
    messages.success(request, done)
    return redirect(gate)
