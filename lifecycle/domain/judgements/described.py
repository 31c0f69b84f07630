"""Criteria about how a version is described in MLflow: its tags, its semantic version, its signature."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta

from lifecycle.domain.facts import Facts
from lifecycle.domain.findings import Measure, State
from lifecycle.domain.judgements.base import Judgement
from lifecycle.domain.policy import Policy
from lifecycle.domain.semver import SemanticVersionError, Verdict, bump_between, judge, parse
from lifecycle.domain.signatures import Bump, Change, SignatureError, read
from lifecycle.domain.words import counted, listed

LONGEST_SHOWN = 80
MOST_CHANGES = 50
"""How many changed columns are shown, the gravest first."""
EASTERNMOST = timedelta(hours=14)
"""Somewhere on Earth it is tomorrow already: a date is in the future only when it is everywhere."""

_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(?:\.[^@\s.]+)+")
_THREE_NUMBERS = re.compile(r"(?:0|[1-9][0-9]{0,8})(?:\.(?:0|[1-9][0-9]{0,8})){2}")


def required_tags(policy: Policy, facts: Facts, now: datetime) -> Judgement:
    names = policy.evidence.required_tags
    measures = tuple(_tag(name, facts.version.tags, now) for name in names)
    wanted = f"all of {counted(len(names), 'tag')}" if len(names) != 1 else "1 tag"
    absent = [each.name for each in measures if each.measured == _ABSENT]
    wrong = [each for each in measures if not each.passed and each.measured != _ABSENT]
    good = sum(each.passed for each in measures)
    return Judgement(
        state=State.FAILED if wrong else State.MISSING if absent else State.PASSED,
        measured=f"{good} of {len(names)}",
        wanted=wanted,
        why=_why(absent, wrong),
        measures=measures,
    )


_ABSENT = "absent"


def _tag(name: str, tags: Mapping[str, str], now: datetime) -> Measure:
    value = tags.get(name, "").strip()
    wanted, check = _FORMS.get(name, ("any value", lambda value, now: True))
    if not value:
        return Measure(name, _ABSENT, wanted, False)
    shown = value if len(value) <= LONGEST_SHOWN else f"{value[: LONGEST_SHOWN - 1]}…"
    return Measure(name, shown, wanted, check(value, now))


def _is_past_date(value: str, now: datetime) -> bool:
    try:
        return date.fromisoformat(value) <= (now + EASTERNMOST).date()
    except ValueError:
        return False


def _is_email(value: str, now: datetime) -> bool:
    return len(value) <= 254 and _EMAIL.fullmatch(value) is not None


def _is_three_numbers(value: str, now: datetime) -> bool:
    return _THREE_NUMBERS.fullmatch(value) is not None


_FORMS: Mapping[str, tuple[str, Callable[[str, datetime], bool]]] = {
    "training_date": ("a date such as 2024-01-15, not in the future", _is_past_date),
    "trainer_email": ("an e-mail address", _is_email),
    "schema_version": ("MAJOR.MINOR.PATCH, such as 1.0.0", _is_three_numbers),
}


def _why(absent: list[str], wrong: list[Measure]) -> str:
    words = [f"{each.name} is “{each.measured}” and has to be {each.wanted}." for each in wrong]
    if absent:
        words.append(f"Without a value: {listed(absent)}.")
    return " ".join([*words, "Set them on the model version in MLflow."]) if words else ""


def signature(policy: Policy, facts: Facts, now: datetime) -> Judgement:
    wanted = "inputs and outputs that can be read"
    try:
        found = read(facts.version.signature)
    except SignatureError as error:
        state = State.MISSING if facts.version.signature is None else State.FAILED
        measured = "no signature" if state == State.MISSING else "cannot be read"
        return Judgement(state, measured, wanted, str(error))
    return Judgement(State.PASSED, found.words, wanted)


def semantic_version(policy: Policy, facts: Facts, now: datetime) -> Judgement:
    """Whether the number says how much changed since the version before it, column by column."""
    verdict = judge(facts.version, facts.others)
    return Judgement(
        state=verdict.state,
        measured=verdict.measured if verdict.base is None else f"{verdict.measured} after {verdict.base.number}",
        wanted=verdict.wanted,
        why=verdict.why,
        measures=_changes(verdict, facts.version.semantic_version),
    )


def _changes(verdict: Verdict, number: str) -> tuple[Measure, ...]:
    if verdict.difference is None:
        return ()
    given = _bump_given(verdict, number)
    return tuple(_change(each, given) for each in verdict.difference.changes[:MOST_CHANGES])


def _bump_given(verdict: Verdict, number: str) -> Bump | None:
    """Which part of the number grew; None where it is no number, or no greater one."""
    try:
        return bump_between(verdict.base.number, parse(number)) if verdict.base else None
    except (SemanticVersionError, ValueError):
        return None


def _change(change: Change, given: Bump | None) -> Measure:
    """One column: what it was and is, and the bump that this requires."""
    return Measure(
        name=f"{change.part} {change.name}",
        measured=f"{change.before or 'not there'} → {change.after or 'gone'}. {change.what}",
        wanted=f"{change.bump.name} or more" if change.bump < Bump.MAJOR else change.bump.name,
        passed=given is not None and given >= change.bump,
    )
