"""Load on a model server, made by a process of its own that ends when this one does, however this one ends."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

from lifecycle.ports import TemporaryError

PROGRAM = Path(__file__).with_name("load_generator.py")
START_SECONDS = 60.0
"""How long the generator may take to begin; on a busy machine importing locust alone takes seconds."""
SILENT_SECONDS = 20.0
"""How long it may say nothing after that, although it speaks every second."""


class Phase(StrEnum):
    """Users arrive, all of them stay, and the last answers come in."""

    RAMP = "ramp"
    STEADY = "steady"
    DRAIN = "drain"


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of the server at ``url``, which has to answer as ``version``.

    ``users`` arrive over ``ramp`` seconds and stay for ``steady`` seconds; each posts one of ``bodies``, JSON texts, as
    soon as the last answer has come. An answer that takes longer than ``timeout`` seconds is a failure.
    """

    url: str
    version: str
    users: int
    ramp: float
    steady: float
    timeout: float
    bodies: tuple[str, ...]

    @property
    def longest(self) -> float:
        """Seconds after which the generator is given up, from its first word on."""
        return self.ramp + self.steady + self.timeout + SILENT_SECONDS


@dataclass(frozen=True, slots=True)
class Failure:
    """How often a reason was met, and the beginning of one of the answers."""

    count: int
    example: str = ""


@dataclass(frozen=True, slots=True)
class Second:
    """What happened since the last one. ``at`` is its end, in seconds since the first user arrived; ``latencies`` are
    those of the good answers, in seconds; ``failures`` are by reason."""

    at: float
    phase: Phase
    users: int
    latencies: tuple[float, ...] = ()
    failures: Mapping[str, Failure] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        return sum(failure.count for failure in self.failures.values())


@dataclass(frozen=True, slots=True)
class Finished:
    """The generator has said everything. ``tool`` names it, with its version."""

    tool: str


def generate(load: Load) -> Generator[Second | Finished | None, None, None]:
    """Put the load on the server. Yields at least once a second, None when the generator has nothing to say; Finished
    comes last.

    Close the iterator to stop at once: the generator's processes are then gone. Raises TemporaryError when the
    generator fails, or takes longer than its load.
    """
    with _running(load) as generator:
        give_up = time.monotonic() + START_SECONDS
        ends: float | None = None
        while True:
            line = generator.line(seconds=1.0)
            now = time.monotonic()
            if line is not None:
                ends = now + load.longest if ends is None else ends
                give_up = now + SILENT_SECONDS
                said = _read(line)
                yield said
                if isinstance(said, Finished):
                    return
            else:
                yield None
            if now > give_up:
                raise TemporaryError("the load generator has stopped speaking")
            if ends is not None and now > ends:
                raise TemporaryError("the load generator takes longer than its load")


class _Generator:
    """The process, and the lines that it has printed."""

    def __init__(self, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        self._process, self._errors = process, errors
        self._lines: queue.Queue[bytes | None] = queue.Queue(maxsize=1000)
        self._reader = threading.Thread(target=self._collect, name="load-generator", daemon=True)
        self._reader.start()

    def _collect(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def line(self, *, seconds: float) -> bytes | None:
        """The next line, None when there is none for so long. Raises TemporaryError when there will be none."""
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            return None
        if line is None:
            raise TemporaryError(f"the load generator ended: {self._last_words()}")
        return line

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read()[-2000:].decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else f"exit code {self._process.wait(5)}"

    def end(self) -> None:
        """Kill the process and whatever it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(timeout=5)


@contextmanager
def _running(load: Load) -> Iterator[_Generator]:
    # -I: neither the environment nor the current directory decides what it imports.
    command = (sys.executable, "-I", str(PROGRAM))
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(  # noqa: S603 - this program and none other
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd="/",
            env=_environment(),
            start_new_session=True,
        ) as process,
    ):
        generator = _Generator(process, errors)
        try:
            _give(process, load)
            yield generator
        finally:
            generator.end()


def _environment() -> dict[str, str]:
    """Nothing of ours: no secret, and no proxy that would get between the generator and the server."""
    return {"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}


def _give(process: subprocess.Popen[bytes], load: Load) -> None:
    """Write the load, and leave the pipe open: its end is the generator's."""
    assert process.stdin is not None
    names = ("url", "version", "users", "ramp", "steady", "timeout", "bodies")
    try:
        process.stdin.write(json.dumps({name: getattr(load, name) for name in names}).encode() + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        # It has ended already; why, its last words say. What could not be written is left behind here.
        with suppress(BrokenPipeError):
            process.stdin.close()


def _read(line: bytes) -> Second | Finished:
    said: Any = json.loads(line)
    if said["phase"] == "done":
        return Finished(said["tool"])
    failures = {reason: Failure(found["count"], _kept(found["example"])) for reason, found in said["failures"].items()}
    return Second(said["at"], Phase(said["phase"]), said["users"], tuple(said["latencies"]), failures)


def _kept(text: str) -> str:
    """No database keeps NUL in a text."""
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
