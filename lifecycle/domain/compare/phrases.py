"""The words of the judge. Versions are called by their part: who shows a sentence knows their names."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

from lifecycle.domain import words
from lifecycle.domain.compare.parts import Evidence, Finding, Trial

NEW = "the new version"
STABLE = "the stable one"

MULTIPLES = tuple(1.25**power for power in range(1, 42))
"""By how much counts are multiplied to find out when they would tell: up to 10,000."""

FEW = 200
"""Requests, below which it would be premature to call anything close to its limit."""

Details: TypeAlias = dict[str, Any]


def subject(evidence: Evidence) -> str:
    return "the version in Production" if evidence.trial == Trial.PRODUCTION else NEW


def sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def short(value: float, beside: float | None = None) -> str:
    """A measured figure: three digits, unless it takes more to tell it from ``beside``."""
    if not math.isfinite(value) or not value:
        return words.figure(value)
    rounded = float(f"{value:.3g}") if abs(value) < 1000 else float(round(value))
    told_apart = beside is None or (rounded < beside, rounded > beside) == (value < beside, value > beside)
    return words.figure(rounded) if told_apart else words.figure(value, beside)


def points(value: float) -> str:
    return f"{words.figure(value)} {'point' if value == 1 else 'points'}"


def said(evidence: Evidence, found: Finding, text: str) -> tuple[str, Details]:
    """The sentence, which names the window where it is of one, and the details that go with it."""
    if found.span is evidence.whole:
        return sentence(text), {}
    lately = f"over the last {words.length(found.span.length)}, {text}"
    return sentence(lately), {"window": found.span.length.total_seconds()}


def needed(evidence: Evidence, tells: Callable[[float], bool]) -> int | None:
    """How many more requests are likely to tell, if everything goes on in the same proportions; None: out of reach.

    ``tells(multiple)`` is whether counts that many times as large would decide.
    """
    low, high = 0, len(MULTIPLES)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if tells(MULTIPLES[middle]) else (middle + 1, high)
    return more(evidence.whole.canary.requests, MULTIPLES[low]) if low < len(MULTIPLES) else None


def more(requests: int, multiple: float) -> int:
    """Rounded up to two digits: it is but likely."""
    exact = math.ceil(max(requests * (multiple - 1.0), 1.0))
    size: int = 10 ** max(len(str(exact)) - 2, 0)
    return -(-exact // size) * size


def undecided(evidence: Evidence, question: str, grows: int | None) -> tuple[str, Details]:
    """Not sure yet whether ``question``, and how many requests it takes, which ``details`` have as "needs"."""
    unsure, requests = f"Not sure yet whether {question}", evidence.whole.canary.requests
    if grows and requests:
        verb = "is" if grows == 1 else "are"
        counted = words.counted(grows, "more request")
        return f"{unsure}: about {counted} to {subject(evidence)} {verb} likely to tell.", {"needs": grows}
    if requests < FEW:
        return f"{unsure}: there are too few requests so far to say how many it takes.", {}
    return f"{unsure}: it is too close to the limit to say how many more requests it takes.", {}
