"""API tokens: making them, recognising them, revoking them. The secret is told once and never kept."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from lifecycle.audit import record
from lifecycle.domain.permissions import ALLOWED, TOKEN_SCOPES, Action, Actor, Role
from lifecycle.operations import RefusedError
from lifecycle.operations.common import need_reason, recorded
from portal.accounts.models import TOKEN_NAME_LIMIT, ApiToken, RoleAssignment, User

LONGEST = timedelta(days=365)
USE_NOTED_EVERY = timedelta(minutes=1)
"""How often a token's use is written down: a program that asks a hundred times a second costs one write a minute."""

_TOKEN = re.compile(r"sg_([0-9a-f]{12})_([0-9a-f]{64})")


class BadTokenError(Exception):
    """The token does not open anything. ``str(error)`` says why, as far as its bearer may know."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a token is to be: its name, what it may be used for, until when, and why it is made."""

    name: str
    scopes: frozenset[Action]
    expires_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token. ``text`` is what its bearer shows; nobody can read it again later."""

    token: ApiToken
    text: str = field(repr=False)


# ---------------------------------------------------------------- making


def scopes_for(roles: Iterable[Role]) -> tuple[Action, ...]:
    """What a token of somebody with these roles can be used for; looking comes with every token."""
    held = frozenset(roles)
    return tuple(action for action in TOKEN_SCOPES if held & ALLOWED[action])


def create_own(*, wanted: Wanted, actor: Actor, now: datetime) -> Issued:
    """A token for the person who asks. Raises RefusedError."""
    with recorded(Action.CREATE_TOKENS, actor, now, reason=wanted.reason) as actor:
        if actor.user_id is None:
            raise RefusedError(
                "Only a person can have tokens of their own. Ask an administrator for one of a service account.",
                rule="owner",
                status=403,
            )
        return _issue(User.objects.get(pk=actor.user_id), wanted, actor, now)


def create_for_service(*, account: str, wanted: Wanted, actor: Actor, now: datetime) -> Issued:
    """A token for the service account of this name, which is made if it is not there. Raises RefusedError."""
    with recorded(Action.MANAGE_TOKENS, actor, now, reason=wanted.reason) as actor:
        need_reason(wanted.reason)
        return _issue(_service_account(account, wanted, actor, now), wanted, actor, now)


def service_accounts() -> QuerySet[User]:
    return User.objects.filter(role_assignments__role=Role.SERVICE).order_by("username")


def _service_account(name: str, wanted: Wanted, actor: Actor, now: datetime) -> User:
    cleaned = _checked_account(name)
    found = User.objects.filter(username__iexact=cleaned).first()
    if found is not None and not found.is_service:
        raise RefusedError(
            f"{found.username} is a person. Only they can create tokens of theirs; give the service account a name of "
            "its own.",
            rule="account_name",
            status=422,
        )
    if found is not None:
        return found
    user = User(username=cleaned, made_by_id=actor.user_id)
    user.set_unusable_password()
    user.save()
    RoleAssignment.objects.create(user=user, role=Role.SERVICE)
    record("service_account_created", actor=actor, now=now, reason=wanted.reason, details={"account": user.username})
    return user


def _checked_account(name: str) -> str:
    try:
        return str(User._meta.get_field("username").clean(name.strip(), None))
    except ValidationError as error:
        raise RefusedError(
            "Give a service account a name of 1 to 150 letters, digits or @ . + - _ without spaces.",
            rule="account_name",
            status=422,
        ) from error


def _issue(owner: User, wanted: Wanted, actor: Actor, now: datetime) -> Issued:
    reason, name = need_reason(wanted.reason), _checked_name(wanted.name)
    _check_scopes(owner, wanted.scopes)
    if not now < wanted.expires_at <= now + LONGEST:
        raise RefusedError(
            f"A token lasts for at least a moment and at most {LONGEST.days} days; choose when it expires.",
            rule="expiry",
            status=422,
        )
    prefix, secret = secrets.token_hex(6), secrets.token_hex(32)
    row = _insert(
        user=owner,
        name=name,
        prefix=prefix,
        digest=_digest(secret),
        scopes=sorted(wanted.scopes),
        created_at=now,
        created_by=actor.name,
        made_by_id=actor.user_id,
        expires_at=wanted.expires_at,
    )
    record("token_created", actor=actor, now=now, reason=reason, details=_details(row))
    return Issued(row, f"sg_{prefix}_{secret}")


def _insert(**values: Any) -> ApiToken:
    try:
        with transaction.atomic():
            return ApiToken.objects.create(**values)
    except IntegrityError:
        if not ApiToken.objects.filter(user=values["user"], name=values["name"], revoked_at=None).exists():
            raise
        raise RefusedError(
            f"There is a token called “{values['name']}” already. Revoke that one first, or choose another name.",
            rule="token_name",
        ) from None


def _checked_name(name: str) -> str:
    cleaned = name.strip()
    if not cleaned or len(cleaned) > TOKEN_NAME_LIMIT or not cleaned.isprintable():
        raise RefusedError(
            f"Give the token a name of at most {TOKEN_NAME_LIMIT} characters that says where it is used.",
            rule="token_name",
            status=422,
        )
    return cleaned


def _check_scopes(owner: User, scopes: frozenset[Action]) -> None:
    possible = scopes_for(owner.role_set | {role for _, role in owner.team_role_set})
    beyond = [action.label for action in Action if action in scopes and action not in possible]
    if beyond:
        raise RefusedError(
            f"A token of {owner.display_name} cannot be used to {', '.join(beyond)}. Choose other scopes.",
            rule="scope",
            status=403,
        )


def _details(token: ApiToken) -> dict[str, Any]:
    return {
        "token": token.name,
        "prefix": token.prefix,
        "owner": token.user.username,
        "scopes": token.scopes,
        "expires_at": token.expires_at.isoformat(),
    }


# ---------------------------------------------------------------- recognising


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def recognise(text: str, now: datetime) -> ApiToken:
    """The token with this text, its use noted. Raises BadTokenError."""
    parts = _TOKEN.fullmatch(text)
    if parts is None:
        raise BadTokenError("This is not a token of Stagegate: those look like sg_…_….")
    prefix, secret = parts.groups()
    found = ApiToken.objects.select_related("user").filter(prefix=prefix).first()
    if found is None or not hmac.compare_digest(found.digest, _digest(secret)):
        raise BadTokenError("There is no such token.")
    why = found.why_dead(now)
    if why:
        raise BadTokenError(why)
    _note_use(found, now)
    return found


def _note_use(token: ApiToken, now: datetime) -> None:
    if token.last_used_at is not None and now - token.last_used_at < USE_NOTED_EVERY:
        return
    long_ago = Q(last_used_at=None) | Q(last_used_at__lte=now - USE_NOTED_EVERY)
    ApiToken.objects.filter(long_ago, pk=token.pk).update(last_used_at=now)


# ---------------------------------------------------------------- revoking


def revoke_token(*, token: ApiToken, reason: str, actor: Actor, now: datetime) -> ApiToken:
    """Make a token useless at once: one's own, or as an administrator anybody's. Raises RefusedError."""
    own = token.user_id == actor.user_id
    with recorded(Action.CREATE_TOKENS if own else Action.MANAGE_TOKENS, actor, now, reason=reason) as actor:
        cleaned = need_reason(reason)
        values = {"revoked_at": now, "revoked_by": actor.name, "revoked_reason": cleaned}
        if ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(**values) != 1:
            raise RefusedError(
                "This token has been revoked already: nothing can use it. Create another one if it is needed.",
                rule="already_revoked",
            )
        record("token_revoked", actor=actor, now=now, reason=cleaned, details=_details(token))
        token.refresh_from_db()
        return token
