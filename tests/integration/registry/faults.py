"""A server that passes requests on to a real one, and misbehaves as it is told."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import requests

LONGEST_SECONDS = 20


class Fault(Enum):
    NONE = auto()
    HANG = auto()
    DRIP_HEAD = auto()
    DRIP_BODY = auto()
    BREAK_OFF = auto()
    LOSE_REPLY = auto()
    SWALLOW = auto()


class FaultyServer:
    """``fault(method, path)`` gives a Fault, or an answer as (status, body); ``seen`` lists the requests."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.seen: list[tuple[str, str]] = []
        self.fault: Callable[[str, str], Fault | tuple[int, bytes]] = lambda method, path: Fault.NONE
        self.stopping = threading.Event()
        self.uri = ""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def _handle(self) -> None:
        faulty = self.server.faulty
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = urlsplit(self.path).path
        faulty.seen.append((self.command, path))
        fault = faulty.fault(self.command, path)
        if isinstance(fault, tuple):
            self._answer(*fault)
        elif fault is Fault.SWALLOW:
            self._answer(200, b"{}")
        elif fault is Fault.HANG:
            self._hold(b"", b"")
        elif fault is Fault.DRIP_HEAD:
            self._hold(b"HTTP/1.1 200 OK\r\nX-Drip: ", b"x")
        elif fault is Fault.DRIP_BODY:
            self._hold(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" ")
        elif fault is Fault.BREAK_OFF:
            self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"registered_')
            self.close_connection = True
        else:
            self._forward(body, lose=fault is Fault.LOSE_REPLY)

    do_GET = do_POST = do_PATCH = do_DELETE = _handle  # noqa: N815 - the names that BaseHTTPRequestHandler looks for

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _hold(self, start: bytes, drop: bytes) -> None:
        self.close_connection = True
        end = time.monotonic() + LONGEST_SECONDS
        with suppress(OSError):
            self.wfile.write(start)
            while time.monotonic() < end and not self.server.faulty.stopping.wait(0.05):
                self.wfile.write(drop)
                self.wfile.flush()

    def _forward(self, body: bytes, *, lose: bool) -> None:
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        url = self.server.faulty.target + self.path
        response = requests.request(self.command, url, data=body, headers=headers, timeout=30)
        if lose:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._answer(response.status_code, response.content)

    def log_message(self, format: str, *args: object) -> None:
        """Tests read ``seen`` instead."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    faulty: FaultyServer


@contextmanager
def faulty_server(target: str) -> Iterator[FaultyServer]:
    faulty = FaultyServer(target)
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.faulty = faulty
        faulty.uri = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield faulty
        finally:
            faulty.stopping.set()
            server.shutdown()
            thread.join()
