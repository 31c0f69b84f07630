"""What a gate looks at: evidence, waivers, and what is known of the version, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from lifecycle.domain.criteria import Criterion
from lifecycle.domain.permissions import Role


class Source(StrEnum):
    """Who recorded a piece of evidence: a CI system with a token, a person, or one of Stagegate's own checks."""

    CI = "ci"
    PERSON = "person"
    CHECK = "check"


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
    """A person let a criterion pass. ``stale`` says why it no longer counts although its time has not passed.

    ``revoked_by`` and ``revoked_reason`` are "" for one that nobody ended before its time.
    """

    id: int
    criterion: Criterion
    reason: str
    by: str
    at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    stale: str = ""
    revoked_by: str = ""
    revoked_reason: str = ""


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
class Breach:
    """One limit of the live comparison that is breached, as ``lifecycle.domain.compare.Measure`` tells it.

    ``estimate``, ``low``, ``high`` and ``limit`` are in ``unit``; None where they cannot be told.
    """

    name: str
    label: str
    why: str
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class ApprovalFacts:
    """The approvals of the transition that was asked for. ``given`` names who said yes, ``bypassed_by`` who let it go
    on without those that are missing."""

    required: tuple[Role, ...] = ()
    missing: tuple[Role, ...] = ()
    given: tuple[str, ...] = ()
    last_at: datetime | None = None
    bypassed_by: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a gate looks at.

    ``others`` are the model's other versions that the registry still has. ``production`` is the version that serves
    Production now, None when there is none or when it is this one. ``answered`` and ``stable_answered`` cover the
    time since this version entered Staging, and ``other_files`` says that they were not all of the files that it has
    now. ``breached`` are the limits that the judge found breached when it last looked at it there. ``approvals`` is
    None while no transition has been asked for.
    ``serves_production`` and ``kept_warm`` say what the version's server is for; ``rolled_back`` is why it was rolled
    back, "" when it was not; ``replaced_by`` is the label of the version that serves in its place.
    """

    version: VersionFacts
    others: tuple[VersionFacts, ...] = ()
    production: VersionFacts | None = None
    evidence: tuple[EvidenceFact, ...] = ()
    waivers: tuple[WaiverFact, ...] = ()
    staging_since: datetime | None = None
    other_files: bool = False
    answered: Answered = Answered()
    stable_answered: Answered = Answered()
    breached: tuple[Breach, ...] = ()
    approvals: ApprovalFacts | None = None
    production_since: datetime | None = None
    serves_production: bool = False
    kept_warm: bool = False
    rolled_back: str = ""
    replaced_by: str = ""
