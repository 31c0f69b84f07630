"""How stages, statuses, verdicts, criteria, measures and health look: one picture and one colour each, everywhere.

A picture is a symbol of ``static/icons/sprite.svg``; a tone is a token of ``static/css/tokens.css`` and the class
``tone-…`` of ``static/css/parts.css``. Nothing else decides which belong together; words always stand beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from lifecycle.domain.compare import MeasureState, VerdictKind
from lifecycle.domain.findings import State
from lifecycle.domain.stages import Stage
from lifecycle.models import Status


@dataclass(frozen=True, slots=True)
class Sign:
    """``icon``: a symbol of the sprite; ``tone``: a token of the style sheets."""

    icon: str
    tone: str


class Health(StrEnum):
    """How a part of the system, or a version that serves, is."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    DOWN = "down"
    UNKNOWN = "unknown"


STAGES: Mapping[str, Sign] = {
    Stage.DEVELOPMENT: Sign("stage-development", "development"),
    Stage.STAGING: Sign("stage-staging", "staging"),
    Stage.PRODUCTION: Sign("stage-production", "production"),
    Stage.ARCHIVED: Sign("stage-archived", "archived"),
}
STATUSES: Mapping[str, Sign] = {
    Status.AWAITING_APPROVAL: Sign("status-awaiting_approval", "awaiting_approval"),
    Status.APPROVED: Sign("status-approved", "approved"),
    Status.RUNNING: Sign("status-running", "running"),
    Status.ROLLING_BACK: Sign("status-rolling_back", "rolling_back"),
    Status.FINISHED: Sign("status-finished", "finished"),
    Status.ROLLED_BACK: Sign("status-rolled_back", "rolled_back"),
    Status.REJECTED: Sign("status-rejected", "rejected"),
    Status.CANCELLED: Sign("status-cancelled", "cancelled"),
    Status.FAILED: Sign("status-failed", "failed"),
}
VERDICTS: Mapping[str, Sign] = {
    VerdictKind.PROCEED: Sign("verdict-proceed", "proceed"),
    VerdictKind.HOLD: Sign("verdict-hold", "hold"),
    VerdictKind.ROLL_BACK: Sign("verdict-roll_back", "roll_back"),
}
CRITERIA: Mapping[str, Sign] = {
    State.PASSED: Sign("gate-passed", "passed"),
    State.FAILED: Sign("gate-failed", "failed"),
    State.MISSING: Sign("gate-missing", "missing"),
    State.WAIVED: Sign("gate-waived", "waived"),
}
MEASURES: Mapping[str, Sign] = {
    MeasureState.CLEAR: Sign("gate-passed", "clear"),
    MeasureState.UNDECIDED: Sign("gate-missing", "undecided"),
    MeasureState.BREACHED: Sign("gate-failed", "breached"),
    MeasureState.UNMEASURED: Sign("health-unknown", "unmeasured"),
}
HEALTH: Mapping[str, Sign] = {
    Health.HEALTHY: Sign("health-healthy", "healthy"),
    Health.DEGRADED: Sign("health-degraded", "degraded"),
    Health.DOWN: Sign("health-down", "down"),
    Health.UNKNOWN: Sign("health-unknown", "unknown"),
}

FAMILIES: Mapping[str, Mapping[str, Sign]] = {
    "stage": STAGES,
    "status": STATUSES,
    "verdict": VERDICTS,
    "criterion": CRITERIA,
    "measure": MEASURES,
    "health": HEALTH,
}


def sign(family: str, value: str) -> Sign:
    """The sign of one member of a family, "verdict" and "hold". Raises KeyError for what nobody has given one."""
    return FAMILIES[family][value]
