"""What the sign-in library asks us: who may in, what is said to them, and how secrets are kept."""

from __future__ import annotations

import base64
import logging
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.flows.login import record_authentication
from allauth.account.internal.stagekit import clear_login
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from allauth.socialaccount.providers.base import AuthError, AuthProcess
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from lifecycle.audit import record, recording
from lifecycle.domain.permissions import STAGEGATE, Actor
from portal.access import actor_of
from portal.accounts import provided
from portal.accounts.claims import verified_email
from portal.accounts.models import User
from portal.accounts.provider import CONFIRM, account_of, claims_of
from portal.addresses import client_address

logger = logging.getLogger(__name__)
TOO_MANY = "Too many attempts. Try again in 5 minutes."
WORDS = {
    "account/messages/password_changed.txt": "Your password is changed. You have been signed out everywhere else.",
    "mfa/messages/totp_activated.txt": "From now on, signing in with your password also takes a code from your app.",
    "mfa/messages/totp_deactivated.txt": "Signing in no longer takes a code from your app.",
    "mfa/messages/webauthn_added.txt": "The passkey was added.",
    "mfa/messages/webauthn_removed.txt": "The passkey was removed. It opens nothing here any more.",
    "socialaccount/messages/account_connected_updated.txt": "Connected: you can sign in that way from now on.",
    "socialaccount/messages/account_connected_other.txt": "It belongs to another account here. Ask an administrator.",
    "socialaccount/messages/account_disconnected.txt": "Disconnected. The roles that came from there are gone.",
}
"""What is said after a change, by the library's name for it. What is not here is not worth a sentence."""


class Accounts(DefaultAccountAdapter):
    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "username_password_mismatch": "That name and password do not belong together. Both are case-sensitive.",
        "too_many_login_attempts": TOO_MANY,
        "rate_limited": TOO_MANY,
        "incorrect_password": "That is not your password. It is case-sensitive.",
        "enter_current_password": "That is not your password. It is case-sensitive.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Administrators make accounts."""
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        return client_address(request) or "unknown"

    def add_message(
        self,
        request: HttpRequest,
        level: int,
        message_template: str | None = None,
        message_context: dict[str, Any] | None = None,
        extra_tags: str = "",
        message: str | None = None,
    ) -> None:
        words = message or WORDS.get(message_template or "", "")
        if words:
            messages.add_message(request, level, words, extra_tags=extra_tags)

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        logger.warning("Sign-in refused: %r from %s", credentials.get("username"), self.get_client_ip(request))

    def pre_login(self, request: HttpRequest, user: User, **kwargs: Any) -> HttpResponse | None:
        """Whatever the way in: no service account, and first what the provider says of somebody's roles."""
        if user.is_service:
            clear_login(request)
            return self.respond_user_inactive(request, user)
        answer = super().pre_login(request, user, **kwargs)
        login = (kwargs.get("signal_kwargs") or {}).get("sociallogin")
        if answer is None and login is not None:
            provided.apply(user, claims_of(login), timezone.now())
        return answer

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        methods = list(super().get_reauthentication_methods(user))
        if user.is_authenticated and settings.OIDC_URL and account_of(user.pk):
            methods.append(
                {
                    "id": "provider",
                    "description": f"Use {settings.OIDC_NAME}",
                    "url": reverse("confirm-with-provider"),
                }
            )
        return methods


def _keys() -> MultiFernet:
    """Derived from the installation's secret, and from earlier ones for what was kept under those."""
    return MultiFernet([Fernet(_key(secret)) for secret in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


def _key(secret: str) -> bytes:
    derived = HKDF(hashes.SHA256(), 32, salt=None, info=b"stagegate second factors").derive(secret.encode())
    return base64.urlsafe_b64encode(derived)


class SecondFactors(DefaultMFAAdapter):
    error_messages = {
        **DefaultMFAAdapter.error_messages,
        "incorrect_code": "That code is wrong, used already, or has run out. Wait for the next one.",
    }

    def encrypt(self, text: str) -> str:
        return _keys().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """Raises ValidationError for what was kept under a secret that is gone."""
        try:
            return _keys().decrypt(encrypted_text.encode()).decode()
        except InvalidToken:
            raise ValidationError(
                "Your second factor belongs to an earlier secret of this installation. Ask an administrator to remove "
                "it, and set it up again."
            ) from None

    def _get_site_name(self) -> str:
        return "Stagegate"

    def get_totp_label(self, user: Any) -> str:
        return str(user.username)

    def generate_authenticator_name(self, user: Any, type: Authenticator.Type) -> str:
        return f"Passkey {Authenticator.objects.filter(user_id=user.pk, type=type).count() + 1}"


class Providers(DefaultSocialAccountAdapter):
    error_messages = {
        **DefaultSocialAccountAdapter.error_messages,
        "no_password": "You have no password here: without this you could not sign in any more.",
    }

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        if sociallogin.state.get("data") == CONFIRM:
            self._confirm(request, sociallogin)
        elif sociallogin.is_existing:
            return
        elif sociallogin.state.get("process") == AuthProcess.CONNECT:
            if request.user.is_authenticated:
                _connect(request, sociallogin, request.user, actor_of(request))
        else:
            known = provided.person_with(claims_of(sociallogin))
            if known is not None:
                _connect(request, sociallogin, known, STAGEGATE)

    def _confirm(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        if not request.user.is_authenticated or sociallogin.user != request.user:
            raise ImmediateHttpResponse(_refused(request, "You are somebody else there than here."))
        record_authentication(request, request.user, "socialaccount", reauthenticated=True)

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        """Raises ImmediateHttpResponse, which says why nobody can make an account this way."""
        if not settings.OIDC_CREATE:
            raise ImmediateHttpResponse(
                _refused(request, "You have no account here yet. Ask an administrator to make one, and connect it.")
            )
        if settings.OIDC_ROLES and not provided.wanted(claims_of(sociallogin)):
            raise ImmediateHttpResponse(_refused(request, "You have no role there that counts here. Ask for one."))
        return True

    def populate_user(self, request: HttpRequest, sociallogin: SocialLogin, data: dict[str, Any]) -> User:
        user: User = super().populate_user(request, sociallogin, data)
        user.first_name, user.last_name = user.first_name[:150], user.last_name[:150]
        email = verified_email(claims_of(sociallogin))
        taken = len(email) > 254 or User.objects.filter(email__iexact=email).exists()
        user.email = "" if taken else email
        return user

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> User:
        """The account of somebody who signs in for the first time; never one that was there already."""
        user: User = sociallogin.user
        user.set_unusable_password()
        with recording():
            Accounts(request).populate_username(request, user)
            user.save(force_insert=True)
            sociallogin.account.user = user
            sociallogin.account.save()
            details = {"account": user.username, "provider": settings.OIDC_NAME}
            record("account_provided", actor=STAGEGATE, now=timezone.now(), details=details)
        return user

    def get_connect_redirect_url(self, request: HttpRequest, socialaccount: Any) -> str:
        return reverse("account")

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,
        error: Any = None,
        exception: Exception | None = None,
        extra_context: Any = None,
    ) -> None:
        if error == AuthError.CANCELLED:
            messages.info(request, f"You did not sign in with {settings.OIDC_NAME}.")
            raise ImmediateHttpResponse(redirect("account" if request.user.is_authenticated else "sign-in"))
        logger.warning("Sign-in with %s failed: %s", settings.OIDC_NAME, repr(exception or error)[:300])
        raise ImmediateHttpResponse(provider_failed(request, exception))


def _connect(request: HttpRequest, sociallogin: SocialLogin, user: Any, actor: Actor) -> None:
    now = timezone.now()
    with recording():
        sociallogin.connect(request, user)
        provided.identify(user, claims_of(sociallogin))
        details = {"account": user.username, "provider": settings.OIDC_NAME}
        record("provider_connected", actor=actor, now=now, details=details)


def provider_failed(request: HttpRequest, why: Exception | None) -> HttpResponse:
    return render(request, "accounts/provider_failed.html", {"why": str(why or "")[:200]}, status=502)


def _refused(request: HttpRequest, why: str) -> HttpResponse:
    return render(request, "accounts/provider_refused.html", {"why": why}, status=403)
