"""Error rates: of the canary against the stable version, and against what no version may exceed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lifecycle.domain import sequential, words
from lifecycle.domain.compare import phrases
from lifecycle.domain.compare.budget import Budget
from lifecycle.domain.compare.parts import (
    Evidence,
    Finding,
    Interval,
    Limit,
    Measure,
    MeasureState,
    OnBreach,
    Trial,
    Window,
    telling,
)
from lifecycle.domain.observations import Counts
from lifecycle.domain.policy import Policy
from lifecycle.domain.sequential import RARE, Floats

INCREASE = "error_rate", "Error rate against stable"
ABSOLUTE = "error_rate_absolute", "Error rate"


def increase(evidence: Evidence, policy: Policy, budget: Budget) -> Measure:
    """The canary's error rate less the stable version's, in percentage points."""
    limit = Limit(*INCREASE, policy.comparison.error_rate_increase, "points", OnBreach.ROLL_BACK)
    if evidence.trial == Trial.PRODUCTION:
        return limit.unmeasured("The version in Production is judged by itself, without another to compare it with.")
    if not evidence.whole.stable.requests:
        why = "The stable version has answered no request that this could be compared with."
        return limit.unmeasured(why) if evidence.weight >= 100 else limit.unknown(why)
    spans, alphas = _spans(evidence, budget.spans(limit.on_breach, evidence))
    canary, stable = _errors(spans, "canary"), _errors(spans, "stable")
    low, high = sequential.difference(canary, stable, alphas, RARE)
    intervals = _percents(_rate(*canary) - _rate(*stable), low, high)
    found, state, grows = _told(evidence, intervals, limit.value, 0.0)
    text, details = _increase_words(evidence, found, state, limit.value, grows)
    return limit.measure(state, text, found.interval, details)


def absolute(evidence: Evidence, policy: Policy, budget: Budget) -> Measure:
    """The canary's error rate in percent: Staging's limit for what is in Staging, Production's for anything else."""
    limit = _absolute_limit(evidence, policy)
    if not evidence.whole.canary.requests:
        return limit.unknown(phrases.sentence(f"{phrases.subject(evidence)} has answered no request yet"))
    spans, alphas = _spans(evidence, budget.spans(limit.on_breach, evidence))
    canary = _errors(spans, "canary")
    low, high = sequential.proportion(*canary, alphas, RARE)
    found, state, grows = _told(evidence, _percents(_rate(*canary), low, high), limit.value, limit.value)
    text, details = _absolute_words(evidence, found, state, limit.value, grows)
    return limit.measure(state, text, found.interval, details)


def _absolute_limit(evidence: Evidence, policy: Policy) -> Limit:
    staging = evidence.trial == Trial.STAGING
    value = policy.comparison.staging_error_rate if staging else policy.comparison.production_error_rate
    act = OnBreach.EMERGENCY if evidence.trial == Trial.PRODUCTION else OnBreach.ROLL_BACK
    return Limit(*ABSOLUTE, value, "%", act)


# ---------------------------------------------------------------- counts as arrays


Span = tuple[Window, float]
"""Counts, and by how much they are to be multiplied."""


def _spans(evidence: Evidence, alphas: Sequence[float]) -> tuple[list[Span], Floats]:
    """The whole, the windows, and then the whole as it may be later: one computation answers all of it."""
    now = [(span, 1.0) for span in (evidence.whole, *evidence.windows)]
    later = [(evidence.whole, multiple) for multiple in phrases.MULTIPLES]
    return [*now, *later], np.asarray([*alphas, *[alphas[0]] * len(later)])


def _errors(spans: Sequence[Span], side: str) -> tuple[Floats, Floats]:
    """Errors and requests."""
    counts: list[tuple[Counts, float]] = [(getattr(span, side), multiple) for span, multiple in spans]
    errors = np.asarray([each.errors * multiple for each, multiple in counts])
    requests = np.asarray([each.requests * multiple for each, multiple in counts])
    # A gateway counts an error a moment before its request; never more of them than requests.
    return np.minimum(errors, requests), requests


def _rate(errors: Floats, requests: Floats) -> Floats:
    return np.divide(errors, requests, out=np.zeros_like(errors), where=requests > 0)


def _percents(*rows: Floats) -> list[Interval]:
    return [Interval(*(100.0 * float(each) for each in row)) for row in zip(*rows, strict=True)]


def _told(
    evidence: Evidence, intervals: Sequence[Interval], limit: float, nothing: float
) -> tuple[Finding, MeasureState, int | None]:
    """What the whole and the windows say, and how many more requests are likely to tell more."""
    spans = (evidence.whole, *evidence.windows)
    findings = [Finding(span, interval) for span, interval in zip(spans, intervals, strict=False)]
    found, state = telling(findings, limit, nothing)
    later = zip(phrases.MULTIPLES, intervals[len(spans) :], strict=True)
    multiple = next((multiple for multiple, interval in later if interval.decides(limit, nothing)), None)
    grows = None if multiple is None else phrases.more(evidence.whole.canary.requests, multiple)
    return found, state, grows


# ---------------------------------------------------------------- words


def _increase_words(
    evidence: Evidence, found: Finding, state: MeasureState, limit: float, grows: int | None
) -> tuple[str, phrases.Details]:
    allowed = f"{phrases.points(limit)} {'is' if limit == 1 else 'are'} allowed"
    canary, stable = (_percent(each) for each in (found.span.canary, found.span.stable))
    if state == MeasureState.UNDECIDED:
        question = f"{phrases.NEW} fails more than {phrases.points(limit)} more of its requests than {phrases.STABLE}"
        return phrases.undecided(evidence, question, grows)
    if state == MeasureState.BREACHED:
        beyond = f"{phrases.short(found.interval.estimate, limit)} points more than {phrases.STABLE} does; {allowed}"
        return phrases.said(evidence, found, f"{phrases.NEW} fails {canary} of its requests, {beyond}")
    worst = f"{phrases.short(max(found.interval.high, 0.0), limit)} points more at most; {allowed}"
    both = f"{phrases.NEW} fails {canary} of its requests and {phrases.STABLE} {stable}"
    return phrases.said(evidence, found, f"{both}: {worst}")


def _absolute_words(
    evidence: Evidence, found: Finding, state: MeasureState, limit: float, grows: int | None
) -> tuple[str, phrases.Details]:
    who, allowed = phrases.subject(evidence), f"{words.percent(limit)} is the limit"
    if state == MeasureState.UNDECIDED:
        question = f"{who} fails more than {words.percent(limit)} of its requests"
        return phrases.undecided(evidence, question, grows)
    rate = f"{who} fails {phrases.short(found.interval.estimate, limit)} % of its requests"
    if state == MeasureState.BREACHED:
        return phrases.said(evidence, found, f"{rate}; {allowed}")
    return phrases.said(evidence, found, f"{rate}, {phrases.short(found.interval.high, limit)} % at most; {allowed}")


def _percent(counts: Counts) -> str:
    return f"{phrases.short(100.0 * counts.errors / counts.requests if counts.requests else 0.0)} %"
