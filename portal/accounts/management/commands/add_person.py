"""Create a person with roles, or give an existing one other roles."""

from __future__ import annotations

import getpass
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from lifecycle.domain.permissions import Role
from portal.accounts.models import RoleAssignment, User

ROLES = [role.value for role in Role if role != Role.SERVICE]


class Command(BaseCommand):
    help = "Create a person with roles; an existing person gets exactly these roles. The password is asked for."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--name", default="", help="full name")
        parser.add_argument("--email", default="")
        parser.add_argument("--role", action="append", choices=ROLES, required=True)

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        first, _, last = options["name"].partition(" ")
        user, created = User.objects.get_or_create(
            username=options["username"], defaults={"first_name": first, "last_name": last, "email": options["email"]}
        )
        if user.is_service:
            raise CommandError(f"{user.username} is a service account; those never get the roles of people.")
        if created:
            user.set_password(_ask(user))
            user.save(update_fields=["password"])
        RoleAssignment.objects.filter(user=user).exclude(role__in=options["role"]).delete()
        for role in options["role"]:
            RoleAssignment.objects.get_or_create(user=user, role=role)
        self.stdout.write(f"{user.username}: {', '.join(sorted(options['role']))}")


def _ask(user: User) -> str:
    password = getpass.getpass("Password: ")
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise CommandError(" ".join(error.messages)) from error
    if getpass.getpass("Again: ") != password:
        raise CommandError("The two passwords differ; nothing was changed.")
    return password
