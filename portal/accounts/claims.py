"""What a claim of an OpenID provider says about somebody's roles. Pure: no database, no clock."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lifecycle.domain.permissions import TEAM_ROLES, Role

RolesMap = Mapping[str, frozenset["Grant"]]
"""What each value of the claim gives."""


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One role, for the models of the team with this slug, or for all models where ``team`` is ""."""

    role: Role
    team: str = ""

    def __str__(self) -> str:
        return f"{self.role}@{self.team}" if self.team else self.role.value


def parse_map(text: str) -> RolesMap:
    """Read ``{"ml-eng": "ml_engineer", "fraud-owners": "product_owner@fraud"}``; a value may be a list of such.

    Raises ValueError, which says what is wrong.
    """
    try:
        values = json.loads(text or "{}")
    except ValueError as error:
        raise ValueError(f"it is no JSON: {error}") from error
    if not isinstance(values, dict):
        raise ValueError('it must be an object, such as {"ml-eng": "ml_engineer"}')
    return {name: frozenset(_grants(given)) for name, given in values.items()}


def _grants(given: Any) -> Iterator[Grant]:
    for text in given if isinstance(given, list) else [given]:
        if not isinstance(text, str):
            raise ValueError(f"{text!r} is no role; write it as ml_engineer, or product_owner@team")
        yield _grant(text)


def _grant(text: str) -> Grant:
    name, at, team = text.partition("@")
    possible = sorted(role.value for role in (TEAM_ROLES if at else set(Role) - {Role.SERVICE}))
    if name not in possible or (at and not team):
        kind = "role for a team" if at else "role"
        raise ValueError(f"{text!r} is no {kind}; there are {', '.join(possible)}")
    return Grant(Role(name), team)


def values_at(claims: Mapping[str, Any], path: str) -> frozenset[str]:
    """The texts at ``path``: a claim's name, or names with dots between them for a claim within a claim.

    A name that holds dots itself, such as an address, is found as well. A single text counts as a list of one.
    """
    found = _at(claims, path)
    texts = found if isinstance(found, list) else [found]
    return frozenset(text for text in texts if isinstance(text, str))


def _at(claims: Any, path: str) -> Any:
    if not isinstance(claims, Mapping):
        return None
    if path in claims:
        return claims[path]
    for end in (place for place, letter in enumerate(path) if letter == "."):
        if path[:end] in claims:
            return _at(claims[path[:end]], path[end + 1 :])
    return None


def grants(claims: Mapping[str, Any], path: str, roles: RolesMap) -> frozenset[Grant]:
    """The roles that the claim at ``path`` gives."""
    return frozenset(grant for value in values_at(claims, path) for grant in roles.get(value, frozenset()))


def verified_email(claims: Mapping[str, Any]) -> str:
    """The address, in small letters, that the provider vouches for; "" where it vouches for none."""
    email = claims.get("email")
    return email.strip().lower() if isinstance(email, str) and claims.get("email_verified") is True else ""
