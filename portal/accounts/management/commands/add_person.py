"""Create a person with roles, or give an existing one other roles."""

from __future__ import annotations

import getpass
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from lifecycle.audit import record, recording
from lifecycle.domain.permissions import COMMAND_LINE, Actor, Role
from portal.accounts import identities
from portal.accounts.models import RoleAssignment, User

OPERATOR = Actor(COMMAND_LINE, roles=frozenset({Role.ADMINISTRATOR}), signed_in_by="command line")
"""Whoever runs commands on the portal's machine administers it."""
ROLES = [role.value for role in Role if role != Role.SERVICE]


class Command(BaseCommand):
    help = (
        "Create a person with roles for all models; an existing person gets exactly these, and keeps those for teams. "
        "The password is asked for."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--name", default="", help="full name")
        parser.add_argument("--email", default="")
        parser.add_argument("--role", action="append", choices=ROLES, required=True)
        parser.add_argument("--reason", default="Added at the command line.", help="goes into the record")

    def handle(self, *args: Any, **options: Any) -> None:
        """The password is asked for first: nobody else could write anything while somebody types."""
        user = User.objects.filter(username=options["username"]).first()
        if user is not None and user.is_service:
            raise CommandError(f"{user.username} is a service account; those never get the roles of people.")
        person, action = (user, "roles_set") if user is not None else (_new(options), "person_added")
        with recording():
            if user is None:
                person.save()
                identities.set_email(person, options["email"], verified=True)
            details = {"person": person.username, **_set_roles(person, options["role"])}
            record(action, actor=OPERATOR, now=timezone.now(), reason=options["reason"], details=details)
        self.stdout.write(f"{person.username}: {', '.join(sorted(options['role']))}")


def _new(options: dict[str, Any]) -> User:
    first, _, last = options["name"].partition(" ")
    user = User(username=options["username"], first_name=first, last_name=last, email=options["email"])
    user.set_password(_ask(user))
    return user


def _set_roles(user: User, roles: list[str]) -> dict[str, list[str]]:
    """Those for teams, and those that come from a sign-in elsewhere, stay."""
    held = RoleAssignment.objects.filter(user=user, team=None, given_by="")
    before = sorted(held.values_list("role", flat=True))
    held.exclude(role__in=roles).delete()
    for role in roles:
        RoleAssignment.objects.get_or_create(user=user, role=role, team=None)
    return {"roles": sorted(roles), "before": before}


def _ask(user: User) -> str:
    password = getpass.getpass("Password: ")
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise CommandError(" ".join(error.messages)) from error
    if getpass.getpass("Again: ") != password:
        raise CommandError("The two passwords differ; nothing was changed.")
    return password
