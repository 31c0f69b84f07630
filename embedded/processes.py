"""Finding and ending the processes of an installation, also when whoever started them is gone."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import psutil

from embedded.installation import MARK

TERMINATE_SECONDS = 5.0
KILL_SECONDS = 5.0


class SurvivorsError(Exception):
    """Processes of the installation are still there after SIGKILL."""


def marked(home: Path) -> list[psutil.Process]:
    """Every process of the installation in ``home``, by the mark in its environment; never this one or its parents."""
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return [process for process in psutil.process_iter() if process.pid not in spared and bears_mark(process, home)]


def bears_mark(process: psutil.Process, home: Path) -> bool:
    try:
        return bool(process.environ().get(MARK) == str(home) and process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, OSError):
        return False


def end_all(home: Path, patience: float = TERMINATE_SECONDS) -> list[str]:
    """End every process of the installation: ask, then kill after ``patience`` seconds.

    supervisord goes first, or it would start again what is ended here. Returns the names of the processes that were
    found. Raises SurvivorsError if any stays.
    """
    found = marked(home)
    names = [name_of(process) for process in found]
    _end([process for process in found if "supervisord" in " ".join(command_of(process))], patience)
    _end(marked(home), patience)
    if left := marked(home):
        raise SurvivorsError(f"still running: {', '.join(f'{name_of(p)} ({p.pid})' for p in left)}")
    return names


def _end(processes: list[psutil.Process], patience: float) -> None:
    for process in processes:
        _signal(process, kill=patience <= 0)
    _, alive = psutil.wait_procs(processes, timeout=patience or KILL_SECONDS)
    for process in alive:
        _signal(process, kill=True)
    psutil.wait_procs(alive, timeout=KILL_SECONDS)


def _signal(process: psutil.Process, kill: bool) -> None:
    with suppress(psutil.NoSuchProcess):
        process.kill() if kill else process.terminate()


def name_of(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.Error:
        return "a process that has ended"


def command_of(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []
