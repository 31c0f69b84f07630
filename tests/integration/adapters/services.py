"""Real Traefik, real supervisord and small model servers, on free ports, below a directory, always stopped."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lifecycle.adapters.local_gateway import TraefikTraffic
from lifecycle.adapters.local_serving import SupervisorServing
from lifecycle.ports import Traffic, VersionRef

MODEL_SERVER = Path(__file__).with_name("model_server.py")
START_SECONDS = 30
USER, PASSWORD = "stagegate", "not: a secret, %only; for#tests"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running(command: Sequence[str], log: Path, port: int, *, env: dict[str, str] | None = None) -> Iterator[int]:
    """A program that listens on ``port``; its process id. SIGTERM at the end, and SIGKILL if that is not enough."""
    with log.open("ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=env)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not listens(port):
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.02)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# ---------------------------------------------------------------- the gateway


@dataclass(frozen=True)
class Gateway:
    """Traefik. ``home/routes`` is what it watches; ``port`` serves users, ``api_port`` the API and the metrics."""

    home: Path
    port: int = field(default_factory=free_port)
    api_port: int = field(default_factory=free_port)

    @property
    def routes(self) -> Path:
        return self.home / "routes"

    def adapter(self, *, timeout: float = 10.0) -> TraefikTraffic:
        return TraefikTraffic(self.routes, f"http://127.0.0.1:{self.api_port}", timeout=timeout)

    @contextmanager
    def started(self) -> Iterator[None]:
        self.routes.mkdir(parents=True, exist_ok=True)
        program = shutil.which("traefik", path=str(Path(sys.executable).parent))
        assert program is not None
        command = [
            program,
            f"--entryPoints.web.address=127.0.0.1:{self.port}",
            f"--entryPoints.traefik.address=127.0.0.1:{self.api_port}",
            f"--providers.file.directory={self.routes}",
            "--providers.file.watch=true",
            "--providers.providersThrottleDuration=20ms",
            "--api.insecure=true",
            "--api.dashboard=false",
            "--metrics.prometheus=true",
            "--metrics.prometheus.addServicesLabels=true",
            "--global.checkNewVersion=false",
            "--global.sendAnonymousUsage=false",
        ]
        with running(command, self.home / "traefik.log", self.api_port):
            yield

    def api(self, path: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.api_port, timeout=10)
        connection.request("GET", path)
        text = connection.getresponse().read().decode()
        connection.close()
        return text

    def reloads(self) -> float:
        """How often Traefik has loaded a configuration."""
        name = "traefik_config_reloads_total "
        return next(float(line.split()[1]) for line in self.api("/metrics").splitlines() if line.startswith(name))

    def server_status(self, slug: str, version: int) -> dict[str, str]:
        """What the health checks found, "UP" or "DOWN" by address."""
        return dict(json.loads(self.api(f"/api/http/services/{slug}--v{version}@file")).get("serverStatus", {}))


class User:
    """Somebody who sends requests over one connection that stays open."""

    def __init__(self, gateway: Gateway) -> None:
        self._port = gateway.port
        self._connection: http.client.HTTPConnection | None = None

    def __enter__(self) -> User:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()

    def post(self, slug: str, **headers: str) -> tuple[int, int | None]:
        """Status and version of the answer; 0 and None when the connection broke. ``X_Sleep`` stands for X-Sleep."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            self._connection.request("POST", f"/{slug}/invocations", b'{"inputs": [[1, 2, 3]]}', named)
            response = self._connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            self._connection = None
            return 0, None
        version = response.headers.get("X-Model-Version")
        return response.status, int(version) if version else None


class Crowd:
    """Users who send requests without a pause, until ``stop``."""

    def __init__(self, gateway: Gateway, slug: str, users: int = 4) -> None:
        self.answers: Counter[tuple[int, int | None]] = Counter()
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(gateway, slug)) for _ in range(users)]

    def _send(self, gateway: Gateway, slug: str) -> None:
        with User(gateway) as user:
            while not self._done.is_set():
                answer = user.post(slug)
                with self._lock:
                    self.answers[answer] += 1
                # Leaves the two cores of a small machine some room for the gateway and the servers.
                self._done.wait(0.004)

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    @property
    def failed(self) -> dict[tuple[int, int | None], int]:
        return {answer: number for answer, number in self.answers.items() if answer[0] != 200}


@dataclass(frozen=True)
class TrafficWorld:
    gateway: Gateway
    ports: dict[int, int]

    def url(self, version: int) -> str:
        return f"http://127.0.0.1:{self.ports[version]}"

    def send(self, slug: str, requests: int, *, failing: Collection[int] = ()) -> Counter[int]:
        got: Counter[int] = Counter()
        with User(self.gateway) as user:
            for _ in range(requests):
                _, version = user.post(slug, X_Fail=",".join(map(str, failing)))
                if version is not None:
                    got[version] += 1
        return got

    def again(self) -> Traffic:
        return self.gateway.adapter()


@contextmanager
def model_server(version: int, log: Path) -> Iterator[int]:
    """A model server of a version that nobody keeps alive; its port."""
    port = free_port()
    with running([sys.executable, str(MODEL_SERVER), f"--version={version}", f"--port={port}"], log, port):
        yield port


# ---------------------------------------------------------------- supervisord


@dataclass
class Keeper:
    """supervisord, its directories, and what the tests make of the models that it serves."""

    home: Path
    port: int = field(default_factory=free_port)
    fetches: Counter[VersionRef] = field(default_factory=Counter)

    @property
    def servers(self) -> Path:
        return self.home / "servers"

    @contextmanager
    def started(self) -> Iterator[int]:
        """supervisord's process id. Its environment has a secret, as an installation's has."""
        self.servers.mkdir(parents=True, exist_ok=True)
        config = self.home / "supervisord.conf"
        config.write_text(self._config())
        command = [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(config)]
        env = {"PATH": "/usr/bin:/bin", "STAGEGATE_SECRET_KEY": "the portal's secret"}
        with running(command, self.home / "supervisord.out", self.port, env=env) as pid:
            yield pid

    def _config(self) -> str:
        return f"""\
[supervisord]
logfile={self.home}/supervisord.log
pidfile={self.home}/supervisord.pid
childlogdir={self.home}
[inet_http_server]
port=127.0.0.1:{self.port}
username={USER}
password={PASSWORD.replace("%", "%%")}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[include]
files={self.servers}/*.conf
"""

    def adapter(self, **changes: Any) -> SupervisorServing:
        """A serving that gives up quickly, so that tests of failure do not take long."""
        settings: dict[str, Any] = {
            "fetch": self.fetch,
            "model_store": self.home / "models with a space",
            "servers_dir": self.servers,
            "log_dir": self.home / "log",
            "url": f"http://127.0.0.1:{self.port}",
            "user": USER,
            "password": PASSWORD,
            "ports": [free_port() for _ in range(30)],
            "command": (sys.executable, str(MODEL_SERVER)),
            "directory": self.home,
            "timeout": 5.0,
            "load_seconds": 3,
            "start_retries": 1,
        }
        return SupervisorServing(**{**settings, **changes})

    def fetch(self, ref: VersionRef, directory: Path) -> None:
        """Gives a version its model files."""
        self.fetches[ref] += 1
        (directory / "MLmodel").write_text("flavors: {}\n")

    def model_dir(self, ref: VersionRef, slug: str) -> Path:
        return self.home / "models with a space" / slug / str(ref.version)

    def behave(self, ref: VersionRef, slug: str, **behaviour: Any) -> None:
        """How the version's server behaves from its next start on."""
        directory = self.model_dir(ref, slug)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "behaviour.json").write_text(json.dumps(behaviour))

    def notes(self, ref: VersionRef, slug: str) -> list[dict[str, Any]]:
        """What each process of the version was started with."""
        path = self.model_dir(ref, slug).parent / f"starts-{ref.version}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    # The hands of the contract's world.

    def starts(self, ref: VersionRef, slug: str) -> int:
        return len(self.notes(ref, slug))

    def break_model(self, ref: VersionRef, slug: str) -> None:
        self.behave(ref, slug, fail="the model can't be loaded")

    def mend_model(self, ref: VersionRef, slug: str) -> None:
        self.behave(ref, slug)
