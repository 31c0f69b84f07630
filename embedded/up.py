"""``python -m embedded.up``: start everything, say where it is, keep watch until Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from embedded.configuration import UnwritableValueError
from embedded.home import Home, HomeError
from embedded.installation import EXTERNAL, ROOT, SettingError, listen_host, portal_settings, replaced, wants_demo
from embedded.ports import PortError, Ports
from embedded.processes import SurvivorsError
from embedded.stack import SERVICES, SHOWN, ServiceError, Stack
from embedded.steps import Steps
from embedded.supervisor import SupervisorError
from embedded.tasks import TaskError

WATCH_SECONDS = 2.0
FAILURES = (
    HomeError,
    OSError,
    PortError,
    ServiceError,
    SettingError,
    SupervisorError,
    SurvivorsError,
    TaskError,
    UnwritableValueError,
)


class Stopped(BaseException):
    """A person or the system asked for the end by a signal. Not an Exception: nothing may swallow it."""


def main() -> int:
    """Returns 0 when asked to stop, 1 when something failed."""
    steps, started = Steps(), time.monotonic()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _on_signal)
    try:
        with home().held():
            return run(steps, started)
    except Stopped:
        return 0
    except FAILURES as error:
        sys.stdout.flush()
        sys.stderr.write(f"\n{error}\n")
        return 1


def home() -> Home:
    return Home.at(Path(os.environ.get("STAGEGATE_HOME") or ROOT / "var"))


def run(steps: Steps, started: float) -> int:
    steps.say(f"Stagegate: data in {home().path}")
    demo = wants_demo(os.environ)
    settings = portal_settings(os.environ)
    for name, address in replaced(settings).items():
        steps.say(f"  {name} is set: using {address}")
    left_out = {EXTERNAL[name] for name in replaced(settings)} | (set() if demo else {"traffic"})
    stack = Stack(
        home().path,
        Ports.from_environment(os.environ),
        host=listen_host(os.environ),
        demo=demo,
        services=[name for name in SERVICES if name not in left_out],
        settings=settings,
        steps=steps,
    )
    try:
        stack.start()
        steps.say(f"  Ready after {time.monotonic() - started:.0f} s.\n\n{welcome(stack)}")
        watch(stack, steps)
    except Stopped as stopped:
        steps.say(f"\nStopping because of {stopped}. Ctrl-C stops at once.")
        return 0
    finally:
        finish(stack, steps)


def watch(stack: Stack, steps: Steps) -> NoReturn:
    """Report programs that end by themselves, until a signal comes. Raises SupervisorError if supervisord dies."""
    while True:
        time.sleep(WATCH_SECONDS)
        for name, log in stack.restarted().items():
            steps.say(f"  {SHOWN[name]} ended and is started again. The end of its log:\n{log}")


def finish(stack: Stack, steps: Steps) -> None:
    """Stop everything; a second signal stops it hard. Either way nothing is left."""
    try:
        with steps.step("Everything stopped"):
            stack.stop()
    except Stopped:
        stack.kill()


def welcome(stack: Stack) -> str:
    """What a person needs now: address, people, how to stop."""
    installation = stack.installation
    lines = [
        f"  Portal   {installation.public_url}",
        f"  Gateway  {installation.gateway_url}",
        f"  MLflow   {installation.mlflow_url}",
    ]
    people = stack.home.demo_people()
    if people:
        lines += ["", "  Sign in as:"]
        lines += [
            f"    {person['username']:<12} {person['password']:<20} {person['name']}, {person['role']}"
            for person in people
        ]
    return "\n".join([*lines, "", "  Ctrl-C stops everything; the data stays. `make reset` removes it.", ""])


def _on_signal(number: int, _frame: FrameType | None) -> None:
    raise Stopped(signal.Signals(number).name)


if __name__ == "__main__":
    sys.exit(main())
