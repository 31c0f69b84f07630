"""What the judge last said about a rollout: read by whoever moves it, written by ``lifecycle.judging`` alone."""

from __future__ import annotations

from typing import Any

from lifecycle.domain import compare, observations
from lifecycle.domain.compare import MeasureState
from lifecycle.domain.plan import Judged
from lifecycle.models import Transition, Trial

WITH_A_ROLLOUT = (str(compare.Trial.ROLLOUT), str(compare.Trial.SHADOW))
"""The trials that belong to one step of a transition."""


def standing(row: Transition) -> Judged | None:
    """The latest verdict on the step where this transition is; None while there is none.

    A trial of another step, or of the same one before its weights were put right, says nothing about this one.
    """
    trial = _judged_trial(row)
    if trial is None or trial.judged_at is None:
        return None
    verdict = compare.load(trial.verdict)
    return Judged(
        kind=verdict.kind,
        why=verdict.why,
        requests=observations.load(trial.canary).requests,
        at=trial.judged_at,
        asks=any(each.state == MeasureState.BREACHED for each in verdict.measures),
    )


def facts(row: Transition) -> dict[str, Any]:
    """The verdict that stands for this transition, with its measures, as JSON values for the record; {} for none."""
    trial = _judged_trial(row)
    if trial is None or trial.judged_at is None:
        return {}
    return {
        "judged": trial.kind,
        "weight": trial.weight,
        "since": trial.since.isoformat(),
        "looks": trial.looks,
        "verdict": trial.verdict,
    }


def _judged_trial(row: Transition) -> Trial | None:
    if row.step_since is None:
        return None
    trials = Trial.objects.filter(transition=row, step=row.step, since=row.step_since, until=None)
    return trials.filter(kind__in=WITH_A_ROLLOUT, judged_at__isnull=False).first()
