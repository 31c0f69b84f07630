"""The library's forms, where ours differ."""

from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

from allauth.account.forms import ChangePasswordForm as LibraryChangePasswordForm
from allauth.account.forms import LoginForm
from allauth.account.internal.flows.login import perform_password_login
from allauth.mfa.webauthn.forms import AddWebAuthnForm, EditWebAuthnForm
from django import forms
from django.http import HttpRequest, HttpResponse

LONGEST_NAME = 60


class SignInForm(LoginForm):
    """With the field ``username``, as programs know it; a session's end is fixed elsewhere, however it began."""

    def add_prefix(self, field_name: str) -> str:
        return super().add_prefix("username" if field_name == "login" else field_name)

    def _login_with_password(self, request: HttpRequest, redirect_url: str, credentials: Any) -> HttpResponse:
        self._login.redirect_url = redirect_url
        return perform_password_login(request, credentials, self._login)


class AddPasskeyForm(AddWebAuthnForm):
    name = forms.CharField(required=False, max_length=LONGEST_NAME)


class RenamePasskeyForm(EditWebAuthnForm):
    name = forms.CharField(max_length=LONGEST_NAME)


class ChangePasswordForm(LibraryChangePasswordForm):
    def save(self) -> None:
        """Write the password down that the person holds in memory."""
        self.user.save(update_fields=["password"])


class TimeZoneForm(forms.Form):
    """``""`` is the browser's own."""

    time_zone = forms.CharField(required=False, max_length=64)

    def clean_time_zone(self) -> str:
        zone = str(self.cleaned_data["time_zone"])
        if zone and zone not in available_timezones():
            raise forms.ValidationError("Choose a time zone from the list, such as Europe/Berlin.")
        return zone
