"""supervisord: started, asked and stopped."""

from __future__ import annotations

import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable
from functools import partial
from http.client import HTTPConnection, HTTPException
from typing import Any, NamedTuple

from embedded.installation import ROOT, SUPERVISOR_USER, Installation
from embedded.ports import LOOPBACK

STOPPED = frozenset({"STOPPED", "EXITED", "FATAL", "UNKNOWN"})
ANSWER_SECONDS = 5.0


class SupervisorError(Exception):
    """supervisord did not start, or has ended when it should not."""


class Seen(NamedTuple):
    """A program at one moment: supervisord's word, such as STARTING, RUNNING or FATAL; the process, 0 for none."""

    state: str
    pid: int


class BoundedTransport(xmlrpc.client.Transport):
    """XML-RPC that gives up on a supervisord that hangs."""

    def make_connection(self, host: tuple[str, dict[str, str]] | str) -> HTTPConnection:
        connection = super().make_connection(host)
        connection.timeout = ANSWER_SECONDS
        return connection


class Supervisor:
    """One supervisord and the programs below it."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._process: subprocess.Popen[bytes] | None = None
        password = installation.secrets.supervisor_password
        address = f"http://{SUPERVISOR_USER}:{password}@{LOOPBACK}:{installation.ports.supervisor}/RPC2"
        self._proxy = xmlrpc.client.ServerProxy(address, transport=BoundedTransport())
        self._rpc = self._proxy.supervisor

    def start(self, timeout: float = 20) -> None:
        """Start it in a session of its own: Ctrl-C in the terminal is for whoever started it, not for its programs."""
        command = [
            sys.executable,
            "-m",
            "supervisor.supervisord",
            "--configuration",
            str(self._installation.home.config),
        ]
        with self._installation.home.log("supervisord-start").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self._installation.base_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + timeout
        while not self._answers():
            if not self.alive() or time.monotonic() > deadline:
                raise SupervisorError(f"supervisord did not start; see {self._installation.home.path / 'log'}")
            time.sleep(0.05)

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def launch(self, program: str) -> None:
        """Start a program without waiting for it; one that runs already stays. Raises SupervisorError."""
        try:
            self._rpc.startProcess(program, False)
        except xmlrpc.client.Fault as fault:
            if not fault.faultString.startswith("ALREADY_STARTED"):
                raise SupervisorError(f"{program} cannot be started: {fault.faultString}") from fault
        except (OSError, HTTPException, xmlrpc.client.Error) as error:
            raise SupervisorError(f"supervisord does not answer: {error}") from error

    def seen(self) -> dict[str, Seen]:
        """Every program as supervisord sees it. Raises SupervisorError when it does not answer."""
        try:
            infos: Any = self._rpc.getAllProcessInfo()
            return {info["name"]: Seen(info["statename"], info["pid"]) for info in infos}
        except (OSError, HTTPException, xmlrpc.client.Error) as error:
            raise SupervisorError(f"supervisord does not answer: {error}") from error

    def stop(self, first: tuple[str, ...], timeout: float) -> None:
        """Stop the programs in ``first``, then the rest, and itself; after ``timeout`` seconds it is killed.

        Each of the two is stopped at once: by itself supervisord would stop one program after the other.
        """
        if not self._process:
            return
        deadline = time.monotonic() + timeout
        if self.alive() and self._answers():
            self._stop_programs(first, deadline)
            self._stop_programs(tuple(self.seen()), deadline)
            self._process.terminate()
        self._proxy("close")()
        try:
            self._process.wait(max(1.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def _stop_programs(self, names: tuple[str, ...], deadline: float) -> None:
        running = self._running(names)
        for name in running:
            attempt(partial(self._rpc.stopProcess, name, False))
        while running and time.monotonic() < deadline:
            time.sleep(0.1)
            running = self._running(running)

    def _running(self, names: tuple[str, ...]) -> tuple[str, ...]:
        seen = self.seen()
        return tuple(name for name in names if name in seen and seen[name].state not in STOPPED)

    def _answers(self) -> bool:
        return attempt(self._rpc.getState)


def attempt(call: Callable[[], object]) -> bool:
    """Whether supervisord answered the call; a refusal counts as no answer."""
    try:
        call()
    except (OSError, HTTPException, xmlrpc.client.Error):
        return False
    return True
