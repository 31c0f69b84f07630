"""Create a service account's token and print it, once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from lifecycle.domain.permissions import COMMAND_LINE, Action, Actor, Role
from lifecycle.operations import RefusedError
from portal.accounts.tokens import LONGEST, Wanted, create_for_service, scopes_for

OPERATOR = Actor(COMMAND_LINE, roles=frozenset({Role.ADMINISTRATOR}), signed_in_by="command line")
"""Whoever runs commands on the portal's machine administers it."""


class Command(BaseCommand):
    help = "Create a token of a service account, which is made if it is not there, and print it. It is shown only once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--service-account", required=True, metavar="NAME")
        scopes = [action.value for action in scopes_for({Role.SERVICE})]
        parser.add_argument("--scope", action="append", choices=scopes, default=[], help="may be repeated")
        parser.add_argument("--days", type=int, default=90, help=f"until it expires, at most {LONGEST.days}")
        parser.add_argument("--name", default="command line", help="what the record calls it")
        parser.add_argument("--reason", default="Created at the command line.")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        try:
            expires_at = now + timedelta(days=options["days"])
        except OverflowError:
            raise CommandError(f"--days is at most {LONGEST.days}") from None
        wanted = Wanted(
            name=options["name"],
            scopes=frozenset(Action(scope) for scope in options["scope"]),
            expires_at=expires_at,
            reason=options["reason"],
        )
        try:
            issued = create_for_service(account=options["service_account"], wanted=wanted, actor=OPERATOR, now=now)
        except RefusedError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(issued.text)
