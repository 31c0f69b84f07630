"""A whole installation for the tests: everything that `make run` starts, on free ports, once a session."""

from __future__ import annotations

import time
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from embedded.ports import Ports
from embedded.stack import SERVICES, Stack
from embedded.steps import Steps
from tests.support.load import Load, flowers
from tests.support.people import LOOK_SECONDS, Team

MODEL = "iris-random-forest"
HOUR_SECONDS = "2.5"
"""What an hour of the rollout's schedule lasts in these tests."""
OPENING_POLICY, DEMO_POLICY = 2, 3
"""The demo's policies: the first asks nothing of a version, the second has all criteria. 1 is the strategy's own."""
JUDGED = {"confidence": 90.0, "latency_p95_increase": 100.0}
"""The lifecycle strategy's thresholds, but for the latency: machines that test are busy. Takes some 600 requests."""
SHORT_ROLLOUTS = {
    "canary_steps": [
        {"weight": 20, "minimum": 2, "requests": 50},
        {"weight": 50, "minimum": 2},
        {"weight": 100, "minimum": 0},
    ],
    "rollout": {"shadow_duration": 3, "shadow_requests": 100, "patience": 300},
    "comparison": {
        **JUDGED,
        "error_rate_increase": 20.0,
        "latency_p95_increase": 400.0,
        "prediction_psi": 3.0,
        "drift": 0.8,
        "production_error_rate": 30.0,
        "staging_error_rate": 30.0,
    },
}
"""Two steps on the way, and so much room that some 100 requests tell."""


@dataclass
class Installation:
    """A running installation and the people who use it."""

    home: Path
    environment: dict[str, str]
    team: Team

    @property
    def portal(self) -> str:
        return self.environment["STAGEGATE_PUBLIC_URL"]

    @property
    def route(self) -> str:
        return f"{self.environment['STAGEGATE_GATEWAY_URL']}/{MODEL}/invocations"

    def load(self, rate: float = 20) -> Load:
        return Load(self.route, flowers(), rate)

    # ---------------------------------------------------------------- policies

    def put_policy(self, number: int, reason: str, **changes: Any) -> None:
        """Put policy ``number`` into force for MODEL, with sections changed."""
        values = self.team["ada"].get(f"policies/{number}/")["values"]
        for name, value in changes.items():
            values[name] = {**values[name], **value} if isinstance(value, dict) else value
        self.team["ada"].post("policies/", model=MODEL, values=values, reason=reason)

    @contextmanager
    def gated(self, **changes: Any) -> Iterator[None]:
        """The demo's criteria apply to MODEL, with sections changed; at the end nothing is asked of it again."""
        self.put_policy(DEMO_POLICY, "This test is about the gate.", **changes)
        try:
            yield
        finally:
            self.ungated("The next test is not.")

    def ungated(self, reason: str, **changes: Any) -> None:
        """Nothing is asked of MODEL's versions, and its rollouts are short, with sections changed."""
        self.put_policy(OPENING_POLICY, reason, **{**SHORT_ROLLOUTS, **changes})

    def promoted(self, version: int) -> dict[str, Any]:
        """A version in Staging goes to Production at once."""
        row = self.team.await_transition(self.team.approved(MODEL, version, "Production", strategy="blue_green"))
        assert row["status"] == "finished", row["outcome"]
        return row

    def serving_weights(self) -> dict[int, int]:
        variants = self.team["aron"].get(f"models/{MODEL}/")["variants"]
        return {variant["version"]: variant["weight"] for variant in variants if variant["weight"]}

    def into_staging(self, version: int) -> None:
        """Unless it is there, from Development or Archived."""
        if self.team["aron"].get(f"models/{MODEL}/versions/{version}/")["stage"] != "Staging":
            row = self.team.await_transition(self.team.approved(MODEL, version, "Staging"))
            assert row["status"] == "finished", row["outcome"]

    def back_to_first(self) -> None:
        """Version 1 serves alone, as after the start: whatever runs is rolled back."""
        for pk in self.team.asked[-1:]:
            if self.team.transition(pk)["status"] in ("approved", "running"):
                self.team["emil"].try_post(f"rollouts/{pk}/abort/", reason="Next test.")
            if self.team.transition(pk)["status"] == "rolling_back":
                self.team.await_transition(pk)
        serving = self.serving_weights()
        while serving != {1: 100}:
            answer = self.team["emil"].try_post(f"models/{MODEL}/rollback/", reason="Next test.", kind="graceful")
            if answer.status_code == 202:
                self.team.await_transition(answer.json()["id"])
            time.sleep(0.2)
            serving = self.serving_weights()

    # ---------------------------------------------------------------- processes

    def _supervisor(self, method: str, *arguments: Any) -> Any:
        where = urlsplit(self.environment["STAGEGATE_SUPERVISOR_URL"])
        user, password = (self.environment[f"STAGEGATE_SUPERVISOR_{name}"] for name in ("USER", "PASSWORD"))
        with xmlrpc.client.ServerProxy(f"http://{user}:{password}@{where.netloc}/RPC2") as proxy:
            return getattr(proxy.supervisor, method)(*arguments)

    def kill(self, program: str) -> None:
        """kill -9 a program and its children; supervisord starts it again."""
        parent = psutil.Process(self._supervisor("getProcessInfo", program)["pid"])
        for process in (*parent.children(recursive=True), parent):
            process.kill()

    @contextmanager
    def without(self, program: str) -> Iterator[None]:
        """The program is stopped, and started again at the end."""
        self._supervisor("stopProcess", program)
        try:
            yield
        finally:
            self._supervisor("startProcess", program)

    def await_ready(self, seconds: float = 60) -> None:
        """Every part answers again."""

        def ready() -> bool:
            try:
                parts = httpx.get(f"{self.portal}/readyz", timeout=10, trust_env=False).json()["parts"]
            except (httpx.HTTPError, ValueError):
                return False
            return all(part["ok"] for part in parts.values())

        wait_until(ready, seconds, "the installation to be ready")


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Fail unless the condition comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        time.sleep(LOOK_SECONDS)


def without_traffic(home: Path, *, hour_seconds: str = HOUR_SECONDS, steps: Steps | None = None) -> Stack:
    """The demo on free ports, without its traffic, so that a test's own load is all there is."""
    services = [name for name in SERVICES if name != "traffic"]
    settings = {"STAGEGATE_DEMO_HOUR_SECONDS": hour_seconds}
    return Stack(home=home, ports=Ports.free(), services=services, settings=settings, steps=steps)


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    home = tmp_path_factory.mktemp("installation")
    with without_traffic(home) as stack:
        environment = stack.environment()
        team = Team(environment["STAGEGATE_PUBLIC_URL"], home)
        made = Installation(home, environment, team)
        made.ungated("Most tests are about what comes after the gate.")
        yield made
        team.close()
