"""The live comparison: how often the version failed in Staging, beside what serves Production in the same time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from lifecycle.domain.criteria import Criterion
from lifecycle.domain.facts import Answered, Breach, Facts
from lifecycle.domain.findings import Measure, State
from lifecycle.domain.judgements.base import Judgement, at_most, of_other_files, state_of
from lifecycle.domain.judgements.soak import error_rate
from lifecycle.domain.policy import Comparison, Policy
from lifecycle.domain.words import counted, figure, listed, percent

DRIFT, TRAFFIC = "drift", "traffic"
_LIMITS = {"sample_ratio": "about", "agreement": "at least"}
"""How the limit of a measure is said; that of any other is the most that is allowed."""
LEAST_REQUESTS = 100
"""Below that, a share of failed requests says nothing."""


def live_comparison(policy: Policy, facts: Facts, now: datetime) -> Judgement:
    bounds = policy.comparison
    wanted = (
        f"at most {figure(bounds.error_rate_increase)} points above Production, "
        f"and at most {percent(bounds.staging_error_rate)} failed"
    )
    breaches = [each for each in facts.breached if not _asked_elsewhere(each, policy)]
    if breaches:
        return _breached(breaches, facts, bounds, wanted)
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


def _asked_elsewhere(breach: Breach, policy: Policy) -> bool:
    """Drift has a criterion of its own, which a person may waive once it is understood; and that requests come is for
    the soak to tell, and for the counts here."""
    if breach.name == DRIFT:
        return Criterion.DRIFT in policy.criteria.to_production
    return breach.name == TRAFFIC


def _breached(breaches: Sequence[Breach], facts: Facts, bounds: Comparison, wanted: str) -> Judgement:
    enough = min(facts.answered.requests, facts.stable_answered.requests) >= LEAST_REQUESTS
    counted_rates = error_rates(bounds, facts.answered, facts.stable_answered) if enough else ()
    return Judgement(
        state=State.FAILED,
        measured=listed([each.label for each in breaches]) + (" is" if len(breaches) == 1 else " are") + " breached",
        wanted=f"no limit breached; {wanted}",
        why=" ".join(each.why for each in breaches) + " Find out why, and register a corrected version.",
        at=facts.answered.until,
        measures=(*map(_measure, breaches), *counted_rates),
    )


def _measure(breach: Breach) -> Measure:
    return Measure(breach.label, _measured(breach), _limit(breach), passed=False)


def _measured(breach: Breach) -> str:
    """The estimate, and between which bounds the truth lies."""
    if breach.estimate is None or breach.limit is None:
        return breach.why
    said = f"{figure(breach.estimate, beside=breach.limit)} {breach.unit}".strip()
    if breach.low is None or breach.high is None:
        return said
    return f"{said} ({figure(breach.low)} to {figure(breach.high)})"


def _limit(breach: Breach) -> str:
    if breach.limit is None:
        return "nothing amiss"
    return f"{_LIMITS.get(breach.name, 'at most')} {figure(breach.limit)} {breach.unit}".strip()


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
