"""When a version may be archived: somebody else does its work, and it has been in Production for long enough."""

from __future__ import annotations

from datetime import datetime

from lifecycle.domain.durations import say
from lifecycle.domain.facts import Facts
from lifecycle.domain.findings import Measure, State
from lifecycle.domain.judgements.base import Judgement
from lifecycle.domain.policy import Policy
from lifecycle.domain.words import length, still_to_go

_REPLACED = "another version serves in its place, or it was rolled back"


def replaced(policy: Policy, facts: Facts, now: datetime) -> Judgement:
    if facts.serves_production:
        why = "This version serves Production. Promote another version first, or roll back."
        return Judgement(State.FAILED, "serves Production", _REPLACED, why)
    if facts.kept_warm:
        why = "It is kept warm so that a rollback takes a second. Archive it when that time is over."
        return Judgement(State.FAILED, "kept warm for a rollback", _REPLACED, why)
    if facts.rolled_back:
        return Judgement(State.PASSED, f"rolled back: {facts.rolled_back}", _REPLACED)
    if facts.production_since is None:
        return Judgement(State.PASSED, "not in Production: nothing to replace", _REPLACED)
    if facts.replaced_by:
        return Judgement(State.PASSED, f"{facts.replaced_by} serves in its place", _REPLACED)
    why = "No other version serves Production. Promote one first."
    return Judgement(State.FAILED, "nothing serves in its place", _REPLACED, why)


def time_in_production(policy: Policy, facts: Facts, now: datetime) -> Judgement:
    least = policy.retention.production
    wanted = f"at least {say(least)}, unless it was rolled back"
    if facts.rolled_back:
        return Judgement(State.PASSED, f"rolled back: {facts.rolled_back}", wanted)
    if facts.production_since is None:
        return Judgement(State.PASSED, "not in Production", wanted)
    stayed = now - facts.production_since
    measure = Measure("Time in Production", length(stayed), f"at least {say(least)}", stayed >= least)
    return Judgement(
        state=State.PASSED if measure.passed else State.FAILED,
        measured=f"{length(stayed)} in Production",
        wanted=wanted,
        why="" if measure.passed else f"{still_to_go(least - stayed)} to go. Ask again after that.",
        at=facts.production_since,
        measures=(measure,),
    )
