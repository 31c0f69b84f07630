"""What people have to know of a version that serves, because nothing moves by itself: it fails in Production, or it is
in Staging and gets no requests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter

from django.db.models import Exists, OuterRef, QuerySet, Subquery

from lifecycle.domain import compare, observations, words
from lifecycle.domain.compare import Measure, MeasureState, OnBreach, VerdictKind, errors, phrases
from lifecycle.domain.stages import Stage
from lifecycle.models import (
    AuditEntry,
    Kind,
    ModelVersion,
    RegisteredModel,
    Status,
    Transition,
    Trial,
    Variant,
    VariantRole,
    Verdict,
)
from lifecycle.reads import ModelReads

MOST_FAILING = 20
"""Versions of all models that are named."""
MOST_IN_FULL = 1
"""Of how many of them it is also read what a person can do: each takes two queries."""


# ---------------------------------------------------------------- it fails


@dataclass(frozen=True, slots=True)
class Breach:
    """A version that serves Production, is past its limit, and is not rolled back by itself.

    ``measure`` is the limit that it breaches, by the last verdict of ``trial``, on so many ``requests``; ``weight`` is
    the percentage of requests that it gets now.
    """

    trial: Trial
    measure: Measure
    weight: int
    requests: int

    @property
    def version(self) -> ModelVersion:
        return self.trial.version

    @property
    def in_short(self) -> str:
        """What is wrong, without its share, for where that changes."""
        return f"{self.version.label} {self._rate} of its requests{self._limit}."

    @property
    def window(self) -> float | None:
        """The part of the time, in seconds, that the verdict is about; None: all since the trial began."""
        return self.measure.details.get("window")

    @property
    def _rate(self) -> str:
        shown = phrases.short(self.measure.estimate or 0.0, self.measure.limit)
        return f"{'fails' if self.window is None else 'has failed'} {shown} %"

    @property
    def _limit(self) -> str:
        lately = "" if self.window is None else f" over the last {words.length(timedelta(seconds=self.window))}"
        return f"{lately} (limit {words.percent(self.measure.limit or 0.0)})"


@dataclass(frozen=True, slots=True)
class Failing(Breach):
    """Such a version with what a person can do about it.

    ``beside`` is the rollout that another version comes in by, None where none runs; ``other`` is how many percent of
    its own requests that version fails, None where that is not known. ``before`` is who served before the failing
    version, None where nobody did.
    """

    beside: Transition | None = None
    other: float | None = None
    before: ModelVersion | None = None

    @property
    def sentence(self) -> str:
        """What is wrong, in figures."""
        serves = f"{'still ' if self.beside else ''}serves {self.weight} % of requests"
        return f"{self.version.label}, which {serves}, {self._rate} of them{self._limit}."

    @property
    def untouched(self) -> str:
        """That nobody but a person does anything about it, and why."""
        if self.beside is not None:
            because = f" while {self.beside.version.label} is being brought in beside it."
        elif self.before is None:
            because = ": no version served before it."
        else:
            because = ": somebody has to decide."
        return f"Nothing moves by itself because of that{because}"

    @property
    def ways(self) -> tuple[str, ...]:
        """What a person can do, and where requests would go."""
        if self.beside is not None:
            return (self._onward(self.beside), self._back())
        if self.before is None:
            return ("A person can stop serving, or bring in another version.",)
        return (f"A person can roll back to {self.before.label}, or bring in another version.",)

    def _onward(self, beside: Transition) -> str:
        name, paused = beside.version.label, "" if beside.paused_at is None else ", once it is resumed"
        if self.other is None:
            return f"A person can send requests on to {name} by hand{paused}."
        return f"{name} fails {phrases.short(self.other)} % of its own: a person can send it more by hand{paused}."

    def _back(self) -> str:
        back = f"Rolling back sends all requests to {self.version.label}"
        if self.before is None:
            return f"{back}; no version served before it, so after that serving can only be stopped."
        return f"{back}; only after that can {self.before.label} be brought back."


def failing_everywhere() -> tuple[list[Failing], list[Breach]]:
    """Of all models, longest failing first: the first ones in full, and the others in short."""
    rows = failing_trials().select_related("version__model", "version__variant").order_by("since", "pk")
    trials = list(rows.defer("pending", "stable_counts")[:MOST_FAILING])
    in_full = [_failing(trial, ModelReads(trial.version.model)) for trial in trials[:MOST_IN_FULL]]
    return in_full, [_breach(trial, trial.version.variant) for trial in trials[MOST_IN_FULL:]]


def failing(model: RegisteredModel) -> list[Failing]:
    """Of one model, longest failing first."""
    return failing_in(ModelReads(model))


def failing_in(reads: ModelReads) -> list[Failing]:
    """Of one model, as it has been read."""
    if _goes_back(reads.active):
        return []
    trials = (each for each in reads.trials if _is_breached(each) and _gets_requests(reads, each.version))
    return [_failing(trial, reads) for trial in sorted(trials, key=attrgetter("since"))]


def _is_breached(trial: Trial) -> bool:
    return trial.kind == compare.Trial.PRODUCTION and trial.verdict.get("kind") == VerdictKind.ROLL_BACK.value


def _gets_requests(reads: ModelReads, version: ModelVersion) -> bool:
    variant = reads.variant(version)
    return variant is not None and variant.weight > 0


def _goes_back(active: Transition | None) -> bool:
    return active is not None and active.status == Status.ROLLING_BACK and active.traffic_back_at is None


def failing_trials() -> QuerySet[Trial]:
    """Those of versions that fail in Production, where nothing is on its way back.

    A verdict to roll back is written together with what it brings about, so where nothing is on its way back, nothing
    is going to be. Each new verdict has a row of its own, by which the few trials with such a one are found.
    """
    going_back = Transition.objects.filter(model=OuterRef("model"), status=Status.ROLLING_BACK, traffic_back_at=None)
    said_before = Verdict.objects.filter(kind=VerdictKind.ROLL_BACK.value).values("trial")
    trials = Trial.objects.filter(
        pk__in=said_before,
        kind=compare.Trial.PRODUCTION,
        until=None,
        verdict__kind=VerdictKind.ROLL_BACK.value,
        version__variant__weight__gt=0,
    )
    return trials.exclude(Exists(going_back))


def _breach(trial: Trial, variant: Variant | None) -> Breach:
    breached = (
        each
        for each in compare.load(trial.verdict).measures
        if each.state == MeasureState.BREACHED and each.on_breach != OnBreach.HOLD
    )
    requests = observations.load(trial.canary).requests
    return Breach(trial, next(breached), variant.weight if variant else 0, requests)


def _failing(trial: Trial, reads: ModelReads) -> Failing:
    breach, version = _breach(trial, reads.variant(trial.version)), trial.version
    beside = reads.active if _comes_in_beside(reads.active, version) else None
    return Failing(
        trial=trial,
        measure=breach.measure,
        weight=breach.weight,
        requests=breach.requests,
        beside=beside,
        other=_fails(beside, reads.trials) if beside else None,
        before=reads.previous(version),
    )


def _comes_in_beside(active: Transition | None, version: ModelVersion) -> bool:
    """Whether another version is on its way into Production."""
    if active is None or active.status != Status.RUNNING or active.kind != Kind.PROMOTION:
        return False
    return active.to_stage == Stage.PRODUCTION and active.version_id != version.pk


def _fails(row: Transition, trials: Iterable[Trial]) -> float | None:
    """How many percent of its requests, or copies, the version on trial fails."""
    at_step = (each for each in trials if each.transition_id == row.pk and each.step == row.step and each.judged_at)
    trial = next(at_step, None)
    measures = compare.load(trial.verdict).measures if trial else ()
    return next((each.estimate for each in measures if each.name == errors.ABSOLUTE[0]), None)


# ---------------------------------------------------------------- it gets no requests


@dataclass(frozen=True, slots=True)
class Unserved:
    """A version in Staging that gets no requests.

    ``why`` says what took them, ``since`` when that was, and ``by`` is the change that did; None where it is not known.
    ``way`` is what a person can do.
    """

    version: ModelVersion
    why: str
    way: str
    since: datetime | None = None
    by: Transition | None = None


def unserved_of(reads: ModelReads) -> list[Unserved]:
    """Of one model's servers, those that are kept for Staging."""
    kept = (each.version for each in reads.variants if each.role == VariantRole.STAGING and not each.weight)
    return [found for version in kept if (found := unserved(version, reads))]


def unserved(version: ModelVersion, reads: ModelReads | None = None) -> Unserved | None:
    """None for a version that is not in Staging, that gets requests, or that is being moved just now."""
    if version.domain_stage != Stage.STAGING or version.removed_at is not None:
        return None
    known = reads or ModelReads(version.model)
    variant, running = known.variant(version), known.executing
    if (variant is not None and variant.weight) or (running is not None and running.version_id == version.pk):
        return None
    way = _way(known, is_kept=variant is not None and variant.role == VariantRole.STAGING)
    arrived = known.arrival(version)
    if arrived is None:
        return Unserved(version, "It was put into Staging outside Stagegate, which gives it no requests", way)
    lost = _lost(version, arrived)
    if lost is None:
        return _without_from_the_start(version, arrived, way)
    changes = Transition.objects.select_related("version", "previous")
    by = None if lost.transition is None else changes.filter(pk=lost.transition).first()
    return Unserved(version, _taken_by(version, by), way, lost.at, by)


def _lost(version: ModelVersion, arrived: Transition) -> AuditEntry | None:
    """The change of weights that left it out, after the last one that gave it a share; None: it never had one."""
    moved = AuditEntry.objects.filter(
        model=version.model.name, action__in=("step_reached", "traffic_back"), at__gte=arrived.requested_at
    )
    had = moved.filter(details__weights__has_key=str(version.version)).order_by("-id").values("pk")[:1]
    return moved.filter(id__gt=Subquery(had)).order_by("id").first()


def _taken_by(version: ModelVersion, by: Transition | None) -> str:
    if by is not None and by.kind == Kind.PROMOTION and by.version_id == version.pk:
        return "Its requests went back when its way to Production was rolled back"
    if by is not None and by.kind == Kind.PROMOTION and by.to_stage == Stage.PRODUCTION:
        return f"The change of Production to {by.version.label} took its requests"
    if by is not None and by.kind == Kind.PROMOTION:
        return f"{by.version.label} came to Staging and took its requests"
    if by is not None and by.kind == Kind.ROLLBACK and by.previous is not None:
        return f"The rollback to {by.previous.label} took its requests"
    return "A change of what serves took its requests"


def _without_from_the_start(version: ModelVersion, arrived: Transition, way: str) -> Unserved:
    """By the record it never had a share; where it should have, the record does not say what took it."""
    if arrived.kind == Kind.ROLLBACK:
        why = "It came back from Production by a rollback, and waits without requests"
    elif not arrived.steps:
        why = "When it came to Staging no version served Production, so there were no requests to share"
    else:
        return Unserved(version, _taken_by(version, None), way)
    return Unserved(version, why, way, arrived.finished_at, arrived)


def _way(reads: ModelReads, *, is_kept: bool) -> str:
    """``is_kept``: Staging is its own still, and no other version has come there since."""
    taken_out = "taken out of Staging and asked for again" if is_kept else "archived and asked for again"
    if reads.production is None:
        return f"Once a version serves Production, it can be {taken_out}; then it gets a share of requests."
    when = f"Once {reads.executing.version.label} is done, it" if reads.executing else "It"
    return f"{when} can be {taken_out}; then it gets a share of requests."
