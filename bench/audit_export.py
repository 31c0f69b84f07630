"""Exported entries a second, against the database's own bare cursor over the same rows, and the memory that it takes.

    DJANGO_SETTINGS_MODULE=tests.settings python -m bench.audit_export [ENTRIES]
    DJANGO_SETTINGS_MODULE=tests.settings python -m tests.postgres bench.audit_export [ENTRIES]

1,000,000 entries by default, in a database of its own that is removed afterwards. The bare cursor is the driver's own
(sqlite3, or psycopg with a cursor on the server) and gives the rows as tuples that nobody looks at. Memory is the
growth of the process's peak while the file is written to /dev/null.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable

import django
from django.db import connection, transaction
from django.test.utils import setup_databases, teardown_databases

django.setup()

from lifecycle import exports  # noqa: E402 - Django has to be set up first
from lifecycle.domain.exporting import COLUMNS, ExportFormat  # noqa: E402
from lifecycle.models import AuditEntry  # noqa: E402
from lifecycle.queries import RecordFilter  # noqa: E402
from tests.support.many_entries import write_entries  # noqa: E402

TABLE = AuditEntry._meta.db_table


def main(arguments: list[str]) -> int:
    entries = int(arguments[0]) if arguments else 1_000_000
    names = setup_databases(verbosity=0, interactive=False, serialized_aliases=[])
    try:
        write_entries(entries)
        _compare(entries)
    finally:
        teardown_databases(names, verbosity=0)
    return 0


def _compare(entries: int) -> None:
    bare = _rate("bare cursor", entries, _bare)
    for form in ExportFormat:
        rate = _rate(form.label, entries, lambda form=form: _export(RecordFilter(), form))
        print(f"    {rate / bare:.0%} of the bare cursor's rate")
    one = RecordFilter(model="model-7")
    _rate("JSON lines of one model in twenty", exports.scope(one).rows, lambda: _export(one, ExportFormat.JSONL))


def _rate(name: str, entries: int, work: Callable[[], int]) -> float:
    """Prints and returns entries a second."""
    memory, start, worked = _peak(), time.perf_counter(), time.process_time()
    size = work()
    spent, worked = time.perf_counter() - start, time.process_time() - worked
    growth = (_peak() - memory) / 1024
    megabytes = f", {size / 1e6:,.0f} MB" if size else ""
    print(
        f"{name} on {connection.vendor}: {entries:,} entries in {spent:.1f} s, {entries / spent:,.0f} a second, "
        f"{1e6 * worked / entries:.0f} µs of processor time each{megabytes}; peak memory grew by {growth:.1f} MiB",
        flush=True,
    )
    return entries / spent


def _bare() -> int:
    connection.ensure_connection()
    statement = f"SELECT {', '.join(COLUMNS)} FROM {TABLE} ORDER BY seq"
    if connection.vendor == "sqlite":
        for _ in connection.connection.cursor().execute(statement):
            pass
        return 0
    with transaction.atomic(), connection.connection.cursor(name="bare") as cursor:
        cursor.itersize = exports.WINDOW
        for _ in cursor.execute(statement):
            pass
    return 0


def _export(wanted: RecordFilter, form: ExportFormat) -> int:
    with open(os.devnull, "wb") as sink:
        return sum(sink.write(piece) for piece in exports.stream(wanted, form))


def _peak() -> float:
    """KiB."""
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
