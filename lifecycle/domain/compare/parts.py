"""What the judge looks at, and what it says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from lifecycle.domain.observations import Counts


class MeasureState(StrEnum):
    CLEAR = "clear"
    UNDECIDED = "undecided"
    BREACHED = "breached"
    UNMEASURED = "unmeasured"
    """There is nothing to measure it by, and none is expected: no training reference, no business metric."""


class VerdictKind(StrEnum):
    PROCEED = "proceed"
    HOLD = "hold"
    ROLL_BACK = "roll_back"


class Trial(StrEnum):
    """What is being judged, which decides on the absolute limits and on how long counts are collected."""

    ROLLOUT = "rollout"
    """One step of a rollout into Production."""
    STAGING = "staging"
    """A version that serves its share while its soak runs."""
    PRODUCTION = "production"
    """What serves everybody, with nothing to compare it with."""
    SHADOW = "shadow"
    """A version that gets copies of requests."""


class OnBreach(StrEnum):
    """What the breach of a measure does."""

    HOLD = "hold"
    ROLL_BACK = "roll_back"
    EMERGENCY = "emergency"


@dataclass(frozen=True, slots=True)
class Window:
    """Counts of both sides over the same time: ``length`` is how long, ``looks`` how many looks fit into it."""

    length: timedelta
    looks: int
    canary: Counts
    stable: Counts


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that the judge looks at.

    ``whole`` counts since the trial began; ``windows`` are the latest part of it, shortest first, so that a version
    that goes bad after days is seen at once. ``look`` counts the looks of this trial from 1, ``steps`` is how many
    trials share the policy's confidence. ``weight`` is the canary's percentage of requests (0 for a shadow, 100 where
    it is alone), ``sticky`` that requests are not drawn independently. ``reference`` are the training distributions of
    the features by name. ``since`` is when the trial began and ``seen`` the end of the latest interval in which
    anything could be read of the canary; None: nothing yet.
    """

    trial: Trial
    whole: Window
    windows: Sequence[Window] = ()
    look: int = 1
    steps: int = 1
    weight: int = 0
    sticky: bool = False
    reference: Mapping[str, Any] = field(default_factory=dict)
    since: datetime | None = None
    seen: datetime | None = None


@dataclass(frozen=True, slots=True)
class Measure:
    """One row of the comparison.

    ``name`` is a stable word; ``estimate``, ``low``, ``high`` and ``limit`` are in ``unit`` ("points", "%", "s", "");
    None where they cannot be told. ``on_breach`` is what a breach does: "roll_back", "emergency" or "hold". ``why`` is
    one sentence for people. ``details`` are JSON values for a chart: features by distance, two distributions.
    """

    name: str
    label: str
    state: MeasureState
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    unit: str = ""
    on_breach: str = "hold"
    why: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """``why`` is one sentence that a product owner understands; ``emergency`` is set for a breach in Production."""

    kind: VerdictKind
    why: str
    measures: tuple[Measure, ...] = ()
    emergency: bool = False


@dataclass(frozen=True, slots=True)
class Interval:
    """What was measured, and between which bounds the truth lies; bounds may be infinite."""

    estimate: float
    low: float
    high: float

    def state(self, limit: float, nothing: float = 0.0) -> MeasureState:
        """Breached when the estimate is past the limit and the interval is past ``nothing``, which is what it would be
        if the version were no worse; clear when the whole interval is inside the limit."""
        if self.estimate > limit and self.low > nothing:
            return MeasureState.BREACHED
        return MeasureState.CLEAR if self.high < limit else MeasureState.UNDECIDED

    def decides(self, limit: float, nothing: float = 0.0) -> bool:
        return self.state(limit, nothing) != MeasureState.UNDECIDED


@dataclass(frozen=True, slots=True)
class Finding:
    """What the counts of one span of time say of one measure."""

    span: Window
    interval: Interval


def telling(findings: Sequence[Finding], limit: float, nothing: float = 0.0) -> tuple[Finding, MeasureState]:
    """Of the whole, which comes first, and the windows: whichever is breached, or else the whole.

    A window can only breach: short as it is, it clears nobody.
    """
    breached = (each for each in findings if each.interval.state(limit, nothing) == MeasureState.BREACHED)
    found = next(breached, findings[0])
    return found, found.interval.state(limit, nothing)


@dataclass(frozen=True, slots=True)
class Limit:
    """The threshold of one row: what it is called, what may not be exceeded, and what a breach does."""

    name: str
    label: str
    value: float
    unit: str
    on_breach: OnBreach

    def measure(
        self, state: MeasureState, why: str, interval: Interval | None = None, details: Mapping[str, Any] | None = None
    ) -> Measure:
        """The row, without what is infinite: that cannot be told."""
        return Measure(
            name=self.name,
            label=self.label,
            state=state,
            estimate=_finite(interval.estimate) if interval else None,
            low=_finite(interval.low) if interval else None,
            high=_finite(interval.high) if interval else None,
            limit=self.value,
            unit=self.unit,
            on_breach=self.on_breach.value,
            why=why,
            details=details or {},
        )

    def unmeasured(self, why: str) -> Measure:
        return self.measure(MeasureState.UNMEASURED, why)

    def unknown(self, why: str) -> Measure:
        """Undecided, because what has to be there is not there yet."""
        return self.measure(MeasureState.UNDECIDED, why)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
