"""Appended entries of the record a second, against bare inserts into the same table, at 1, 4 and 16 writers.

    python -m bench.audit [--seconds SECONDS] [--writers 1 4 16]
    python -m tests.postgres bench.audit
    python -m bench.audit verify [--entries ENTRIES]

A writer is a process with a connection of its own. ``record`` is what the portal does: a transaction in the writers'
turn, the last entry read, the hash computed, the row inserted past the triggers. Bare is a transaction with the INSERT
of a row alike, from the same values, into a table of the same columns and indexes without triggers, hash or turn. Each
of the two is committed to the disk by itself (on tests.postgres' server nothing is: fsync is off there).

``verify`` writes an export of 1,000,000 entries with a checkpoint every 1,000, and times ``verify_audit.py`` on it, as
a process of its own; its peak memory is that of the largest such process.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib import import_module
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import django
from django.db import connection, transaction
from django.test.utils import setup_databases, teardown_databases

from lifecycle.domain import chain, checkpoints

TABLE, BARE = "lifecycle_auditentry", "bench_bare_entry"
WRITERS = (1, 4, 16)
CHECKPOINT_EVERY = 1000
NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
VALUES: dict[str, Any] = {
    "action": "transition_requested",
    "reason": "The canary answers as fast, and its predictions are better by two points.",
    "details": {"weights": {"12": 95, "13": 5}, "p95": 0.1234567890123, "step": 2},
}
ROW = "{:<12} {:>8} {:>12} {:>12} {:>8}"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("append", "verify"), default="append")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--writers", type=int, nargs="+", default=WRITERS)
    parser.add_argument("--entries", type=int, default=1_000_000)
    given = parser.parse_args(arguments)
    return _verify(given.entries) if given.what == "verify" else _append(given.seconds, given.writers)


# ---------------------------------------------------------------- appending


def _append(seconds: float, writers: list[int]) -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    names = setup_databases(verbosity=0, interactive=False, serialized_aliases=[])
    try:
        _make_bare_table()
        print(ROW.format("database", "writers", "record/s", "bare/s", "ratio"), flush=True)
        for count in writers:
            recorded, bare = (_rate(count, seconds, kind) for kind in ("record", "bare"))
            figures = (f"{recorded:,.0f}", f"{bare:,.0f}", f"{recorded / bare:.0%}")
            print(ROW.format(connection.vendor, count, *figures), flush=True)
    finally:
        teardown_databases(names, verbosity=0)
    return 0


def _make_bare_table() -> None:
    """The record's table without what protects it. What Django would call its indexes does not matter here."""
    entry = import_module("lifecycle.models").AuditEntry
    with connection.schema_editor() as editor:
        statements, _ = editor.table_sql(entry)
        editor.deferred_sql.clear()
        editor.execute(statements.replace(TABLE, BARE))
        for field in entry._meta.local_fields:
            if field.db_index:
                editor.execute(f"CREATE INDEX bench_{field.column} ON {BARE} ({field.column})")


def _rate(count: int, seconds: float, kind: str) -> float:
    """Committed rows a second of so many processes together."""
    connection.close()
    context = multiprocessing.get_context("fork")
    ready, counts = context.Barrier(count + 1), context.Queue()
    processes = [context.Process(target=_write, args=(kind, seconds, ready, counts)) for _ in range(count)]
    for process in processes:
        process.start()
    ready.wait(120)
    done = sum(counts.get(timeout=seconds + 60) for _ in processes)
    for process in processes:
        process.join()
    return done / seconds


def _write(kind: str, seconds: float, ready: Barrier, counts: Any) -> None:
    append = _recorded if kind == "record" else _bare_insert()
    connection.ensure_connection()
    ready.wait(120)
    done, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        append()
        done += 1
    counts.put(done)
    connection.close()


def _recorded() -> None:
    audit, permissions = import_module("lifecycle.audit"), import_module("lifecycle.domain.permissions")
    with audit.recording():
        audit.record(VALUES["action"], actor=permissions.Actor("Emil", 1), now=NOW, **_rest())


def _rest() -> dict[str, Any]:
    return {name: value for name, value in VALUES.items() if name != "action"}


def _bare_insert() -> Any:
    """An INSERT of the same columns, its statement prepared once."""
    entry = import_module("lifecycle.models").AuditEntry
    row = entry(
        seq=0, at=NOW, actor="Emil", actor_id=1, signed_in_by="", previous_hash="a" * 64, hash="b" * 64, **VALUES
    )
    fields = [field for field in entry._meta.local_fields if not field.primary_key]
    values = [field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields]
    names = ", ".join(f'"{field.column}"' for field in fields)
    statement = f"INSERT INTO {BARE} ({names}) VALUES ({', '.join(['%s'] * len(fields))})"
    number = iter(range(os.getpid() << 32, (os.getpid() + 1) << 32))

    def insert() -> None:
        values[0] = next(number)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement, values)

    return insert


# ---------------------------------------------------------------- verifying


def _verify(entries: int) -> int:
    with tempfile.TemporaryDirectory(prefix="stagegate-bench-") as name:
        folder = Path(name)
        (folder / "checkpoints").mkdir()
        size = _write_export(folder, entries)
        start = time.perf_counter()
        command = [sys.executable, "verify_audit.py", str(folder / "export.jsonl"), str(folder / "checkpoints")]
        subprocess.run(command, check=True)
        spent = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"{entries:,} entries, {size / 1e6:,.0f} MB, {entries // CHECKPOINT_EVERY:,} checkpoints: {spent:.1f} s "
        f"({used.ru_utime + used.ru_stime:.1f} s of processor time), {used.ru_maxrss / 1024:.0f} MiB at most"
    )
    return 0


def _write_export(folder: Path, entries: int) -> int:
    key = checkpoints.load_key(checkpoints.new_key())
    previous, statement = chain.FIRST, None
    with (folder / "export.jsonl").open("wb") as export:
        for seq in range(1, entries + 1):
            body = _body(seq, previous)
            previous = chain.entry_hash(body)
            export.write(chain.canonical({**body, "hash": previous}) + b"\n")
            if seq % CHECKPOINT_EVERY == 0:
                statement = checkpoints.sign(key, seq=seq, entry_hash=previous, at=NOW, previous=statement)
                path = folder / "checkpoints" / checkpoints.file_name(statement)
                path.write_bytes(checkpoints.content(statement))
        return export.tell()


def _body(seq: int, previous: str) -> dict[str, Any]:
    return {
        **VALUES,
        "seq": seq,
        "at": chain.timestamp(NOW),
        "refused": False,
        "actor": "Emil Eriksson",
        "actor_id": 3,
        "actor_roles": ["ml_engineer"],
        "signed_in_by": "password",
        "address": "192.0.2.7",
        "model": "iris-random-forest",
        "version": seq % 50,
        "semantic_version": "1.2.0",
        "from_stage": "Staging",
        "to_stage": "Production",
        "transition": seq // 12,
        "policy": 4,
        "evidence_digest": "ab" * 32,
        "previous_hash": previous,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
