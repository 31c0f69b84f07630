"""Links with which people choose a password: their first one, or another when they have forgotten theirs."""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.tokens import default_token_generator
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from lifecycle.audit import record
from lifecycle.domain.permissions import Action, Actor
from lifecycle.operations import RefusedError
from lifecycle.operations.common import need_reason, recorded
from portal.accounts.models import User


def may_have_password(person: User) -> bool:
    return person.is_active and not person.is_service


def make_link(*, person: User, reason: str, actor: Actor, now: datetime) -> str:
    """The path of a link that works once, for PASSWORD_RESET_TIMEOUT seconds. Raises RefusedError.

    It is signed, not kept: with a new password, or with a sign-in, it opens nothing any more. A second factor is asked
    for as before.
    """
    with recorded(Action.MANAGE_PEOPLE, actor, now, reason=reason) as actor:
        cleaned = need_reason(reason)
        if not may_have_password(person):
            raise RefusedError(
                "Only people whose account is active have passwords; give a service account a token.",
                rule="no_password",
            )
        record("password_link_made", actor=actor, now=now, reason=cleaned, details={"person": person.username})
    key = urlsafe_base64_encode(force_bytes(person.pk))
    return reverse("set-password", args=(key, default_token_generator.make_token(person)))


def keep_password(person: User, actor: Actor, now: datetime) -> None:
    """Write the password down that ``person`` holds in memory."""
    person.save(update_fields=["password"])
    record("password_set", actor=actor, now=now, reason="By a link that an administrator made.")
