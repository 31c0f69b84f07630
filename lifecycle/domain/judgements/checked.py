"""Criteria that Stagegate's own checks measure. The policy of today judges what was measured, whenever that was."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from lifecycle.domain.criteria import Criterion
from lifecycle.domain.facts import EvidenceFact, Facts, Source
from lifecycle.domain.findings import Measure, State
from lifecycle.domain.judgements.base import Found, Judgement, at_least, at_most, below, evidence_for, state_of
from lifecycle.domain.policy import Checks, Policy, ServiceLevels
from lifecycle.domain.words import figure, listed, percent, seconds

_BY_CHECK = (Source.CHECK,)
_MEASURED = (Source.CHECK, Source.CI)


def artifact_scan(policy: Policy, facts: Facts, now: datetime) -> Judgement:
    """Only Stagegate's own scan counts: it has read the very files that are going to be served."""
    found = evidence_for(Criterion.ARTIFACT_SCAN, facts, _BY_CHECK)
    wanted = "nothing harmful, and every file of a kind that the policy allows"
    if found.counting is None:
        return found.missing(wanted, "Start the artifact scan.")
    looser = no_longer_allowed(policy.checks, found.counting.measurements)
    if found.counting.passed and looser:
        why = f"It was scanned when the policy still allowed {listed(looser)}. Start the artifact scan again."
        by, at = found.counting.by, found.counting.at
        return Judgement(State.MISSING, "scanned by looser rules", wanted, why, by, at, evidence=found.counting)
    detail = found.counting.detail
    why = f"{detail} Register a version without these files, in a format that the policy allows."
    return found.judged(
        passed=found.counting.passed, measured=detail or _outcome(found.counting), wanted=wanted, why=why.strip()
    )


MOST_NAMED = 5


def no_longer_allowed(rules: Checks, measured: Mapping[str, Any]) -> list[str]:
    """What the scan let pass by its policy and would not by this one, as far as the version's files could hold it."""
    files = _list(measured.get("files"))
    formats = _list(measured.get("formats"))
    if files and len(files) == measured.get("total_files"):
        formats = [each.get("format") for each in files if isinstance(each, Mapping)]
    gone = sorted({str(each) for each in formats} - set(rules.formats))
    if "skops" in formats:
        gone += sorted({str(each) for each in _list(measured.get("trusted_types"))} - set(rules.trusted_types))
    return gone[:MOST_NAMED]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def malformed_input(policy: Policy, facts: Facts, now: datetime) -> Judgement:
    """All that is malformed is refused, what is valid between it is still answered, and the check came to its end."""
    limit = policy.service_levels.malformed_rejected
    wanted = f"{percent(limit)} refused with a reason" if limit >= 100 else f"at least {percent(limit)} refused"
    found = evidence_for(Criterion.MALFORMED_INPUT, facts, _BY_CHECK)
    if found.counting is None:
        return found.missing(wanted, "Start the malformed-input check.")
    measures = tuple(_malformed_levels(policy.service_levels, found.counting.measurements))
    why = (
        f"{found.counting.detail} Every malformed request has to get a 4xx answer with a reason, and every valid one a "
        "prediction: mend the model's signature or its checks, and register a corrected version."
    )
    return found.judged(
        passed=state_of(measures) == State.PASSED,
        measured=", ".join(f"{each.name} {each.measured}" for each in measures),
        wanted=wanted,
        why=why.strip(),
        measures=measures,
    )


def _malformed_levels(levels: ServiceLevels, measured: Mapping[str, Any]) -> Iterator[Measure]:
    yield _level("malformed requests refused", measured, "rejected", percent, at_least, levels.malformed_rejected)
    if "failed" in measured:
        yield _level("valid requests failed", measured, "failed", percent, below, levels.failed_predictions)
    if measured.get("stopped"):
        yield Measure("the check", f"stopped early: {str(measured['stopped'])[:200]}", "carried out to its end", False)


def load_test(policy: Policy, facts: Facts, now: datetime) -> Judgement:
    levels = policy.service_levels
    wanted = (
        f"{figure(levels.throughput)} answers/s a replica, p50 {_limit(levels.latency_p50.total_seconds())}, "
        f"p95 {_limit(levels.latency_p95.total_seconds())}, p99 {_limit(levels.latency_p99.total_seconds())}, "
        f"below {percent(levels.failed_predictions)} failed"
    )
    found = evidence_for(Criterion.LOAD_TEST, facts, _BY_CHECK)
    if found.counting is None:
        return found.missing(wanted, "Start the load test.")
    measures = _levels(levels, found.counting.measurements)
    wrong = [f"{each.name} is {each.measured} and has to be {each.wanted}" for each in measures if not each.passed]
    return found.judged(
        passed=state_of(measures) == State.PASSED,
        measured=", ".join(f"{each.name} {each.measured}" for each in measures),
        wanted=wanted,
        why=f"{'; '.join(wrong)}. Make the model faster or smaller, register that version, and test it.",
        measures=measures,
    )


def _limit(value: float) -> str:
    return f"at most {seconds(value)}"


def _levels(levels: ServiceLevels, measured: Mapping[str, Any]) -> tuple[Measure, ...]:
    latencies = (("p50", levels.latency_p50), ("p95", levels.latency_p95), ("p99", levels.latency_p99))
    return (
        _level("throughput", measured, "throughput", _rate, at_least, levels.throughput),
        *(_level(name, measured, name, seconds, at_most, bound.total_seconds()) for name, bound in latencies),
        _level("failed requests", measured, "failed", percent, below, levels.failed_predictions),
    )


def _rate(value: float, beside: float | None = None) -> str:
    return f"{figure(value, beside)} answers/s"


_WORDS = {at_least: "at least", at_most: "at most", below: "below"}


def _level(name: str, measured: Mapping[str, Any], key: str, words: Any, enough: Any, limit: float) -> Measure:
    """One figure against its limit; one that was not measured is not enough."""
    value = number(measured.get(key))
    wanted = f"{_WORDS[enough]} {words(limit)}"
    if value is None:
        return Measure(name, "not measured", wanted, False)
    return Measure(name, words(value, beside=limit), wanted, enough(value, limit))


def number(value: Any) -> float | None:
    """A figure of a JSON value, None where it holds none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _outcome(evidence: EvidenceFact) -> str:
    return "passed" if evidence.passed else "failed"


# ---------------------------------------------------------------- drift


def drift(policy: Policy, facts: Facts, now: datetime) -> Judgement:
    """The largest distance of a feature from the training data; a person may have explained a large one. What a CI
    system reports as failed stays so, however small it is.

    An explanation counts only for what was measured before it was given.
    """
    limit = policy.comparison.drift
    wanted = f"a distance of at most {figure(limit)}, or a person's explanation"
    measured = evidence_for(Criterion.DRIFT, facts, _MEASURED)
    explained = evidence_for(Criterion.DRIFT, facts, (Source.PERSON,))
    if measured.counting is None:
        return _without_measurement(measured, explained, wanted)
    value = number(measured.counting.value)
    if value is None or not math.isfinite(value):
        return _without_distance(measured, explained, wanted)
    words = f"a distance of {figure(value, beside=limit)}"
    refused = measured.counting.source == Source.CI and not measured.counting.passed
    if at_most(value, limit) and not refused:
        return measured.judged(passed=True, measured=words, wanted=wanted)
    return _explained(measured, explained, f"{words}, reported as failed" if refused else words, wanted)


def _without_measurement(measured: Found, explained: Found, wanted: str) -> Judgement:
    """A person's word alone: a yes counts when it says why, a no counts in any case."""
    person = explained.counting
    if person is None or (person.passed and not person.detail.strip()):
        stale = measured if measured.stale else explained
        return stale.missing(wanted, "Start the drift check while the version gets requests, or explain the drift.")
    why = f"{person.by}: {person.detail} Settle where the drift comes from, then start the drift check."
    return explained.judged(
        passed=person.passed, measured=f"not measured; {person.by}: {person.detail}", wanted=wanted, why=why
    )


def _without_distance(measured: Found, explained: Found, wanted: str) -> Judgement:
    """A measurement without a figure: a failure stands unless it is explained, a yes shows nothing."""
    assert measured.counting is not None
    if measured.counting.passed:
        why = "The report has no figure. Report the largest distance of a feature as its value."
        return Judgement(
            State.MISSING,
            "no distance",
            wanted,
            why,
            measured.counting.by,
            measured.counting.at,
            evidence=measured.counting,
            stale=measured.stale,
        )
    return _explained(measured, explained, measured.counting.detail or "failed", wanted)


def _explained(measured: Found, explained: Found, words: str, wanted: str) -> Judgement:
    assert measured.counting is not None
    person = explained.counting
    since = person is not None and (person.at, person.id) > (measured.counting.at, measured.counting.id)
    if person is None or not since:
        why = (
            "Requests differ from the training data. Find out why: retrain, or have a person record drift as passed, "
            "with the explanation."
        )
        return measured.judged(passed=False, measured=words, wanted=wanted, why=why)
    words = f"{words}, explained by {person.by}: {person.detail}" if person.passed else f"{words}, {person.by} says no"
    why = f"{person.by}: {person.detail} Retrain, or settle it and record the explanation."
    return explained.judged(
        passed=person.passed and bool(person.detail.strip()), measured=words, wanted=wanted, why=why
    )
