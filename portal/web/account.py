"""One's own account: what one signs in with, and the time zone that pages show."""

from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

from allauth.account.adapter import get_adapter
from allauth.account.utils import get_next_redirect_url
from allauth.account.views import PasswordChangeView, ReauthenticateView
from allauth.core.internal.httpkit import authenticated_user
from allauth.mfa.base.views import ReauthenticateView as CodeAgainView
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.views import GenerateRecoveryCodesView, ViewRecoveryCodesView
from allauth.mfa.totp.views import ActivateTOTPView, DeactivateTOTPView
from allauth.mfa.webauthn.views import (
    AddWebAuthnView,
    EditWebAuthnView,
    ReauthenticateWebAuthnView,
    RemoveWebAuthnView,
)
from allauth.socialaccount.internal.flows import connect as connections
from allauth.socialaccount.providers.base import AuthProcess
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse, reverse_lazy
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from lifecycle.audit import record, recording
from lifecycle.operations import RefusedError
from portal.access import actor_of, person_for
from portal.accounts import provided
from portal.accounts.forms import ChangePasswordForm, TimeZoneForm
from portal.accounts.models import User
from portal.accounts.provider import account_of
from portal.accounts.second_factors import remove_second_factors
from portal.accounts.sessions import recently_confirmed
from portal.addresses import passkeys_work
from portal.web.answers import invalid, refused
from portal.web.forms import ReasonForm
from portal.web.signing_in import Throttled, to_provider

ACCOUNT = reverse_lazy("account")


@never_cache
@require_http_methods(["GET", "POST"])
def account(request: HttpRequest) -> HttpResponse:
    """The page; a POST sets the time zone."""
    if request.method == "POST":
        return _set_time_zone(request)
    user = _user(request)
    kept = list(Authenticator.objects.filter(user=user).order_by("created_at"))
    codes = next((each.wrap() for each in kept if each.type == Authenticator.Type.RECOVERY_CODES), None)
    context = {
        "person": user,
        "app": next((each for each in kept if each.type == Authenticator.Type.TOTP), None),
        "passkeys": [each for each in kept if each.type == Authenticator.Type.WEBAUTHN],
        "passkeys_work": passkeys_work(request),
        "codes_left": len(codes.get_unused_codes()) if codes else None,
        "provider": settings.OIDC_NAME if settings.OIDC_URL else "",
        "connected": account_of(user.pk),
        "zones": sorted(available_timezones()),
    }
    return render(request, "accounts/account.html", context)


def _user(request: HttpRequest) -> User:
    user = request.user
    if not isinstance(user, User):
        raise PermissionDenied("Sign in first.")
    return user


def _set_time_zone(request: HttpRequest) -> HttpResponse:
    form = TimeZoneForm(request.POST)
    if not form.is_valid():
        return invalid(request, form, back="account")
    zone = form.cleaned_data["time_zone"]
    with recording():
        user = User.objects.get(pk=_user(request).pk)
        if user.time_zone != zone:
            User.objects.filter(pk=user.pk).update(time_zone=zone)
            details = {"account": user.username, "from": user.time_zone, "to": zone}
            record("time_zone_changed", actor=actor_of(request), now=timezone.now(), details=details)
    messages.success(request, f"Times are shown in {zone or 'the time zone of your browser'}.")
    return redirect("account")


# ---------------------------------------------------------------- proving it again


class PasswordAgain(Throttled, ReauthenticateView):
    template_name = "accounts/confirm_password.html"


class CodeAgain(Throttled, CodeAgainView):
    template_name = "accounts/confirm_code.html"


class PasskeyAgain(ReauthenticateWebAuthnView):
    template_name = "accounts/confirm_passkey.html"

    def form_invalid(self, form: Form) -> HttpResponse:
        messages.error(self.request, "That passkey does not open this account.")
        return HttpResponseRedirect(self.request.get_full_path())


password_again = PasswordAgain.as_view()
code_again = CodeAgain.as_view()
passkey_again = PasskeyAgain.as_view()


@never_cache
@require_http_methods(["GET", "POST"])
def provider_again(request: HttpRequest) -> HttpResponse:
    """Have the provider ask for the password again."""
    if account_of(_user(request).pk) is None:
        return redirect("account_reauthenticate")
    wanted = get_next_redirect_url(request)
    if request.method == "POST":
        return to_provider(request, AuthProcess.REDIRECT, wanted or reverse("account"), confirm=True)
    context = {
        "provider": settings.OIDC_NAME,
        "next": wanted or "",
        "reauthentication_alternatives": [
            {**way, "url": f"{way['url']}?{request.GET.urlencode()}"}
            for way in _ways(request)
            if way["url"] != request.path
        ],
    }
    return render(request, "accounts/confirm_provider.html", context)


def _ways(request: HttpRequest) -> list[dict[str, Any]]:
    return list(get_adapter().get_reauthentication_methods(_user(request)))


# ---------------------------------------------------------------- what one signs in with


class Recorded:
    """A change of how somebody signs in, and its entry in the record: both are written or neither is."""

    action = ""
    request: HttpRequest

    def form_valid(self, form: Form) -> HttpResponse:
        with recording():
            answer: HttpResponse = super().form_valid(form)  # type: ignore[misc]
            details = {"account": _user(self.request).username}
            record(self.action, actor=actor_of(self.request), now=timezone.now(), details=details)
        return answer


class ChangePassword(Recorded, Throttled, PasswordChangeView):
    action = "password_changed"
    template_name = "accounts/password.html"
    form_class = ChangePasswordForm

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not authenticated_user(request).has_usable_password():
            messages.error(request, "Your account has no password: you sign in another way.")
            return redirect("account")
        return super().dispatch(request, *args, **kwargs)

    def form_valid(self, form: Form) -> HttpResponse:
        """The hash takes a while, so it is made before writers of the record have to wait for it."""
        _user(self.request).set_password(form.cleaned_data["password1"])
        return super().form_valid(form)

    def get_default_success_url(self) -> str:
        return reverse("account")


class AddApp(Recorded, Throttled, ActivateTOTPView):
    action = "second_factor_added"
    template_name = "accounts/app_add.html"


class RemoveApp(Recorded, DeactivateTOTPView):
    action = "second_factor_removed"
    template_name = "accounts/app_remove.html"


class NewRecoveryCodes(Recorded, GenerateRecoveryCodesView):
    action = "recovery_codes_made"
    template_name = "accounts/recovery_codes_new.html"


class RecoveryCodes(ViewRecoveryCodesView):
    template_name = "accounts/recovery_codes.html"


class AddPasskey(Recorded, AddWebAuthnView):
    action = "passkey_added"
    template_name = "accounts/passkey_add.html"


class RenamePasskey(Recorded, EditWebAuthnView):
    action = "passkey_renamed"
    template_name = "accounts/passkey_rename.html"
    success_url = ACCOUNT


class RemovePasskey(Recorded, RemoveWebAuthnView):
    action = "passkey_removed"
    template_name = "accounts/passkey_remove.html"
    success_url = ACCOUNT


def _guarded(view: Any) -> Any:
    return never_cache(recently_confirmed(view.as_view()))


change_password = ChangePassword.as_view()
add_app = _guarded(AddApp)
remove_app = _guarded(RemoveApp)
recovery_codes = _guarded(RecoveryCodes)
new_recovery_codes = _guarded(NewRecoveryCodes)
add_passkey = _guarded(AddPasskey)
rename_passkey = _guarded(RenamePasskey)
remove_passkey = _guarded(RemovePasskey)


@require_POST
def let_back_in(request: HttpRequest, pk: int) -> HttpResponse:
    """For administrators: remove the second factor of whoever has lost it."""
    person, form = person_for(request, pk), ReasonForm(request.POST)
    if not form.is_valid():
        return invalid(request, form, back="person", pk=pk)
    reason = form.cleaned_data["reason"]
    try:
        remove_second_factors(account=person, reason=reason, actor=actor_of(request), now=timezone.now())
    except RefusedError as error:
        return refused(request, error, back="person", pk=pk)
    messages.success(request, f"{person.display_name} signs in by password alone now.")
    return redirect("person", pk=pk)


# ---------------------------------------------------------------- the provider


@require_POST
@recently_confirmed
def connect_provider(request: HttpRequest) -> HttpResponse:
    return to_provider(request, AuthProcess.CONNECT, reverse("account"))


@require_POST
@recently_confirmed
def disconnect_provider(request: HttpRequest) -> HttpResponse:
    """Whoever came by the provider alone stays connected: nothing else lets them in."""
    user = _user(request)
    connected = account_of(user.pk)
    if connected is None:
        return redirect("account")
    try:
        connections.validate_disconnect(request, connected)
    except ValidationError as error:
        messages.error(request, error.messages[0])
        return redirect("account")
    now = timezone.now()
    with recording():
        record("provider_disconnected", actor=actor_of(request), now=now, details={"account": user.username})
        connections.disconnect(request, connected)
        provided.withdraw(user, now)
    return redirect("account")
