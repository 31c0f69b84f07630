"""A rollout as it stands in the database halfway: rows, written as the engine and the judge write them."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

from lifecycle.audit import record, recording
from lifecycle.domain import compare, observations
from lifecycle.domain.compare import Measure, MeasureState, VerdictKind
from lifecycle.domain.drift import Distribution
from lifecycle.domain.observations import LATENCY_EDGES, Counts
from lifecycle.domain.permissions import STAGEGATE
from lifecycle.domain.plan import PlannedStep, dump_step
from lifecycle.models import (
    Kind,
    ModelVersion,
    Observation,
    Policy,
    Status,
    Strategy,
    Transition,
    Trial,
    Variant,
    VariantRole,
    Verdict,
)

HOUR = timedelta(hours=1)
CANARY_STEPS = (
    PlannedStep(5, HOUR, 500, judged=True),
    PlannedStep(25, 2 * HOUR, 500, judged=True),
    PlannedStep(50, 4 * HOUR, 500, judged=True),
    PlannedStep(100),
)
SHADOW_STEPS = (PlannedStep(0, HOUR, 500, mirror=100, judged=True), PlannedStep(100))

MEASURES = (
    Measure(
        "error_rate",
        "Error rate against stable",
        MeasureState.UNDECIDED,
        estimate=0.31,
        low=-1.4,
        high=2.6,
        limit=2.0,
        unit="points",
        on_breach="roll_back",
        why="0.71 % of 420 requests failed, 0.4 % of 1,260 at stable.",
    ),
    Measure(
        "latency_p95",
        "p95 latency against stable",
        MeasureState.CLEAR,
        estimate=4.2,
        low=-2.0,
        high=9.8,
        limit=20.0,
        unit="%",
        why="p95 is 62 ms, 59 ms at stable.",
    ),
    Measure(
        "drift",
        "Data drift",
        MeasureState.BREACHED,
        estimate=0.41,
        low=0.37,
        high=0.45,
        limit=0.3,
        why="petal_width lies farthest from the training data.",
        details={"features": [{"name": "petal_width", "estimate": 0.41}, {"name": "petal_length", "estimate": 0.12}]},
    ),
    Measure("business", "Business metric", MeasureState.UNMEASURED, limit=5.0, unit="%", why="None is reported."),
)
HOLD = compare.Verdict(
    VerdictKind.HOLD, "The data drift of petal_width is over its limit: somebody has to look at it.", MEASURES
)
PROCEED = compare.Verdict(
    VerdictKind.PROCEED,
    "Every measure is inside its limit.",
    tuple(each for each in MEASURES if each.state == MeasureState.CLEAR),
)
CLASSES = ("setosa", "versicolor", "virginica")


def counts(requests: int, errors: int, *, slower: float = 1.0, answers: dict[str, int] | None = None) -> Counts:
    """Latencies around 40 ms times ``slower``, three classes, and one feature."""
    middle = 200 + 20 * math.log2(0.04 * slower)
    heights = [requests * math.exp(-((place - middle) ** 2) / 240) / 27.4 for place in range(len(LATENCY_EDGES) + 1)]
    third = requests / 3
    return Counts(
        requests=requests,
        errors=errors,
        latency=Distribution(tuple(map(float, map(round, heights))), edges=LATENCY_EDGES),
        prediction=Distribution((third * slower, third, third * (2 - slower)), categories=CLASSES),
        features={"petal_width": Distribution((third, third * slower, third), edges=(0.5, 1.5))},
        answers=answers or {},
    )


def observe(version: ModelVersion, since: datetime, until: datetime, seen: Counts) -> Observation:
    details = {name: part for name, part in observations.dump(seen).items() if name not in ("requests", "errors")}
    return Observation.objects.create(
        model=version.model,
        version=version,
        since=since,
        until=until,
        requests=seen.requests,
        errors=seen.errors,
        details=details,
    )


def running(
    version: ModelVersion,
    stable: ModelVersion,
    policy: Policy,
    now: datetime,
    *,
    steps: tuple[PlannedStep, ...] = CANARY_STEPS,
    strategy: Strategy = Strategy.CANARY,
    step: int = 1,
    **values: Any,
) -> Transition:
    """A promotion at ``step``, which began half an hour ago, the steps before it an hour each before that."""
    since = now - HOUR / 2
    began = since - step * HOUR
    row = Transition.objects.create(
        model=version.model,
        version=version,
        stable=stable,
        policy=policy,
        **{
            "kind": Kind.PROMOTION,
            "from_stage": "Staging",
            "to_stage": "Production",
            "strategy": strategy,
            "status": Status.RUNNING,
            "reason": "F1 is up by two points, and it no longer forgets the units.",
            "requested_by_name": "Emil Sandberg",
            "requested_at": began - HOUR,
            "started_at": began,
            "checked_at": began,
            "steps": [dump_step(each) for each in steps],
            "step": step,
            "step_since": since,
            "due_at": now,
            **values,
        },
    )
    for number in range(step + 1):
        weights = {str(stable.version): 100 - steps[number].weight, str(version.version): steps[number].weight}
        copies = {"mirrors": {str(version.version): steps[number].mirror}} if steps[number].mirror else {}
        details = {"weights": weights, **copies}
        with recording():
            record("step_reached", actor=STAGEGATE, now=began + number * HOUR, transition=row, details=details)
    weight = steps[step].weight
    for each, role, share in ((stable, VariantRole.PRODUCTION, 100 - weight), (version, VariantRole.STAGING, weight)):
        Variant.objects.update_or_create(
            version=each,
            defaults={
                "model": version.model,
                "role": role,
                "weight": share,
                "url": "http://127.0.0.1:1",
                "weight_since": since,
            },
        )
    return row


def judged(
    row: Transition | None,
    verdict: compare.Verdict | None,
    now: datetime,
    *,
    kind: compare.Trial = compare.Trial.ROLLOUT,
    canary: Counts | None = None,
    **values: Any,
) -> Trial:
    """The trial of the transition's step, or of a version that serves, with its verdict; None: there is none yet."""
    about: dict[str, Any] = {}
    if row is not None:
        about = {"model": row.model, "version": row.version, "stable": row.stable, "transition": row, "step": row.step}
        about |= {"since": row.step_since}
    trial = Trial.objects.create(
        **{
            "kind": kind,
            "weight": 25,
            "looks": 180,
            "seen_until": now,
            "last_seen": now,
            "canary": observations.dump(canary or counts(420, 3, slower=1.1)),
            "stable_counts": observations.dump(counts(1260, 5)),
            "verdict": compare.dump(verdict) if verdict else {},
            "judged_at": now - timedelta(seconds=2) if verdict else None,
            **about,
            **values,
        }
    )
    if verdict is None:
        return trial
    Verdict.objects.create(trial=trial, at=trial.since, kind=VerdictKind.HOLD, why="Too few requests to say anything.")
    Verdict.objects.create(trial=trial, at=now - timedelta(minutes=2), kind=verdict.kind, why=verdict.why)
    return trial
