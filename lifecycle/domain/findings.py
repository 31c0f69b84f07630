"""What a gate says: one finding a criterion, and the figures behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from lifecycle.domain.criteria import Criterion
from lifecycle.domain.facts import EvidenceFact, WaiverFact
from lifecycle.domain.stages import Stage


class State(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    MISSING = "missing"
    WAIVED = "waived"


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure behind a finding: what it is, what was measured, what was wanted, and whether it is enough."""

    name: str
    measured: str
    wanted: str
    passed: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """One criterion of a gate.

    ``state`` counts; ``without_waiver`` is what it would be had nobody waived it. ``measured`` and ``wanted`` are words
    ("p95 0.31 s", "at most 1.0 s"); ``why`` says what is wrong and what to do, "" when the criterion is passed.
    ``by``, ``at`` and ``age`` tell whose fact it is and how old, where it comes from evidence. ``stale`` is the newest
    evidence that no longer counts. ``waivers`` are all that were ever granted, newest first; ``waived_by`` is the one
    in force.
    """

    criterion: Criterion
    state: State
    without_waiver: State
    measured: str = ""
    wanted: str = ""
    why: str = ""
    by: str = ""
    at: datetime | None = None
    age: timedelta | None = None
    measures: tuple[Measure, ...] = ()
    evidence: EvidenceFact | None = None
    stale: EvidenceFact | None = None
    waived_by: WaiverFact | None = None
    waivers: tuple[WaiverFact, ...] = ()

    @property
    def holds(self) -> bool:
        return self.state in (State.PASSED, State.WAIVED)


SAID = 3
"""How many criteria a sentence names before it says how many more there are."""
LONGEST_WHY = 300


def in_words(findings: Sequence[Finding]) -> str:
    """What keeps a gate closed and what to do about it, short: the first few criteria, and how many more."""
    told = [f"{each.criterion.label} ({each.state}): {_clipped(each.why)}" for each in findings[:SAID]]
    more = len(findings) - len(told)
    return " ".join(told) + (f" And {more} more." if more else "")


def _clipped(text: str) -> str:
    return text if len(text) <= LONGEST_WHY else f"{text[: LONGEST_WHY - 1]}…"


@dataclass(frozen=True, slots=True)
class Gate:
    """``to_request`` leaves out the approvals: they can be given only once the change has been asked for."""

    to_stage: Stage
    findings: tuple[Finding, ...]

    @property
    def open(self) -> bool:
        return all(finding.holds for finding in self.findings)

    @property
    def closed_by(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if not finding.holds)

    @property
    def to_request(self) -> tuple[Finding, ...]:
        """The findings that keep the change from being asked for."""
        return tuple(finding for finding in self.closed_by if finding.criterion != Criterion.APPROVALS)
