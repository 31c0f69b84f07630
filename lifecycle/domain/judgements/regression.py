"""No regression offline: every metric of the training run beside the same metric of what serves Production."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime

from lifecycle.domain.facts import Facts
from lifecycle.domain.findings import Measure, State
from lifecycle.domain.judgements.base import Judgement, at_least, at_most
from lifecycle.domain.judgements.directions import Direction, direction_of
from lifecycle.domain.policy import OfflineRegression, Policy
from lifecycle.domain.words import counted, figure, listed, percent

MOST_UNCOMPARED = 30
"""How many of the metrics that are not compared are shown."""


def offline_regression(policy: Policy, facts: Facts, now: datetime) -> Judgement:
    rules = policy.offline_regression
    if facts.production is None:
        return Judgement(State.PASSED, "nothing serves yet, so there is nothing to be worse than", _wanted(rules))
    label = facts.production.label
    mine, theirs = facts.version.metrics, facts.production.metrics
    compared = tuple(_compared(rules, mine, theirs, label))
    others = tuple(_not_compared(rules, mine, theirs, label))
    if not compared:
        why = (
            f"This version and {label} have no metric in common whose direction is known. Log the same metrics as "
            f"{label}, or have the policy say which way they are better."
        )
        return Judgement(State.MISSING, "no metric in common", _wanted(rules), why, measures=others)
    worse = [each for each in compared if not each.passed]
    return Judgement(
        state=State.FAILED if worse else State.PASSED,
        measured=_summary(worse, compared, label),
        wanted=_wanted(rules, label),
        why=_why(worse) if worse else "",
        measures=compared + others,
    )


def _wanted(rules: OfflineRegression, label: str = "Production") -> str:
    tolerated = f" by more than {percent(rules.tolerance)}" if rules.tolerance else ""
    return f"no metric worse than {label}'s{tolerated}"


def _summary(worse: list[Measure], compared: tuple[Measure, ...], label: str) -> str:
    if worse:
        return f"worse than {label} in {listed([each.name for each in worse])}"
    return f"as good as {label} or better in {counted(len(compared), 'metric')}"


def _why(worse: list[Measure]) -> str:
    faults = "; ".join(f"{each.name} is {each.measured} and has to be {each.wanted}" for each in worse)
    return f"{faults}. Train a version that is no worse, or ask for a waiver."


def _compared(
    rules: OfflineRegression, mine: Mapping[str, float], theirs: Mapping[str, float], label: str
) -> Iterator[Measure]:
    for name in sorted(mine.keys() & theirs.keys()):
        direction = direction_of(name, rules)
        if direction in (Direction.HIGHER, Direction.LOWER) and math.isfinite(theirs[name]):
            yield _beside(name, mine[name], theirs[name], direction, rules.tolerance, label)


def _beside(name: str, mine: float, theirs: float, direction: Direction, tolerance: float, label: str) -> Measure:
    slack = abs(theirs) * tolerance / 100
    higher = direction == Direction.HIGHER
    limit = theirs - slack if higher else theirs + slack
    tolerated = f", {percent(tolerance)} tolerated" if tolerance else ""
    return Measure(
        name=name,
        measured=figure(mine, beside=limit),
        wanted=f"at {'least' if higher else 'most'} {figure(limit)} ({label} has {figure(theirs)}{tolerated})",
        passed=at_least(mine, limit) if higher else at_most(mine, limit),
    )


def _not_compared(
    rules: OfflineRegression, mine: Mapping[str, float], theirs: Mapping[str, float], label: str
) -> Iterator[Measure]:
    """Shown so that nobody thinks they were compared; they count for nothing."""
    shown = 0
    for name in sorted(mine.keys() | theirs.keys()):
        why = _why_not(direction_of(name, rules), mine.get(name), theirs.get(name), label)
        if not why:
            continue
        if shown == MOST_UNCOMPARED:
            yield Measure("further metrics", "not shown", "not compared", True)
            return
        shown += 1
        yield Measure(name, figure(mine[name]) if name in mine else "not logged", f"not compared: {why}", True)


def _why_not(direction: Direction, mine: float | None, theirs: float | None, label: str) -> str:
    if direction == Direction.IGNORED:
        return "the policy leaves it out"
    if direction == Direction.UNKNOWN:
        return "it is not known which way it is better"
    if theirs is None:
        return f"{label} has not logged it"
    if mine is None:
        return f"only {label} has logged it, {figure(theirs)}"
    return "" if math.isfinite(theirs) else f"that of {label} is {figure(theirs)}"
