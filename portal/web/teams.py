"""Teams: who they are and which models they own. Everybody reads them; administrators change them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from lifecycle import operations
from lifecycle.models import RegisteredModel, Team
from lifecycle.operations import RefusedError
from portal.access import actor_of, model_for, person_named, team_for
from portal.accounts.models import RoleAssignment
from portal.accounts.people import teams as every_team
from portal.web.answers import invalid, refused
from portal.web.forms import ReasonForm
from portal.web.people import ROLES_OF_TEAMS, RoleForm

PAGE_SIZE = 50
MEMBERS_SHOWN = 200


class TeamForm(ReasonForm):
    name = forms.CharField(required=False)


class MemberForm(RoleForm):
    username = forms.CharField()


class OwnerForm(ReasonForm):
    """``team`` is the slug of the one that gets the model; none: nobody in particular."""

    team = forms.ModelChoiceField(queryset=Team.objects.all(), to_field_name="slug", required=False)


@require_http_methods(["GET", "POST"])
def teams(request: HttpRequest) -> HttpResponse:
    """The list, and a new team."""
    if request.method != "POST":
        return _list(request)
    form = TeamForm(request.POST)
    if not form.is_valid():
        return invalid(request, form, back="teams")
    try:
        team = operations.add_team(**form.cleaned_data, actor=actor_of(request), now=timezone.now())
    except RefusedError as error:
        return _list(request, form=form, problem=str(error), status=error.status)
    messages.success(request, f"Added: {team.name}. Give it people and models next.")
    return redirect("team", slug=team.slug)


def _list(request: HttpRequest, *, status: int = 200, **more: Any) -> HttpResponse:
    context = {"page": Paginator(every_team(), PAGE_SIZE).get_page(request.GET.get("page")), **more}
    return render(request, "teams/list.html", context, status=status)


@require_http_methods(["GET", "POST"])
def team(request: HttpRequest, slug: str) -> HttpResponse:
    found = team_for(request, slug)
    if request.method == "POST":
        return _rename(request, found)
    members = RoleAssignment.objects.filter(team=found).select_related("user").order_by("user__username", "role")
    owned = RegisteredModel.objects.filter(team=found, removed_at=None)
    context = {
        "team": found,
        "members": members[:MEMBERS_SHOWN],
        "more_members": max(members.count() - MEMBERS_SHOWN, 0),
        "page": Paginator(owned, PAGE_SIZE).get_page(request.GET.get("page")),
        "roles": ROLES_OF_TEAMS,
    }
    return render(request, "teams/team.html", context)


def _rename(request: HttpRequest, found: Team) -> HttpResponse:
    form = TeamForm(request.POST)
    if not form.is_valid():
        return invalid(request, form, back="team", slug=found.slug)
    try:
        operations.rename_team(team=found, **form.cleaned_data, actor=actor_of(request), now=timezone.now())
    except RefusedError as error:
        return refused(request, error, back="team", slug=found.slug)
    messages.success(request, f"It is called {found.name} now.")
    return redirect("team", slug=found.slug)


@require_POST
def add_member(request: HttpRequest, slug: str) -> HttpResponse:
    found = team_for(request, slug)
    form = MemberForm({**request.POST.dict(), "team": found.slug})
    if not form.is_valid():
        return invalid(request, form, back="team", slug=found.slug)
    values = form.cleaned_data
    try:
        person = person_named(request, values.pop("username"))
    except Http404 as error:
        messages.error(request, f"{error} Add them under People first.")
        return redirect("team", slug=found.slug)
    try:
        operations.give_role(person=person, **values, actor=actor_of(request), now=timezone.now())
    except RefusedError as error:
        return refused(request, error, back="team", slug=found.slug)
    messages.success(request, f"{person.display_name} is {values['role'].label} for the models of {found.name} now.")
    return redirect("team", slug=found.slug)


@require_POST
def give_model(request: HttpRequest, slug: str) -> HttpResponse:
    model = model_for(request, slug)
    form = OwnerForm(request.POST)
    if not form.is_valid():
        return invalid(request, form, back="model", slug=model.slug)
    chosen: Team | None = form.cleaned_data["team"]
    try:
        operations.give_model(
            model=model,
            team=chosen,
            reason=form.cleaned_data["reason"],
            actor=actor_of(request),
            now=timezone.now(),
        )
    except RefusedError as error:
        return refused(request, error, back="model", slug=model.slug)
    messages.success(request, f"{chosen.name} owns this model now." if chosen else "No team owns this model now.")
    return redirect("model", slug=model.slug)
