"""The gate: every criterion of one stage change for one version, as a pure function of policy and facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from lifecycle.domain.criteria import Criterion
from lifecycle.domain.permissions import Role
from lifecycle.domain.policy import Policy
from lifecycle.domain.stages import Stage


class State(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    MISSING = "missing"
    WAIVED = "waived"


class Source(StrEnum):
    """Who recorded a piece of evidence: a CI system with a token, a person, or one of Stagegate's own checks."""

    CI = "ci"
    PERSON = "person"
    CHECK = "check"


# ---------------------------------------------------------------- facts


@dataclass(frozen=True, slots=True)
class EvidenceFact:
    """One recorded fact. ``stale`` says why it no longer counts, "" while it does.

    ``measurements`` is what a check measured, by name; ``value`` with ``unit`` is what a CI system reported.
    """

    id: int
    criterion: Criterion
    passed: bool
    source: Source
    by: str
    at: datetime
    value: float | None = None
    unit: str = ""
    url: str = ""
    detail: str = ""
    measurements: Mapping[str, Any] = field(default_factory=dict)
    stale: str = ""


@dataclass(frozen=True, slots=True)
class WaiverFact:
    """A person let a criterion pass. ``stale`` says why it no longer counts although its time has not passed."""

    id: int
    criterion: Criterion
    reason: str
    by: str
    at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    stale: str = ""


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """A version as the registry describes it. ``signature`` is MLflow's dictionary, or None when it has none."""

    version: int
    semantic_version: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    signature: Mapping[str, Any] | None = None

    @property
    def label(self) -> str:
        return self.semantic_version or f"version {self.version}"


@dataclass(frozen=True, slots=True)
class Answered:
    """What a version answered while it was in Staging, from the gateway's counters.

    ``since`` and ``until`` bound the intervals in which it got requests; None when it got none.
    """

    requests: int = 0
    errors: int = 0
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ApprovalFacts:
    """The approvals of the transition that was asked for. ``given`` names who said yes."""

    required: tuple[Role, ...] = ()
    missing: tuple[Role, ...] = ()
    given: tuple[str, ...] = ()
    last_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a gate looks at.

    ``others`` are the model's other versions that the registry still has. ``production`` is the version that serves
    Production now, None when there is none or when it is this one. ``answered`` and ``stable_answered`` cover the
    time since this version entered Staging. ``approvals`` is None while no transition has been asked for.
    ``serves_production`` and ``kept_warm`` say what the version's server is for; ``rolled_back`` is why it was rolled
    back, "" when it was not; ``replaced_by`` is the label of the version that serves in its place.
    """

    version: VersionFacts
    others: tuple[VersionFacts, ...] = ()
    production: VersionFacts | None = None
    evidence: tuple[EvidenceFact, ...] = ()
    waivers: tuple[WaiverFact, ...] = ()
    staging_since: datetime | None = None
    answered: Answered = Answered()
    stable_answered: Answered = Answered()
    approvals: ApprovalFacts | None = None
    production_since: datetime | None = None
    serves_production: bool = False
    kept_warm: bool = False
    rolled_back: str = ""
    replaced_by: str = ""


# ---------------------------------------------------------------- what comes out


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


def gate(to_stage: Stage, policy: Policy, facts: Facts, now: datetime) -> Gate:
    """Judge every criterion that the policy asks for before the version enters ``to_stage``, in the policy's order."""
    raise NotImplementedError
