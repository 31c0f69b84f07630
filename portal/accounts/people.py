"""Looking people and teams up, for pages and API."""

from __future__ import annotations

from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, Concat, Trim

from lifecycle.domain.permissions import Role
from lifecycle.models import RegisteredModel, Team
from portal.accounts.models import RoleAssignment, User

KINDS = {
    "people": "people",
    "service": "service accounts",
    "shared": "shared accounts",
    "inactive": "not active",
}
"""What a list can be narrowed to, with the words for it."""
LONGEST_SEARCH = 200
MOST_ADMINISTRATORS = 3
"""How many are named to somebody who needs one."""


def people_matching(search: str = "", kind: str = "", role: str = "", team: Team | None = None) -> QuerySet[User]:
    """Accounts by name, with their roles. ``search`` looks in user names, names and e-mail addresses: every word of it
    has to be in one of them."""
    rows = User.objects.prefetch_related("role_assignments__team").order_by("username")
    for word in search[:LONGEST_SEARCH].split():
        rows = rows.filter(
            Q(username__icontains=word)
            | Q(first_name__icontains=word)
            | Q(last_name__icontains=word)
            | Q(email__icontains=word)
        )
    held = RoleAssignment.objects.filter(user=OuterRef("pk"))
    if role:
        rows = rows.filter(Exists(held.filter(role=role)))
    if team is not None:
        rows = rows.filter(Exists(held.filter(team=team)))
    services = Exists(held.filter(role=Role.SERVICE))
    narrowed = {
        "people": rows.filter(~services, is_active=True),
        "service": rows.filter(services),
        "shared": rows.filter(is_shared=True),
        "inactive": rows.filter(is_active=False),
    }
    return narrowed.get(kind, rows)


def have_name(rows: QuerySet[User], name: str) -> QuerySet[User]:
    """Those of ``rows`` whose name or user name this is, exactly."""
    whole = Trim(Concat("first_name", Value(" "), "last_name"))
    return rows.annotate(whole_name=whole).filter(Q(whole_name=name) | Q(username=name))


def administrators() -> list[User]:
    """The first few who can give out roles."""
    held = RoleAssignment.objects.filter(user=OuterRef("pk"), role=Role.ADMINISTRATOR, team=None)
    return list(User.objects.filter(Exists(held), is_active=True).order_by("username")[:MOST_ADMINISTRATORS])


def teams() -> QuerySet[Team]:
    """Each with ``people`` and ``models_owned``: how many there are."""
    members = RoleAssignment.objects.filter(team=OuterRef("pk")).order_by().values("team")
    owned = RegisteredModel.objects.filter(team=OuterRef("pk"), removed_at=None).order_by().values("team")
    return Team.objects.annotate(
        people=Coalesce(Subquery(members.values(count=Count("user", distinct=True))), 0),
        models_owned=Coalesce(Subquery(owned.values(count=Count("pk"))), 0),
    ).order_by("name")
