"""How templates put the differences of two versions into words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import template

from lifecycle.domain.differences import MetricLine, Outcome
from lifecycle.domain.judgements.directions import Direction
from lifecycle.domain.words import figure
from lifecycle.queries_compare import Comparison

register = template.Library()

MINUS = "\u2212"

_WAYS = {
    Direction.HIGHER: "higher is better",
    Direction.LOWER: "lower is better",
    Direction.UNKNOWN: "which way is better is not known",
    Direction.IGNORED: "left out by the policy",
}


@register.filter
def way(line: MetricLine) -> str:
    return _WAYS[line.direction]


@register.filter
def measured(line: MetricLine, side: str) -> str:
    """The first or second version's figure, with as many digits as it takes to tell the two apart; "" for none."""
    value, other = (line.first, line.second) if side == "first" else (line.second, line.first)
    return "" if value is None else figure(value, beside=other)


@register.filter
def change(line: MetricLine) -> str:
    """ "+0.012 (+1.3 %)": what the second has more or less than the first; "" where that cannot be told."""
    if line.absolute is None or not line.differs:
        return ""
    relative = f" ({_signed(line.relative)} %)" if line.relative is not None else ""
    return f"{_signed(line.absolute)}{relative}"


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else MINUS if value < 0 else ''}{figure(abs(value))}"


@register.filter
def differing(lines: Sequence[Any]) -> list[Any]:
    """The lines that differ."""
    return [line for line in lines if line.differs]


@register.filter
def metrics_summary(comparison: Comparison) -> str:
    """ "1 worse, 3 better, 2 other differences"."""
    worse = comparison.metrics_with(Outcome.WORSE, Outcome.TOLERATED)
    better = comparison.metrics_with(Outcome.BETTER)
    others = comparison.metrics_with(Outcome.CHANGED, Outcome.ONLY_FIRST, Outcome.ONLY_SECOND)
    parts = [f"{worse} worse" if worse else "", f"{better} better" if better else ""]
    parts.append(f"{others} other difference{'' if others == 1 else 's'}" if others else "")
    return ", ".join(part for part in parts if part) or ("all the same" if comparison.metrics else "none recorded")


@register.filter
def texts_summary(lines: Sequence[Any]) -> str:
    """ "2 of 14 differ"."""
    count = len(differing(lines))
    if not lines:
        return "none recorded"
    return f"{count} of {len(lines):,} differ{'s' if count == 1 else ''}" if count else "all the same"


@register.filter
def at_most(lines: Sequence[Any], number: int) -> Sequence[Any]:
    return lines[:number]
