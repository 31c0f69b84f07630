"""A small model server without a model, started with the options of ``python -m serving``.

It writes down what it was started with, and does what ``behaviour.json`` in its model directory says: ``fail`` is
text for standard error, after which it ends with code 1; ``after`` is how many seconds it lives before that;
``deaf`` keeps it from listening; ``answers_as`` is the version it claims to be; ``metrics`` replaces its metrics.
Requests can ask for trouble: X-Sleep (seconds before the answer), X-Fail (versions that answer 500).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = False

    def __init__(self, address: tuple[str, int], version: str, metrics: str | None) -> None:
        self.version, self.metrics = version, metrics
        self.in_flight, self.answered, self.lock = 0, 0, threading.Lock()
        self.started = time.time()
        super().__init__(address, Handler)

    def stop(self) -> None:
        """Stop listening; requests in flight are finished when the process waits for its threads."""
        threading.Thread(target=self.shutdown).start()


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 60

    def do_GET(self) -> None:
        if self.path == "/metrics":
            self._answer(200, self.server.metrics if self.server.metrics is not None else self._metrics())
        else:
            self._answer(200, "\n")

    def do_POST(self) -> None:
        with self.server.lock:
            self.server.in_flight += 1
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        time.sleep(float(self.headers.get("X-Sleep") or 0))
        with self.server.lock:
            self.server.in_flight -= 1
            self.server.answered += 1
        fails = self.server.version in (self.headers.get("X-Fail") or "").split(",")
        self._answer(500 if fails else 200, json.dumps({"path": self.path}))

    def _metrics(self) -> str:
        """Every answer took at most half a second."""
        bucket, answered = "stagegate_request_duration_seconds_bucket", self.server.answered
        lines = (
            f"stagegate_requests_in_flight {self.server.in_flight}.0",
            f'stagegate_model_info{{model="m",version="{self.server.version}"}} 1.0',
            *(f'{bucket}{{le="{edge}"}} {answered if edge != "0.25" else 0}.0' for edge in ("0.25", "0.5", "+Inf")),
            f"process_start_time_seconds {self.server.started}",
        )
        return "\n".join((*lines, ""))

    def _answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Model-Version", self.server.version)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Keep standard error for what the tests put there."""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model-dir", type=Path)
    parser.add_argument("--name", default="")
    parser.add_argument("--version", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    return parser.parse_args()


def behaviour(model_dir: Path | None) -> dict[str, Any]:
    """What the model directory asks for, after a note beside it of how this process was started."""
    if model_dir is None:
        return {}
    note = {"argv": sys.argv[1:], "environ": dict(os.environ), "pid": os.getpid(), "cwd": os.getcwd()}
    with (model_dir.parent / f"starts-{model_dir.name}.jsonl").open("a") as file:
        file.write(json.dumps(note) + "\n")
    path = model_dir / "behaviour.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def main() -> None:
    given = options()
    asked = behaviour(given.model_dir)
    if "fail" in asked:
        time.sleep(asked.get("after", 0))
        print(asked["fail"], file=sys.stderr)
        sys.exit(1)
    if asked.get("deaf"):
        signal.pause()
    server = Server((given.host, given.port), asked.get("answers_as", given.version), asked.get("metrics"))
    signal.signal(signal.SIGTERM, lambda *_: server.stop())
    server.serve_forever(poll_interval=0.05)
    server.socket.close()


if __name__ == "__main__":
    main()
