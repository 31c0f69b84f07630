"""What every screen costs in a small and in a large installation, and beside it MLflow's own list.

    python -m bench.pages [--size small|large|both] [--only PART OF A NAME] [--keep FOLDER] [--mlflow]
    python -m tests.postgres bench.pages

Small is 100 models with 1,000 versions and 10,000 entries of the record, large 10,000 models with 100,000 versions and
1,000,000 entries; people, what waits and what runs are the same (``bench.pages_seed``). Each size is a database of its
own and a process of its own; with ``--keep`` they stay in that folder and are used again by the next run.

Every screen of ``bench.pages_screens`` is asked for in the process, through all of the middleware, as somebody who is
signed in, with the settings of an installation: 3 times to warm up, then 30 times one after the other. As in an
installation, a request finds the connection of the one before it, unless that is a minute old. Printed are

- ms: the time from the request to the whole answer, as p50 and p95. ``--clock cpu`` counts the process's own processor
  time instead, for a machine that has other things to do (PostgreSQL's share is then missing);
- growth: p50 of the large installation by that of the small one;
- queries: of one request, with those of session, person and frame;
- kB: the answer, gzipped.

A screen misses its target when p95 is over 50 ms, growth over 1.3, or a request takes more than 12 queries: it is
marked, and the exit code is 1. Growth of less than 2 ms is not counted: it is within what the clock can tell.
``--mlflow`` starts a real MLflow server with as many models (10 versions each) on SQLite and times the first page of
its search, over HTTP, with 25 models as on our page.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import django
import psycopg
import requests
from django.core.management import call_command
from django.db import close_old_connections, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from psycopg.sql import SQL, Identifier

from bench.pages_screens import NOBODY, SCREENS, Screen

LIMIT_MS, LIMIT_GROWTH, LIMIT_QUERIES, LIMIT_TRANSFER = 50.0, 1.3, 12, 400_000
TELLABLE_MS = 2.0
WARM_UP = 3
SIZES = ("small", "large")
SEEDED = "seeded.json"
CHART_LIBRARY = "plotly"
ROW = "{:<28} {:>8} {:>8} {:>8} {:>8} {:>7} {:>8} {:>6}  {}"
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
_LINKED = re.compile(r"""(?:href|src)="(/static/[^"#?]+)|url\(["']?([^"')#?]+)""")


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one screen at one size: milliseconds, queries, and bytes of the gzipped answer."""

    p50: float
    p95: float
    queries: int
    size: int
    status: int


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=(*SIZES, "both"), default="both")
    parser.add_argument("--only", default="", help="screens whose name has this in it")
    parser.add_argument("--keep", type=Path, help="a folder for the databases, to be used again")
    parser.add_argument("--times", type=int, default=30)
    parser.add_argument("--clock", choices=tuple(CLOCKS), default="wall")
    parser.add_argument("--mlflow", action="store_true")
    parser.add_argument("--queries", action="store_true", help="print the queries of each screen")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.one:
        return _one(given)
    with ExitStack() as stack:
        folder = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stagegate-bench-")))
        sizes = SIZES if given.size == "both" else (given.size,)
        measured = {size: _in_a_process(size, folder.resolve(), given) for size in sizes}
        return _report(measured)


# ---------------------------------------------------------------- one size, in a process of its own


def _in_a_process(size: str, folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    home = folder / size
    home.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "bench.pages", "--one", size, "--keep", str(home), "--times", str(given.times)]
    command += ["--only", given.only, "--clock", given.clock]
    command += [flag for flag, wanted in (("--mlflow", given.mlflow), ("--queries", given.queries)) if wanted]
    subprocess.run(command, check=True, env={**os.environ, **_environment(home, size)})
    return dict(json.loads((home / "figures.json").read_text()))


def _environment(home: Path, size: str) -> dict[str, str]:
    """An installation's settings; PostgreSQL's server gets a database for each size."""
    given = os.environ.get("DATABASE_URL", "")
    if given.startswith("postgres"):
        url = urlunsplit(urlsplit(given)._replace(path=f"/stagegate_bench_{size}"))
        _make_database(given, f"stagegate_bench_{size}", anew=not (home / SEEDED).exists())
    else:
        url = f"sqlite:///{home / 'stagegate.sqlite3'}"
        for file in home.glob("stagegate.sqlite3*") if not (home / SEEDED).exists() else ():
            file.unlink()
    return {
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "STAGEGATE_HOME": str(home),
        "STAGEGATE_SECRET_KEY": "only-for-measuring-" + "x" * 40,
        "STAGEGATE_LOG_LEVEL": "ERROR",
    }


def _make_database(url: str, name: str, *, anew: bool) -> None:
    with psycopg.connect(url, autocommit=True) as server:
        if anew:
            server.execute(SQL("DROP DATABASE IF EXISTS {}").format(Identifier(name)))
        if server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
            server.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))


def _one(given: argparse.Namespace) -> int:
    django.setup()
    home, size = given.keep, given.one
    keys = _seeded(home, size)
    clients = _Clients()
    wanted = [screen for screen in SCREENS if given.only in screen.name]
    figures = {screen.name: asdict(_measure(screen, keys, clients, given)) for screen in wanted}
    found = {
        "screens": figures,
        "transfer": _transfer(clients),
        "load": os.getloadavg()[0],
        "vendor": connection.vendor,
    }
    if given.mlflow:
        models = import_module("bench.pages_seed").SIZES[size].models
        found["mlflow"] = _mlflow(home, models, given.times)
    (home / "figures.json").write_text(json.dumps(found))
    return 0


def _seeded(home: Path, size: str) -> dict[str, Any]:
    """The keys for addresses, of the database that is there or a new one."""
    keys, seed = home / SEEDED, import_module("bench.pages_seed")
    call_command("migrate", verbosity=0)
    call_command("collectstatic", verbosity=0, interactive=False)
    if not keys.exists():
        made = seed.fill(seed.SIZES[size], datetime.now(UTC), lambda text: print(f"{size}: {text}", file=sys.stderr))
        keys.write_text(json.dumps(made))
    return dict(json.loads(keys.read_text()))


class _Clients:
    """Browsers, each of somebody who is signed in."""

    def __init__(self) -> None:
        self._kept: dict[str, Client] = {}

    def __getitem__(self, username: str) -> Client:
        if username not in self._kept:
            self._kept[username] = Client(
                headers={"accept-encoding": "gzip", "host": "localhost"}, raise_request_exception=False
            )
            if username != NOBODY:
                user = import_module("portal.accounts.models").User.objects.get(username=username)
                self._kept[username].force_login(user)
        return self._kept[username]


def _measure(screen: Screen, keys: dict[str, Any], clients: _Clients, given: argparse.Namespace) -> Figures:
    client, path = clients[screen.who], screen.path.format(**keys)
    headers = {"HX-Request": "true"} if screen.part else {}

    def ask() -> Any:
        answer = client.get(path, headers=headers)
        content = b"".join(answer.streaming_content) if answer.streaming else answer.content
        return answer, content

    for _ in range(WARM_UP):
        ask()
        close_old_connections()
    clock, spent = CLOCKS[given.clock], []
    for _ in range(given.times):
        start = clock()
        ask()
        spent.append((clock() - start) * 1000)
        close_old_connections()
    with CaptureQueriesContext(connection) as captured:
        answer, content = ask()
    if given.queries:
        _print_queries(screen, captured)
    return Figures(
        p50=statistics.median(spent),
        p95=sorted(spent)[max(int(len(spent) * 0.95) - 1, 0)],
        queries=len(captured),
        size=len(content if answer.headers.get("Content-Encoding") else gzip.compress(content)),
        status=answer.status_code,
    )


def _print_queries(screen: Screen, captured: CaptureQueriesContext) -> None:
    print(f"\n== {screen.name}: {len(captured)} queries")
    for query in captured.captured_queries:
        print(f"{float(query['time']) * 1000:8.1f} ms  {query['sql'][:1500]}")


# ---------------------------------------------------------------- the first visit


def _transfer(clients: _Clients) -> dict[str, int]:
    """Bytes of the front page as it is sent, and of everything that it links to, by what it is."""
    client = clients["owner"]
    page = client.get("/")
    sizes, waiting = {"page": len(page.content)}, _links(page.content.decode(), "/")
    seen: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path in seen or not path.startswith("/static/"):
            continue
        seen.add(path)
        answer = client.get(path)
        content = b"".join(answer.streaming_content)
        kind = CHART_LIBRARY if CHART_LIBRARY in path else path.rpartition(".")[2]
        sizes[kind] = sizes.get(kind, 0) + len(content)
        if path.endswith(".css"):
            plain = gzip.decompress(content) if answer.headers.get("Content-Encoding") == "gzip" else content
            waiting += _links(plain.decode(), path)
    return sizes


def _links(text: str, at: str) -> list[str]:
    found = [first or second for first, second in _LINKED.findall(text)]
    return [os.path.normpath(os.path.join(os.path.dirname(at), each)) for each in found if ":" not in each]


# ---------------------------------------------------------------- MLflow's own list


def _mlflow(home: Path, models: int, times: int) -> list[float]:
    """Milliseconds for the first 25 of so many models."""
    server_of = import_module("tests.integration.registry.server")
    with tempfile.TemporaryDirectory(dir=home) as folder, server_of.running_mlflow(Path(folder)) as server:
        server_of.seed(server, models * 10)
        spent = []
        with requests.Session() as session:
            url = f"{server.uri}/api/2.0/mlflow/registered-models/search"
            for _ in range(WARM_UP + times):
                start = time.perf_counter()
                answer = session.get(url, params={"max_results": 25, "order_by": "name ASC"}, timeout=60)
                spent.append((time.perf_counter() - start) * 1000)
                answer.raise_for_status()
    return spent[WARM_UP:]


# ---------------------------------------------------------------- the report


def _report(measured: dict[str, dict[str, Any]]) -> int:
    loads = ", ".join(f"{name} {found['load']:.1f}" for name, found in measured.items())
    print(f"{next(iter(measured.values()))['vendor']}; load of the machine: {loads}")
    titles = ("small ms", "p95", "large ms", "p95", "growth", "queries", "kB")
    print(ROW.format("screen", *titles, ""), flush=True)
    missed = [_print_screen(name, measured) for name in next(iter(measured.values()))["screens"]]
    small = _print_transfer(next(iter(measured.values()))["transfer"])
    for size, found in measured.items():
        _print_mlflow(size, found)
    print(f"{sum(map(bool, missed))} of {len(missed)} screens miss a target")
    return 1 if any(missed) or not small else 0


def _print_screen(name: str, measured: dict[str, dict[str, Any]]) -> list[str]:
    at = {size: Figures(**found["screens"][name]) for size, found in measured.items()}
    small, large = at.get("small"), at.get("large")
    grown = large.p50 / small.p50 if small and large else None
    missed = _missed(tuple(at.values()), grown)
    times = [f"{value:.1f}" if value is not None else "" for each in (small, large) for value in _ms(each)]
    queries = "/".join(str(each.queries) for each in at.values())
    kilobytes = f"{max(each.size for each in at.values()) / 1000:.1f}"
    print(ROW.format(name, *times, f"{grown:.2f}" if grown else "", queries, kilobytes, "; ".join(missed)), flush=True)
    return missed


def _ms(figures: Figures | None) -> tuple[float | None, float | None]:
    return (figures.p50, figures.p95) if figures else (None, None)


def _missed(figures: Sequence[Figures], grown: float | None) -> list[str]:
    missed = []
    if any(each.status != 200 for each in figures):
        missed.append(f"status {max(each.status for each in figures)}")
    if any(each.p95 > LIMIT_MS for each in figures):
        missed.append("slow")
    if grown is not None and grown > LIMIT_GROWTH and figures[1].p50 - figures[0].p50 > TELLABLE_MS:
        missed.append("grows")
    if any(each.queries > LIMIT_QUERIES for each in figures):
        missed.append("queries")
    return missed


def _print_transfer(sizes: dict[str, int]) -> bool:
    counted = sum(size for kind, size in sizes.items() if kind != CHART_LIBRARY)
    parts = ", ".join(f"{kind} {size / 1000:.1f}" for kind, size in sorted(sizes.items()))
    print(f"first visit: {counted / 1000:.1f} kB without the chart library, as sent ({parts})")
    return counted <= LIMIT_TRANSFER


def _print_mlflow(size: str, found: dict[str, Any]) -> None:
    if "mlflow" in found:
        spent = sorted(found["mlflow"])
        p95 = spent[max(int(len(spent) * 0.95) - 1, 0)]
        print(f"MLflow's search for 25 models, {size}: p50 {statistics.median(spent):.1f} ms, p95 {p95:.1f} ms")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
