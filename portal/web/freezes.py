"""Freezes: what holds now, what comes, and planning or removing one."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from lifecycle import operations, queries_freezes
from lifecycle.domain.freezes import Repeats
from lifecycle.domain.permissions import Action, Actor, may
from lifecycle.models import FreezeWindow, RegisteredModel, Team
from portal.access import actor_of
from portal.web.answers import invalid, refused
from portal.web.forms import ReasonForm

MODELS_OFFERED = 200
"""Names that the field for a model proposes; any other can be typed."""
REPEATS = [
    (Repeats.NEVER, "once"),
    (Repeats.DAILY, "every day"),
    (Repeats.WEEKLY, "every week"),
    (Repeats.YEARLY, "every year"),
]


# ---------------------------------------------------------------- the calendar


def freeze_calendar(request: HttpRequest) -> HttpResponse:
    """``month`` (2026-01) is the one shown, by the viewer's clock; without it, this month."""
    actor, now = actor_of(request), timezone.now()
    today = timezone.localtime(now).date()
    first = _month(request.GET.get("month", ""), today)
    zone = timezone.get_current_timezone_name()
    context = {
        "page": queries_freezes.freeze_page(actor, now, first, zone),
        "first": first,
        "before": (first - timedelta(days=1)).replace(day=1),
        "after": (first + timedelta(days=32)).replace(day=1),
        "today": today,
        "zone": zone,
        "days": queries_freezes.COMING_DAYS,
        "may_plan": queries_freezes.may_plan(actor),
    }
    return render(request, "freezes/freezes.html", context)


def _month(wanted: str, today: date) -> date:
    """The first day of the month; of this one where nothing else was said that a calendar has."""
    try:
        first = datetime.strptime(wanted, "%Y-%m").date()  # noqa: DTZ007 - a month is of no zone
    except ValueError:
        first = today.replace(day=1)
    return first if 2000 <= first.year <= 2200 else today.replace(day=1)


# ---------------------------------------------------------------- planning


class LocalTime(forms.Field):
    """A wall-clock time as browsers send it, without an offset."""

    def to_python(self, value: Any) -> datetime | None:
        if not value:
            return None
        try:
            local = datetime.fromisoformat(str(value))
        except ValueError:
            raise forms.ValidationError("Write a date and a time, such as 2026-12-24T18:00.") from None
        return local.replace(tzinfo=None, second=0, microsecond=0)


class FreezeForm(forms.Form):
    """What makes no window is left to the operation, which says which field is wrong."""

    name = forms.CharField(required=False, max_length=1000)
    whose = forms.ChoiceField(choices=[("all", "All models"), ("team", "A team's models"), ("model", "One model")])
    team = forms.ModelChoiceField(queryset=Team.objects.all(), required=False)
    model = forms.CharField(required=False, max_length=1000)
    starts = LocalTime(error_messages={"required": "Say when it starts."})
    ends = LocalTime(error_messages={"required": "Say when it ends."})
    zone = forms.CharField(required=False, max_length=64)
    repeats = forms.ChoiceField(choices=REPEATS, required=False)
    until = forms.DateField(required=False)
    reason = forms.CharField(required=False)

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if given.get("whose") == "team" and not given.get("team"):
            self.add_error("team", "Choose a team.")
        given["found"] = None
        if given.get("whose") == "model":
            given["found"] = RegisteredModel.objects.filter(name=given.get("model", ""), removed_at=None).first()
            if given["found"] is None:
                self.add_error("model", f"There is no registered model called “{given.get('model', '')[:100]}”.")
        return given


@require_http_methods(["GET", "POST"])
def plan(request: HttpRequest) -> HttpResponse:
    """The form; what is wrong stands beside its field, with everything that was typed."""
    now = timezone.now()
    if request.method == "GET":
        return _form(request, FreezeForm(initial=_usual(now)), 200)
    form = FreezeForm(request.POST)
    if not form.is_valid():
        return _form(request, form, 422)
    try:
        row = operations.plan_freeze(actor=actor_of(request), now=now, **_wanted(form.cleaned_data))
    except operations.RefusedError as error:
        if error.status != 422:
            return refused(request, error, back="freezes")
        field = error.field if isinstance(error, operations.FreezeRefusedError) else error.rule
        form.add_error(field if field in form.fields else None, str(error))
        return _form(request, form, error.status)
    messages.success(request, f"The freeze “{row.name}” is planned.")
    return redirect("freezes")


def _wanted(given: dict[str, Any]) -> dict[str, Any]:
    values = {name: given[name] for name in ("name", "starts", "ends", "zone", "until", "reason")}
    team = given["team"] if given["whose"] == "team" else None
    return {**values, "repeats": given["repeats"] or Repeats.NEVER, "model": given["found"], "team": team}


def _usual(now: datetime) -> dict[str, Any]:
    """From the coming Friday evening to Monday morning, by the viewer's clock."""
    today = timezone.localtime(now).date()
    friday = today + timedelta(days=(4 - today.weekday()) % 7 or 7)
    return {
        "whose": "all",
        "starts": f"{friday.isoformat()}T18:00",
        "ends": f"{(friday + timedelta(days=3)).isoformat()}T08:00",
        "zone": timezone.get_current_timezone_name(),
        "repeats": Repeats.NEVER,
    }


def _form(request: HttpRequest, form: FreezeForm, status: int) -> HttpResponse:
    actor = actor_of(request)
    context = {
        "form": form,
        "zones": _zones(),
        "teams": [team for team in Team.objects.all() if may(actor.at(team.pk), Action.PLAN_FREEZE)],
        "models": _models(actor),
        "for_all": may(actor, Action.PLAN_FREEZE),
        "may_plan": queries_freezes.may_plan(actor),
        "repeats": REPEATS,
        "viewer_zone": timezone.get_current_timezone_name(),
    }
    return render(request, "freezes/plan.html", context, status=status)


def _models(actor: Actor) -> list[str]:
    rows = RegisteredModel.objects.filter(removed_at=None).order_by("slug")
    if not may(actor, Action.PLAN_FREEZE):
        rows = rows.filter(team__in=[team for team, _ in actor.team_roles])
    return list(rows.values_list("name", flat=True)[:MODELS_OFFERED])


@cache
def _zones() -> dict[str, list[str]]:
    """The zones that places are named after, by continent, and UTC. They are files, read once."""
    found: dict[str, list[str]] = {}
    for name in sorted(available_timezones()):
        region, _, place = name.partition("/")
        if place and region not in ("Etc", "SystemV", "US"):
            found.setdefault(region, []).append(name)
    return {"UTC": ["UTC"], **found}


# ---------------------------------------------------------------- removing


@require_POST
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    row = FreezeWindow.objects.select_related("model", "team").filter(pk=pk).first()
    if row is None:
        raise Http404(f"There is no freeze {pk}.")
    form = ReasonForm(request.POST)
    if not form.is_valid():
        return invalid(request, form, back="freezes")
    try:
        operations.remove_freeze(
            freeze=row, reason=form.cleaned_data["reason"], actor=actor_of(request), now=timezone.now()
        )
    except operations.RefusedError as error:
        return refused(request, error, back="freezes")
    messages.success(request, f"The freeze “{row.name}” is removed. What it held goes on.")
    return redirect("freezes")
