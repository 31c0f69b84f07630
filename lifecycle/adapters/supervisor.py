"""supervisord: the questions we ask it, and the program files that it includes.

What supervisord 4.3 does, measured:

- One program file that can't be parsed makes every reload fail, and keeps supervisord from starting at all. So no
  text of ours may break one: see ``word()``.
- It expands ``%(...)s`` in every value, replaces ``%(here)s`` even where the percent sign is doubled, ends a value
  at a ``;`` or ``#`` after white space, and splits a command like a shell.
- A program that ends before ``startsecs`` is started again ``startretries`` times, 1, 2, 3... seconds apart, and is
  then FATAL. One that ends after ``startsecs`` is started again for ever, so that time must be longer than loading
  a model takes: else a model that can't be loaded would be tried for ever.
- Its XML-RPC answers are not well-formed XML when a log has control characters, so logs are read as files.
- It hands its own environment to its programs.
"""

from __future__ import annotations

import base64
import http.client
import re
import unicodedata
import xmlrpc.client
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

from supervisor.states import ProcessStates
from supervisor.xmlrpc import Faults

from lifecycle.ports import PermanentError, TemporaryError

_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./-]")
_PORT = re.compile(r"^; port: (\d+)$", re.MULTILINE)
_UNSAFE_IN_A_PATH = re.compile(r"[%;#\x00-\x1f\x7f]")


# ---------------------------------------------------------------- program files


@dataclass(frozen=True, slots=True)
class Program:
    """One program that supervisord keeps running. Times in seconds."""

    name: str
    port: int
    command: Sequence[str]
    directory: Path
    log: Path
    start_seconds: int
    start_retries: int
    stop_seconds: int

    def __post_init__(self) -> None:
        for path in (self.directory, self.log):
            if _UNSAFE_IN_A_PATH.search(str(path)):
                raise PermanentError(f"supervisord can't use the path {str(path)!r}")

    def text(self) -> str:
        """The program file."""
        return f"""\
; Written by Stagegate, which replaces this file when it starts the server again.
; port: {self.port}
[program:{self.name}]
command={" ".join(map(word, self.command))}
directory={self.directory}
autostart=true
autorestart=true
startsecs={self.start_seconds}
startretries={self.start_retries}
stopsignal=TERM
stopwaitsecs={self.stop_seconds}
stopasgroup=true
killasgroup=true
stdout_logfile=NONE
stderr_logfile={self.log}
stderr_logfile_maxbytes=1MB
stderr_logfile_backups=2
"""


def word(text: str) -> str:
    """One word of a supervisord command that arrives in the program exactly as ``text``.

    Every character that could mean something is escaped by itself, so no two of them can form a sequence. What no
    argument or line can hold (control characters, halves of surrogate pairs, unassigned ones) becomes U+FFFD.
    """
    return "".join(map(_escaped, text)) or '""'


def _escaped(character: str) -> str:
    if _PLAIN.fullmatch(character):
        return character
    if character == "%":
        return r"\%%"
    if unicodedata.category(character) in ("Cc", "Cs", "Cn"):
        return "\\\N{REPLACEMENT CHARACTER}"
    return "\\" + character


def port_of(text: str) -> int | None:
    """The port in a program file's text; None when there is none."""
    match = _PORT.search(text)
    return int(match[1]) if match else None


# ---------------------------------------------------------------- questions


@dataclass(frozen=True, slots=True)
class Process:
    """What supervisord says of a process: one of supervisor.states.ProcessStates, and its words for why."""

    state: int
    detail: str

    @property
    def ended(self) -> bool:
        """It will not be started again unless somebody asks."""
        return self.state in (ProcessStates.FATAL, ProcessStates.STOPPED, ProcessStates.UNKNOWN)

    @property
    def stays_up(self) -> bool:
        """It has run for longer than ``start_seconds``."""
        return bool(self.state == ProcessStates.RUNNING)


class Supervisor:
    """supervisord over XML-RPC. ``timeout`` in seconds bounds every wait for a byte.

    Every call raises TemporaryError when supervisord can't be reached or is stopping, and PermanentError when it
    refuses the password.
    """

    def __init__(self, url: str, user: str, password: str, *, timeout: float) -> None:
        self._url = f"{url.rstrip('/')}/RPC2"
        self._authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self._timeout = timeout

    def process(self, name: str) -> Process | None:
        """The program's process; None when supervisord has no such program."""
        info = self._call("getProcessInfo", name, absent=(Faults.BAD_NAME,))
        if info is None:
            return None
        return Process(state=int(info["state"]), detail=str(info["spawnerr"] or info["description"]))

    def add(self, name: str) -> None:
        """Read the program files again and start this one. Does nothing to a program that is there already.

        Raises PermanentError when the files are broken, or do not have the program.
        """
        self._call("reloadConfig")
        self._call("addProcessGroup", name, absent=(Faults.ALREADY_ADDED,))

    def remove(self, name: str, *, stop_seconds: float) -> None:
        """Stop the program, waiting for it to end, and forget it. A program that is not there is left alone."""
        self._call("stopProcessGroup", name, absent=(Faults.BAD_NAME,), seconds=stop_seconds + self._timeout)
        self._call("removeProcessGroup", name, absent=(Faults.BAD_NAME,))

    def _call(self, method: str, *params: str, absent: Sequence[int] = (), seconds: float | None = None) -> Any:
        """The answer; None for a fault in ``absent``."""
        transport = _Transport(self._authorization, seconds or self._timeout)
        try:
            with xmlrpc.client.ServerProxy(self._url, transport=transport) as proxy:
                return getattr(proxy.supervisor, method)(*params)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode in absent:
                return None
            raise _translated(fault) from fault
        except xmlrpc.client.ProtocolError as error:
            if error.errcode in (401, 403):
                raise PermanentError("supervisord refuses our name and password") from error
            raise TemporaryError(f"supervisord answers {error.errcode}") from error
        except (OSError, http.client.HTTPException, ExpatError, xmlrpc.client.ResponseError) as error:
            raise TemporaryError(f"supervisord can't be reached: {error}") from error


def _translated(fault: xmlrpc.client.Fault) -> PermanentError | TemporaryError:
    if fault.faultCode in (Faults.SHUTDOWN_STATE, Faults.STILL_RUNNING, Faults.FAILED):
        return TemporaryError(f"supervisord can't do it now: {fault.faultString}")
    return PermanentError(f"supervisord refuses: {fault.faultString}")


class _Transport(xmlrpc.client.Transport):
    """The standard transport waits for ever."""

    def __init__(self, authorization: str, seconds: float) -> None:
        super().__init__(headers=[("Authorization", authorization)])
        self._seconds = seconds

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = super().make_connection(host)
        connection.timeout = self._seconds
        return connection
