"""The minimum benchmarks: the training run's own metrics against the policy's bounds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from lifecycle.domain.facts import Facts
from lifecycle.domain.findings import Measure, State
from lifecycle.domain.judgements.base import Judgement, at_least, at_most
from lifecycle.domain.policy import Benchmark, Benchmarks, Policy
from lifecycle.domain.words import figure, listed

_NOT_LOGGED = "which was not logged"
TASK_TAG = "task"
_TASKS = ("classification", "regression")


def benchmarks(policy: Policy, facts: Facts, now: datetime) -> Judgement:
    version = facts.version
    bounds = {"classification": policy.benchmarks.classification, "regression": policy.benchmarks.regression}
    named = version.tags.get(TASK_TAG, "").strip().lower()
    if named and named not in _TASKS:
        why = f"The tag {TASK_TAG} is “{named}”. Set it to {listed(_TASKS, 'or')}, or remove it."
        return Judgement(State.MISSING, f"task “{named}”", _all_wanted(policy.benchmarks), why)
    tasks = [named] if named else [task for task in _TASKS if _recorded(bounds[task], version.metrics)]
    measures = tuple(measure for task in tasks if (measure := _measure(bounds[task], version.metrics)) is not None)
    if not measures:
        return _nothing_recorded([bounds[task] for task in tasks or _TASKS])
    wrong = [each for each in measures if not each.passed]
    return Judgement(
        state=State.FAILED if wrong else State.PASSED,
        measured=", ".join(f"{each.name} {each.measured}" for each in measures),
        wanted=", ".join(f"{each.name} {each.wanted}" for each in measures),
        why="" if not wrong else _why(wrong),
        measures=measures,
    )


def _why(wrong: list[Measure]) -> str:
    faults = [f"{each.name} is {each.measured} and has to be {each.wanted}" for each in wrong]
    if all(each.wanted.endswith(_NOT_LOGGED) for each in wrong):
        return f"{'; '.join(faults)}. Log the baseline's metric with the run, too."
    return f"{'; '.join(faults)}. Train a better version, and log its metrics under the same names."


def _recorded(bound: Benchmark, metrics: Mapping[str, float]) -> str | None:
    """The metric that counts: the first of the policy's that the run recorded."""
    return next((name for name in bound.metrics if name in metrics), None)


def _measure(bound: Benchmark, metrics: Mapping[str, float]) -> Measure | None:
    name = _recorded(bound, metrics)
    if name is None:
        return None
    value = metrics[name]
    baseline_name = bound.at_least_metric or bound.at_most_metric
    limit = metrics.get(baseline_name) if baseline_name else bound.at_most if bound.at_least is None else bound.at_least
    is_floor = bound.at_least is not None or bound.at_least_metric is not None
    word = "at least" if is_floor else "at most"
    if limit is None:
        return Measure(name, figure(value), f"{word} the run's {baseline_name}, {_NOT_LOGGED}", False)
    passed = at_least(value, limit) if is_floor else at_most(value, limit)
    wanted = f"{word} {figure(limit)}" + (f" (the run's {baseline_name})" if baseline_name else "")
    return Measure(name, figure(value, beside=limit), wanted, passed)


def _nothing_recorded(bounds: list[Benchmark]) -> Judgement:
    names = listed([bound.metrics[0] for bound in bounds], "or")
    wanted = " or ".join(map(_wanted, bounds))
    why = f"The training run logged none of the metrics that the policy knows. Log {names} on held-out data."
    return Judgement(State.MISSING, "no such metric", wanted, why)


def _all_wanted(bounds: Benchmarks) -> str:
    return f"{_wanted(bounds.classification)} or {_wanted(bounds.regression)}"


def _wanted(bound: Benchmark) -> str:
    name = bound.metrics[0]
    if bound.at_least is not None or bound.at_least_metric is not None:
        return f"{name} at least {bound.at_least_metric if bound.at_least is None else figure(bound.at_least)}"
    return f"{name} at most {bound.at_most_metric if bound.at_most is None else figure(bound.at_most)}"
