"""Our model server against ``mlflow models serve``: same model, same load, one run.

    python -m bench.serving [--seconds 4] [--rounds 2] [--connections 32] [--trees 100]

A random forest on the iris data is saved once and served by both. One client, in this process, keeps a number of
connections busy with single rows, each connection sending its next request when it has its answer. The servers take
turns, so both meet the same machine. Every answer, under load too, is compared with what ``mlflow models serve``
answered to the same row before. Exits with 1 when an answer differs or a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.error import URLError
from urllib.request import urlopen

import httptools
import mlflow
import numpy as np
import orjson
import pandas as pd
import uvloop
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

ROOT = Path(__file__).resolve().parent.parent
# Run as a file, this module hides the package of the same name.
sys.path[0] = str(ROOT)

from serving.reference import METADATA_KEY, build_reference  # noqa: E402 - needs the path above

START_SECONDS = 90
TARGET_RATIO, TARGET_RATE = 5.0, 500.0
OURS, THEIRS = "stagegate", "mlflow models serve"


@dataclass
class Load:
    """What one server did with the load: seconds it took a request, and answers that were wrong."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    wrong: int = 0

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, percent: float) -> float:
        """Milliseconds."""
        return float(np.percentile(self.latencies, percent)) * 1000


class Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[bytes] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("the server closed the connection"))

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        assert self._answer is not None
        body, self._body = self._body, b""
        self._answer.set_result(body if self._parser.get_status_code() == 200 else b"status")

    async def ask(self, request: bytes) -> bytes:
        """The body of the answer, or b"status" when it was not a 200."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def train(directory: Path, trees: int) -> pd.DataFrame:
    """Save the model with its training reference. Returns the rows to ask about."""
    iris = load_iris(as_frame=True)
    model = RandomForestClassifier(n_estimators=trees, random_state=0).fit(iris.data, iris.target)
    predictions = model.predict(iris.data)
    mlflow.sklearn.save_model(
        model,
        directory,
        signature=mlflow.models.infer_signature(iris.data, predictions),
        input_example=iris.data.head(5),
        metadata={METADATA_KEY: build_reference(iris.data, predictions)},
        skops_trusted_types=["sklearn.tree._tree.Tree"],
    )
    noise = np.random.default_rng(0).normal(scale=0.3, size=iris.data.shape)
    return pd.concat([iris.data, (iris.data + noise).clip(lower=0.05).round(3)], ignore_index=True)


def requests_for(rows: pd.DataFrame) -> list[bytes]:
    """One HTTP request a row, complete with headers."""
    columns = list(rows.columns)
    bodies = (
        orjson.dumps({"dataframe_split": {"columns": columns, "data": [row]}}) for row in rows.to_numpy().tolist()
    )
    head = (
        b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    )
    return [head % len(body) + body for body in bodies]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def server(command: list[str], port: int, log: Path) -> Iterator[None]:
    """A server that answers /ping, stopped with all its children at the end."""
    # mlflow finds the uvicorn that it starts on the path.
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        wait_ready(process, port, log)
        yield
    finally:
        stop_group(process)


def wait_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).close()
            return
        except (URLError, OSError):
            time.sleep(0.1)
    raise SystemExit(f"{' '.join(process.args)} did not start:\n{log.read_text()}")  # type: ignore[arg-type]


def stop_group(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(10)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


async def connect(port: int) -> Connection:
    _, connection = await asyncio.get_running_loop().create_connection(Connection, "127.0.0.1", port)
    return connection


async def ask_each(port: int, requests: list[bytes]) -> list[bytes]:
    """The answer to every request, asked one after the other."""
    connection = await connect(port)
    try:
        return [await connection.ask(request) for request in requests]
    finally:
        connection.close()


async def apply_load(port: int, requests: list[bytes], expected: list[bytes], connections: int, seconds: float) -> Load:
    load = Load()
    started = time.perf_counter()
    end = started + seconds

    async def keep_busy(position: int) -> None:
        connection = await connect(port)
        while (asked := time.perf_counter()) < end:
            answer = await connection.ask(requests[position])
            load.latencies.append(time.perf_counter() - asked)
            load.wrong += answer != expected[position]
            position = (position + 1) % len(requests)
        connection.close()

    step = max(1, len(requests) // connections)
    await asyncio.gather(*(keep_busy(number * step % len(requests)) for number in range(connections)))
    load.seconds = time.perf_counter() - started
    return load


def merged(loads: list[Load]) -> Load:
    return Load(
        seconds=sum(load.seconds for load in loads),
        latencies=[latency for load in loads for latency in load.latencies],
        wrong=sum(load.wrong for load in loads),
    )


def compare(ports: dict[str, int], requests: list[bytes], options: argparse.Namespace) -> bool:
    """Print the comparison. Returns whether all answers were identical and the targets met."""
    expected = uvloop.run(ask_each(ports[THEIRS], requests))
    identical = uvloop.run(ask_each(ports[OURS], requests)) == expected and b"status" not in expected
    print(f"{len(requests)} rows asked one by one: answers {'identical to the byte' if identical else 'DIFFER'}\n")
    print(
        f"{'server':<20} {'connections':>11} {'requests/s':>11} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8} {'wrong':>6}"
    )
    met = identical
    for connections in (1, options.connections):
        loads = measure(ports, requests, expected, connections, options)
        for name, load in loads.items():
            percentiles = " ".join(f"{load.percentile(percent):>8.1f}" for percent in (50, 95, 99))
            print(f"{name:<20} {connections:>11} {load.rate:>11.0f} {percentiles} {load.wrong:>6}")
        ratio = loads[OURS].rate / loads[THEIRS].rate
        print(f"{'ratio':<20} {connections:>11} {ratio:>10.1f}x\n")
        met = met and not any(load.wrong for load in loads.values())
        if connections > 1:
            met = met and ratio >= TARGET_RATIO and loads[OURS].rate >= TARGET_RATE
    targets = f"{TARGET_RATIO:g}x and {TARGET_RATE:g} requests/s under load, identical answers"
    print(f"targets: {targets}: {'met' if met else 'MISSED'}")
    return met


def measure(
    ports: dict[str, int], requests: list[bytes], expected: list[bytes], connections: int, options: argparse.Namespace
) -> dict[str, Load]:
    loads: dict[str, list[Load]] = {name: [] for name in ports}
    for _ in range(options.rounds):
        for name, port in ports.items():
            loads[name].append(uvloop.run(apply_load(port, requests, expected, connections, options.seconds)))
    return {name: merged(parts) for name, parts in loads.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="a turn of one server")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each server")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--trees", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "model")
        requests = requests_for(train(model, options.trees))
        ports = {THEIRS: free_port(), OURS: free_port()}
        theirs = ["-m", "mlflow", "models", "serve", "--env-manager", "local", "-m", str(model)]
        ours = ["-m", "serving", "--model-dir", str(model), "--name", "iris", "--version", "1"]
        commands = {
            name: [sys.executable, *command, "--host", "127.0.0.1", "--port", str(ports[name])]
            for name, command in ((THEIRS, theirs), (OURS, ours))
        }
        with (
            server(commands[THEIRS], ports[THEIRS], Path(folder, "theirs.log")),
            server(commands[OURS], ports[OURS], Path(folder, "ours.log")),
        ):
            return 0 if compare(ports, requests, options) else 1


if __name__ == "__main__":
    sys.exit(main())
