"""A whole installation, or some of its services: started, watched and stopped.

Tests use it too::

    with Stack(home=tmp_path, ports=Ports.free(), services={"valkey", "mlflow"}, demo=False) as stack:
        client = MlflowClient(stack.environment()["MLFLOW_TRACKING_URI"])
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from embedded import configuration, demonstration
from embedded.home import Home, write_private
from embedded.installation import Installation
from embedded.ports import LOOPBACK, Ports, check
from embedded.processes import end_all
from embedded.programs import programs
from embedded.readiness import NOT_YET, Condition, conditions
from embedded.steps import Steps
from embedded.supervisor import Seen, Supervisor, SupervisorError
from embedded.tasks import run_django, tail

WORKERS = ("worker", "rollbacks", "checks", "observations")
SERVICES = ("valkey", "mlflow", "gateway", "portal", *WORKERS, "beat", "traffic")
# These need the database and the broker; they also stop first, while both are still there.
DJANGO = ("portal", *WORKERS, "beat")
READY_SECONDS = 120.0
STOP_SECONDS = 40.0
ENDS_AT_START = 2
SHOWN = {
    "valkey": "Valkey (broker)",
    "mlflow": "MLflow (registry)",
    "gateway": "Traefik (gateway)",
    "portal": "Portal",
    "worker": "Worker",
    "rollbacks": "Worker for rollbacks",
    "checks": "Worker for checks",
    "observations": "Worker for observations",
    "beat": "Clock (Celery beat)",
    "traffic": "Demo traffic",
}


class ServiceError(Exception):
    """A service did not get ready. The text shows the end of its log and says what to do."""


class Stack:
    """The services of one installation.

    ``home`` keeps the data; ``services`` is a part of SERVICES; ``settings`` are environment variables for the
    portal and its workers that go before the installation's own. With ``demo`` the demonstration's models are
    trained and its people made.
    """

    def __init__(
        self,
        home: Path,
        ports: Ports,
        *,
        host: str = LOOPBACK,
        demo: bool = True,
        services: Collection[str] = SERVICES,
        settings: Mapping[str, str] | None = None,
        steps: Steps | None = None,
    ) -> None:
        self.home = Home.at(home)
        self.services = tuple(name for name in SERVICES if name in services)
        self._steps = steps or Steps(quiet=True)
        with self._steps.step("Folders and secrets"):
            self.home.create()
            secrets = self.home.secrets()
            self.home.make_checkpoint_key()
        self.installation = Installation(self.home, secrets, ports, host, demo, settings or {})
        self._programs = programs(self.installation)
        self._supervisor = Supervisor(self.installation)
        self._conditions: dict[str, Condition] = {}
        self._pids: dict[str, int] = {}

    def environment(self) -> dict[str, str]:
        """The variables that the portal and its workers run with."""
        return self.installation.environment()

    def start(self) -> None:
        """Start everything and return when all of it answers.

        1. End what a killed starter left behind; check the ports.
        2. supervisord, then broker, registry and gateway at once, and the database meanwhile.
        3. Portal, workers and clock at once, while the registry is still loading.
        4. The demonstration, then its traffic.

        Raises PortError, TaskError, ServiceError or SupervisorError; whatever had started is stopped again.
        """
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything; afterwards no process of this installation is left."""
        first = tuple(name for name in ("traffic", *reversed(DJANGO)) if name in self.services)
        try:
            # Dead before it could answer or not: what it leaves is ended below.
            with suppress(SupervisorError):
                self._supervisor.stop(first, STOP_SECONDS)
        finally:
            end_all(self.home.path)

    def kill(self) -> None:
        """Stop everything at once, without waiting for running work."""
        self._supervisor.kill()
        end_all(self.home.path, patience=0)

    def restarted(self) -> dict[str, str]:
        """Programs that have ended by themselves since the start or the last call, with the end of their logs.

        supervisord has started them again; those that it has given up on are started here. Raises SupervisorError
        when supervisord itself is gone.
        """
        self._check_supervisor()
        seen = self._seen()
        pids = {name: seen[name].pid for name in self.services if name in seen}
        ended = [name for name, pid in pids.items() if self._pids.get(name, 0) not in (0, pid)]
        self._pids |= pids
        for name in pids:
            if seen[name].state == "FATAL":
                with suppress(SupervisorError):
                    self._supervisor.launch(name)
        return {name: self._log_tail(name) for name in ended}

    def __enter__(self) -> Stack:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> None:
        self._clear_leftovers()
        with self._steps.step("Ports"):
            listeners = self.installation.ports.listeners(self.installation.host)
            check({name: port for name, port in listeners.items() if self._listens(name)})
        with self._steps.step("Configuration and supervisord"):
            self._write_configuration()
            self._supervisor.start()
        self._launch(name for name in ("valkey", "mlflow", "gateway"))
        if any(name in DJANGO for name in self.services):
            self._prepare_database()
        self._await(("valkey",))
        self._launch(DJANGO)
        self._await(("mlflow", "gateway", *DJANGO))
        self._fill()
        self._launch(("traffic",))
        self._await(("traffic",))
        self._pids = {name: program.pid for name, program in self._seen().items()}

    def _clear_leftovers(self) -> None:
        if leftovers := end_all(self.home.path):
            self._steps.say(
                f"    Ended {len(leftovers)} processes that a killed run had left: {', '.join(sorted(set(leftovers)))}"
            )

    def _listens(self, port: str) -> bool:
        return port == "supervisor" or port.removesuffix("_api") in self.services

    def _write_configuration(self) -> None:
        home = self.home.path
        write_private(home / "valkey" / "valkey.conf", configuration.valkey(self.installation))
        write_private(home / "gateway" / "traefik.yml", configuration.gateway(self.installation))
        chosen = [self._programs[name] for name in self.services]
        write_private(self.home.config, configuration.supervisor(self.installation, chosen))

    def _prepare_database(self) -> None:
        """Two Django commands side by side: most of their time is the start of Python."""
        with self._steps.step("Database and static files"), ThreadPoolExecutor() as pool:
            commands = [("migrate", "--noinput"), ("collectstatic", "--noinput")]
            jobs = [pool.submit(run_django, self.installation, *command) for command in commands]
            for job in jobs:
                job.result()

    def _fill(self) -> None:
        """The demonstration's models into the registry, the registry into the portal, people and first versions."""
        if self.installation.demo and demonstration.untrained(self.installation):
            with self._steps.step("Demo models, trained and registered"):
                demonstration.train(self.installation)
        if {"mlflow", "portal"} <= set(self.services):
            with self._steps.step("Registry, copied"):
                demonstration.connect(self.installation)
        if self.installation.demo:
            with self._steps.step("Demo people and first versions"):
                demonstration.seed(self.installation)
            if demonstration.untested(self.installation):
                with self._steps.step("Demo models, tested by their CI"):
                    demonstration.test(self.installation)

    def _launch(self, names: Iterable[str]) -> None:
        made = conditions(self.installation)
        for name in names:
            if name in self.services:
                self._conditions[name] = made[name]
                self._supervisor.launch(name)

    def _await(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self.services:
                with self._steps.step(SHOWN[name]):
                    self._await_one(name)

    def _await_one(self, name: str) -> None:
        """Wait until it answers. Two ends are taken for bad luck; with the third it is said to be broken."""
        deadline = time.monotonic() + READY_SECONDS
        pids: set[int] = set()
        while not self._is_ready(name):
            self._check_supervisor()
            program = self._seen().get(name, Seen("", 0))
            pids.add(program.pid)
            if program.state == "FATAL" or len(pids - {0}) > ENDS_AT_START:
                raise ServiceError(self._explain(name, "ends as soon as it is started"))
            if time.monotonic() > deadline:
                raise ServiceError(self._explain(name, f"did not answer within {READY_SECONDS:.0f} s"))
            time.sleep(0.1)

    def _check_supervisor(self) -> None:
        if not self._supervisor.alive():
            raise SupervisorError(f"supervisord has ended unexpectedly; see {self.home.log('supervisord')}")

    def _seen(self) -> dict[str, Seen]:
        """Empty when supervisord does not answer in time: on a busy machine that is no reason to stop everything."""
        try:
            return self._supervisor.seen()
        except SupervisorError:
            return {}

    def _is_ready(self, name: str) -> bool:
        try:
            return self._conditions[name]()
        except NOT_YET:
            return False

    def _explain(self, name: str, what: str) -> str:
        log = self.home.log(name)
        return f"{SHOWN[name]} {what}. The end of its log:\n{self._log_tail(name)}\nAll of it: {log}"

    def _log_tail(self, name: str) -> str:
        log = self.home.log(name)
        return tail(log.read_text(errors="replace") if log.exists() else "")
