"""Choosing a password with a link that an administrator made."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.views import INTERNAL_RESET_SESSION_TOKEN, PasswordResetConfirmView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_POST

from lifecycle.audit import recording
from lifecycle.domain.permissions import Actor
from lifecycle.operations import RefusedError
from portal.access import actor_of, person_for
from portal.accounts.models import User
from portal.accounts.passwords import keep_password, make_link, may_have_password
from portal.addresses import client_address
from portal.web.answers import invalid, refused
from portal.web.forms import ReasonForm
from portal.web.people import show_person


@never_cache
@require_POST
@sensitive_variables("link")
def password_link(request: HttpRequest, pk: int) -> HttpResponse:
    """The link is in this answer alone: it is to be passed on, to that person only."""
    found = person_for(request, pk)
    form = ReasonForm(request.POST)
    if not form.is_valid():
        return invalid(request, form, back="person", pk=pk)
    try:
        path = make_link(person=found, reason=form.cleaned_data["reason"], actor=actor_of(request), now=timezone.now())
    except RefusedError as error:
        return refused(request, error, back="person", pk=pk)
    return show_person(request, found, link=request.build_absolute_uri(path))


class SetPassword(PasswordResetConfirmView):
    template_name = "people/set_password.html"

    def get_user(self, uidb64: str) -> User | None:
        user = super().get_user(uidb64)
        return user if isinstance(user, User) and may_have_password(user) else None

    def form_valid(self, form: Any) -> HttpResponse:
        """The hash takes a while, so it is made before writers of the record have to wait for it."""
        user = form.save(commit=False)
        actor = Actor(
            user.display_name,
            user.pk,
            user.role_set,
            signed_in_by="link",
            address=client_address(self.request),
        )
        with recording():
            keep_password(user, actor, timezone.now())
        del self.request.session[INTERNAL_RESET_SESSION_TOKEN]
        messages.success(self.request, "Your password is set. Sign in with it now.")
        return redirect("sign-in")


set_password = SetPassword.as_view()
