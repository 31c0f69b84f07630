"""The gate: every criterion of one stage change for one version, as a pure function of policy and facts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from lifecycle.domain.criteria import Criterion
from lifecycle.domain.facts import (
    Answered,
    ApprovalFacts,
    EvidenceFact,
    Facts,
    Source,
    VersionFacts,
    WaiverFact,
)
from lifecycle.domain.findings import Finding, Gate, Measure, State, in_words
from lifecycle.domain.judgements import judge
from lifecycle.domain.policy import Policy
from lifecycle.domain.stages import Stage

__all__ = [
    "Answered",
    "ApprovalFacts",
    "EvidenceFact",
    "Facts",
    "Finding",
    "Gate",
    "Measure",
    "Source",
    "State",
    "VersionFacts",
    "WaiverFact",
    "gate",
    "in_words",
]


def gate(to_stage: Stage, policy: Policy, facts: Facts, now: datetime) -> Gate:
    """Judge every criterion that the policy asks for before the version enters ``to_stage``, in the policy's order."""
    findings = tuple(_finding(criterion, policy, facts, now) for criterion in policy.criteria.of(to_stage))
    return Gate(to_stage=to_stage, findings=findings)


def _finding(criterion: Criterion, policy: Policy, facts: Facts, now: datetime) -> Finding:
    """What the facts say, and then what a waiver makes of it: one on what is passed changes nothing."""
    judged = judge(criterion, policy, facts, now)
    mine = [waiver for waiver in facts.waivers if waiver.criterion == criterion]
    granted = sorted(mine, key=lambda waiver: (waiver.at, waiver.id), reverse=True)
    waiver = None if judged.state == State.PASSED else _in_force(criterion, policy, granted, now)
    return Finding(
        criterion=criterion,
        state=State.WAIVED if waiver else judged.state,
        without_waiver=judged.state,
        measured=judged.measured,
        wanted=judged.wanted,
        why=judged.why,
        by=judged.by,
        at=judged.at,
        age=now - judged.at if judged.at else None,
        measures=judged.measures,
        evidence=judged.evidence,
        stale=judged.stale,
        waived_by=waiver,
        waivers=tuple(granted),
    )


def _in_force(criterion: Criterion, policy: Policy, granted: Sequence[WaiverFact], now: datetime) -> WaiverFact | None:
    """The newest waiver that counts now, whatever was granted before the policy said that nobody may."""
    if criterion in policy.waivers.never:
        return None
    counting = (each for each in granted if each.revoked_at is None and not each.stale and now < each.expires_at)
    return next(counting, None)
