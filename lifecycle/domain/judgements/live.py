"""The live comparison: how often the version failed in Staging, beside what serves Production in the same time."""

from __future__ import annotations

from datetime import datetime

from lifecycle.domain.facts import Answered, Facts
from lifecycle.domain.findings import Measure, State
from lifecycle.domain.judgements.base import Judgement, at_most, of_other_files, state_of
from lifecycle.domain.judgements.soak import error_rate
from lifecycle.domain.policy import Comparison, Policy
from lifecycle.domain.words import counted, figure, percent

LEAST_REQUESTS = 100
"""Below that, a share of failed requests says nothing."""


def live_comparison(policy: Policy, facts: Facts, now: datetime) -> Judgement:
    bounds = policy.comparison
    wanted = (
        f"at most {figure(bounds.error_rate_increase)} points above Production, "
        f"and at most {percent(bounds.staging_error_rate)} failed"
    )
    if facts.production is None:
        return Judgement(State.PASSED, "nothing serves Production yet, so there is nothing to compare with", wanted)
    if facts.staging_since is None:
        why = "This is measured while the version is in Staging. Move it there first."
        return Judgement(State.MISSING, "not in Staging", wanted, why)
    if facts.other_files:
        return of_other_files(wanted)
    few = _too_few(facts.answered, "this version") or _too_few(facts.stable_answered, facts.production.label)
    if few:
        return Judgement(
            State.MISSING,
            f"{counted(facts.answered.requests, 'request')} here, "
            f"{counted(facts.stable_answered.requests, 'request')} to {facts.production.label}",
            f"at least {LEAST_REQUESTS} requests each; {wanted}",
            few,
        )
    measures = error_rates(bounds, facts.answered, facts.stable_answered)
    return Judgement(
        state=state_of(measures),
        measured=(
            f"{percent(error_rate(facts.answered))} of {counted(facts.answered.requests, 'request')} failed, "
            f"{percent(error_rate(facts.stable_answered))} of {counted(facts.stable_answered.requests, 'request')} "
            f"to {facts.production.label} in the same time"
        ),
        wanted=wanted,
        why=_why(measures),
        at=facts.answered.until,
        measures=measures,
    )


def error_rates(bounds: Comparison, canary: Answered, stable: Answered) -> tuple[Measure, ...]:
    """Two error rates, as counted, against the policy's bounds; both have been seen often enough."""
    increase = error_rate(canary) - error_rate(stable)
    limit = bounds.error_rate_increase
    return (
        Measure(
            "Failed requests above Production's",
            f"{figure(increase, beside=limit)} points",
            f"at most {figure(limit)} points",
            # Two percentages that cancel leave a remainder that is no difference.
            at_most(round(increase, 9), limit),
        ),
        Measure(
            "Failed requests",
            percent(error_rate(canary), beside=bounds.staging_error_rate),
            f"at most {percent(bounds.staging_error_rate)}",
            at_most(error_rate(canary), bounds.staging_error_rate),
        ),
    )


def _why(measures: tuple[Measure, ...]) -> str:
    wrong = [f"{each.name}: {each.measured}, {each.wanted} allowed" for each in measures if not each.passed]
    return f"{'; '.join(wrong)}. Find out why, and register a corrected version." if wrong else ""


def _too_few(answered: Answered, whose: str) -> str:
    if answered.requests >= LEAST_REQUESTS:
        return ""
    return (
        f"Too few requests to {whose} for a comparison: {answered.requests} of {LEAST_REQUESTS}. "
        "Leave it in Staging until more have come."
    )
