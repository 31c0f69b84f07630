"""The load generator: a program of its own, because locust changes how the sockets of its whole process work.

It reads one line of JSON, the load, from standard input, and prints one line a second. It lives as long as standard
input is open: when whoever started it dies, it ends.
"""

from __future__ import annotations

# locust first: gevent has to replace the sockets before anything else imports them.
import locust  # isort: skip

import json
import os
import resource
import sys
import time
from collections.abc import Mapping
from itertools import count
from typing import Any

import gevent
import orjson
from gevent.os import tp_read
from geventhttpclient._parser import HTTPParseError
from geventhttpclient.response import HTTPConnectionClosed
from locust import FastHttpUser, constant, task
from locust.contrib.fasthttp import LocustBadStatusCode
from locust.env import Environment
from locust.exception import StopUser

PATH = "/invocations"
VERSION_HEADER = "X-Model-Version"
HEADERS = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
LARGEST_MEMORY = 4 * 2**30
"""An answer without end fills this process and no other."""
SHOWN = 300
"""Characters of a refused answer that are passed on."""
BREATH = 0.05
"""Seconds that a user waits who could not connect: nobody is served by asking a closed door thousands of times."""
REASONS = {
    ConnectionRefusedError: "connection refused",
    ConnectionResetError: "connection closed before the answer was complete",
    HTTPConnectionClosed: "connection closed before the answer was complete",
    HTTPParseError: "an answer that is not HTTP",
}


class Tally:
    """What was answered since the last line: seconds of good answers, and failures by reason with an example.

    ``over`` says that no user begins another request.
    """

    def __init__(self) -> None:
        self.over = False
        self.latencies: list[float] = []
        self.failures: dict[str, dict[str, Any]] = {}

    def good(self, seconds: float) -> None:
        self.latencies.append(round(seconds, 6))

    def failed(self, reason: str, example: str) -> None:
        found = self.failures.setdefault(reason, {"count": 0, "example": example[:SHOWN]})
        found["count"] += 1

    def take(self) -> dict[str, Any]:
        taken = {"latencies": self.latencies, "failures": self.failures}
        self.latencies, self.failures = [], {}
        return taken


def why_failed(status: int, content: bytes, served: str | None, version: str) -> str:
    """Why an answer is not a prediction of this version, "" when it is."""
    if status != 200:
        return f"status {status}"
    try:
        answer = orjson.loads(content)
    except orjson.JSONDecodeError:
        # A model may answer NaN, which MLflow writes as it is and JSON does not have.
        answer = _lenient(content)
    if not isinstance(answer, dict) or answer.get("predictions") is None:
        return "status 200 without predictions"
    return "" if served == version else f"answered as version {str(served)[:40]}, not {version}"


def _lenient(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def user_class(load: Mapping[str, Any], tally: Tally) -> type[FastHttpUser]:
    """A user who asks again as soon as there is an answer: the rows of the load in turn, each beginning elsewhere."""
    bodies: list[str] = load["bodies"]
    numbers = count()

    class Asker(FastHttpUser):
        host = load["url"]
        wait_time = constant(0)
        # They begin again with every byte, so that of the whole request always comes first.
        network_timeout = connection_timeout = 2 * load["timeout"]

        def on_start(self) -> None:
            self.row = next(numbers) * len(bodies) // load["users"]

        @task
        def predict(self) -> None:
            if tally.over:
                raise StopUser
            self.row = (self.row + 1) % len(bodies)
            started = time.monotonic()
            try:
                with gevent.Timeout(load["timeout"]):
                    self.ask(bodies[self.row])
            except (Exception, gevent.Timeout) as error:
                # The client dresses a time-out up as other errors, so the clock decides.
                if time.monotonic() - started >= load["timeout"]:
                    tally.failed(f"no answer within {load['timeout']:g} s", "")
                else:
                    tally.failed(REASONS.get(type(error), type(error).__name__), str(error))
                    gevent.sleep(BREATH)

        def ask(self, body: str) -> None:
            """Raises what went wrong with the connection, gevent.Timeout among it."""
            with self.client.post(
                PATH, data=body, headers=HEADERS, allow_redirects=False, catch_response=True
            ) as response:
                error = response.request_meta["exception"]
                if error is not None and not isinstance(error, LocustBadStatusCode):
                    response.failure(error)
                    raise error
                content, served = response.content or b"", (response.headers or {}).get(VERSION_HEADER)
                reason = why_failed(response.status_code, content, served, load["version"])
                if reason:
                    tally.failed(reason, content.decode("utf-8", "replace"))
                    response.failure(reason)
                else:
                    tally.good(response.request_meta["response_time"] / 1000)
                    response.success()

    return Asker


def say(line: Mapping[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
    sys.stdout.buffer.flush()


def watch(descriptor: int) -> None:
    """End with whoever holds the other end of standard input."""
    while tp_read(descriptor, 4096):
        pass
    os._exit(1)


def apply(load: Mapping[str, Any]) -> None:
    """Ramp up, stay, and let the requests in flight finish; a line each second, phase by phase."""
    tally = Tally()
    environment = Environment(user_classes=[user_class(load, tally)], stop_timeout=load["timeout"] + 1)
    runner = environment.create_local_runner()
    started = time.monotonic()

    def line(phase: str) -> None:
        at = round(time.monotonic() - started, 3)
        say({"at": at, "phase": phase, "users": runner.user_count, **tally.take()})

    def until(done: Any, phase: str) -> None:
        """Print a line at every full second, and one at the end of the phase."""
        while not done():
            gevent.sleep(min(1.0 - (time.monotonic() - started) % 1.0, max(ends - time.monotonic(), 0.01)))
            line(phase)

    runner.start(load["users"], spawn_rate=load["users"] / max(load["ramp"], 0.1))
    ends = started + load["ramp"]
    until(lambda: time.monotonic() >= ends and runner.user_count >= load["users"], "ramp")
    ends = time.monotonic() + load["steady"]
    until(lambda: time.monotonic() >= ends, "steady")
    # The runner takes a moment to reach every user; none of them asks again meanwhile.
    tally.over = True
    stopping = gevent.spawn(runner.stop)
    ends = time.monotonic() + load["timeout"] + 2
    until(lambda: stopping.dead or time.monotonic() >= ends, "drain")
    say({"phase": "done", "tool": f"locust {locust.__version__}"})


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (LARGEST_MEMORY, LARGEST_MEMORY))
    load = orjson.loads(sys.stdin.buffer.readline())
    gevent.spawn(watch, sys.stdin.fileno())
    apply(load)
    sys.stdout.flush()
    # Nothing of a user who still waits for an answer may keep the process.
    os._exit(0)


if __name__ == "__main__":
    main()
