"""The judge's clerk: brings every trial its counts, writes its verdicts down, and has a breach rolled back.

A trial is one period over which one version is judged; its counts since it began are kept with it, so that a look costs
the same after days as after seconds. Two clerks at once are harmless: whoever is second finds that the trial has moved
on, and writes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import reduce
from typing import Any

from django.db.models import Exists, OuterRef

from lifecycle import rollbacks
from lifecycle.audit import record, recording
from lifecycle.dispatch import wake
from lifecycle.domain import compare, observations
from lifecycle.domain.compare import Evidence, VerdictKind, Window
from lifecycle.domain.compare import Trial as TrialKind
from lifecycle.domain.observations import Counts
from lifecycle.domain.permissions import STAGEGATE
from lifecycle.domain.plan import load_step
from lifecycle.domain.policy import Policy
from lifecycle.domain.stages import Stage
from lifecycle.domain.strategies import Sticky
from lifecycle.history import previous_version, production_version
from lifecycle.models import (
    EXECUTING,
    Kind,
    Observation,
    RegisteredModel,
    Status,
    Transition,
    Trial,
    Variant,
    VariantRole,
    Verdict,
)
from lifecycle.policies import current_policy
from lifecycle.ports import PortError
from lifecycle.references import Reference, reference_of
from lifecycle.transitions import RefusedError, turn_back

logger = logging.getLogger(__name__)

EMPTY = Counts()

WINDOWS = (1, 6, 30)
"""How many of the latest looks are judged by themselves too: a version that goes bad after days is seen at once."""
NOBODY_BEFORE = "There is no previous version that could take over"
DAY = timedelta(hours=24)
"""How long one trial of what serves Production lasts; then the next one begins where it ended."""


def judge_all(*, now: datetime) -> None:
    """One look at every model that serves. What fails for one model is logged, and stops none of the others."""
    serving = Exists(Variant.objects.filter(model=OuterRef("pk")))
    judged = Exists(Trial.objects.filter(model=OuterRef("pk"), until=None))
    for model in RegisteredModel.objects.filter(serving | judged):
        try:
            judge_model(model, now)
        except Exception:
            logger.exception("%s could not be judged", model.slug)


def judge_model(model: RegisteredModel, now: datetime) -> None:
    """Open and close the model's trials as they apply now, and judge those that are open."""
    wanted = _wanted(model)
    for trial in Trial.objects.filter(model=model, until=None):
        if not any(_is_that(trial, each, now) for each in wanted):
            Trial.objects.filter(pk=trial.pk, until=None).update(until=now)
    for each in wanted:
        opened = _open(model, each, now)
        if opened is not None:
            _look(opened, now)


# ---------------------------------------------------------------- which trials there are


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A trial that applies now, by primary keys."""

    kind: TrialKind
    version: int
    stable: int | None
    since: datetime
    weight: int
    transition: int | None = None
    step: int = 0


def _wanted(model: RegisteredModel) -> list[_Wanted]:
    """A rollout moves the weights, which the others count on: beside it, only what it could go back to is judged.

    A change that only waits, for a server or for MLflow, must not keep what serves from being judged.
    """
    changes = Transition.objects.filter(model=model, status__in=EXECUTING)
    change = changes.first()
    if change is None or rollbacks.gives_way(change):
        return list(_of_variants(model))
    if change.status != Status.RUNNING or change.kind != Kind.PROMOTION:
        return []
    if change.to_stage == Stage.PRODUCTION and (change.step or change.step_since):
        return list(_of_rollout(change))
    return [each for each in _of_variants(model) if each.kind == TrialKind.PRODUCTION]


def _of_rollout(row: Transition) -> Iterator[_Wanted]:
    """At its last step the new version serves Production already, until MLflow says so too."""
    if row.step_since is None or not row.steps:
        return
    step = load_step(row.steps[row.step])
    if step.judged:
        kind = TrialKind.SHADOW if step.mirror else TrialKind.ROLLOUT
        yield _Wanted(kind, row.version_id, row.stable_id, row.step_since, step.weight, row.pk, row.step)
        if row.stable_id is not None:
            yield _Wanted(TrialKind.PRODUCTION, row.stable_id, None, row.step_since, 100 - step.weight)
    elif step.weight == 100:
        yield _Wanted(TrialKind.PRODUCTION, row.version_id, None, row.step_since, 100)


def _of_variants(model: RegisteredModel) -> Iterator[_Wanted]:
    serving = list(Variant.objects.filter(model=model, weight__gt=0, weight_since__isnull=False))
    production = next((each for each in serving if each.role == VariantRole.PRODUCTION), None)
    for variant in serving:
        if variant.weight_since is None or variant.role not in _KINDS:
            continue
        alone = variant.role == VariantRole.PRODUCTION
        yield _Wanted(
            kind=_KINDS[variant.role],
            version=variant.version_id,
            stable=None if alone or production is None else production.version_id,
            since=variant.weight_since,
            weight=100 if alone or production is None else variant.weight,
        )


_KINDS: Mapping[str, TrialKind] = {
    VariantRole.STAGING: TrialKind.STAGING,
    VariantRole.PRODUCTION: TrialKind.PRODUCTION,
}


def _is_that(trial: Trial, wanted: _Wanted, now: datetime) -> bool:
    """Whether this trial judges what is wanted; that of what serves Production is over after a day."""
    said = (trial.kind, trial.version_id, trial.stable_id, trial.transition_id, trial.step, trial.weight)
    asked = (wanted.kind, wanted.version, wanted.stable, wanted.transition, wanted.step, wanted.weight)
    over = wanted.kind == TrialKind.PRODUCTION and now - trial.since >= DAY
    return said == asked and trial.since >= wanted.since and not over


def _open(model: RegisteredModel, wanted: _Wanted, now: datetime) -> Trial | None:
    """The open trial, reopened where it was closed although nothing has changed, or a new one.

    None when another process is just about to open it.
    """
    rows = Trial.objects.filter(model=model, kind=wanted.kind).select_related("model", "version__model", "transition")
    latest = rows.first()
    if latest is None or not _is_that(latest, wanted, now):
        since = _begin_at(latest, wanted, now)
        made = Trial(
            model=model,
            kind=wanted.kind,
            version_id=wanted.version,
            stable_id=wanted.stable,
            transition_id=wanted.transition,
            step=wanted.step,
            weight=wanted.weight,
            since=since,
            seen_until=since,
        )
        Trial.objects.bulk_create([made], ignore_conflicts=True)
    elif latest.until is not None:
        Trial.objects.filter(pk=latest.pk).update(until=None)
    latest = rows.filter(until=None).first()
    return latest if latest is not None and _is_that(latest, wanted, now) else None


def _begin_at(before: Trial | None, wanted: _Wanted, now: datetime) -> datetime:
    """Where the trial of the day before ended, so that no interval is lost between two of them; now, where nobody has
    judged for longer than a day."""
    goes_on = before is not None and before.version_id == wanted.version and before.since >= wanted.since
    since = before.seen_until if before is not None and goes_on else wanted.since
    return now if wanted.kind == TrialKind.PRODUCTION and now - since >= DAY else since


# ---------------------------------------------------------------- one look


def _look(trial: Trial, now: datetime) -> None:
    """Add what was counted since the last look, judge, and act on a breach.

    The counts, the verdict and what follows from it are written together, or not at all when another process was first.
    """
    policy = _policy(trial, now)
    reference, unread = _reference(trial)
    seen = _seen(trial)
    verdict = compare.judge(_evidence(trial, seen, policy, reference), policy, now)
    if unread and verdict.kind == VerdictKind.PROCEED:
        verdict = replace(verdict, kind=VerdictKind.HOLD, why=f"Drift cannot be told yet: {unread}.")
    with recording():
        if _keep(trial, seen, verdict, now):
            _follow(trial, verdict, now)


def _policy(trial: Trial, now: datetime) -> Policy:
    return (trial.transition.policy if trial.transition else current_policy(trial.model, now)).values


def _reference(trial: Trial) -> tuple[Reference, str]:
    """The training reference, or why it cannot be read just now."""
    try:
        return reference_of(trial.version), ""
    except PortError as error:
        return {}, str(error)


# ---------------------------------------------------------------- what was counted


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a trial has counted, this look included, and ``latest`` of it the rows of the last looks."""

    canary: Counts
    stable: Counts
    seen_until: datetime
    last_seen: datetime | None
    latest: Sequence[Observation]


def _seen(trial: Trial) -> _Seen:
    """An interval that began before the trial mixes its weights with those of before: it says that data arrive, but is
    not counted."""
    canary = _latest(trial, trial.version_id)
    stable = _latest(trial, trial.stable_id) if trial.stable_id else []
    counted = [row for row in (*canary, *stable) if row.since >= trial.since]
    new = [row for row in counted if row.until > trial.seen_until]
    if any(len(rows) == WINDOWS[-1] and rows[-1].until > trial.seen_until for rows in (canary, stable)):
        new = list(_all_new(trial))
    return _Seen(
        canary=_sum(new, trial.version_id, observations.load(trial.canary)),
        stable=_sum(new, trial.stable_id, observations.load(trial.stable_counts)),
        seen_until=max((row.until for row in new), default=trial.seen_until),
        last_seen=canary[0].until if canary else trial.last_seen,
        latest=counted,
    )


def _latest(trial: Trial, version: int | None) -> list[Observation]:
    """The rows of a version in its latest looks, newest first."""
    rows = Observation.objects.filter(version=version, until__gt=trial.since).order_by("-until")
    return list(rows[: WINDOWS[-1]])


def _all_new(trial: Trial) -> Iterator[Observation]:
    """Everything since the last look, when that is longer ago than the longest window."""
    sides = [version for version in (trial.version_id, trial.stable_id) if version is not None]
    rows = Observation.objects.filter(version__in=sides, since__gte=trial.since, until__gt=trial.seen_until)
    return rows.iterator()


def _sum(rows: Sequence[Observation], version: int | None, so_far: Counts = EMPTY) -> Counts:
    return reduce(observations.add, (row.counts for row in rows if row.version_id == version), so_far)


def _evidence(trial: Trial, seen: _Seen, policy: Policy, reference: Reference) -> Evidence:
    length = max(seen.seen_until - trial.since, timedelta(0))
    return Evidence(
        trial=TrialKind(trial.kind),
        whole=Window(length, trial.looks + 1, seen.canary, seen.stable),
        windows=tuple(_windows(trial, seen.latest)),
        look=trial.looks + 1,
        steps=_judged_steps(trial),
        weight=trial.weight,
        sticky=policy.rollout.sticky != Sticky.NONE,
        reference=reference,
        since=trial.since,
        seen=seen.last_seen,
    )


def _judged_steps(trial: Trial) -> int:
    steps = trial.transition.steps if trial.transition else []
    return max(1, sum(load_step(step).judged for step in steps))


def _windows(trial: Trial, rows: Sequence[Observation]) -> Iterator[Window]:
    """The latest part of the trial, shortest first: one window for each length that it has lasted for.

    Business metrics that were reported late are a row of their own, which began long before its look: the other one
    tells when that was.
    """
    looks = sorted({row.until for row in rows}, reverse=True)
    for number in WINDOWS:
        if number > len(looks):
            return
        within = [row for row in rows if row.until >= looks[number - 1]]
        began = max(row.since for row in within if row.until == looks[number - 1])
        yield Window(looks[0] - began, number, _sum(within, trial.version_id), _sum(within, trial.stable_id))


# ---------------------------------------------------------------- what follows


def _keep(trial: Trial, seen: _Seen, verdict: compare.Verdict, now: datetime) -> bool:
    """Write the look down; False, with nothing written, when somebody else was first."""
    unmoved = Trial.objects.filter(pk=trial.pk, looks=trial.looks, seen_until=trial.seen_until, until=None)
    written = unmoved.update(
        canary=observations.dump(seen.canary),
        stable_counts=observations.dump(seen.stable),
        seen_until=seen.seen_until,
        last_seen=seen.last_seen,
        looks=trial.looks + 1,
        verdict=compare.dump(verdict),
        judged_at=now,
    )
    return written == 1


def _follow(trial: Trial, verdict: compare.Verdict, now: datetime) -> None:
    """A verdict that differs from the last one is kept, and told to whoever waits for it; a breach is acted on."""
    differs = not trial.verdict or _gist(compare.load(trial.verdict)) != _gist(verdict)
    if differs:
        measures = compare.dump(verdict)["measures"]
        Verdict.objects.create(trial=trial, at=now, kind=verdict.kind, why=verdict.why, measures=measures)
    if verdict.kind == VerdictKind.ROLL_BACK:
        _act(trial, verdict, now)
    elif differs and trial.transition is not None:
        _tell(trial.transition, trial.step, now)


def _gist(verdict: compare.Verdict) -> tuple[VerdictKind, frozenset[tuple[str, str]]]:
    return verdict.kind, frozenset((each.name, each.state) for each in verdict.measures)


def _tell(row: Transition, step: int, now: datetime) -> None:
    if Transition.objects.filter(pk=row.pk, status=Status.RUNNING, step=step).update(due_at=now) == 1:
        wake(row.pk)


def _act(trial: Trial, verdict: compare.Verdict, now: datetime) -> None:
    """Roll back, with the facts frozen into the record. What a rule refuses is left, and asked for at the next look."""
    acts = {TrialKind.STAGING: _withdraw, TrialKind.PRODUCTION: _leave_production}
    try:
        with recording():
            acts.get(TrialKind(trial.kind), _turn_back)(trial, verdict, now)
    except RefusedError as error:
        logger.warning("%s: its rollback is refused: %s", trial, error)


def _facts(trial: Trial, verdict: compare.Verdict) -> dict[str, Any]:
    return {
        "judged": trial.kind,
        "weight": trial.weight,
        "since": trial.since.isoformat(),
        "looks": trial.looks + 1,
        "verdict": compare.dump(verdict),
    }


def _turn_back(trial: Trial, verdict: compare.Verdict, now: datetime) -> None:
    rows = Transition.objects.select_for_update(of=("self",)).select_related("version__model", "policy")
    row = rows.get(trials=trial.pk)
    if row.status == Status.RUNNING and row.step == trial.step:
        turn_back(row, reason=verdict.why, by=STAGEGATE, now=now, details=_facts(trial, verdict))


def _withdraw(trial: Trial, verdict: compare.Verdict, now: datetime) -> None:
    rollbacks.withdraw(version=trial.version, reason=verdict.why, by=STAGEGATE, now=now, details=_facts(trial, verdict))


def _leave_production(trial: Trial, verdict: compare.Verdict, now: datetime) -> None:
    """Bring the previous version back; where that cannot help, people are told so, once a trial."""
    running = rollbacks.active_transition(trial.model)
    under_way = running is not None and not rollbacks.gives_way(running)
    if running is not None and under_way and running.version_id == trial.version_id:
        _take_back(running, trial, verdict, now)
        return
    serving = production_version(trial.model)
    if serving is None or serving.pk != trial.version_id:
        return
    if running is not None and under_way and running.to_stage == Stage.PRODUCTION:
        _say_once(trial, verdict, now, "Another version is being brought in beside it")
        return
    if _has_come_back(trial, now):
        _say_once(trial, verdict, now, "It came back when another version was rolled back")
        return
    if running is not None and under_way and previous_version(trial.model, serving) is not None:
        _take_back(running, trial, verdict, now)
        return
    try:
        with recording():
            rollbacks.start(
                model=trial.model,
                reason=verdict.why,
                by=STAGEGATE,
                now=now,
                emergency=True,
                details=_facts(trial, verdict),
            )
    except RefusedError as error:
        if error.rule != "no_previous_version":
            raise
        _say_once(trial, verdict, now, NOBODY_BEFORE)


def _take_back(running: Transition, trial: Trial, verdict: compare.Verdict, now: datetime) -> None:
    """Turn round what is under way: where that does not bring another version back yet, the next look does."""
    if running.status != Status.RUNNING:
        return
    if running.stable_id is None or running.stable_id == running.version_id:
        _say_once(trial, verdict, now, NOBODY_BEFORE)
        return
    turn_back(running, reason=verdict.why, by=STAGEGATE, now=now, details=_facts(trial, verdict))


def _has_come_back(trial: Trial, now: datetime) -> bool:
    """Whether it serves because another version was rolled back. What fails with both is hardly the version: rolling
    back again and again would archive all that there are."""
    back = Transition.objects.filter(kind=Kind.ROLLBACK, previous=trial.version, from_stage=Stage.PRODUCTION)
    return back.filter(requested_at__gte=now - DAY).exists()


def _say_once(trial: Trial, verdict: compare.Verdict, now: datetime, why: str) -> None:
    said_before = bool(trial.verdict) and compare.load(trial.verdict).kind == VerdictKind.ROLL_BACK
    if said_before or trial.verdicts.filter(kind=VerdictKind.ROLL_BACK).count() > 1:
        return
    reason = f"{verdict.why} {why}: somebody has to decide."
    record(
        "limit_breached", actor=STAGEGATE, now=now, version=trial.version, reason=reason, details=_facts(trial, verdict)
    )
