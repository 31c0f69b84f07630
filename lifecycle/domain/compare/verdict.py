"""The judge: all measures, and what follows from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

from lifecycle.domain import words
from lifecycle.domain.compare import business, distributions, errors, latency, phrases, traffic
from lifecycle.domain.compare.budget import budget
from lifecycle.domain.compare.parts import Evidence, Measure, MeasureState, OnBreach, Trial, Verdict, VerdictKind
from lifecycle.domain.policy import Policy


def judge(evidence: Evidence, policy: Policy, now: datetime) -> Verdict:
    """The verdict at ``now``.

    1. Every measure: estimate, interval, state.
    2. A breach that rolls back rolls back.
    3. A breach that holds, anything undecided, or nothing measured holds.
    4. Otherwise it may go on.
    """
    measures = tuple(_measures(evidence, policy, now))
    breached = sorted(
        (each for each in measures if each.state == MeasureState.BREACHED),
        key=lambda each: each.name != traffic.TRAFFIC[0],
    )
    acting = next((each for each in breached if each.on_breach != OnBreach.HOLD), None)
    if acting:
        emergency = acting.on_breach == OnBreach.EMERGENCY
        return Verdict(VerdictKind.ROLL_BACK, acting.why, measures, emergency)
    if breached:
        return Verdict(VerdictKind.HOLD, breached[0].why, measures)
    undecided = [each for each in measures if each.state == MeasureState.UNDECIDED]
    if undecided:
        return Verdict(VerdictKind.HOLD, _undecided(undecided), measures)
    return Verdict(VerdictKind.PROCEED, _proceed(evidence, measures), measures)


def _measures(evidence: Evidence, policy: Policy, now: datetime) -> list[Measure]:
    shared = budget(evidence, policy)
    rows = [
        errors.increase(evidence, policy, shared),
        errors.absolute(evidence, policy, shared),
        latency.increase(evidence, policy, shared),
        latency.absolute(evidence, policy, shared),
        distributions.drift(evidence, policy, shared),
        distributions.psi(evidence, policy, shared),
        *business.changes(evidence, policy, shared),
        traffic.sample_ratio(evidence),
        traffic.traffic(evidence, policy, now),
    ]
    if evidence.trial == Trial.SHADOW:
        rows.append(traffic.agreement(evidence, policy, shared))
    return rows


def _undecided(undecided: Sequence[Measure]) -> str:
    """The reason that takes longest to go away; one that nobody can put a number to takes longer than any."""
    slowest = max(undecided, key=lambda each: each.details.get("needs", math.inf))
    others = len(undecided) - 1
    if not others:
        return slowest.why
    left = f"{words.counted(others, 'other measure')} {'is' if others == 1 else 'are'} open too"
    return f"{slowest.why.removesuffix('.')}; {left}."


def _proceed(evidence: Evidence, measures: Sequence[Measure]) -> str:
    clear = sum(each.state == MeasureState.CLEAR for each in measures)
    requests = words.counted(evidence.whole.canary.requests, "request")
    whole = f"all that can be measured ({clear} of {words.counted(len(measures), 'measure')})"
    return f"After {requests} to {phrases.subject(evidence)}, {whole} is within its limits."
