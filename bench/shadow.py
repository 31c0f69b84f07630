"""What users notice of a shadow: nothing, whatever it does.

    python -m bench.shadow --rate 200 --seconds 20

Starts a gateway of its own with one model server for users and two routes to it. Round by round, one of them has a
shadow that gets a copy of every request: none, a healthy one, one that takes 5 s, one that fails, one that never
answers, and one that is not there. Both routes are asked at the same time, each at half the rate. Prints p50, p95, p99
of the users' answers in milliseconds, in parentheses those of the route without a shadow, the failed requests, the
copies that the gateway counted, and the most memory, goroutines and open files of the gateway.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import tempfile
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from lifecycle.adapters.http import get, samples
from lifecycle.adapters.local_gateway import TraefikTraffic
from lifecycle.ports import Backend
from tests.contract.waiting import eventually
from tests.integration.adapters.services import Gateway, free_port, listens
from tests.support.load import Load

SLUG = "iris"
ROW = {"dataframe_records": [{"sepal_length": 5.1, "petal_length": 1.4, "petal_width": 0.2}]}
USERS, SHADOW = 1, 2
ANSWER_SECONDS = 0.002
SHADOWS = {
    "healthy": (200, ANSWER_SECONDS),
    "slow": (200, 5.0),
    "failing": (500, ANSWER_SECONDS),
    "hanging": (200, 3600),
}
"""Status and seconds of the answers of each kind of shadow; a dead one is an address where nobody listens."""
SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
GATEWAY = {"process_resident_memory_bytes": 2**20, "go_goroutines": 1, "process_open_fds": 1}


def model_server(version: int, status: int, seconds: float) -> Callable[..., Any]:
    """An application that answers every POST so, and every GET at once."""
    headers = [(b"content-length", b"20"), (b"x-model-version", str(version).encode())]

    async def app(scope: MutableMapping[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        while (await receive()).get("more_body", False):
            pass
        if scope["method"] == "POST":
            await asyncio.sleep(seconds)
        await send(
            {"type": "http.response.start", "status": status if scope["method"] == "POST" else 200, "headers": headers}
        )
        await send({"type": "http.response.body", "body": b'{"predictions": [1]}'})

    return app


def serve(ports: dict[str, int]) -> None:
    """All model servers, in one event loop, until the process is ended."""
    apps = {name: model_server(SHADOW, *behaviour) for name, behaviour in SHADOWS.items()}
    apps["users"] = model_server(USERS, 200, ANSWER_SECONDS)

    async def run() -> None:
        servers = [
            uvicorn.Server(
                uvicorn.Config(app, port=ports[name], lifespan="off", log_level="critical", access_log=False)
            )
            for name, app in apps.items()
        ]
        await asyncio.gather(*(server.serve() for server in servers))

    asyncio.run(run())


@dataclass(frozen=True)
class Round:
    """What one round showed: the users of the route with the shadow, and those of the same model without one, asked at
    the same time, so that whatever else the machine does is in both."""

    shadow: str
    beside: Load
    without: Load
    copies: str
    peak: dict[str, float]

    @property
    def failures(self) -> int:
        return len(self.beside.failures) + len(self.without.failures)

    def line(self) -> str:
        numbers = zip(quantiles(self.beside), quantiles(self.without), strict=True)
        users = ", ".join(
            f"{name} {here:.1f} ({there:.1f})" for name, (here, there) in zip(SHARES, numbers, strict=True)
        )
        gateway = ", ".join(f"{value:.0f} {name}" for name, value in self.peak.items())
        answers = len(self.beside.answers) + len(self.without.answers)
        return f"{self.shadow:8}: {users} ms, {self.failures} of {answers} failed; copies {self.copies}; {gateway}"


def quantiles(load: Load) -> list[float]:
    """SHARES of the users' times, in milliseconds."""
    seconds = sorted(answer.seconds for answer in load.answers)
    return [seconds[int(share * (len(seconds) - 1))] * 1000 for share in SHARES.values()]


def measure(
    gateway: Gateway, traffic: TraefikTraffic, name: str, ports: dict[str, int], options: argparse.Namespace
) -> Round:
    users = Backend(USERS, f"http://127.0.0.1:{ports['users']}", 100)
    shadow = Backend(SHADOW, f"http://127.0.0.1:{ports.get(name) or free_port()}", 0)
    mirrors = {} if name == "none" else {SHADOW: 100}
    slug = f"{SLUG}-{name}"
    traffic.apply(slug, (users, shadow), fence=1, mirrors=mirrors)
    traffic.apply(SLUG, (users,), fence=1)
    eventually(lambda: (traffic.weights(slug), traffic.mirrors(slug)), lambda seen: seen == ({1: 100, 2: 0}, mirrors))
    eventually(lambda: traffic.weights(SLUG), lambda seen: seen == {1: 100})
    with load_on(gateway, slug, options) as beside, load_on(gateway, SLUG, options) as without:
        peak = watch(gateway, options.seconds)
    return Round(name, beside, without, copies(gateway, slug), peak)


def load_on(gateway: Gateway, slug: str, options: argparse.Namespace) -> Load:
    return Load(f"http://127.0.0.1:{gateway.port}/{slug}/invocations", [ROW], options.rate / 2)


def watch(gateway: Gateway, seconds: float) -> dict[str, float]:
    """The most that the gateway needed of MB, goroutines and open files in these seconds."""
    peak = dict.fromkeys(("MB", "goroutines", "files"), 0.0)
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        text = gateway.api("/metrics")
        for name, (metric, unit) in zip(peak, GATEWAY.items(), strict=True):
            peak[name] = max(peak[name], next(samples(text, metric)).value / unit)
        time.sleep(0.5)
    return peak


def copies(gateway: Gateway, slug: str) -> str:
    """What the gateway counted for the shadow, by status."""
    found = samples(
        get(f"http://127.0.0.1:{gateway.api_port}/metrics", timeout=5).text, "traefik_service_requests_total"
    )
    ours = [sample for sample in found if sample.labels["service"] == f"{slug}--v{SHADOW}@file"]
    return ", ".join(f"{sample.value:.0f} x {sample.labels['code']}" for sample in ours) or "none"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=200.0, help="requests per second, of both routes")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each round")
    options = parser.parse_args()
    ports = {name: free_port() for name in ("users", *SHADOWS)}
    servers = multiprocessing.Process(target=serve, args=(ports,), daemon=True)
    servers.start()
    with tempfile.TemporaryDirectory(prefix="stagegate-bench-") as folder:
        gateway = Gateway(Path(folder))
        with gateway.started():
            eventually(lambda: all(map(listens, ports.values())), bool)
            rounds = [measure(gateway, gateway.adapter(), name, ports, options) for name in ("none", *SHADOWS, "dead")]
    servers.kill()
    for each in rounds:
        print(each.line(), flush=True)
    failed = sum(each.failures for each in rounds)
    print(f"failed requests of users: {failed}: {'met' if not failed else 'MISSED'}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
