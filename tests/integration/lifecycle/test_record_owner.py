"""What PostgreSQL holds against changes of the record, and SQLite cannot: roles, and TRUNCATE."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import import_module
from urllib.parse import urlunsplit

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from lifecycle.audit import record, recording
from lifecycle.domain.permissions import Actor
from lifecycle.models import AuditEntry
from tests.contract.waiting import eventually

pytestmark = pytest.mark.postgres

TABLE = AuditEntry._meta.db_table
PORTAL, OWNER = "stagegate_test_portal", "stagegate_test_record"


def add():
    with recording():
        record("test", actor=Actor("Emil"), now=datetime(2026, 3, 1, 9, tzinfo=UTC))


def execute(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.mark.django_db
def test_nobody_truncates_the_record():
    add()
    for table in (TABLE, f"{TABLE}, lifecycle_checkpoint CASCADE"):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            execute(f"TRUNCATE {table}")


@pytest.fixture
def protected(transactional_db, monkeypatch):
    """A connection as the portal's role, which owned the record and has handed it over."""
    parameters = connection.get_connection_params()
    host = f"{parameters['user']}@{parameters['host']}:{parameters['port']}"
    address = urlunsplit(("postgres", host, f"/{parameters['dbname']}", "", ""))
    administrator = psycopg.connect(address, autocommit=True)
    give = f"""
        CREATE ROLE {PORTAL} LOGIN;
        ALTER DATABASE {parameters["dbname"]} OWNER TO {PORTAL};
        ALTER SCHEMA public OWNER TO {PORTAL};
        ALTER TABLE {TABLE} OWNER TO {PORTAL};
        ALTER FUNCTION record_refuse() OWNER TO {PORTAL};
        ALTER FUNCTION record_in_order() OWNER TO {PORTAL};
    """
    take_back = f"REASSIGN OWNED BY {PORTAL}, {OWNER} TO CURRENT_USER; DROP OWNED BY {PORTAL}, {OWNER};"
    with administrator:
        administrator.execute(give)
        monkeypatch.setenv("RECORD_ADMINISTRATOR_URL", address)
        with psycopg.connect(address.replace(parameters["user"], PORTAL, 1), autocommit=True) as portal:
            with as_role(PORTAL):
                call_command("protect_record", owner=OWNER, verbosity=0)
            yield portal
        # A session that has ended still takes its temporary tables away, which must not vanish under what follows.
        here = f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{PORTAL}'"
        eventually(lambda: administrator.execute(here).fetchone(), lambda count: count == (0,))
        administrator.execute(f"{take_back} DROP ROLE {PORTAL}, {OWNER};")


@contextmanager
def as_role(role):
    """What Django's own connection does meanwhile it does as this role."""
    execute(f"SET ROLE {role}")
    try:
        yield
    finally:
        execute("RESET ROLE")


FORBIDDEN = (
    f"UPDATE {TABLE} SET reason = 'Nothing.'",
    f"DELETE FROM {TABLE}",
    f"TRUNCATE {TABLE}",
    f"ALTER TABLE {TABLE} DISABLE TRIGGER ALL",
    f"ALTER TABLE {TABLE} DISABLE TRIGGER record_no_change",
    f"DROP TRIGGER record_no_change ON {TABLE}",
    f"CREATE TRIGGER mine BEFORE INSERT ON {TABLE} FOR EACH ROW EXECUTE FUNCTION record_refuse()",
    f"CREATE RULE mine AS ON INSERT TO {TABLE} DO INSTEAD NOTHING",
    f"ALTER TABLE {TABLE} ADD COLUMN mine text",
    f"ALTER TABLE {TABLE} OWNER TO {PORTAL}",
    f"ALTER TABLE {TABLE} RENAME TO elsewhere",
    f"DROP TABLE {TABLE}",
    f"DO $$ BEGIN LOCK TABLE {TABLE}; END $$",
    "DROP FUNCTION record_refuse() CASCADE",
    "CREATE OR REPLACE FUNCTION record_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "ALTER FUNCTION record_in_order() RESET ALL",
    "DROP SCHEMA public CASCADE",
    "SET session_replication_role = replica",
    f"SET ROLE {OWNER}",
    f"GRANT {OWNER} TO {PORTAL}",
    f"ALTER ROLE {PORTAL} SUPERUSER",
)


def is_forbidden(portal, sql):
    try:
        portal.execute(sql)
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False


def test_the_portals_role_can_add_to_the_record_and_nothing_else(protected):
    with as_role(PORTAL):
        add()
    # PostgreSQL only warns here, that nothing was granted.
    protected.execute(f"GRANT ALL ON {TABLE} TO {PORTAL}")
    assert [sql for sql in FORBIDDEN if not is_forbidden(protected, sql)] == []
    assert protected.execute(f"SELECT count(*) FROM {TABLE}").fetchone() == (1,)


def test_a_table_of_the_same_name_does_not_deceive_the_order(protected):
    protected.execute(f"CREATE TEMPORARY TABLE {TABLE} (seq bigint, hash text)")
    protected.execute(f"INSERT INTO pg_temp.{TABLE} VALUES (41, 'x')")
    with pytest.raises(psycopg.errors.RestrictViolation, match="no gaps"):
        protected.execute(
            f"INSERT INTO public.{TABLE} (seq, at, action, refused, actor, actor_roles, signed_in_by, address, model, "
            "semantic_version, from_stage, to_stage, reason, details, evidence_digest, previous_hash, hash) VALUES "
            "(42, now(), '', false, '', '[]', '', '', '', '', '', '', '', '{}', '', 'x', 'y')"
        )


def test_the_record_is_handed_back_for_a_migration_that_needs_it(protected):
    migration = import_module("lifecycle.migrations.0006_record_and_approvals")
    with as_role(PORTAL), connection.schema_editor() as editor, pytest.raises(RuntimeError, match="_record --release"):
        migration.unprotect(None, editor)
    with as_role(PORTAL):
        call_command("protect_record", owner=OWNER, release=True, verbosity=0)
    protected.execute(f"ALTER TABLE {TABLE} ADD COLUMN note text; ALTER TABLE {TABLE} DROP COLUMN note")
    with as_role(PORTAL):
        call_command("protect_record", owner=OWNER, verbosity=0)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        protected.execute(FORBIDDEN[3])


@pytest.mark.django_db(transaction=True)
def test_from_a_superuser_nothing_can_be_kept(monkeypatch, capsys):
    parameters = connection.get_connection_params()
    call_command("protect_record", owner=OWNER)
    assert "OWNER TO" in capsys.readouterr().out
    address = f"postgres://{parameters['user']}@{parameters['host']}:{parameters['port']}/{parameters['dbname']}"
    monkeypatch.setenv("RECORD_ADMINISTRATOR_URL", address)
    with pytest.raises(CommandError, match=r"Nothing was changed: The role .* can do as a superuser does"):
        call_command("protect_record", owner=OWNER)
