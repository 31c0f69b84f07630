"""Time in Staging: the span over which the version was seen to answer requests."""

from __future__ import annotations

from datetime import datetime, timedelta

from lifecycle.domain.durations import say
from lifecycle.domain.facts import Answered, Facts
from lifecycle.domain.findings import Measure, State
from lifecycle.domain.judgements.base import Judgement, at_most, of_other_files, state_of
from lifecycle.domain.policy import Policy
from lifecycle.domain.words import counted, length, percent, still_to_go

LEAST_RECENCY = timedelta(minutes=1)


def soak(policy: Policy, facts: Facts, now: datetime) -> Judgement:
    """Long enough, often enough, without too many failures, and until lately.

    A version can only get requests in Staging while another one serves Production; before the first promotion, the
    time in Staging itself is what counts.
    """
    wanted = _wanted(policy)
    if facts.staging_since is None:
        why = "This is measured while the version is in Staging. Move it there first."
        return Judgement(State.MISSING, "not in Staging", wanted, why)
    if facts.other_files:
        return of_other_files(wanted)
    if facts.production is None and not facts.answered.requests:
        return _without_traffic(policy, now - facts.staging_since, facts.staging_since)
    measures = _measures(policy, facts.answered, now)
    duration, requests, failed, recent = measures
    missing = State.PASSED if duration.passed and requests.passed and recent.passed else State.MISSING
    return Judgement(
        state=missing if failed.passed else State.FAILED,
        measured=f"{duration.measured} with requests, {requests.measured}, {failed.measured} failed",
        wanted=wanted,
        why=_why(policy, facts.answered, measures),
        at=facts.answered.until,
        measures=measures,
    )


def _wanted(policy: Policy) -> str:
    return (
        f"{say(policy.soak.duration)} with requests, at least {counted(policy.soak.requests, 'request')}, "
        f"at most {percent(policy.comparison.staging_error_rate)} failed"
    )


def _without_traffic(policy: Policy, stayed: timedelta, since: datetime) -> Judgement:
    to_go = policy.soak.duration - stayed
    measure = Measure("Time in Staging", length(stayed), f"at least {say(policy.soak.duration)}", to_go <= timedelta(0))
    return Judgement(
        state=State.PASSED if measure.passed else State.MISSING,
        measured=f"{length(stayed)} in Staging; nothing serves Production yet, so no request is shared with it",
        wanted=f"{say(policy.soak.duration)} in Staging",
        why="" if measure.passed else f"{still_to_go(to_go)} to go. Leave it in Staging until then.",
        at=since,
        measures=(measure,),
    )


def _measures(policy: Policy, answered: Answered, now: datetime) -> tuple[Measure, Measure, Measure, Measure]:
    limit = policy.comparison.staging_error_rate
    rate = error_rate(answered)
    span = _span(answered)
    longest = _longest_silence(policy)
    silent = now - answered.until if answered.until else None
    return (
        Measure(
            "Time with requests", length(span), f"at least {say(policy.soak.duration)}", span >= policy.soak.duration
        ),
        Measure(
            "Requests",
            counted(answered.requests, "request"),
            f"at least {policy.soak.requests:,}",
            answered.requests >= policy.soak.requests,
        ),
        Measure("Failed requests", percent(rate, beside=limit), f"at most {percent(limit)}", at_most(rate, limit)),
        Measure(
            "Last request",
            "none yet" if silent is None else f"{length(silent)} ago",
            f"at most {say(longest)} ago",
            silent is not None and silent <= longest,
        ),
    )


def _why(policy: Policy, answered: Answered, measures: tuple[Measure, ...]) -> str:
    """What is wrong, the gravest first, and what to do about it; "" when nothing is."""
    if state_of(measures) == State.PASSED:
        return ""
    duration, requests, failed, recent = measures
    if not failed.passed:
        return (
            f"{failed.measured} of its requests failed, {failed.wanted} may. "
            "Find out why, and register a corrected version."
        )
    if not answered.requests:
        return "It has answered no request in Staging. Send it a share of the requests."
    words: list[str] = []
    if not duration.passed:
        words.append(f"{still_to_go(policy.soak.duration - _span(answered))} to go.")
    if not requests.passed:
        words.append(f"{counted(policy.soak.requests - answered.requests, 'request')} to go.")
    if not recent.passed:
        words.append(f"Its last request was {recent.measured}: see to it that it gets requests again.")
    return " ".join([*words, "Leave it in Staging with its share of the requests until then."])


def _span(answered: Answered) -> timedelta:
    """From the first to the last interval in which it answered."""
    return answered.until - answered.since if answered.since and answered.until else timedelta(0)


def _longest_silence(policy: Policy) -> timedelta:
    return max(policy.soak.duration / 10, LEAST_RECENCY)


def error_rate(answered: Answered) -> float:
    """Failed requests in percent; 0 where there were none."""
    return 100 * answered.errors / answered.requests if answered.requests else 0.0
