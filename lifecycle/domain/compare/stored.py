"""Verdicts as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from lifecycle.domain.compare.parts import Measure, MeasureState, Verdict, VerdictKind


def dump(verdict: Verdict) -> dict[str, Any]:
    """As JSON values."""
    measures = [{**asdict(each), "state": each.state.value} for each in verdict.measures]
    return {"kind": verdict.kind.value, "why": verdict.why, "emergency": verdict.emergency, "measures": measures}


def load(raw: Mapping[str, Any]) -> Verdict:
    """The verdict that ``dump`` wrote."""
    return Verdict(
        kind=VerdictKind(raw["kind"]),
        why=raw["why"],
        measures=tuple(Measure(**{**each, "state": MeasureState(each["state"])}) for each in raw["measures"]),
        emergency=raw["emergency"],
    )
