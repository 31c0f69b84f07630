"""What a check gets and what it gives back. A check measures; ``lifecycle.checks.runner`` writes the evidence down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lifecycle.domain.policy import Policy
from lifecycle.ports import VersionRef


class CheckCancelledError(Exception):
    """Somebody cancelled the run, or another worker has it now: stop at once and leave nothing behind."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The version under test.

    ``signature`` is MLflow's dictionary, None when the model has none. ``files`` is a directory with a copy of the
    model's files, not to be changed. ``server_url`` is the base address of a server of this version that serves no
    user and is ready, "" for a check that asked for none. ``users_url`` is the address of the server that users'
    requests go to, "" when there is none.
    """

    ref: VersionRef
    slug: str
    policy: Policy
    signature: Mapping[str, Any] | None
    files: Path
    server_url: str = ""
    users_url: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What came out. ``detail`` says it in one sentence; ``measurements`` are JSON values that a page shows."""

    passed: bool
    detail: str
    measurements: Mapping[str, Any] = field(default_factory=dict)


Report = Callable[[int, str], None]
"""``report(percent, phase)``: how far the check is, in words. Call it at least every 10 seconds; it raises
CheckCancelledError when the check has to stop."""

Check = Callable[[Subject, Report], Result]
"""Raises TemporaryError when trying again can help, PermanentError when it cannot: neither is evidence."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A check and what it needs. ``fresh_files`` asks for a new copy from the registry instead of this machine's."""

    run: Check
    needs_server: bool = False
    fresh_files: bool = False
