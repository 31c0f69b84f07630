"""Second factors, as an administrator may touch them: to remove them for whoever has lost theirs."""

from __future__ import annotations

from datetime import datetime

from allauth.mfa.models import Authenticator

from lifecycle.audit import record
from lifecycle.domain.permissions import Action, Actor
from lifecycle.operations import RefusedError
from lifecycle.operations.common import need_reason, recorded
from portal.accounts.models import User


def has_second_factor(user: User) -> bool:
    return Authenticator.objects.filter(user=user).exists()


def remove_second_factors(*, account: User, reason: str, actor: Actor, now: datetime) -> None:
    """Somebody's app, passkeys and recovery codes: their password alone lets them in again. Raises RefusedError."""
    with recorded(Action.MANAGE_PEOPLE, actor, now, reason=reason) as actor:
        need_reason(reason)
        removed, _ = Authenticator.objects.filter(user=account).delete()
        if not removed:
            raise RefusedError(
                f"{account.display_name} has no second factor: there is nothing to remove.", rule="second_factor"
            )
        record("second_factors_removed", actor=actor, now=now, reason=reason, details={"account": account.username})
