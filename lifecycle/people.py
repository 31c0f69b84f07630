"""Who there is to decide: people with their roles for a model, and which accounts are one person."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import QuerySet

from lifecycle.domain.approval import Approver
from lifecycle.domain.permissions import Role
from lifecycle.models import RegisteredModel


def approvers(model: RegisteredModel | None) -> list[Approver]:
    """Everybody who can sign in, with their roles for this model; for None, with all that they have for any model.

    Service accounts decide nothing.
    """
    users = _accounts().filter(is_active=True).order_by("pk")
    return [_approver(user, model) for user in users if Role.SERVICE not in user.role_set]


def of(keys: Iterable[int]) -> list[Approver]:
    """These accounts, whatever they may do now: to tell whether somebody is one of these people.

    What identifies any other account of the same person counts as well: one that shares its address with the first and
    its provider's subject with the second makes the two one person, who share nothing themselves.
    """
    found = [_approver(user, None) for user in _accounts().filter(pk__in=set(keys)).order_by("pk")]
    return [replace(each, identities=_linked(each.identities)) for each in found]


def _linked(identities: frozenset[str]) -> frozenset[str]:
    """These, and those of all accounts that have one of them, and so on."""
    if not identities:
        return identities
    accounts = get_user_model().objects.filter(identities__value__in=identities)
    rows = get_user_model().objects.filter(pk__in=accounts.values("pk")).values_list("identities__value", flat=True)
    grown = identities | frozenset(rows)
    return grown if grown == identities else _linked(grown)


def able(keys: Iterable[int], model: RegisteredModel) -> dict[int, frozenset[Role]]:
    """The roles for this model that these people have now; whoever cannot sign in any more is left out."""
    rows = _accounts().filter(pk__in=set(keys), is_active=True)
    return {user.pk: _approver(user, model).roles for user in rows}


def same_people(some: Iterable[int], others: Iterable[int]) -> frozenset[int]:
    """Those of ``some`` who are one of the ``others``, by the same account or another one of theirs."""
    known = of(others)
    return frozenset(each.user_id for each in of(some) if any(each.is_same_person(other) for other in known))


def email_identity(address: str) -> str:
    """What an account is known by when somebody vouches for its address."""
    return "email:" + address.strip().lower()


def _accounts() -> QuerySet[Any]:
    return get_user_model().objects.prefetch_related("role_assignments", "identities")


def _approver(user: Any, model: RegisteredModel | None) -> Approver:
    of_teams = {role for team, role in user.team_role_set if model is None or team == model.team_id}
    return Approver(user.pk, user.role_set | of_teams, user.identity_set, user.is_shared)
