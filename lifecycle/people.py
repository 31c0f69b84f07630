"""Who there is to decide: people with their roles for a model, and which accounts are one person."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet

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
    """These accounts, without their roles: to tell whether somebody is one of these people. Mostly in one query.

    What identifies any other account of the same person counts as well: one that shares its address with the first and
    its provider's subject with the second makes the two one person, who share nothing themselves.
    """
    wanted = frozenset(keys)
    if not wanted:
        return []
    own = get_user_model().objects.filter(pk__in=wanted)
    found = _with_whoever_shares(own, own.values("identities__value"))
    followed = _identities(each for each in found if each.user_id in wanted)
    while (known := _identities(found)) != followed:
        found, followed = _with_whoever_shares(own, known), known
    linked = _linked(each.identities for each in found)
    return [replace(each, identities=_group(each, linked)) for each in found if each.user_id in wanted]


def _with_whoever_shares(own: QuerySet[Any], values: Any) -> list[Approver]:
    """The accounts of ``own``, and every other one that has one of the values, each with what identifies it alone."""
    sharing = get_user_model().objects.filter(identities__value__in=values)
    rows = get_user_model().objects.filter(Q(pk__in=own.values("pk")) | Q(pk__in=sharing.values("pk")))
    held: dict[tuple[int, bool], set[str]] = defaultdict(set)
    for key, shared, value in rows.order_by("pk").values_list("pk", "is_shared", "identities__value"):
        held[key, shared].update({value} if value else ())
    return [Approver(key, frozenset(), frozenset(found), shared) for (key, shared), found in held.items()]


def _identities(accounts: Iterable[Approver]) -> frozenset[str]:
    return frozenset(value for each in accounts for value in each.identities)


def _linked(held: Iterable[frozenset[str]]) -> list[frozenset[str]]:
    """What identifies each person, made of what identifies accounts: those that share something belong together."""
    groups: list[frozenset[str]] = []
    for values in held:
        joined = [group for group in groups if group & values]
        groups = [group for group in groups if not group & values] + [values.union(*joined)]
    return groups


def _group(account: Approver, groups: Iterable[frozenset[str]]) -> frozenset[str]:
    return next((group for group in groups if group & account.identities), frozenset())


def able(keys: Iterable[int], model: RegisteredModel) -> dict[int, frozenset[Role]]:
    """The roles for this model that these people have now; whoever cannot sign in any more is left out."""
    rows = _accounts().filter(pk__in=set(keys), is_active=True)
    return {user.pk: _approver(user, model).roles for user in rows}


def same_people(
    some: Iterable[int], others: Iterable[int], known: Mapping[int, Approver] | None = None
) -> frozenset[int]:
    """Those of ``some`` who are one of the ``others``, by the same account or another one of theirs. ``known`` are all
    of these accounts by their keys, where they have been read for many questions at once."""
    some, others = set(some), set(others)
    people = by_key(some | others) if known is None else known
    theirs = [people[key] for key in others if key in people]
    return frozenset(
        key for key in some if key in people and any(people[key].is_same_person(other) for other in theirs)
    )


def by_key(keys: Iterable[int]) -> dict[int, Approver]:
    return {each.user_id: each for each in of(keys)}


def email_identity(address: str) -> str:
    """What an account is known by when somebody vouches for its address."""
    return "email:" + address.strip().lower()


def _accounts() -> QuerySet[Any]:
    return get_user_model().objects.prefetch_related("role_assignments", "identities")


def _approver(user: Any, model: RegisteredModel | None) -> Approver:
    of_teams = {role for team, role in user.team_role_set if model is None or team == model.team_id}
    return Approver(user.pk, user.role_set | of_teams, user.identity_set, user.is_shared)
