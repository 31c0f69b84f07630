"""Model servers for the checks: a real one, and some that misbehave in one way each."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from lifecycle.checks.base import Subject
from lifecycle.checks.malformed_input import VALID_ROWS
from lifecycle.domain.policy import Checks, LoadTest, Policy, ServiceLevels
from lifecycle.ports import VersionRef
from lifecycle.rows import RowSource
from tests.integration.test_serving import free_port

VERSION = 12
PREDICTIONS = json.dumps({"predictions": [1]})
SIGNATURE = {
    "inputs": [
        {"type": "double", "name": "a", "required": True},
        {"type": "long", "name": "b", "required": True},
        {"type": "double", "name": "c", "required": False},
    ],
    "outputs": [{"type": "long"}],
}

ROWS = frozenset(RowSource(SIGNATURE).bodies(VALID_ROWS))


class Handler(BaseHTTPRequestHandler):
    """``behave(handler, body)`` gives status and text, or None to close the connection."""

    server: BadServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.server.lock:
            self.server.asked += 1
        given = self.server.behave(self, body)
        if given is None:
            self.close_connection = True
            return
        status, text = given
        self.send_response(status)
        for name, value in {"X-Model-Version": str(VERSION), **self.server.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args: object) -> None:
        """Keep standard error for what matters."""


Behaviour = Callable[[Handler, bytes], "tuple[int, str] | None"]


class BadServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, behave: Behaviour, headers: Mapping[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behave, self.headers = behave, headers
        self.asked, self.lock = 0, threading.Lock()
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that gave up is what these tests are about."""


@contextmanager
def bad_server(behave: Behaviour, **headers: str) -> Iterator[BadServer]:
    server = BadServer(behave, headers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


def answer(handler: Handler, body: bytes) -> tuple[int, str]:
    return 200, PREDICTIONS


def refuse(handler: Handler, body: bytes) -> tuple[int, str]:
    return 400, json.dumps({"error_code": "BAD_REQUEST", "message": "no"})


def hang(handler: Handler, body: bytes) -> None:
    handler.server.ended.wait(30)


def slow(handler: Handler, body: bytes) -> tuple[int, str]:
    time.sleep(0.25)
    return 200, PREDICTIONS


def strict(handler: Handler, body: bytes) -> tuple[int, str]:
    """A good server for SIGNATURE, as far as the check can tell: it knows every valid row that it will be sent."""
    right = body in ROWS and handler.headers.get("Content-Type") == "application/json"
    return answer(handler, body) if right else refuse(handler, body)


def subject(
    url: str,
    files: Path,
    *,
    signature: Mapping[str, Any] | None = SIGNATURE,
    users: int = 4,
    steady: float = 1.0,
    malformed: int = 60,
    throughput: float = 100.0,
) -> Subject:
    load = LoadTest(users=users, ramp=timedelta(seconds=0.4), steady=timedelta(seconds=steady))
    levels = ServiceLevels(throughput=throughput)
    policy = Policy(checks=Checks(load_test=load, malformed_inputs=malformed), service_levels=levels)
    return Subject(VersionRef("iris", VERSION), "iris", policy, signature, files, url)


def signature_in(files: Path) -> dict[str, Any]:
    """The signature in a model's files, decoded as the registry's mirror has it."""
    written = yaml.safe_load((files / "MLmodel").read_text())["signature"]
    return {name: json.loads(value) for name, value in written.items() if value}


def nobody() -> str:
    """An address where nothing listens."""
    return f"http://127.0.0.1:{free_port()}"


def quiet(percent: int, phase: str) -> None:
    """A report that nobody reads."""
