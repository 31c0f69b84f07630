"""People and service accounts, for administrators: who there is, and which roles they have for what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from lifecycle import operations
from lifecycle.domain.permissions import TEAM_ROLES, Action, Role, require
from lifecycle.models import Team
from lifecycle.operations import RefusedError
from portal.access import actor_of, person_for
from portal.accounts.models import User
from portal.accounts.people import KINDS, people_matching
from portal.accounts.second_factors import has_second_factor
from portal.web.answers import invalid, refused, wants_part
from portal.web.forms import ReasonForm

PAGE_SIZE = 50
PEOPLES_ROLES = tuple(role for role in Role if role != Role.SERVICE)
ROLES_OF_TEAMS = tuple(role for role in PEOPLES_ROLES if role in TEAM_ROLES)


class PersonForm(ReasonForm):
    """What is wrong with the values is left to the operation, which records the attempt."""

    name = forms.CharField(required=False)
    email = forms.CharField(required=False)


class NewPersonForm(PersonForm):
    username = forms.CharField(required=False)


class ChangeForm(PersonForm):
    active = forms.BooleanField(required=False)
    shared = forms.BooleanField(required=False)


class RoleForm(ReasonForm):
    """``team`` is the one whose models the role is for; none: for all models."""

    role = forms.TypedChoiceField(choices=[(role.value, role.label) for role in PEOPLES_ROLES], coerce=Role)
    team = forms.ModelChoiceField(queryset=Team.objects.all(), to_field_name="slug", required=False)


@require_http_methods(["GET", "POST"])
def people(request: HttpRequest) -> HttpResponse:
    """The list, and somebody new; htmx asks for the rows alone."""
    if request.method == "POST":
        return _add(request)
    return _list(request)


def _list(request: HttpRequest, *, status: int = 200, **more: Any) -> HttpResponse:
    require(actor_of(request), Action.MANAGE_PEOPLE)
    search, kind, role = (request.GET.get(name, "").strip() for name in ("search", "kind", "role"))
    found = people_matching(search, kind, role)
    context = {
        "page": Paginator(found, PAGE_SIZE).get_page(request.GET.get("page")),
        "search": search,
        "kind": kind,
        "kinds": KINDS,
        "role": role,
        "roles": Role,
        "filtered": bool(search or kind or role),
        **more,
    }
    return render(request, "people/_rows.html" if wants_part(request) else "people/list.html", context, status=status)


def _add(request: HttpRequest) -> HttpResponse:
    form = NewPersonForm(request.POST)
    if not form.is_valid():
        return invalid(request, form, back="people")
    try:
        person = operations.add_person(**form.cleaned_data, actor=actor_of(request), now=timezone.now())
    except RefusedError as error:
        return _list(request, form=form, problem=str(error), status=error.status)
    messages.success(request, f"Added: {person.display_name}. Now give them their roles.")
    return redirect("person", pk=person.pk)


@require_http_methods(["GET", "POST"])
def person(request: HttpRequest, pk: int) -> HttpResponse:
    found = person_for(request, pk)
    if request.method == "POST":
        return _change(request, found)
    return show_person(request, found)


def show_person(request: HttpRequest, found: User, **more: Any) -> HttpResponse:
    require(actor_of(request), Action.MANAGE_PEOPLE)
    context = {
        "person": found,
        "assignments": found.role_assignments.select_related("team").order_by("team__name", "role"),
        "tokens": found.api_tokens.order_by("-created_at")[:PAGE_SIZE],
        "teams": Team.objects.all(),
        "roles": PEOPLES_ROLES,
        "now": timezone.now(),
        "second_factor": has_second_factor(found),
        **more,
    }
    return render(request, "people/person.html", context)


def _change(request: HttpRequest, found: User) -> HttpResponse:
    form = ChangeForm(request.POST)

    def save(values: dict[str, Any]) -> str:
        operations.change_person(person=found, **values, actor=actor_of(request), now=timezone.now())
        return "Changed."

    return _carry_out(request, found, form, save)


@require_POST
def give_role(request: HttpRequest, pk: int) -> HttpResponse:
    found = person_for(request, pk)

    def save(values: dict[str, Any]) -> str:
        operations.give_role(person=found, **values, actor=actor_of(request), now=timezone.now())
        return f"{found.display_name} is {values['role'].label} {scope_words(values['team'])} now."

    return _carry_out(request, found, RoleForm(request.POST), save)


@require_POST
def take_role(request: HttpRequest, pk: int) -> HttpResponse:
    found = person_for(request, pk)

    def save(values: dict[str, Any]) -> str:
        operations.take_role(person=found, **values, actor=actor_of(request), now=timezone.now())
        return f"{found.display_name} is {values['role'].label} {scope_words(values['team'])} no more."

    return _carry_out(request, found, RoleForm(request.POST), save)


def scope_words(team: Team | None) -> str:
    return f"for the models of {team.name}" if team else "for all models"


def _carry_out(
    request: HttpRequest, found: User, form: forms.Form, save: Callable[[dict[str, Any]], str]
) -> HttpResponse:
    """``save`` gets the form's values and says what it has done; then back to the person."""
    if not form.is_valid():
        return invalid(request, form, back="person", pk=found.pk)
    try:
        done = save(form.cleaned_data)
    except RefusedError as error:
        return refused(request, error, back="person", pk=found.pk)
    messages.success(request, done)
    return redirect("person", pk=found.pk)
