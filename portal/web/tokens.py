"""API tokens: one's own, and for administrators everybody's and those of service accounts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from lifecycle.domain.permissions import Action, Role, may, require
from lifecycle.operations import RefusedError
from portal.access import actor_of, token_for
from portal.accounts.models import TOKEN_NAME_LIMIT, ApiToken
from portal.accounts.tokens import (
    Wanted,
    create_for_service,
    create_own,
    revoke_token,
    scopes_for,
    service_accounts,
)
from portal.web.answers import invalid, refused
from portal.web.forms import ReasonForm, ServiceTokenForm, TokenForm

PAGE_SIZE = 50
LIFETIMES = ((7, "7 days"), (30, "30 days"), (90, "90 days"), (180, "180 days"), (365, "a year"))
USUAL_LIFETIME = 90
SERVICE_SCOPES = scopes_for({Role.SERVICE})


@never_cache
@require_http_methods(["GET", "POST"])
def tokens(request: HttpRequest) -> HttpResponse:
    """The list, and a new token: one's own, or with ``account`` a service account's."""
    if request.method != "POST":
        return _page(request)
    for_service = "account" in request.POST
    form = ServiceTokenForm(request.POST) if for_service else TokenForm(request.POST)
    return _create(request, form, "service_form" if for_service else "own_form")


@sensitive_variables("issued")
def _create(request: HttpRequest, form: TokenForm, called: str) -> HttpResponse:
    """The secret is in this answer alone. With a redirect it would have to wait somewhere for the next page."""
    now = timezone.now()
    if not form.is_valid():
        problem = "Choose from the list what the token may be used for, and for how long it lasts."
        return _page(request, **{called: form}, problem=problem, status=422)
    values = form.cleaned_data
    wanted = Wanted(
        name=values["name"],
        scopes=frozenset(values["scopes"]),
        expires_at=now + timedelta(days=values["days"]),
        reason=values["reason"],
    )
    try:
        if isinstance(form, ServiceTokenForm):
            issued = create_for_service(account=values["account"], wanted=wanted, actor=actor_of(request), now=now)
        else:
            issued = create_own(wanted=wanted, actor=actor_of(request), now=now)
    except RefusedError as error:
        return _page(request, **{called: form}, problem=str(error), status=error.status)
    return _page(request, issued=issued)


@require_POST
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    token = token_for(request, pk)
    form = ReasonForm(request.POST)
    if not form.is_valid():
        return invalid(request, form, back="tokens")
    try:
        revoke_token(token=token, reason=form.cleaned_data["reason"], actor=actor_of(request), now=timezone.now())
    except RefusedError as error:
        return refused(request, error, back="tokens")
    messages.success(request, f"Revoked: “{token.name}” opens nothing any more.")
    return redirect(reverse("tokens") + ("" if token.user_id == request.user.pk else "?whose=everybody"))


def _page(request: HttpRequest, *, status: int = 200, **more: Any) -> HttpResponse:
    actor, now = actor_of(request), timezone.now()
    everybody = request.GET.get("whose") == "everybody"
    if everybody:
        require(actor, Action.MANAGE_TOKENS)
    manages = may(actor, Action.MANAGE_TOKENS)
    context = {
        "page": Paginator(_listed(None if everybody else actor.user_id), PAGE_SIZE).get_page(request.GET.get("page")),
        "everybody": everybody,
        "manages": manages,
        "now": now,
        "own_scopes": scopes_for(actor.any_roles),
        "service_scopes": SERVICE_SCOPES,
        "accounts": service_accounts() if manages else (),
        "lifetimes": LIFETIMES,
        "usual_lifetime": USUAL_LIFETIME,
        "name_limit": TOKEN_NAME_LIMIT,
        **more,
    }
    return render(request, "tokens/tokens.html", context, status=status)


def _listed(owner_id: int | None) -> QuerySet[ApiToken]:
    rows = ApiToken.objects.select_related("user").prefetch_related("user__role_assignments")
    return rows if owner_id is None else rows.filter(user_id=owner_id)
