"""Let in by password alone whoever has lost their second factor, and their recovery codes."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from lifecycle.domain.permissions import COMMAND_LINE, Actor, Role
from lifecycle.operations import RefusedError
from portal.accounts.models import User
from portal.accounts.second_factors import remove_second_factors

OPERATOR = Actor(COMMAND_LINE, roles=frozenset({Role.ADMINISTRATOR}), signed_in_by="command line")
"""Whoever runs commands on the portal's machine administers it."""


class Command(BaseCommand):
    help = "Remove somebody's authenticator app, passkeys and recovery codes. Make sure first that it is they who ask."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--reason", required=True, help="goes into the record")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["username"]).first()
        if user is None:
            raise CommandError(f"Nobody is called {options['username']}.")
        try:
            remove_second_factors(account=user, reason=options["reason"], actor=OPERATOR, now=timezone.now())
        except RefusedError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{user.username} signs in by password alone now.")
