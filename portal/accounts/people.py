"""Looking people and teams up, for pages and API."""

from __future__ import annotations

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from lifecycle.domain.permissions import Role
from lifecycle.models import Team
from portal.accounts.models import RoleAssignment, User

KINDS = {
    "people": "people",
    "service": "service accounts",
    "shared": "shared accounts",
    "inactive": "not active",
}
"""What a list can be narrowed to, with the words for it."""
LONGEST_SEARCH = 200


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


def teams() -> QuerySet[Team]:
    """Each with ``people`` and ``models_owned``: how many there are."""
    return Team.objects.annotate(
        people=Count("role_assignments__user", distinct=True),
        models_owned=Count("models", filter=Q(models__removed_at=None), distinct=True),
    ).order_by("name")
