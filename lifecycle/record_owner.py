"""Who owns the record's table on PostgreSQL: a role that nobody signs in as, so that the portal can only add to it.

The owner of a table can switch its triggers off, so the portal's own role must not be the owner. Nor may it own the
schema or the database, whose owners can remove the table, or be able to become the owner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.sql import SQL, Composed, Identifier, Literal

from lifecycle.models import AuditEntry

TABLE = AuditEntry._meta.db_table
FUNCTIONS = ("record_refuse", "record_in_order")
TRIGGERS = ("record_no_change", "record_no_truncate", "record_in_order")


@dataclass(frozen=True, slots=True)
class Roles:
    """``portal`` is the role that the portal and its workers sign in as, ``owner`` the one that gets the record."""

    portal: str
    owner: str
    database: str
    schema: str


def hand_over(roles: Roles) -> str:
    """SQL for an administrator: make the owner, give it the record, and leave INSERT and SELECT to the portal."""
    statements = (
        "DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE (rolsuper OR rolcreaterole)"
        " AND pg_has_role({portal_name}, oid, 'MEMBER')) THEN"
        " RAISE EXCEPTION 'The role % can do as a superuser does, or create roles: nothing can be kept from it. Give"
        " the portal another role.', {portal_name}; END IF; END $$",
        "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {owner_name}) THEN"
        " CREATE ROLE {owner} NOLOGIN; END IF; END $$",
        "DO $$ BEGIN IF pg_has_role({portal_name}, {owner_name}, 'MEMBER') THEN"
        " RAISE EXCEPTION 'The role % is a member of %: REVOKE that first.', {portal_name}, {owner_name};"
        " END IF; END $$",
        *_owned_by("owner"),
        "GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {portal}",
        "GRANT USAGE, CREATE ON SCHEMA {schema} TO {portal}",
        "REVOKE ALL ON {table} FROM PUBLIC, {portal}",
        "GRANT SELECT, INSERT ON {table} TO {portal}",
        # A temporary table of the same name must not be what the trigger looks at.
        *(f"ALTER FUNCTION {{schema}}.{name}() SET search_path TO {{schema}}, pg_temp" for name in FUNCTIONS),
        *(f"ALTER TABLE {{table}} ENABLE ALWAYS TRIGGER {name}" for name in TRIGGERS),
    )
    return _script(statements, roles)


def hand_back(roles: Roles) -> str:
    """SQL for an administrator: the portal's role owns the record again, for a migration that changes its table."""
    return _script(_owned_by("portal"), roles)


def _owned_by(role: str) -> tuple[str, ...]:
    return (
        f"ALTER DATABASE {{database}} OWNER TO {{{role}}}",
        f"ALTER SCHEMA {{schema}} OWNER TO {{{role}}}",
        f"ALTER TABLE {{table}} OWNER TO {{{role}}}",
        *(f"ALTER FUNCTION {{schema}}.{name}() OWNER TO {{{role}}}" for name in FUNCTIONS),
    )


def _script(statements: Sequence[str], roles: Roles) -> str:
    """One transaction, so that all of it happens or nothing."""
    values: dict[str, Composed | Identifier | Literal] = {
        "portal": Identifier(roles.portal),
        "owner": Identifier(roles.owner),
        "portal_name": Literal(roles.portal),
        "owner_name": Literal(roles.owner),
        "database": Identifier(roles.database),
        "schema": Identifier(roles.schema),
        "table": Identifier(roles.schema, TABLE),
    }
    lines = [SQL(statement).format(**values).as_string(None) + ";" for statement in statements]
    return "\n".join(("BEGIN;", *lines, "COMMIT;"))
