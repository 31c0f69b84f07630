"""`make run` and its neighbours, as a person meets them: started, stopped, killed, started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from mlflow import MlflowClient

from demo.catalogue import ENTRIES, IRIS
from embedded.installation import ROOT
from embedded.ports import LOOPBACK, Ports
from embedded.processes import end_all, marked
from embedded.stack import ServiceError, Stack

pytestmark = [pytest.mark.integration, pytest.mark.timeout(420)]
SILENT_SECONDS = 150
"""How long the starter may say nothing new. Each of its steps says that it is done; how long all of them take together
is the machine's affair."""
STOP_SECONDS = 60


class Up:
    """A running ``python -m embedded.up`` whose output is read from a file, as a terminal's would be."""

    def __init__(self, home: Path, ports: Ports, **settings: str) -> None:
        self.home, self.ports = home, ports
        self._output = home.parent / "output"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("STAGEGATE_")}
        environment |= ports.environment() | {"STAGEGATE_HOME": str(home)} | settings
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "embedded.up"], cwd=ROOT, env=environment, stdout=output, stderr=output
            )

    @property
    def output(self) -> str:
        return self._output.read_text(encoding="utf-8")

    def await_text(self, text: str, seconds: float = SILENT_SECONDS) -> None:
        """Wait for as long as it goes on saying something new, and ``seconds`` after the last of that."""
        seen, deadline = "", time.monotonic() + seconds
        while text not in (output := self.output):
            assert self.process.poll() is None, f"it ended instead:\n{output}"
            if output != seen:
                seen, deadline = output, time.monotonic() + seconds
            assert time.monotonic() < deadline, f"no {text!r}, and nothing new for {seconds:g} s, in:\n{output}"
            time.sleep(0.1)

    def send(self, number: signal.Signals) -> int:
        """Send a signal and wait for the exit code."""
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "data"
    yield folder
    end_all(folder)


@contextmanager
def up(home: Path, ports: Ports | None = None, **settings: str) -> Iterator[Up]:
    """Without the demo unless a test asks for it, which saves its training."""
    running = Up(home, ports or Ports.free(), **{"STAGEGATE_DEMO": "0"} | settings)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()


def names(home: Path) -> set[str]:
    """Programs of the installation that run, by what their command lines say."""
    wanted = ("valkey-server", "mlflow", "traefik", "gunicorn", "celery", "supervisord")
    lines = [" ".join(process.cmdline()) for process in marked(home)]
    return {name for name in wanted if any(name in line for line in lines)}


def process_of(home: Path, name: str) -> psutil.Process:
    return next(process for process in marked(home) if name in " ".join(process.cmdline()))


def down(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ, STAGEGATE_HOME=str(home))
    command = [sys.executable, "-m", "embedded.down", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=STOP_SECONDS)


def test_a_killed_starter_leaves_nothing_that_the_next_one_cannot_clear(home):
    ports = Ports.free()
    with up(home, ports) as running:
        running.await_text("Ready after")
        assert running.send(signal.SIGKILL) == -signal.SIGKILL
    assert "supervisord" in names(home)
    with up(home, ports) as running:
        running.await_text("Ready after")
        assert "processes that a killed run had left" in running.output
        told = down(home)
        assert told.returncode == 0, told.stderr
        assert "Stagegate is stopped." in told.stdout
        assert running.process.wait(5) == 0
    assert marked(home) == []


def test_stop_ends_what_a_killed_starter_left_and_reset_removes_the_data(home):
    with up(home) as running:
        running.await_text("Valkey (broker)")
        running.send(signal.SIGKILL)
    assert marked(home) != []
    told = down(home, "--reset")
    assert told.returncode == 0, told.stderr
    assert "supervisord" in told.stdout or "python" in told.stdout
    assert marked(home) == []
    assert not home.exists()


def test_a_signal_while_starting_stops_what_has_started(home):
    with up(home) as running:
        running.await_text("Configuration and supervisord")
        assert running.send(signal.SIGINT) == 0
    assert marked(home) == []


def test_what_dies_is_started_again_but_without_supervisord_all_of_it_ends(home):
    # A registry elsewhere, which nobody asks for anything: MLflow takes the longest to start, and starts above.
    with up(home, MLFLOW_TRACKING_URI="http://127.0.0.1:1") as running:
        running.await_text("Ctrl-C stops everything")
        process_of(home, "valkey-server").kill()
        running.await_text("Valkey (broker) ended and is started again", 30)
        process_of(home, "supervisord").kill()
        assert running.process.wait(STOP_SECONDS) == 1
        assert "supervisord has ended unexpectedly" in running.output
    assert marked(home) == []


def test_taken_ports_are_all_named_before_anything_starts(home):
    ports = Ports.free()
    with socket.socket() as portal, socket.socket() as gateway, up_after(portal, gateway, home, ports) as running:
        assert running.process.wait(30) == 1
        for number, name, variable in (
            (ports.portal, "portal", "STAGEGATE_PORTAL_PORT"),
            (ports.gateway, "gateway", "STAGEGATE_GATEWAY_PORT"),
        ):
            assert f"port {number} ({name}, {variable}) is taken by " in running.output
        assert f"(process {os.getpid()})" in running.output
        assert "supervisord" not in running.output
    assert marked(home) == []


@contextmanager
def up_after(portal: socket.socket, gateway: socket.socket, home: Path, ports: Ports) -> Iterator[Up]:
    for taken, number in ((portal, ports.portal), (gateway, ports.gateway)):
        taken.bind((LOOPBACK, number))
        taken.listen()
    with up(home, ports) as running:
        yield running


def test_a_second_starter_in_the_same_folder_is_refused(home):
    with up(home) as running:
        running.await_text("Configuration and supervisord")
        second = subprocess.run(
            [sys.executable, "-m", "embedded.up"],
            cwd=ROOT,
            env=dict(os.environ, STAGEGATE_HOME=str(home), **Ports.free().environment()),
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert second.returncode == 1
        assert f"already runs from {home} (process {running.process.pid})" in second.stderr
        assert running.process.poll() is None


def test_a_service_that_cannot_start_is_named_with_its_log(home):
    stack = Stack(home, Ports.free(), services={"mlflow"}, demo=False)
    (home / "mlflow" / "mlflow.db").write_text("this is no database")
    with pytest.raises(ServiceError, match=r"MLflow \(registry\) ends as soon as it is started(.|\n)*database"):
        stack.start()
    assert marked(home) == []


def test_training_that_was_stopped_half_way_is_completed(home):
    with Stack(home, Ports.free(), services={"mlflow"}, demo=False) as stack:
        client = MlflowClient(stack.environment()["MLFLOW_TRACKING_URI"])
        training = subprocess.Popen([sys.executable, "-m", "demo.train"], cwd=ROOT, env=stack.environment())
        deadline = time.monotonic() + 120
        while len(client.search_model_versions()) < 2:
            assert training.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        training.kill()
        training.wait()
        for _ in range(2):
            subprocess.run([sys.executable, "-m", "demo.train"], cwd=ROOT, env=stack.environment(), check=True)
        versions = client.search_model_versions()
        found = sorted((version.name, version.tags["semantic_version"]) for version in versions)
        assert found == sorted((entry.model, entry.semantic_version) for entry in ENTRIES)
        runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
        assert {run.info.run_id for run in runs} == {version.run_id for version in versions}
        assert {version.current_stage for version in versions} == {"None"}


# Last, so that it does not train the same models at the same moment as the other tests do.
@pytest.mark.timeout(600)
def test_the_first_run_is_ready_and_the_second_keeps_the_data(home):
    ports = Ports.free()
    with up(home, ports, STAGEGATE_DEMO="1") as running:
        running.await_text("Ctrl-C stops everything")
        first = running.output
        assert "Demo models, trained and registered" in first
        for person in ("priya", "emil", "mia", "aron", "ada"):
            assert f"    {person}" in first
        assert httpx.get(f"http://{LOOPBACK}:{ports.portal}/readyz", trust_env=False).status_code == 200
        await_route(ports, IRIS)
        assert names(home) == {"valkey-server", "mlflow", "traefik", "gunicorn", "celery", "supervisord"}
        assert listening_addresses(home) == {LOOPBACK}
        assert running.send(signal.SIGINT) == 0
    assert marked(home) == []
    with up(home, ports, STAGEGATE_DEMO="1") as running:
        running.await_text("Ctrl-C stops everything")
        assert "Demo models, trained and registered" not in running.output
        assert people(running.output) == people(first)
        await_route(ports, IRIS)
        assert running.send(signal.SIGTERM) == 0
    assert marked(home) == []


def await_route(ports: Ports, model: str) -> None:
    """The gateway answers for the first version, which a server that starts anew needs some seconds for."""
    deadline = time.monotonic() + 60
    row = {"dataframe_records": [{"sepal_length": 5.1, "petal_length": 1.4, "petal_width": 0.2}]}
    url = f"http://{LOOPBACK}:{ports.gateway}/{model}/invocations"
    while (answer := httpx.post(url, json=row, trust_env=False, timeout=10)).status_code != 200:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.2)
    assert answer.json() == {"predictions": ["setosa"]}


def people(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.endswith(("owner", "engineer", "auditor", "administrator"))]


def listening_addresses(home: Path) -> set[str]:
    return {
        connection.laddr.ip
        for process in marked(home)
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
