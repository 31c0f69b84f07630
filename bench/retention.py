"""How long the clean-up takes and what memory it needs: ``python -m bench.retention [SIZE ...]``.

For each size (1,000 and 10,000 expired versions by default, and as many that are kept, 10 a model) the registry and
the store are the in-memory twins. What is measured, each size in a process of its own, is Stagegate and its database:

- deleted: the clean-up from start to end, in its usual slices; a second: versions deleted in each second of it;
- outlook: the queries behind the page before the clean-up, when everything is still to go;
- memory: how much the process's peak grew, and the most versions that were loaded at a time.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import django
from django.core.management import call_command

from lifecycle.adapters.memory import MemoryRegistry, MemoryServing
from lifecycle.domain.permissions import STAGEGATE

SIZES = (1_000, 10_000)
ROW = "{:>9} {:>10} {:>9} {:>10} {:>10} {:>14}"
HEADINGS = ("versions", "deleted s", "a second", "outlook s", "grown MiB", "most at a time")


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--one"]:
        _measure(int(arguments[1]))
        return 0
    print(ROW.format(*HEADINGS), flush=True)
    for size in [int(argument) for argument in arguments] or SIZES:
        subprocess.run([sys.executable, "-m", "bench.retention", "--one", str(size)], check=True)
    return 0


def _measure(size: int) -> None:
    with tempfile.TemporaryDirectory(prefix="stagegate-bench-") as folder:
        _set_up_tables(Path(folder))
        queries, retention = import_module("lifecycle.queries_retention"), import_module("lifecycle.retention")
        now = datetime.now(UTC)
        _fill(size, now)
        most = _watch_batches(queries, retention)
        before = _peak_mib()
        outlook = _outlook(queries, now)
        start = time.perf_counter()
        deleted = _clean_up(retention, now)
        seconds = time.perf_counter() - start
        if deleted != size:
            raise SystemExit(f"{deleted} of {size} were deleted")
    figures = (f"{seconds:.1f}", f"{size / seconds:.0f}", f"{outlook:.2f}", f"{_peak_mib() - before:.0f}", most[0])
    print(ROW.format(size, *figures), flush=True)


def _set_up_tables(home: Path) -> None:
    os.environ["DATABASE_URL"] = f"sqlite:///{home / 'stagegate.sqlite3'}"
    os.environ["STAGEGATE_HOME"] = str(home)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    call_command("migrate", verbosity=0)


def _fill(size: int, now: datetime) -> None:
    """Expired and young versions, in the twins and mirrored."""
    adapters, dispatch, mirror, models = (
        import_module(f"lifecycle.{name}") for name in ("adapters", "dispatch", "mirror", "models")
    )
    registry, serving = MemoryRegistry(), MemoryServing()
    adapters.registry, adapters.serving = lambda: registry, lambda: serving
    dispatch.send = lambda *args, **kwargs: None
    for index in range(2 * size):
        registry.add_version(f"model-{index // 10:06}", stage="Archived", files={"MLmodel": b"x" * 100})
    mirror.full_pass(registry, now, page_size=1000)
    models.ModelVersion.objects.update(stage_since=now - timedelta(days=10))
    expired = models.ModelVersion.objects.filter(version__lte=5)
    expired.update(stage_since=now - timedelta(days=100))


def _watch_batches(queries: Any, retention: Any) -> list[int]:
    """The size of the largest batch, kept up to date."""
    most, fetch = [0], queries.batches

    def watched(rows: Any) -> Any:
        for batch in fetch(rows):
            most[0] = max(most[0], len(batch))
            yield batch

    queries.batches = retention.batches = watched
    return most


def _outlook(queries: Any, now: datetime) -> float:
    start = time.perf_counter()
    queries.going(queries.outlook(now).going[:25], now)
    return time.perf_counter() - start


def _clean_up(retention: Any, now: datetime) -> int:
    row = import_module("lifecycle.retention_queue").begin(requested_by=STAGEGATE, now=now)
    while row.running:
        retention.run(row.pk, clock=lambda: datetime.now(UTC))
        row.refresh_from_db()
    return int(row.deleted)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
