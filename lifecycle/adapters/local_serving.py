"""Model servers of one machine: processes that supervisord keeps, each with one version of one model.

We write a program file and ask supervisord; we never start a process ourselves, so no worker's end takes a model
server with it. What supervisord is told it finds again when it is restarted, because it includes the files.
"""

from __future__ import annotations

import os
import socket
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lifecycle.adapters.files import file_errors, locked, write_atomically
from lifecycle.adapters.http import RefusedError, get, samples
from lifecycle.adapters.model_store import Fetch, ModelStore
from lifecycle.adapters.scoring import score
from lifecycle.adapters.supervisor import Process, Program, Supervisor, port_of
from lifecycle.domain.slugs import is_slug
from lifecycle.ports import PermanentError, PortError, Purpose, Scored, Server, ServerState, TemporaryError, VersionRef

LOCK_SECONDS = 5.0
ANSWER_SECONDS = 10.0
"""How long one request may take; the first one after a start is the slowest."""
PROJECT = Path(__file__).resolve().parents[2]
_LOG_TAIL_BYTES = 4096
_LOG_TAIL_LINES = 8
_LETTERS = {Purpose.USERS: "v", Purpose.CHECKS: "c"}


class SupervisorServing:
    """The ``Serving`` port on a supervisord that includes ``<servers_dir>/*.conf``.

    ``fetch(ref, directory)`` copies a version's model files into an empty directory; they are kept below
    ``model_store``. ``command`` starts a model server, without its options; it runs in ``directory``, where Python
    finds ``serving``. ``ports`` are those that servers may listen on, at ``host``. ``timeout`` in seconds bounds each
    question to supervisord or to a server. A server that does not listen ``load_seconds`` after its start has failed.
    One that is stopped is killed after ``stop_seconds``: longer than the 30 s that it gives the requests in flight.
    """

    def __init__(
        self,
        *,
        fetch: Fetch,
        model_store: Path,
        servers_dir: Path,
        log_dir: Path,
        url: str,
        user: str,
        password: str,
        ports: Sequence[int],
        command: Sequence[str] = (sys.executable, "-m", "serving"),
        directory: Path = PROJECT,
        host: str = "127.0.0.1",
        timeout: float = 5.0,
        load_seconds: int = 60,
        start_retries: int = 3,
        stop_seconds: int = 35,
    ) -> None:
        self._store = ModelStore(model_store.absolute(), fetch)
        self._home = model_store.absolute()
        self._servers_dir = servers_dir.absolute()
        self._log_dir = log_dir.absolute()
        self._supervisor = Supervisor(url, user, password, timeout=timeout)
        self._ports = ports
        self._command = tuple(command)
        self._directory = directory.absolute()
        self._host = host
        self._timeout = timeout
        self._load_seconds = load_seconds
        self._start_retries = start_retries
        self._stop_seconds = stop_seconds

    # ------------------------------------------------------------ the port

    def ensure(self, ref: VersionRef, *, slug: str, digest: str = "", purpose: Purpose = Purpose.USERS) -> None:
        """Make sure that a server exists.

        1. Fetch the model files, unless they are here.
        2. Leave a server alone that runs, or is on its way.
        3. Take away what is left of one that failed.
        4. Write its program file, with a port that nobody else has.
        5. Have supervisord read the files and start it.

        Raises PermanentError when all ports are taken or the model files can't be served, TemporaryError when
        supervisord or the registry can't be reached or another worker is busy with this server.
        """
        name = _name(ref, slug, purpose)
        with self._locked(name):
            model_dir = self.files(ref, slug=slug, digest=digest)
            if self._status(name, ref).state in (ServerState.STARTING, ServerState.READY):
                return
            self._supervisor.remove(name, stop_seconds=self._stop_seconds)
            self._write_program(name, ref, slug, model_dir)
            self._supervisor.add(name)

    def status(self, ref: VersionRef, *, slug: str, purpose: Purpose = Purpose.USERS) -> Server:
        """What supervisord and the server itself say.

        Raises TemporaryError when supervisord can't be reached, or when a server that has long been running takes
        too long to answer: it may be busy, so it is not called failed.
        """
        return self._status(_name(ref, slug, purpose), ref)

    def ask(self, ref: VersionRef, *, slug: str, body: bytes) -> Scored:
        """One request, which may take ANSWER_SECONDS."""
        server = self.status(ref, slug=slug)
        if server.state != ServerState.READY:
            raise TemporaryError(f"the server of {ref} is {server.state}")
        reply = score(server.url, body, "application/json", timeout=ANSWER_SECONDS)
        if reply.status is None:
            raise TemporaryError(reply.problem)
        return Scored(reply.status, reply.text)

    def files(self, ref: VersionRef, *, slug: str, digest: str = "") -> Path:
        """Raises as ``ensure`` does. One worker at a time fetches a version's files, whatever they are for."""
        with self._locked(_files_lock(ref, slug)):
            return self._store.ensure(ref, slug=slug, digest=digest)

    def forget(self, ref: VersionRef, *, slug: str) -> None:
        """Raises TemporaryError while another worker is busy with them."""
        with self._locked(_files_lock(ref, slug)):
            self._store.forget(ref, slug=slug)

    def remove(self, ref: VersionRef, *, slug: str, purpose: Purpose = Purpose.USERS) -> None:
        """Stop the server and wait until it has ended, at most ``stop_seconds``. The model files stay."""
        name = _name(ref, slug, purpose)
        with self._locked(name):
            self._supervisor.remove(name, stop_seconds=self._stop_seconds)
            with file_errors(f"the program file of {ref}"):
                self._program_file(name).unlink(missing_ok=True)

    # ------------------------------------------------------------ looking

    def _status(self, name: str, ref: VersionRef) -> Server:
        process = self._supervisor.process(name)
        if process is None:
            return Server(ServerState.ABSENT)
        port = self._port(name)
        if port is None:
            return Server(ServerState.FAILED, detail="its program file is gone")
        url = f"http://{self._host}:{port}"
        if process.ended:
            return Server(ServerState.FAILED, url=url, detail=self._why(name, process))
        return self._listening(name, process, url, ref)

    def _listening(self, name: str, process: Process, url: str, ref: VersionRef) -> Server:
        try:
            answers = self._answers(url, ref)
        except RefusedError:
            answers = False
        except TemporaryError:
            if process.stays_up:
                raise
            answers = False
        if answers:
            return Server(ServerState.READY, url=url, in_flight=self._in_flight(url))
        if process.stays_up:
            why = f"it does not listen {self._load_seconds} s after its start; {self._why(name, process)}"
            return Server(ServerState.FAILED, url=url, detail=why)
        return Server(ServerState.STARTING, url=url, detail=process.detail)

    def _answers(self, url: str, ref: VersionRef) -> bool:
        """Whether this version answers there, and not some other program that took the port."""
        answer = get(f"{url}/ping", timeout=self._timeout)
        return answer.status == 200 and answer.headers.get("X-Model-Version") == str(ref.version)

    def _in_flight(self, url: str) -> int | None:
        try:
            answer = get(f"{url}/metrics", timeout=self._timeout)
            values = [sample.value for sample in samples(answer.text, "stagegate_requests_in_flight")]
            return int(sum(values)) if answer.status == 200 and values else None
        except (PortError, ValueError, OverflowError):
            return None

    def _why(self, name: str, process: Process) -> str:
        """Supervisord's words and the last lines that the server wrote to its standard error."""
        with file_errors(f"the log of {name}"):
            return "\n".join(part for part in (process.detail, _tail(self._log_file(name))) if part)

    # ------------------------------------------------------------ program files

    def _write_program(self, name: str, ref: VersionRef, slug: str, model_dir: Path) -> None:
        """Choosing a port and writing it down is one step for all workers of this machine."""
        with self._locked("ports"), file_errors(f"the program file of {ref}"):
            self._log_dir.mkdir(parents=True, exist_ok=True)
            port = self._free_port(name)
            write_atomically(self._program_file(name), self._program(name, ref, slug, model_dir, port).text())

    def _program(self, name: str, ref: VersionRef, slug: str, model_dir: Path, port: int) -> Program:
        options = (
            f"--model-dir={model_dir}",
            f"--name={ref.model}",
            f"--version={ref.version}",
            f"--host={self._host}",
            f"--port={port}",
        )
        return Program(
            name=name,
            port=port,
            command=(*self._clean_environment(slug), *self._command, *options),
            directory=self._directory,
            log=self._log_file(name),
            start_seconds=self._load_seconds,
            start_retries=self._start_retries,
            stop_seconds=self._stop_seconds,
        )

    def _clean_environment(self, slug: str) -> tuple[str, ...]:
        """The start of every command: a model server runs code that came with a model, so it gets none of the secrets
        that supervisord's environment may hold, only what is written here.

        This keeps secrets from being inherited and logged. It is no wall: a process of the same user can read much
        of its neighbours. Models from people who are not trusted belong into containers.
        """
        return (
            "/usr/bin/env",
            "-i",
            "PATH=/usr/local/bin:/usr/bin:/bin",
            "LANG=C.UTF-8",
            f"HOME={self._home / slug}",
            "PYTHONNOUSERSITE=1",
            "PYTHONUNBUFFERED=1",
            # Bytecode beside a model's code would make its files others than those that were scanned.
            "PYTHONDONTWRITEBYTECODE=1",
            # One process a version: more threads than that would fight the other servers for the cores.
            "OMP_NUM_THREADS=1",
            "OPENBLAS_NUM_THREADS=1",
            "MKL_NUM_THREADS=1",
        )

    def _free_port(self, name: str) -> int:
        """The port it had, if it can still be used, else the first that no program file names and nobody listens at."""
        own = self._program_file(name)
        others = {port_of(_read(path)) for path in self._servers_dir.glob("*.conf") if path != own}
        former = port_of(_read(own))
        ports = [former, *self._ports] if former is not None and former in self._ports else self._ports
        for port in ports:
            if port not in others and _is_bindable(self._host, port):
                return port
        raise PermanentError(f"all ports from {min(self._ports)} to {max(self._ports)} are taken")

    def _port(self, name: str) -> int | None:
        with file_errors(f"the program file of {name}"):
            return port_of(_read(self._program_file(name)))

    def _program_file(self, name: str) -> Path:
        return self._servers_dir / f"{name}.conf"

    def _log_file(self, name: str) -> Path:
        return self._log_dir / f"{name}.log"

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        with file_errors("the directory of program files"):
            self._servers_dir.mkdir(parents=True, exist_ok=True)
        with locked(self._servers_dir / f".{name}.lock", seconds=LOCK_SECONDS, what=name):
            yield


def _name(ref: VersionRef, slug: str, purpose: Purpose) -> str:
    """The name of the version's program and files."""
    if not is_slug(slug) or ref.version < 0:
        raise PermanentError(f"{slug!r} version {ref.version} can't name a server")
    return f"{slug}--{_LETTERS[purpose]}{ref.version}"


def _files_lock(ref: VersionRef, slug: str) -> str:
    return f"{_name(ref, slug, Purpose.USERS)}.files"


def _read(path: Path) -> str:
    """A text, or "" when there is none: another worker may just have removed it."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _is_bindable(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a connection that lingers from a former server does not make the port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def _tail(path: Path) -> str:
    """The last lines of a log, each once and without control characters: the server may have written anything, and
    writes it again at every attempt to start."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LOG_TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return ""
    shown = dict.fromkeys("".join(filter(_is_shown, line)) for line in lines)
    return "\n".join(list(shown)[-_LOG_TAIL_LINES:])


def _is_shown(character: str) -> bool:
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Cn")
