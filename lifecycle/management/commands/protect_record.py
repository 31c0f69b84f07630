"""Take the record's table out of the portal's own hands, on PostgreSQL."""

from __future__ import annotations

import os
from typing import Any

import psycopg
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from lifecycle.record_owner import Roles, hand_back, hand_over

ADMINISTRATOR = "RECORD_ADMINISTRATOR_URL"


class Command(BaseCommand):
    help = (
        "On PostgreSQL: give the record's table to a role of its own, so that the portal can add entries and nothing "
        f"else. Prints the SQL for an administrator of the database; with {ADMINISTRATOR} set (a postgres:// address, "
        "in the environment because command lines can be seen by others) it is executed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--owner", default="stagegate_record", help="the role that owns the record (%(default)s)")
        parser.add_argument("--release", action="store_true", help="give the table back, for a migration that needs it")

    def handle(self, *args: Any, owner: str, release: bool, **options: Any) -> None:
        if connection.vendor != "postgresql":
            raise CommandError(
                "SQLite has no roles: whoever can write the file can change it. Its triggers refuse what happens by "
                "mistake; against intent there are the checkpoints, kept where the portal cannot change them."
            )
        roles = self._roles(owner)
        script = hand_back(roles) if release else hand_over(roles)
        address = os.environ.get(ADMINISTRATOR, "")
        if not address:
            self.stdout.write(script)
            return
        self._execute(address, script)
        holder = roles.portal if release else roles.owner
        self.stdout.write(f"The record's table now belongs to {holder}.")

    def _roles(self, owner: str) -> Roles:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_user::text, current_database()::text, current_schema()::text")
            portal, database, schema = cursor.fetchone()
        return Roles(portal=portal, owner=owner, database=database, schema=schema)

    def _execute(self, address: str, script: str) -> None:
        try:
            with psycopg.connect(address, autocommit=True) as administrator:
                administrator.execute(script.encode())
        except psycopg.Error as error:
            raise CommandError(f"Nothing was changed: {error}") from error
