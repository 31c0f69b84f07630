"""Commands that the start runs to their end: migrations, static files, training."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence

from embedded.installation import ROOT, Installation

TASK_SECONDS = 300


class TaskError(Exception):
    """A command of the start failed. The text names it and shows the end of its output."""


def run_django(installation: Installation, *arguments: str) -> None:
    """``manage.py`` with the portal's environment; output goes to ``log/<command>.log``."""
    run(installation, arguments[0], (sys.executable, "manage.py", *arguments))


def run(
    installation: Installation,
    name: str,
    command: Sequence[str],
    *,
    settings: Mapping[str, str] | None = None,
    timeout: float = TASK_SECONDS,
) -> None:
    """Run a command from the project's root; raise TaskError when it fails or does not end in time.

    ``settings`` are environment variables on top of the installation's.
    """
    log = installation.home.log(name)
    try:
        with log.open("wb") as output:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env=installation.environment() | dict(settings or {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=timeout,
            )
    except subprocess.TimeoutExpired:
        raise TaskError(f"{name} took longer than {timeout:.0f} s. See {log}") from None
    if done.returncode != 0:
        raise TaskError(
            f"{name} failed (exit code {done.returncode}):\n{tail(log.read_text(errors='replace'))}\nAll of it: {log}"
        )


def tail(text: str, lines: int = 15) -> str:
    """The last lines, indented, for a person to read."""
    return "\n".join(f"    {line}" for line in text.rstrip().splitlines()[-lines:]) or "    (nothing was written)"
