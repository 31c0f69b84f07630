"""``python -m embedded.down [--reset]``: stop the installation from outside; with ``--reset`` remove its data."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from embedded.home import Home, HomeError
from embedded.processes import SurvivorsError, end_all
from embedded.up import home

# A little more than the starter allows itself, see STOP_SECONDS in embedded.stack.
PATIENCE_SECONDS = 60


def main(arguments: Sequence[str]) -> int:
    """Returns 0 when nothing runs any more."""
    installation = home()
    try:
        sys.stdout.write(f"{stop(installation)}\n")
        if "--reset" in arguments:
            installation.remove()
            sys.stdout.write(f"{installation.path} is removed.\n")
    except (HomeError, SurvivorsError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def stop(installation: Home) -> str:
    """Ask a running starter to stop, then end whatever is left. Says what was done."""
    asked = _ask_starter(installation)
    leftovers = end_all(installation.path)
    if leftovers:
        return f"Ended {len(leftovers)} processes: {', '.join(sorted(set(leftovers)))}."
    return "Stagegate is stopped." if asked else "Stagegate was not running."


def _ask_starter(installation: Home) -> bool:
    pid = installation.running_pid()
    if pid is None:
        return False
    deadline = time.monotonic() + PATIENCE_SECONDS
    _signal(pid, signal.SIGTERM)
    while installation.running_pid() == pid:
        if time.monotonic() > deadline:
            _signal(pid, signal.SIGKILL)
            break
        time.sleep(0.1)
    return True


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
