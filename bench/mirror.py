"""How long the mirror takes, against bare paging through the same MLflow: ``python -m bench.mirror [SIZE ...]``.

For each size (1,000, 10,000 and 50,000 versions by default, 10 a model, 3 tags each) a real MLflow server on SQLite is
filled through its own tables, because filling it by its API would take an hour. Measured, in a process of its own:

- each of the next three is the best of three turns, because other programs share the machine;
- bare: every page of models and versions fetched and decoded, nothing else;
- first: a full pass into empty tables; again: a full pass that finds nothing new;
- idle: a poll of the newest that finds nothing new; 1 %: one that finds one version in a hundred changed;
- memory: the most the process held at any time, and how much of that came after the start-up.
"""

from __future__ import annotations

import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import django
import requests
from django.core.management import call_command
from django.db import connection

from lifecycle.adapters.mlflow_registry import MlflowRegistry
from tests.integration.registry.server import MlflowServer, running_mlflow, seed

SIZES = (1_000, 10_000, 50_000)
MODELS_PAGE, VERSIONS_PAGE = 1000, 2000
ROW = "{:>9} {:>8} {:>8} {:>7} {:>8} {:>7} {:>8} {:>8} {:>9} {:>9} {:>9}"
HEADINGS = (
    "versions",
    "bare s",
    "first s",
    "ratio",
    "again s",
    "ratio",
    "idle s",
    "1 % s",
    "ms/change",
    "peak MiB",
    "grown MiB",
)


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--one"]:
        _measure(int(arguments[1]))
        return 0
    print(ROW.format(*HEADINGS), flush=True)
    for size in [int(argument) for argument in arguments] or SIZES:
        subprocess.run([sys.executable, "-m", "bench.mirror", "--one", str(size)], check=True)
    return 0


def _measure(size: int) -> None:
    with tempfile.TemporaryDirectory(prefix="stagegate-bench-") as folder:
        home = Path(folder)
        _set_up_tables(home)
        mirror = import_module("lifecycle.mirror")
        with running_mlflow(home) as server:
            seed(server, size)
            registry = MlflowRegistry(server.uri, timeout_seconds=30)
            before = _peak_mib()
            bare, first, again = [], [], []
            for _ in range(3):
                bare.append(_seconds(lambda: _page_through(server.uri)))
                _empty_tables()
                first.append(_seconds(lambda: mirror.full_pass(registry, _now())))
                again.append(_seconds(lambda: mirror.full_pass(registry, _now())))
            idle = _seconds(lambda: mirror.poll_newest(registry, _now()))
            changes = _change_one_in_a_hundred(server)
            changed = _seconds(lambda: mirror.poll_newest(registry, _now()))
            registry.close()
    best = min(bare)
    passes = (best, min(first), min(first) / best, min(again), min(again) / best)
    figures = (*passes, idle, changed, (changed - idle) / changes * 1000)
    peak = _peak_mib()
    print(ROW.format(size, *(f"{figure:.2f}" for figure in figures), f"{peak:.0f}", f"{peak - before:.0f}"), flush=True)


def _set_up_tables(home: Path) -> None:
    os.environ["DATABASE_URL"] = f"sqlite:///{home / 'stagegate.sqlite3'}"
    os.environ["STAGEGATE_HOME"] = str(home)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    call_command("migrate", verbosity=0)


def _empty_tables() -> None:
    """Without loading the rows, as ``delete()`` would: that would count as memory of the mirror."""
    with connection.cursor() as cursor:
        for table in ("modelindex", "modeltag", "modelversion", "registeredmodel", "mirrorstate"):
            cursor.execute(f"DELETE FROM lifecycle_{table}")


def _page_through(uri: str) -> None:
    """What any client has to do: ask for every page and decode it."""
    with requests.Session() as session:
        for path, size in (("registered-models", MODELS_PAGE), ("model-versions", VERSIONS_PAGE)):
            query: dict[str, str | int] = {"max_results": size, "order_by": "name ASC"}
            while True:
                url = f"{uri}/api/2.0/mlflow/{path}/search"
                answer = session.get(url, params=query, timeout=60).json()
                if not answer.get("next_page_token"):
                    break
                query["page_token"] = answer["next_page_token"]


def _change_one_in_a_hundred(server: MlflowServer) -> int:
    now = int(time.time() * 1000) + 10_000_000
    with closing(sqlite3.connect(server.database, timeout=30)) as database, database:
        return database.execute(
            "UPDATE model_versions SET description = 'changed', last_updated_time = ? + rowid WHERE rowid % 100 = 0",
            (now,),
        ).rowcount


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _now() -> datetime:
    return datetime.now(UTC)


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
