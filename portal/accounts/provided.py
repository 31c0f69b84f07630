"""What an OpenID provider's claims come to here: roles, identities, an address. Set at every sign-in by it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.conf import settings

from lifecycle.audit import record, recording
from lifecycle.domain.permissions import STAGEGATE, Role
from lifecycle.models import Team
from lifecycle.people import email_identity
from portal.accounts import identities
from portal.accounts.claims import Grant, grants, verified_email
from portal.accounts.models import RoleAssignment, User

logger = logging.getLogger(__name__)


def wanted(claims: Mapping[str, Any]) -> frozenset[Grant]:
    return grants(claims, settings.OIDC_ROLES_CLAIM, settings.OIDC_ROLES)


def apply(user: User, claims: Mapping[str, Any], now: datetime) -> None:
    """Give what the claims give, take what they no longer give, and record what changed.

    Roles that an administrator gave stay as they are, whatever the claims say.
    """
    with recording():
        identify(user, claims)
        given, taken = _give(user, wanted(claims)), _take(user, wanted(claims))
        if given or taken:
            _record_roles(user, given, taken, now)
    _forget_read_roles(user)


def withdraw(user: User, now: datetime) -> None:
    """Take every role that the provider gave. Call it inside ``recording``."""
    taken = _take(user, frozenset())
    if taken:
        _record_roles(user, [], taken, now)


def person_with(claims: Mapping[str, Any]) -> User | None:
    """Whose address the provider vouches for, if exactly one person here has it, verified by an administrator."""
    email = verified_email(claims)
    if not email or not settings.OIDC_MATCH_EMAIL:
        return None
    found = list(User.objects.filter(identities__value=email_identity(email), is_active=True)[:2])
    return found[0] if len(found) == 1 and not found[0].is_service and not found[0].is_shared else None


def identify(user: User, claims: Mapping[str, Any]) -> None:
    """Note who the account is at the provider: what tells that two accounts are one person."""
    identities.add(user, identities.of_subject(claims["iss"], claims["sub"]))
    email = verified_email(claims)
    if email:
        identities.add(user, email_identity(email))


def _give(user: User, grants: Iterable[Grant]) -> list[str]:
    given = []
    for grant in sorted(grants):
        team = Team.objects.filter(slug=grant.team).first() if grant.team else None
        if grant.team and team is None:
            logger.warning("%s gives %s %s, and there is no such team", settings.OIDC_NAME, user.username, grant)
            continue
        _, created = RoleAssignment.objects.get_or_create(
            user=user, role=grant.role, team=team, defaults={"given_by": settings.OIDC_NAME}
        )
        given += [str(grant)] if created else []
    return given


def _take(user: User, kept: frozenset[Grant]) -> list[str]:
    """Roles from a provider, under whatever name it went then, that are not among those kept."""
    taken = []
    for row in RoleAssignment.objects.filter(user=user).exclude(given_by="").select_related("team"):
        grant = Grant(Role(row.role), row.team.slug if row.team else "")
        if grant not in kept:
            row.delete()
            taken.append(str(grant))
    return sorted(taken)


def _record_roles(user: User, given: list[str], taken: list[str], now: datetime) -> None:
    details = {"account": user.username, "provider": settings.OIDC_NAME, "given": given, "taken": taken}
    record("roles_provided", actor=STAGEGATE, now=now, details=details)


def _forget_read_roles(user: User) -> None:
    for name in ("_held", "_roles", "role_set", "team_role_set", "identity_set"):
        user.__dict__.pop(name, None)
    getattr(user, "_prefetched_objects_cache", {}).clear()
