"""Signing in and out: by password and second factor, by passkey, by the OpenID provider."""

from __future__ import annotations

from typing import Any

from allauth.account.utils import get_next_redirect_url
from allauth.account.views import LoginView, LogoutView
from allauth.mfa.base.views import AuthenticateView
from allauth.mfa.webauthn.views import LoginWebAuthnView
from allauth.socialaccount.providers.base import AuthProcess
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from portal.accounts.adapters import provider_failed
from portal.accounts.provider import Callback, Provider
from portal.addresses import passkeys_work

THROTTLED = frozenset({"too_many_login_attempts", "rate_limited"})


class Throttled:
    """Too many attempts are told with the status for it."""

    def render_to_response(self, context: dict[str, Any], **kwargs: Any) -> HttpResponse:
        forms = (context.get("form"), context.get("webauthn_form"))
        if any(error.code in THROTTLED for form in forms if form for error in _errors(form)):
            kwargs |= {"status": 429, "headers": {"Retry-After": "300"}}
        answer: HttpResponse = super().render_to_response(context, **kwargs)  # type: ignore[misc]
        return answer


def _errors(form: Any) -> list[Any]:
    return [error for errors in form.errors.as_data().values() for error in errors] if form.is_bound else []


class SignIn(Throttled, LoginView):
    template_name = "accounts/sign_in.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        provider = settings.OIDC_NAME if settings.OIDC_URL else ""
        return {**super().get_context_data(**kwargs), "provider": provider, "passkeys": passkeys_work(self.request)}


class SecondFactor(Throttled, AuthenticateView):
    template_name = "accounts/second_factor.html"


sign_in = SignIn.as_view()
second_factor = SecondFactor.as_view()
by_passkey = LoginWebAuthnView.as_view()
sign_out = require_POST(login_not_required(LogoutView.as_view()))


@login_not_required
@never_cache
def inactive(request: HttpRequest) -> HttpResponse:
    return render(request, "accounts/inactive.html", status=403)


@require_POST
@login_not_required
def by_provider(request: HttpRequest) -> HttpResponse:
    return to_provider(request, AuthProcess.LOGIN, get_next_redirect_url(request))


@require_GET
@login_not_required
@never_cache
def provider_callback(request: HttpRequest) -> HttpResponse:
    if not settings.OIDC_URL:
        raise Http404("There is no sign-in by a provider here.")
    answer: HttpResponse = Callback.adapter_view(Provider(request))(request)
    return answer


def to_provider(request: HttpRequest, process: str, next_url: str | None, *, confirm: bool = False) -> HttpResponse:
    """A page that goes on to the provider by itself: a form may not, its redirects are bound to our own address."""
    if not settings.OIDC_URL:
        raise Http404("There is no sign-in by a provider here.")
    try:
        answer = Provider(request).ask(process=process, next_url=next_url, confirm=confirm)
    except (OSError, ValueError, OAuth2Error) as error:
        return provider_failed(request, error)
    context = {"address": answer["Location"], "provider": settings.OIDC_NAME}
    return render(request, "accounts/to_provider.html", context)
