"""What a session says about how somebody signed in, and when they last proved who they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any

from allauth.account.authentication import get_authentication_records
from allauth.account.signals import authentication_step_completed
from allauth.core.exceptions import ReauthenticationRequired
from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone

from portal.accounts.models import User

CONFIRMED_AT = "confirmed_at"
RECENT = timedelta(minutes=5)
"""How long a proof counts for changing how one signs in."""
LONGEST_WORDS = 40
"""Characters that the record keeps of how somebody signed in."""
_SECOND = {"totp": "totp", "webauthn": "passkey", "recovery_codes": "recovery code"}


def signed_in_by(request: HttpRequest, user: User) -> str:
    """``password``, ``password+totp``, ``passkey``, ``oidc:`` and the provider, …"""
    session = getattr(request, "session", None)
    return described(get_authentication_records(request, user) if session is not None else (), settings.OIDC_NAME)


def described(records: Iterable[Mapping[str, Any]], provider: str) -> str:
    """What the library's records of one sign-in come to; what came later, to confirm, is not part of it."""
    steps = [record for record in records if not record.get("reauthenticated")]
    second = [str(record.get("type")) for record in steps if record.get("method") == "mfa"]
    if any(record.get("passwordless") for record in steps):
        return "passkey"
    by_provider = any(record.get("method") == "socialaccount" for record in steps)
    first = f"oidc:{provider}" if by_provider else "password"
    more = f"+{_SECOND.get(second[-1], second[-1])}" if second else ""
    return first[: LONGEST_WORDS - len(more)] + more


def confirmed_at(request: HttpRequest) -> datetime | None:
    """When whoever is signed in here last gave their password or second factor; None where that is not known."""
    session = getattr(request, "session", None)
    text = session.get(CONFIRMED_AT) if session is not None else None
    return datetime.fromisoformat(text) if text else None


def proven_elsewhere(request: HttpRequest, at: datetime | None) -> None:
    """For a sign-in that follows in this request: a provider asked for the proof, and then; None: it does not say."""
    request._proven_at = at  # type: ignore[attr-defined]


def confirm(request: HttpRequest, at: datetime | None) -> None:
    if at is None:
        request.session.pop(CONFIRMED_AT, None)
    else:
        request.session[CONFIRMED_AT] = at.astimezone(UTC).isoformat()


@receiver(user_logged_in)
def _begin(sender: object, request: HttpRequest, **_: object) -> None:
    """However somebody signed in: the session's end is fixed now. A page that refreshes itself keeps none alive."""
    now = timezone.now()
    request.session.set_expiry(now + timedelta(seconds=settings.SESSION_COOKIE_AGE))
    confirm(request, getattr(request, "_proven_at", now))


@receiver(authentication_step_completed)
def _confirmed(sender: object, request: HttpRequest, reauthenticated: bool = False, **_: object) -> None:
    if reauthenticated:
        confirm(request, timezone.now())


def recently_confirmed(view: Any) -> Any:
    """Ask for a password or second factor again before this view, unless that was moments ago.

    The library asks those who have a password or second factor here; this asks everybody, whoever signs in by a
    provider alone as well.
    """

    @wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        at = confirmed_at(request)
        if at is None or timezone.now() - at > RECENT:
            raise ReauthenticationRequired
        answer: HttpResponseBase = view(request, *args, **kwargs)
        return answer

    return checked
