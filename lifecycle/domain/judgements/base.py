"""What every judgement shares: its result, the evidence that counts, and the comparison with a threshold."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from lifecycle.domain.criteria import Criterion
from lifecycle.domain.facts import EvidenceFact, Facts, Source
from lifecycle.domain.findings import Measure, State

TRUST = 1e-9
"""Relative width within which two figures are the same: what is lost when percentages are computed."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the facts say about one criterion, before any waiver. The fields are those of ``Finding``."""

    state: State
    measured: str = ""
    wanted: str = ""
    why: str = ""
    by: str = ""
    at: datetime | None = None
    measures: tuple[Measure, ...] = ()
    evidence: EvidenceFact | None = None
    stale: EvidenceFact | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The evidence for one criterion: the newest that counts, and whatever newer one does not count any more."""

    counting: EvidenceFact | None
    stale: EvidenceFact | None

    def missing(self, wanted: str, what_to_do: str) -> Judgement:
        """Nothing counts: what is there is shown, with the reason why it does not."""
        if self.stale is None:
            return Judgement(State.MISSING, "no evidence", wanted, what_to_do)
        why = f"The evidence there is does not count any more. {self.stale.stale} {what_to_do}"
        return Judgement(State.MISSING, "only evidence that no longer counts", wanted, why, stale=self.stale)

    def judged(
        self, *, passed: bool, measured: str, wanted: str, why: str = "", measures: tuple[Measure, ...] = ()
    ) -> Judgement:
        """A judgement about the evidence that counts, in the name of whoever recorded it."""
        counting = self.counting
        return Judgement(
            state=State.PASSED if passed else State.FAILED,
            measured=measured,
            wanted=wanted,
            why="" if passed else why,
            by=counting.by if counting else "",
            at=counting.at if counting else None,
            measures=measures,
            evidence=counting,
            stale=self.stale,
        )


def of_other_files(wanted: str) -> Judgement:
    """What was observed in Staging is about the former files, whose server goes on answering there."""
    why = (
        "What answered in Staging were other files: they have changed since. Archive it and bring it back through "
        "Staging, or register them as a version of their own."
    )
    return Judgement(State.MISSING, "its files have changed since it came to Staging", wanted, why)


def evidence_for(criterion: Criterion, facts: Facts, sources: Collection[Source] = tuple(Source)) -> Found:
    mine = [each for each in facts.evidence if each.criterion == criterion and each.source in sources]
    mine.sort(key=lambda each: (each.at, each.id), reverse=True)
    counting = next((each for each in mine if not each.stale), None)
    stale = mine[0] if mine and mine[0].stale else None
    return Found(counting=counting, stale=stale)


def state_of(measures: Collection[Measure]) -> State:
    return State.PASSED if all(each.passed for each in measures) else State.FAILED


def at_most(value: float, limit: float) -> bool:
    """Never where either is infinite or not a number: nothing is shown by that."""
    return _finite(value, limit) and (value <= limit or _same(value, limit))


def at_least(value: float, limit: float) -> bool:
    """Like ``at_most``, the other way round."""
    return _finite(value, limit) and (value >= limit or _same(value, limit))


def below(value: float, limit: float) -> bool:
    """Less than the limit; where the limit is 0, nothing at all is enough."""
    return at_most(value, limit) and (not _same(value, limit) or value == limit == 0)


def _finite(value: float, limit: float) -> bool:
    return math.isfinite(value) and math.isfinite(limit)


def _same(value: float, limit: float) -> bool:
    return math.isclose(value, limit, rel_tol=TRUST)
