"""The record in a real database: in order, without gaps, and refusing every change."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import verify_audit
from lifecycle import checkpoints
from lifecycle.audit import body, record, recording
from lifecycle.domain import chain
from lifecycle.domain.permissions import Actor, Role
from lifecycle.models import AuditEntry, Checkpoint
from lifecycle.system_checks import check_triggers
from tests.support.record import made_key, verified

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
EMIL = Actor("Emil", 1, frozenset({Role.ML_ENGINEER, Role.AUDITOR}), signed_in_by="password")
TABLE = AuditEntry._meta.db_table


def add(**values):
    with recording():
        return record("test", actor=EMIL, now=NOW, **values)


# ---------------------------------------------------------------- what is stored is what was hashed

texts = st.text(max_size=20) | st.sampled_from(["\x00", "\ud800", "\u202e", "\U0001f600", "1.0", "null", " "])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.django_db
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(details=st.dictionaries(texts, values, max_size=5), reason=texts, name=texts, address=texts)
def test_the_hash_can_be_computed_again_from_what_the_database_gives_back(details, reason, name, address):
    """Numbers, texts and names come back otherwise than they were given; what is hashed comes back as it is."""
    actor = Actor(name, None, frozenset({Role.SERVICE}), address=address, signed_in_by="token")
    with recording():
        written = record("test", actor=actor, now=NOW, reason=reason, details=details)
    stored = AuditEntry.objects.get(pk=written.pk)
    assert chain.entry_hash(body(stored)) == stored.hash == written.hash
    line = chain.canonical({**body(stored), "hash": stored.hash})
    assert verify_audit.sha256(body_of(line)) == stored.hash


def body_of(line):
    return {name: value for name, value in verify_audit.read_object(line).items() if name != "hash"}


@pytest.mark.django_db
def test_an_entry_outside_of_a_recording_transaction_is_refused():
    with pytest.raises(RuntimeError, match="inside recording"):
        record("test", actor=EMIL, now=NOW)
    assert not AuditEntry.objects.exists()


# ---------------------------------------------------------------- every change is refused


@pytest.fixture
def entries(db):
    return [add(reason=f"Entry {number}.") for number in range(1, 4)]


@contextmanager
def refused(words):
    with pytest.raises(IntegrityError, match=words), transaction.atomic():
        yield


def execute(sql, *values):
    with connection.cursor() as cursor:
        cursor.execute(sql, values)


def saved(entry, **changes):
    for name, value in changes.items():
        setattr(entry, name, value)
    entry.save()


def forged(**changes):
    """What an entry after the three would be, but for the changes."""
    last = AuditEntry.objects.get(seq=3)
    values = {
        "seq": 4, "at": NOW, "action": "test", "actor": "Mallory", "signed_in_by": "", "previous_hash": last.hash,
        "hash": "f" * 64,
    }  # fmt: skip
    return AuditEntry(**{**values, **changes})


CHANGES = {
    "update": lambda entry: AuditEntry.objects.filter(seq=2).update(reason="Nothing."),
    "update of all": lambda entry: AuditEntry.objects.update(refused=False),
    "save": lambda entry: saved(entry, reason="Nothing."),
    "save without a change": lambda entry: saved(entry),
    "delete": lambda entry: entry.delete(),
    "delete of all": lambda entry: AuditEntry.objects.all().delete(),
    "raw delete": lambda entry: AuditEntry.objects.all()._raw_delete("default"),
    "UPDATE": lambda entry: execute(f"UPDATE {TABLE} SET hash = %s WHERE seq = 3", "f" * 64),
    "DELETE": lambda entry: execute(f"DELETE FROM {TABLE} WHERE seq = 3"),
    "DELETE of all": lambda entry: execute(f"DELETE FROM {TABLE}"),
}
DISORDER = {
    "a gap": {"seq": 5},
    "a number again": {"seq": 3},
    "a number before": {"seq": 0},
    "another's hash": {"previous_hash": chain.FIRST},
    "another's id": {"pk": 1},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_database_refuses_to_change_an_entry(entries, change):
    before = list(AuditEntry.objects.values())
    with refused("append-only"):
        change(entries[1])
    assert list(AuditEntry.objects.values()) == before


@pytest.mark.parametrize("changes", DISORDER.values(), ids=DISORDER)
def test_the_database_refuses_an_entry_that_does_not_follow(entries, changes):
    if "pk" in changes:
        changes = {"pk": entries[0].pk}
    for insert in (lambda entry: entry.save(force_insert=True), lambda entry: AuditEntry.objects.bulk_create([entry])):
        with refused("no gaps|duplicate key|UNIQUE"):
            insert(forged(**changes))
    assert AuditEntry.objects.count() == 3


def test_the_database_refuses_to_replace_an_entry(entries):
    row = forged(seq=3, previous_hash=entries[2].previous_hash)
    for conflict in ({"update_conflicts": True, "update_fields": ["hash"], "unique_fields": ["seq"]},):
        with refused("append-only|no gaps"):
            AuditEntry.objects.bulk_create([row], **conflict)
    if connection.vendor == "sqlite":
        columns = [field.column for field in AuditEntry._meta.fields]
        chosen = ", ".join("4" if name == "seq" else "hash" if name == "previous_hash" else name for name in columns)
        for sql in (
            f"REPLACE INTO {TABLE} SELECT * FROM {TABLE} WHERE seq = 3",
            f"REPLACE INTO {TABLE} SELECT {chosen} FROM {TABLE} WHERE seq = 3",
        ):
            with refused("no gaps"):
                execute(sql)
    assert list(AuditEntry.objects.order_by("seq").values_list("hash", flat=True)) == [each.hash for each in entries]


def test_the_triggers_outlive_all_migrations_and_are_missed_when_they_do_not(db):
    assert check_triggers(databases=["default"]) == []
    table = f" ON {TABLE}" if connection.vendor == "postgresql" else ""
    execute(f"DROP TRIGGER record_in_order{table}")
    (warning,) = check_triggers(databases=["default"])
    assert warning.id == "lifecycle.W004"


# ---------------------------------------------------------------- many at once


@pytest.mark.django_db(transaction=True)
def test_eight_writers_at_once_leave_no_gap(settings, tmp_path):
    """Every fifth transaction is rolled back after it has recorded; its number goes to the next."""

    class UndoneError(Exception):
        pass

    def write(writer):
        draw, done = random.Random(writer), 0
        try:
            while done < 25:
                try:
                    with recording():
                        record("test", actor=EMIL, now=NOW, details={"writer": writer, "number": done})
                        if draw.random() < 0.2:
                            raise UndoneError
                    done += 1
                except UndoneError:
                    continue
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    made_key(settings, tmp_path)
    checkpoints.make(now=NOW)
    assert verified().count == 200
    numbers = AuditEntry.objects.order_by("seq").values_list("details", flat=True)
    for writer in range(8):
        assert [each["number"] for each in numbers if each["writer"] == writer] == list(range(25))


@pytest.mark.django_db(transaction=True)
def test_eight_signers_at_once_do_not_fork_the_checkpoints(settings, tmp_path):
    made_key(settings, tmp_path)

    def work(number):
        try:
            add()
            checkpoints.make(now=NOW)
            checkpoints.deliver(now=NOW)
        finally:
            connection.close()

    for _ in range(2):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
    assert Checkpoint.objects.order_by("-seq").first().seq == 16
    assert not Checkpoint.objects.filter(complete=False).exists()
    assert verified().count == 16


# ---------------------------------------------------------------- who owns it


@pytest.mark.django_db
def test_an_administrator_gets_the_sql_and_on_sqlite_is_told_what_there_is_instead(capsys):
    if connection.vendor == "sqlite":
        with pytest.raises(CommandError, match="SQLite has no roles"):
            call_command("protect_record")
    else:
        call_command("protect_record")
        assert 'OWNER TO "stagegate_record"' in capsys.readouterr().out
