"""Named steps with their elapsed time, on a terminal or in a log.

This module and ``embedded.bootstrap`` run on whatever Python the user has, before its version is known to be
good enough: standard library only, and no syntax newer than Python 3.7.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import Iterator, TextIO  # noqa: UP035  (collections.abc.Iterator[str] fails before Python 3.9)


class Steps:
    """Prints each step when it starts and again, with its time, when it ends."""

    def __init__(self, stream: TextIO | None = None, quiet: bool = False) -> None:
        self._stream = stream or sys.stdout
        self._quiet = quiet
        self._live = not quiet and self._stream.isatty()
        self._good, self._bad, self._busy = self._marks()
        self._said_at = 0.0

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Everything inside belongs to the step ``name``; an exception marks it as failed."""
        started = self._said_at = time.monotonic()
        self._rewrite(f"  {self._busy} {name}")
        try:
            yield
        except BaseException:
            self._finish(self._bad, name, started)
            raise
        self._finish(self._good, name, started)

    def progress(self, text: str) -> None:
        """Show how far the running step is: at once on a terminal, every ten seconds in a log."""
        if self._live:
            self._rewrite(f"  {self._busy} {text}")
        elif time.monotonic() - self._said_at >= 10:
            self._said_at = time.monotonic()
            self.say(f"    {text}")

    def say(self, text: str = "") -> None:
        if not self._quiet:
            self._write(text + "\n")

    def _marks(self) -> tuple[str, str, str]:
        encoding = (getattr(self._stream, "encoding", None) or "ascii").lower()
        return ("✓", "✗", "…") if encoding.startswith("utf") else ("ok", "--", "..")

    def _finish(self, mark: str, name: str, started: float) -> None:
        line = f"  {mark} {name:<34} {time.monotonic() - started:6.1f} s"
        self.say(f"\r\033[K{line}" if self._live else line)

    def _rewrite(self, text: str) -> None:
        if self._live:
            self._write(f"\r\033[K{text}")

    def _write(self, text: str) -> None:
        """A reader who has gone away must not stop the installation."""
        try:
            self._stream.write(text)
            self._stream.flush()
        except (BrokenPipeError, ValueError):
            self._quiet, self._live = True, False
