"""The approvals of the transition that was asked for."""

from __future__ import annotations

from datetime import datetime

from lifecycle.domain.facts import ApprovalFacts, Facts
from lifecycle.domain.findings import Measure, State
from lifecycle.domain.judgements.base import Judgement
from lifecycle.domain.policy import Policy
from lifecycle.domain.words import listed


def approvals(policy: Policy, facts: Facts, now: datetime) -> Judgement:
    given = facts.approvals
    if given is None:
        why = "Approvals can be given once the change has been asked for."
        return Judgement(State.MISSING, "not asked for yet", "a yes from everybody whom the policy names", why)
    if not given.required:
        return Judgement(State.PASSED, "nobody has to agree", "no approval")
    wanted = f"a yes from: {listed([role.label for role in given.required])}"
    measured = f"yes from {listed(given.given)}" if given.given else "no yes yet"
    waiting = list(given.missing)
    measures = []
    for role in given.required:
        is_missing = role in waiting
        if is_missing:
            waiting.remove(role)
        measures.append(Measure(role.label, "not yet" if is_missing else "yes", "yes", not is_missing))
    return Judgement(
        state=State.MISSING if given.missing and not given.bypassed_by else State.PASSED,
        measured=measured,
        wanted=wanted,
        why=_why(given),
        by=listed(given.given),
        at=given.last_at,
        measures=tuple(measures),
    )


def _why(given: ApprovalFacts) -> str:
    if not given.missing:
        return ""
    missing = listed([role.label for role in given.missing])
    if given.bypassed_by:
        return f"{given.bypassed_by} let it go on in an emergency without a yes from: {missing}."
    return f"Waiting for a yes from: {missing}."
