"""What is kept, what is flagged and what may be deleted. The clock only decides about what nothing else protects."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from lifecycle.domain.policy import Retention
from lifecycle.domain.stages import Stage


class Protection(StrEnum):
    """Why a version is not deleted, whatever the time."""

    SERVING = "serving"
    ROLLBACK_TARGET = "rollback_target"
    IN_TRANSITION = "in_transition"
    ALIASED = "aliased"
    HELD = "held"
    NOT_ARCHIVED = "not_archived"
    UNKNOWN_AGE = "unknown_age"
    UNSAFE_NAME = "unsafe_name"

    @property
    def label(self) -> str:
        return _LABELS[self]


_LABELS = {
    Protection.SERVING: "It has a server, or traffic.",
    Protection.ROLLBACK_TARGET: "A rollback would bring it back.",
    Protection.IN_TRANSITION: "It is part of a transition that has not ended.",
    Protection.ALIASED: "An alias in MLflow names it.",
    Protection.HELD: "A hold keeps it.",
    Protection.NOT_ARCHIVED: "It is not in Archived.",
    Protection.UNKNOWN_AGE: "MLflow does not say since when it exists, or since when it is archived.",
    Protection.UNSAFE_NAME: "Its model's name holds characters that cannot be passed on safely.",
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One version as the clean-up sees it. ``stage_since`` and ``registered_at`` are None when not known."""

    stage: Stage
    stage_since: datetime | None
    registered_at: datetime | None
    serving: bool = False
    rollback_target: bool = False
    in_transition: bool = False
    aliased: bool = False
    held: bool = False
    exact_name: bool = True


@dataclass(frozen=True, slots=True)
class Keep:
    """``why`` is what protects it; None when only time does: then ``until`` is when that ends, None for never."""

    why: Protection | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Flag:
    """It has been in Staging for longer than the policy allows, since ``since``."""

    since: datetime


@dataclass(frozen=True, slots=True)
class Delete:
    """Its time is over since ``since``."""

    since: datetime


Verdict = Keep | Flag | Delete


def judge(candidate: Candidate, retention: Retention, now: datetime) -> Verdict:
    """What becomes of a version now.

    In Staging it is flagged once the policy's time is over. In Archived it is deleted once it has been archived and
    registered for as long as the policy says, unless something protects it. A clock that is wrong moves only dates.
    """
    if candidate.stage == Stage.STAGING:
        return _judge_staging(candidate, retention, now)
    protection = protection_of(candidate)
    if protection is not None:
        return Keep(protection)
    due = due_at(candidate.stage_since, candidate.registered_at, retention)
    if due is None:
        return Keep(Protection.UNKNOWN_AGE)
    return Delete(due) if now >= due else Keep(until=due)


def _judge_staging(candidate: Candidate, retention: Retention, now: datetime) -> Verdict:
    if candidate.stage_since is None:
        return Keep(Protection.UNKNOWN_AGE)
    ends = candidate.stage_since + retention.staging
    return Flag(candidate.stage_since) if now >= ends else Keep(Protection.NOT_ARCHIVED)


def protection_of(candidate: Candidate) -> Protection | None:
    """What keeps the version, whatever the time; the one that people should hear of first."""
    reasons = {
        Protection.SERVING: candidate.serving,
        Protection.IN_TRANSITION: candidate.in_transition,
        Protection.ROLLBACK_TARGET: candidate.rollback_target,
        Protection.NOT_ARCHIVED: candidate.stage != Stage.ARCHIVED,
        Protection.ALIASED: candidate.aliased,
        Protection.HELD: candidate.held,
        Protection.UNSAFE_NAME: not candidate.exact_name,
    }
    return next((reason for reason, applies in reasons.items() if applies), None)


def due_at(stage_since: datetime | None, registered_at: datetime | None, retention: Retention) -> datetime | None:
    """When an archived version that nothing protects may be deleted; None when a date is not known."""
    if stage_since is None or registered_at is None:
        return None
    return max(stage_since + retention.archived, registered_at + retention.minimum_age)
