"""Two versions side by side: what of their metrics, texts and signatures differs, and whether it is for the better.

The first version is the one that is measured against, the second the one that is looked at.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lifecycle.domain.judgements.directions import Direction, direction_of
from lifecycle.domain.policy import OfflineRegression
from lifecycle.domain.semver import SemanticVersionError, bump_between, parse
from lifecycle.domain.signatures import Bump, Column, Difference, Part, SignatureError, compare_written, read, shown

EXCERPT = 160
"""Characters of a long text that are shown at once."""
BEFORE_DIFFERENCE = 40
"""How many of them stand before the first that differs."""

# ---------------------------------------------------------------- metrics


class Outcome(StrEnum):
    """What became of a metric. The order is that of interest."""

    WORSE = "worse"
    TOLERATED = "tolerated"
    BETTER = "better"
    CHANGED = "changed"
    ONLY_SECOND = "only_second"
    ONLY_FIRST = "only_first"
    SAME = "same"


_BY_INTEREST = list(Outcome)


@dataclass(frozen=True, slots=True)
class MetricLine:
    """One metric of both; None where a version has not logged it.

    ``absolute`` is the second minus the first, ``relative`` that in percent of the first; None where there is no such
    number. TOLERATED is worse, but by no more than the policy lets pass.
    """

    name: str
    first: float | None
    second: float | None
    direction: Direction
    outcome: Outcome
    absolute: float | None = None
    relative: float | None = None

    @property
    def differs(self) -> bool:
        return self.outcome != Outcome.SAME


def metric_lines(
    first: Mapping[str, float], second: Mapping[str, float], rules: OfflineRegression
) -> tuple[MetricLine, ...]:
    """Every metric of either, what is worse first, and of those the largest change first."""
    lines = [
        _metric_line(name, first.get(name), second.get(name), rules) for name in sorted(first.keys() | second.keys())
    ]
    return tuple(sorted(lines, key=lambda line: (_BY_INTEREST.index(line.outcome), -abs(line.relative or 0))))


def _metric_line(name: str, first: float | None, second: float | None, rules: OfflineRegression) -> MetricLine:
    direction = direction_of(name, rules)
    if first is None:
        return MetricLine(name, first, second, direction, Outcome.ONLY_SECOND)
    if second is None:
        return MetricLine(name, first, second, direction, Outcome.ONLY_FIRST)
    absolute = second - first
    relative = 100 * absolute / abs(first) if first and math.isfinite(first) else math.nan
    outcome = _outcome(first, second, direction, rules.tolerance)
    return MetricLine(name, first, second, direction, outcome, _finite(absolute), _finite(relative))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _outcome(first: float, second: float, direction: Direction, tolerance: float) -> Outcome:
    """A second that is not a number is worse than any number; beside a first that is none, nothing can be told."""
    if first == second or (math.isnan(first) and math.isnan(second)):
        return Outcome.SAME
    if direction not in (Direction.HIGHER, Direction.LOWER) or math.isnan(first):
        return Outcome.CHANGED
    if second > first if direction == Direction.HIGHER else second < first:
        return Outcome.BETTER
    within = abs(second - first) <= abs(first) * tolerance / 100
    return Outcome.TOLERATED if within and math.isfinite(second) else Outcome.WORSE


# ---------------------------------------------------------------- texts


@dataclass(frozen=True, slots=True)
class TextLine:
    """A parameter or tag of both; None where a version does not have it.

    The excerpts are what is shown of a long text: of two that differ, the part where they begin to.
    """

    name: str
    first: str | None
    second: str | None
    first_excerpt: str = ""
    second_excerpt: str = ""

    @property
    def differs(self) -> bool:
        return self.first != self.second

    @property
    def is_cut(self) -> bool:
        return max(len(self.first or ""), len(self.second or "")) > EXCERPT


def text_lines(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[TextLine, ...]:
    """Every name of either, what differs first, each part by name. What is not text is compared as JSON."""
    names = sorted(first.keys() | second.keys())
    lines = [_text_line(name, _text(first, name), _text(second, name)) for name in names]
    return tuple(sorted(lines, key=lambda line: not line.differs))


def _text(values: Mapping[str, Any], name: str) -> str | None:
    if name not in values:
        return None
    value = values[name]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _text_line(name: str, first: str | None, second: str | None) -> TextLine:
    start = max(0, _first_difference(first or "", second or "") - BEFORE_DIFFERENCE) if first and second else 0
    return TextLine(name, first, second, excerpt(first or "", start), excerpt(second or "", start))


def _first_difference(first: str, second: str) -> int:
    """The place of the first character that differs; 0 for two that are equal."""
    if first == second:
        return 0
    pairs = enumerate(zip(first, second, strict=False))
    return next((place for place, (one, other) in pairs if one != other), min(len(first), len(second)))


def excerpt(text: str, start: int) -> str:
    """At most ``EXCERPT`` characters from about ``start`` on, with a … wherever something is left out."""
    if len(text) <= EXCERPT:
        return text
    begin = min(start, len(text) - EXCERPT)
    end = begin + EXCERPT
    return ("…" if begin else "") + text[begin:end] + ("…" if end < len(text) else "")


# ---------------------------------------------------------------- signatures


@dataclass(frozen=True, slots=True)
class SchemaLine:
    """One input, output or parameter. ``what`` says what changed and what it means, "" where nothing did."""

    part: Part
    name: str
    before: str
    after: str
    what: str = ""
    bump: Bump | None = None

    @property
    def differs(self) -> bool:
        return self.bump is not None

    @property
    def became(self) -> str:
        """ "added", "removed", "changed" or "same"."""
        if self.bump is None:
            return "same"
        return "changed" if self.before and self.after else "added" if self.after else "removed"


@dataclass(frozen=True, slots=True)
class Schema:
    """``problem`` says why the two cannot be compared, "" when they were. ``says`` is one sentence for people."""

    lines: tuple[SchemaLine, ...]
    required: Bump | None
    says: str
    problem: str = ""


def schema(first: object, second: object, numbers: tuple[str, str], names: tuple[str, str]) -> Schema:
    """Two signatures as MLflow writes them, and what their difference means for the two semantic versions.

    ``names`` are what the sentences call the versions.
    """
    problem = _problem(first, second, names)
    if problem:
        return Schema((), None, "", problem)
    found = compare_written(first, second)
    changed = [
        SchemaLine(each.part, each.name, each.before, each.after, each.what, each.bump) for each in found.changes
    ]
    known = {(line.part, line.name) for line in changed}
    same = [line for line in _columns(second) if (line.part, line.name) not in known]
    return Schema((*changed, *same), found.bump if changed else None, _says(found, numbers, shown(names[0], 60)))


def _problem(first: object, second: object, names: tuple[str, str]) -> str:
    unreadable = [_why_unreadable(each) for each in (first, second)]
    if all(unreadable):
        return "Neither version has a signature that can be read, so what they take and give is not known."
    known = zip(names, unreadable, strict=True)
    return next((f"The signature of {shown(name, 60)} cannot be read. {why}" for name, why in known if why), "")


def _why_unreadable(signature: object) -> str:
    try:
        read(signature)
    except SignatureError as error:
        return str(error)
    return ""


def _columns(signature: object) -> Iterator[SchemaLine]:
    found = read(signature)
    for part, columns in ((Part.INPUT, found.inputs), (Part.OUTPUT, found.outputs), (Part.PARAMETER, found.params)):
        for number, column in enumerate(columns, 1):
            yield SchemaLine(part, _column_name(column, number), column.words, column.words)


def _column_name(column: Column, number: int) -> str:
    return f"column {number}" if column.name is None else shown(column.name)


def _says(found: Difference, numbers: tuple[str, str], first: str) -> str:
    if not found.changes:
        return "Both take and give the same: no caller notices the change."
    meaning = {
        Bump.MAJOR: f"Callers of {first} can break: what they send may be refused, or the answer has another form.",
        Bump.MINOR: f"Callers of {first} can go on as before.",
    }[found.bump]
    return f"{meaning} That takes a {found.bump.name} change of the semantic version{_said(*numbers, found.bump)}"


def _said(first: str, second: str, required: Bump) -> str:
    """Whether the two numbers say so, as the end of a sentence."""
    try:
        old, new = parse(first), parse(second)
    except SemanticVersionError:
        return "."
    if new <= old:
        return "; the second has no higher number."
    bump = bump_between(old, new)
    return f", as {old} → {new} says." if bump >= required else f", but {old} → {new} is only a {bump.name} one."
