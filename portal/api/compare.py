"""Two versions side by side over the API: what was measured live, and what differs offline."""

from __future__ import annotations

import math
from typing import Any

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from lifecycle import queries_compare
from lifecycle.domain.compare import Measure
from lifecycle.domain.differences import MetricLine, Schema, TextLine
from lifecycle.models import ModelVersion
from lifecycle.operations import RefusedError
from lifecycle.queries_compare import Comparison, Live, NotComparableError
from portal.access import model_for
from portal.api.base import APIView


class Compare(APIView):
    """``stable`` and ``canary`` are MLflow's numbers; what is not given is what serves now, and what is beside it."""

    def get(self, request: Request, name: str) -> Response:
        model = model_for(request, name)
        asked = request.query_params
        try:
            stable, canary = queries_compare.pair(model, asked.get("stable"), asked.get("canary"))
        except NotComparableError as error:
            raise RefusedError(str(error), rule=error.rule, status=error.status) from error
        return Response(_as_json(queries_compare.comparison(stable, canary, timezone.now())))


def _as_json(found: Comparison) -> dict[str, Any]:
    return {
        "model": found.first.model.name,
        "stable": _version(found.first),
        "canary": _version(found.second),
        "live": _live(found.live),
        "metrics": [_metric(line) for line in found.metrics],
        "params": [_text(line) for line in found.params if line.differs],
        "tags": [_text(line) for line in found.tags if line.differs],
        "run_tags": [_text(line) for line in found.run_tags if line.differs],
        "schema": _schema(found.schema),
    }


def _version(version: ModelVersion) -> dict[str, Any]:
    return {
        "version": version.version,
        "semantic_version": version.semantic_version,
        "stage": version.domain_stage,
        "created_at": version.created_at,
        "run_id": version.run_id,
    }


def _live(live: Live) -> dict[str, Any] | None:
    """The latest trial of one against the other; ``canary`` says which of the two was on trial."""
    if live.trial is None or live.canary is None or live.stable is None:
        return None
    return {
        "canary": live.canary.version,
        "stable": live.stable.version,
        "kind": live.trial.kind,
        "weight": live.trial.weight,
        "since": live.trial.since,
        "until": live.trial.until,
        "judged_at": live.trial.judged_at,
        "transition": live.trial.transition_id,
        "verdict": live.verdict.kind if live.verdict else None,
        "why": live.verdict.why if live.verdict else "",
        "measures": [_measure(each) for each in live.verdict.measures] if live.verdict else [],
    }


def _measure(measure: Measure) -> dict[str, Any]:
    return {
        "name": measure.name,
        "label": measure.label,
        "state": measure.state,
        "estimate": _number(measure.estimate),
        "low": _number(measure.low),
        "high": _number(measure.high),
        "limit": _number(measure.limit),
        "unit": measure.unit,
        "on_breach": measure.on_breach,
        "why": measure.why,
    }


def _metric(line: MetricLine) -> dict[str, Any]:
    return {
        "name": line.name,
        "stable": _number(line.first),
        "canary": _number(line.second),
        "better": line.direction,
        "outcome": _OUTCOMES.get(line.outcome, str(line.outcome)),
        "absolute": line.absolute,
        "relative": line.relative,
    }


_OUTCOMES = {"only_first": "only_stable", "only_second": "only_canary"}


def _number(value: float | None) -> float | str | None:
    """JSON has neither infinity nor what is not a number: those are words, as in the tables."""
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _text(line: TextLine) -> dict[str, Any]:
    """Null where a version does not have it."""
    return {"name": line.name, "stable": line.first, "canary": line.second}


def _schema(schema: Schema) -> dict[str, Any]:
    return {
        "problem": schema.problem,
        "requires": schema.required.name if schema.required else None,
        "says": schema.says,
        "changes": [
            {
                "part": line.part,
                "name": line.name,
                "before": line.before or None,
                "after": line.after or None,
                "what": line.what,
                "requires": line.bump.name,
            }
            for line in schema.lines
            if line.bump is not None
        ],
    }
