"""Whether there is anything to judge by: requests at all, and as many as the weights say; and a shadow's answers."""

from __future__ import annotations

from datetime import datetime, timedelta

from lifecycle.domain import sequential, shadow, words
from lifecycle.domain.compare import phrases
from lifecycle.domain.compare.budget import Budget
from lifecycle.domain.compare.parts import Evidence, Interval, Limit, Measure, MeasureState, OnBreach, Trial
from lifecycle.domain.policy import Policy
from lifecycle.domain.sequential import COMMON

TRAFFIC = "traffic", "Requests and data"
RATIO = "sample_ratio", "Share of requests"
AGREEMENT = "agreement", "Same answers as stable"

UNLIKELY = 0.001
TOLERANCE = 0.02
"""By what part the smaller share may differ for good: a gateway hands out its turns anew when weights are written."""
SHOWN_ANSWERS = 30


def traffic(evidence: Evidence, policy: Policy, now: datetime) -> Measure:
    """Breached when nothing was read, or no request came, for longer than the policy's grace."""
    state, why = _flow(evidence, policy.rollout.grace, now)
    requests = float(evidence.whole.canary.requests)
    return Measure(*TRAFFIC, state, estimate=requests, on_breach=OnBreach.HOLD.value, why=why)


def _flow(evidence: Evidence, grace: timedelta, now: datetime) -> tuple[MeasureState, str]:
    who, latest = phrases.subject(evidence), evidence.seen or evidence.since
    silent = now - latest if latest else timedelta(0)
    if silent > grace:
        why = f"nothing could be read of {who} for {words.length(silent)}, so it is not known how it does"
        return MeasureState.BREACHED, phrases.sentence(why)
    idle = _idle(evidence, grace, now)
    if idle:
        return MeasureState.BREACHED, phrases.sentence(f"{who} has got no request for {words.length(idle)}")
    requests = evidence.whole.canary.requests
    if not requests:
        return MeasureState.UNDECIDED, f"Waiting for the first request to {who}."
    return MeasureState.CLEAR, f"{words.counted(requests, 'request')} so far, and the data are fresh."


def _idle(evidence: Evidence, grace: timedelta, now: datetime) -> timedelta | None:
    """For how long no request came, when that is longer than the grace."""
    if not evidence.whole.canary.requests:
        waited = now - evidence.since if evidence.since else timedelta(0)
        return waited if waited > grace else None
    quiet = (each.length for each in evidence.windows if each.length >= grace and not each.canary.requests)
    return max(quiet, default=None)


def sample_ratio(evidence: Evidence) -> Measure:
    """The canary's share of the requests of both, in percent, against its weight."""
    limit = Limit(*RATIO, float(evidence.weight), "%", OnBreach.HOLD)
    why = _no_ratio(evidence)
    if why:
        return limit.unmeasured(why)
    canary, stable = evidence.whole.canary.requests, evidence.whole.stable.requests
    weight, room = limit.value, TOLERANCE * min(limit.value, 100.0 - limit.value)
    low, high = (100.0 * float(each) for each in sequential.proportion(canary, canary + stable, UNLIKELY, COMMON))
    interval = Interval(100.0 * canary / (canary + stable), low, high)
    fits = low <= weight + room and high >= weight - room
    shown = f"{phrases.short(interval.estimate, weight)} % of the requests; its weight is {words.percent(weight)}"
    text = phrases.sentence(f"{phrases.NEW} gets {shown}{'' if fits else ', and chance alone does not do that'}")
    state = MeasureState.CLEAR if fits else MeasureState.BREACHED
    return limit.measure(state, text, interval, {"canary": canary, "stable": stable})


def _no_ratio(evidence: Evidence) -> str:
    if evidence.trial == Trial.SHADOW:
        return "A shadow gets copies of requests, so it has no share of them."
    if evidence.trial == Trial.PRODUCTION:
        return "The version in Production is judged by itself, whatever its share is."
    if not 0 < evidence.weight < 100:
        return "One version gets all requests, so there is no share to check."
    if evidence.sticky:
        return "Users are kept with one version, so requests do not come one by one."
    return "" if evidence.whole.canary.requests + evidence.whole.stable.requests else "There are no requests yet."


# ---------------------------------------------------------------- a shadow's answers


def agreement(evidence: Evidence, policy: Policy, budget: Budget) -> Measure:
    """How many of a shadow's answers, in percent, are those that users got."""
    limit = Limit(*AGREEMENT, policy.rollout.shadow_agreement, "%", OnBreach.HOLD)
    answers = evidence.whole.canary.answers
    compared, same = shadow.compared(answers), shadow.alike(answers, policy.rollout.shadow_tolerance)
    if not compared:
        return limit.unknown("No answers of the two versions to the same request have been compared yet.")
    interval = _agreed(same, compared, budget.holding)
    state = _agreement_state(interval, limit.value)
    often = sorted(answers.items(), key=lambda item: (-item[1], item[0]))
    details: phrases.Details = {"compared": compared, "answers": [list(each) for each in often[:SHOWN_ANSWERS]]}
    if state == MeasureState.UNDECIDED:
        text, needs = _unsure(evidence, same, compared, limit.value, budget.holding)
        return limit.measure(state, text, interval, details | needs)
    shown = f"{phrases.short(interval.estimate, limit.value)} % of {words.counted(compared, 'answer')} are the same"
    text = f"{shown} as those of {phrases.STABLE}; {words.percent(limit.value)} have to be."
    return limit.measure(state, text, interval, details)


def _agreed(same: float, compared: float, alpha: float) -> Interval:
    low, high = sequential.proportion(same, compared, alpha, COMMON)
    return Interval(100.0 * same / compared, 100.0 * float(low), 100.0 * float(high))


def _agreement_state(share: Interval, limit: float) -> MeasureState:
    """Less is worse here. That all agree can never be shown for certain: then it is enough to have seen no other."""
    if limit >= 100.0:
        return MeasureState.CLEAR if share.estimate == 100.0 else MeasureState.BREACHED
    return Interval(-share.estimate, -share.high, -share.low).state(-limit, -limit)


def _unsure(evidence: Evidence, same: int, compared: int, limit: float, alpha: float) -> tuple[str, phrases.Details]:
    def tells(multiple: float) -> bool:
        return _agreement_state(_agreed(same * multiple, compared * multiple, alpha), limit) != MeasureState.UNDECIDED

    question = f"{words.percent(limit)} of the answers are the same as those of {phrases.STABLE}"
    return phrases.undecided(evidence, question, phrases.needed(evidence, tells))
