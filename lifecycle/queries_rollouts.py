"""What people see of a rollout: where it stands, what the judge says, what they can do, and its course over time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from itertools import groupby
from operator import attrgetter, or_
from typing import Any

from django.core.cache import cache
from django.db.models import F, Q, QuerySet, Window
from django.db.models.fields.json import KeyTransform
from django.db.models.functions import RowNumber

from lifecycle import people
from lifecycle.approvals import behind
from lifecycle.domain import compare, observations, shadow, strategies
from lifecycle.domain.approval import Approver
from lifecycle.domain.course import Binned, Point, bin_of, classes_by_count, point, width_for
from lifecycle.domain.drift import NotComparableError, distance
from lifecycle.domain.observations import Counts
from lifecycle.domain.permissions import ALLOWED, Action, Actor, Role, may
from lifecycle.domain.plan import PlannedStep, load_step
from lifecycle.domain.policy import Policy
from lifecycle.domain.stages import Stage
from lifecycle.domain.words import counted, length, listed, percent
from lifecycle.models import (
    AuditEntry,
    Kind,
    ModelVersion,
    Observation,
    RegisteredModel,
    Status,
    Transition,
    Trial,
    Verdict,
)
from lifecycle.reads import VERDICTS_SHOWN, ModelReads, VersionReads, of_transition
from lifecycle.together import Together

# ---------------------------------------------------------------- what the judge says


@dataclass(frozen=True, slots=True)
class Standing:
    """One trial, and what the judge says of it; ``verdict`` is None until it was judged for the first time."""

    trial: Trial
    verdict: compare.Verdict | None
    canary: Counts
    stable: Counts

    @property
    def headline(self) -> compare.Measure | None:
        """The measure to name where there is room for one: what is breached, else the errors."""
        measures = self.verdict.measures if self.verdict else ()
        breached = (each for each in measures if each.state == compare.MeasureState.BREACHED)
        return next(breached, None) or next((each for each in measures if each.estimate is not None), None)

    @property
    def agreement(self) -> float | None:
        """Of a shadow: how many answers are the same, in percent, as the judge counts them."""
        measures = self.verdict.measures if self.verdict else ()
        return next((each.estimate for each in measures if each.name == "agreement"), None)

    @property
    def answers_compared(self) -> int:
        return shadow.compared(self.canary.answers)

    @property
    def confusions(self) -> tuple[tuple[str, str, int], ...]:
        return shadow.confusions(self.canary.answers)[:20]

    @property
    def sizes(self) -> tuple[tuple[str, int], ...]:
        return shadow.sizes(self.canary.answers)


def farthest_features(standing: Standing) -> list[str]:
    """The features by how far the two versions' values lie apart, or those of one alone from A to Z."""
    stable, canary = standing.stable.features, standing.canary.features
    apart: dict[str, float] = {}
    for name in sorted(canary):
        try:
            apart[name] = distance(stable[name], canary[name]) if name in stable else 0.0
        except NotComparableError:
            apart[name] = 0.0
    return sorted(apart, key=lambda name: (-apart[name], name))


def _standing(trial: Trial | None) -> Standing | None:
    if trial is None:
        return None
    verdict = compare.load(trial.verdict) if trial.verdict else None
    canary, stable = observations.load(trial.canary), observations.load(trial.stable_counts)
    return Standing(trial=trial, verdict=verdict, canary=canary, stable=stable)


def standing_of_transition(transition: Transition, reads: ModelReads | None = None) -> Standing | None:
    """What is judged now, else what was judged last; None while no step has been judged."""
    known = reads or ModelReads(transition.model, of=transition)
    return _standing(next(iter(known.trials_of(transition)), None))


def standing_of_version(version: ModelVersion, reads: ModelReads | None = None) -> Standing | None:
    """What is judged of a version that serves, outside of a rollout."""
    kinds = (compare.Trial.STAGING, compare.Trial.PRODUCTION)
    known = reads or ModelReads(version.model)
    return _standing(
        next((each for each in known.trials if each.version_id == version.pk and each.kind in kinds), None)
    )


def standing_of_model(model: RegisteredModel, reads: ModelReads | None = None) -> Standing | None:
    """What is judged of the version that serves Production; None while a rollout is judged instead."""
    known = reads or ModelReads(model)
    return _standing(next((each for each in known.trials if each.kind == compare.Trial.PRODUCTION), None))


def verdicts_of(trials: QuerySet[Trial]) -> QuerySet[Verdict]:
    """The verdicts that differed from the one before them, newest first."""
    return Verdict.objects.filter(trial__in=trials).select_related("trial").order_by("-at", "-id")


# ---------------------------------------------------------------- the steps


@dataclass(frozen=True, slots=True)
class StepLine:
    """One step of a rollout. ``state`` is done, current, ahead, stopped or never.

    ``since`` is when the gateway had applied it, ``until`` when the current step has lasted its minimum time,
    ``took`` how long a past one lasted.
    """

    number: int
    plan: PlannedStep
    state: str
    since: datetime | None = None
    until: datetime | None = None
    took: timedelta | None = None


def steps_of(transition: Transition, reached: Mapping[int, datetime], now: datetime) -> tuple[StepLine, ...]:
    """``reached`` is when each step was applied, as far as it was."""
    lines = []
    for number, raw in enumerate(transition.steps):
        plan, state = load_step(raw), _state_of(transition, number)
        since = transition.step_since if state == "current" else reached.get(number)
        after = reached.get(number + 1) or transition.finished_at
        lines.append(
            StepLine(
                number=number,
                plan=plan,
                state=state,
                since=since,
                until=since + plan.minimum if since and state == "current" and plan.minimum else None,
                took=after - since if since and after and state == "done" else None,
            )
        )
    return tuple(lines)


def steps_told(transition: Transition, entries: Iterable[AuditEntry], now: datetime) -> tuple[StepLine, ...]:
    """The steps with when each was reached, by these entries of the record, oldest first."""
    return steps_of(transition, _reached(transition, entries), now)


def _state_of(transition: Transition, number: int) -> str:
    going = transition.status in (Status.RUNNING, Status.APPROVED)
    if transition.status == Status.FINISHED or number < transition.step:
        return "done"
    if going:
        return "current" if number == transition.step else "ahead"
    stopped = transition.checked_at is not None and number == transition.step
    return "stopped" if stopped else "never"


def _reached(transition: Transition, entries: Iterable[AuditEntry]) -> dict[int, datetime]:
    """When each step was first applied, by the record: it is told by its weights."""
    key = str(transition.version.version)
    found: dict[int, datetime] = {}
    weights = [raw["weight"] for raw in transition.steps]
    for entry in entries:
        weight = entry.details.get("weights", {}).get(key, 0)
        if entry.action == "step_reached" and weight in weights:
            found.setdefault(weights.index(weight), entry.at)
    return found


# ---------------------------------------------------------------- what people can do


@dataclass(frozen=True, slots=True)
class Deed:
    """One button. ``consequences`` say in sentences what happens; ``although`` is what speaks against it, or ""."""

    name: str
    label: str
    question: str
    consequences: tuple[str, ...]
    although: str = ""


@dataclass(frozen=True, slots=True)
class Steering:
    """What this person can do about a rollout; ``refusal`` says why there is not more."""

    deeds: tuple[Deed, ...] = ()
    refusal: str = ""


def steering_of(transition: Transition, actor: Actor, standing: Standing | None, now: datetime) -> Steering:
    """What ``lifecycle.operations.rollouts`` would let this person do now."""
    if transition.kind != Kind.PROMOTION or transition.status != Status.RUNNING or not transition.steps:
        return Steering()
    plans = [load_step(raw) for raw in transition.steps]
    if transition.step + 1 >= len(plans) and transition.paused_at is None:
        return Steering()
    actor = actor.at(transition.model.team_id)
    turn = _Turn(transition, plans, standing, now)
    deeds = []
    if may(actor, Action.STEER_ROLLOUT):
        deeds.append(turn.resume() if transition.paused_at else turn.pause())
    why_not = _why_not_onward(transition, plans, actor)
    if not why_not:
        deeds += turn.onward(actor)
    return Steering(tuple(deeds), why_not)


def _why_not_onward(transition: Transition, plans: Sequence[PlannedStep], actor: Actor) -> str:
    """Why this person cannot send it more requests; "" when they can."""
    if not may(actor, Action.STEER_ROLLOUT):
        roles = [role.label + "s" for role in Role if role in ALLOWED[Action.STEER_ROLLOUT]]
        return f"Your role reads here; {listed(roles)} steer a rollout."
    if not may(actor, Action.ADVANCE_ROLLOUT):
        return "Only product owners and ML engineers send it more requests."
    if transition.paused_at is not None:
        return "Nobody can send it more requests while it is paused: resume it first."
    if transition.step_since is None:
        return "Its requests are on their way to this step; look again in a moment."
    if transition.released > transition.step:
        return "Somebody has sent it on; it goes there now."
    return why_not_past(transition, plans[transition.step], actor)


def why_not_past(
    transition: Transition, step: PlannedStep, actor: Actor, known: Mapping[int, Approver] | None = None
) -> str:
    """Where the policy asks for a person, it is one with that role who did not ask for the change."""
    if step.asks is None:
        return ""
    if people.same_people(actor.accounts, behind(transition), known):
        return "You asked for this change, so somebody else has to let it go on from here."
    if actor.shared:
        return "Several people use this account, so its yes would be nobody's: somebody else has to let it go on."
    return "" if step.asks in actor.roles else f"It takes a {step.asks.label} to let it go on from here."


@dataclass(frozen=True, slots=True)
class _Turn:
    """The deeds at the step where a rollout is, with what each would do."""

    transition: Transition
    plans: Sequence[PlannedStep]
    standing: Standing | None
    now: datetime

    @property
    def label(self) -> str:
        return self.transition.version.label

    @property
    def step(self) -> PlannedStep:
        return self.plans[self.transition.step]

    @property
    def next(self) -> PlannedStep | None:
        ahead = self.plans[self.transition.step + 1 :]
        return ahead[0] if ahead else None

    def pause(self) -> Deed:
        return Deed(
            name="pause",
            label="Pause",
            question="Why should it wait?",
            consequences=(
                f"It stays where it is: {self._split(self.step)}.",
                "Nothing moves until somebody resumes it. It is judged all the same, and a breach still takes it back.",
            ),
        )

    def resume(self) -> Deed:
        return Deed(
            name="resume",
            label="Resume",
            question="Why can it go on?",
            consequences=(
                "It goes on by its policy: to the next step once this one has lasted long enough, has enough requests "
                "and is judged well.",
                f"Now {self._split(self.step)}.",
            ),
        )

    def onward(self, actor: Actor) -> list[Deed]:
        following = self.next
        if following is None:
            return []
        deeds = []
        deeds.append(self._let_go_on(following) if self.transition.asks_person else self._skip(following))
        between = self.plans[self.transition.step + 1 : -1]
        if between and not any(why_not_past(self.transition, each, actor) for each in between):
            deeds.append(self._promote(between))
        return deeds

    def _let_go_on(self, following: PlannedStep) -> Deed:
        return Deed(
            name="continue",
            label="Let it go on",
            question="Why can it go on?",
            consequences=(f"{self._moves(following)} at once.",),
            although=self._doubts(),
        )

    def _skip(self, following: PlannedStep) -> Deed:
        return Deed(
            name="skip",
            label=f"Go to {following.weight} % now",
            question="Why not wait?",
            consequences=(f"{self._moves(following)} at once.", *self._cut_short()),
            although=self._doubts(),
        )

    def _promote(self, between: Sequence[PlannedStep]) -> Deed:
        left_out = listed([f"{plan.weight} %" for plan in between])
        return Deed(
            name="promote",
            label=f"Go to {self.plans[-1].weight} % now",
            question="Why not wait?",
            consequences=(f"{self._moves(self.plans[-1])} at once.", f"No stop at {left_out}.", *self._cut_short()),
            although=self._doubts(),
        )

    def _split(self, step: PlannedStep) -> str:
        if step.mirror and not step.weight:
            return f"{self.label} gets copies of {step.mirror} % of requests, and nobody gets its answers"
        words = f"{step.weight} % of requests go to {self.label}"
        stable = self.transition.stable
        return f"{words}, {100 - step.weight} % to {stable.label}" if stable and step.weight < 100 else words

    def _moves(self, step: PlannedStep) -> str:
        return f"{step.weight} % of requests go to {self.label} (now {self.step.weight} %)"

    def _cut_short(self) -> tuple[str, ...]:
        """What this step was to last and answer, and what it has."""
        since, plan = self.transition.step_since, self.step
        lasted = self.now - since if since else timedelta(0)
        lines = []
        if plan.minimum > lasted:
            lines.append(f"This step was to last {length(plan.minimum)}; it has lasted {length(lasted)}.")
        answered = self.standing.canary.requests if self.standing else 0
        if plan.requests > answered:
            lines.append(f"It was to answer {counted(plan.requests, 'request')}; it has answered {answered:,}.")
        return tuple(lines)

    def _doubts(self) -> str:
        """What the judge says, unless it says to go on."""
        verdict = self.standing.verdict if self.standing else None
        if not self.step.judged or (verdict and verdict.kind == compare.VerdictKind.PROCEED):
            return ""
        return f"The judge does not say to go on: {verdict.why}" if verdict else "It has not been judged yet."


# ---------------------------------------------------------------- the page


@dataclass(frozen=True, slots=True)
class RolloutPage:
    """What a transition's page says about its traffic. ``steps`` is empty where none moves."""

    steps: tuple[StepLine, ...]
    standing: Standing | None
    verdicts: tuple[Verdict, ...]
    steering: Steering
    drawn: bool
    is_over: bool

    @property
    def current(self) -> StepLine | None:
        return next((line for line in self.steps if line.state == "current"), None)


def rollout_page(transition: Transition, actor: Actor, now: datetime, reads: VersionReads | None = None) -> RolloutPage:
    """``drawn`` is whether there is a course to draw; ``reads`` are those of the transition."""
    known = (reads or of_transition(transition)).model
    standing = standing_of_transition(transition, known)
    return RolloutPage(
        steps=steps_told(transition, known.lists["reached"], now),
        standing=standing,
        verdicts=_verdicts(transition, known),
        steering=steering_of(transition, actor, standing, now),
        drawn=transition.started_at is not None and bool(transition.steps),
        is_over=transition.status != Status.RUNNING,
    )


def _verdicts(transition: Transition, reads: ModelReads) -> tuple[Verdict, ...]:
    trials = {each.pk: each for each in reads.trials_of(transition)}
    for verdict in reads.lists["verdicts"]:
        verdict.trial = trials[verdict.trial_id]
    return tuple(reads.lists["verdicts"])


# ---------------------------------------------------------------- what can be asked for


@dataclass(frozen=True, slots=True)
class Way:
    """One strategy, in words: what would happen with the policy's figures. ``first`` is the policy's own choice."""

    strategy: strategies.Strategy
    consequence: str
    first: bool

    @property
    def label(self) -> str:
        return self.strategy.label.capitalize()


def ways_into_production(version: ModelVersion, policy: Policy, reads: ModelReads | None = None) -> tuple[Way, ...]:
    """The strategies that can be asked for; empty where nobody else serves, so that there is nothing to choose."""
    stable = (reads or ModelReads(version.model)).production
    if stable is None or stable.pk == version.pk:
        return ()
    words = {
        strategies.Strategy.CANARY: _canary_words(policy),
        strategies.Strategy.BLUE_GREEN: (
            f"It is brought up beside {stable.label} and answers one request on trial; then 100 % of requests go to it "
            f"at once. {stable.label} stays warm for {length(policy.warm_window)}."
        ),
        strategies.Strategy.SHADOW: (
            f"It gets copies of all requests for {length(policy.rollout.shadow_duration)} or longer, and nobody gets "
            f"its answers. Once {percent(policy.rollout.shadow_agreement)} of them are the same, 100 % of requests go "
            "to it at once."
        ),
    }
    return tuple(Way(each, words[each], each == policy.rollout.strategy) for each in words)


def _canary_words(policy: Policy) -> str:
    *before, last = policy.canary_steps
    if not before:
        return f"{last.weight} % of requests go to it at once."
    weights = " → ".join(str(step.weight) for step in policy.canary_steps)
    lasts = length(sum((step.minimum for step in policy.canary_steps), timedelta(0)))
    asked = [f"after {step.weight} % a {step.asks.label}" for step in before if step.asks]
    return f"{weights} % of requests, over {lasts} or longer; each step is judged." + (
        f" It asks {listed(asked)}." if asked else ""
    )


# ---------------------------------------------------------------- who is asked


def is_asked(transition: Transition, actor: Actor, known: Mapping[int, Approver]) -> bool:
    """Whether this running rollout waits for somebody like this person to let it go on; ``known`` are those behind it,
    and this person, by their keys."""
    here = actor.at(transition.model.team_id)
    if not transition.asks_person or not may(here, Action.ADVANCE_ROLLOUT):
        return False
    return not why_not_past(transition, load_step(transition.steps[transition.step]), here, known)


# ---------------------------------------------------------------- the course over time


@dataclass(frozen=True, slots=True)
class Line:
    """The points of one version. ``tone`` is its colour: stable or canary."""

    version: ModelVersion
    tone: str
    points: tuple[Point, ...]
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened at one moment. ``kind`` is step, verdict or person."""

    at: datetime
    words: str
    kind: str


@dataclass(frozen=True, slots=True)
class Course:
    """What happened over time. ``width`` is how long a bin lasts; lines are broken after a pause of three of them.

    ``error_limit`` is how many percent of requests may fail, None where that is not known.
    """

    width: timedelta
    lines: tuple[Line, ...]
    marks: tuple[Mark, ...]
    shares: tuple[tuple[datetime, int], ...] = ()
    """The weights of the version on trial, each from when it held."""
    error_limit: float | None = None


MOST_CLASSES = 6
SETTLED = timedelta(minutes=1)
"""Observations older than this are complete: no interval is written down later."""
LONG_ROWS = timedelta(minutes=5)
RECENT = timedelta(hours=47)
"""Older rows last LONG_ROWS, and are not cut into narrower bins."""
AFTERWARDS = timedelta(minutes=15)
_KEPT_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Told:
    """What the record says of one transition, oldest first, and what the judge said, newest first."""

    entries: tuple[AuditEntry, ...]
    verdicts: tuple[Verdict, ...]


MOST_TOLD = 500
"""Entries of one transition that are looked at."""


def told_of(transitions: Sequence[Transition]) -> dict[int, Told]:
    """By their keys, in one query. A verdict has the kind of its trial as ``trial_kind``."""
    keys = [each.pk for each in transitions]
    line = Window(RowNumber(), partition_by=[F("transition")], order_by=["id"])
    newest = Window(RowNumber(), partition_by=[F("trial__transition")], order_by=["-at", "-id"])
    entries = AuditEntry.objects.filter(transition__in=keys, refused=False).annotate(line=line)
    verdicts = Verdict.objects.filter(trial__transition__in=keys).annotate(
        line=newest, said_of=F("trial__transition"), trial_kind=F("trial__kind")
    )
    lists = Together(
        entries=entries.filter(line__lte=MOST_TOLD).order_by("id"),
        verdicts=verdicts.filter(line__lte=VERDICTS_SHOWN + 1).order_by("-at", "-id"),
    )
    return {
        key: Told(
            tuple(each for each in lists["entries"] if each.transition == key),
            tuple(each for each in lists["verdicts"] if each.said_of == key),
        )
        for key in keys
    }


def course_of_transition(transition: Transition, now: datetime) -> Course:
    return courses_of([transition], told_of([transition]), now)[transition.pk]


def courses_of(transitions: Sequence[Transition], told: Mapping[int, Told], now: datetime) -> dict[int, Course]:
    """From the beginning of each one's execution until now, or a while after its end; by their keys."""
    spans = {each.pk: _span_of(each, now) for each in transitions}
    binned = _binned(list(spans.values()), now)
    return {each.pk: _course(each, spans[each.pk], binned, told[each.pk]) for each in transitions}


def _span_of(transition: Transition, now: datetime) -> _Span:
    since = transition.started_at or transition.requested_at
    until = now if transition.finished_at is None else min(now, transition.finished_at + AFTERWARDS)
    other = transition.previous if transition.kind in (Kind.ROLLBACK, Kind.DRILL) else transition.stable
    tones = ("stable", "canary") if transition.kind == Kind.DRILL else ("canary", "stable")
    return _span({transition.version: tones[0], **({other: tones[1]} if other else {})}, since, until, now)


def _course(transition: Transition, span: _Span, binned: _Binned, told: Told) -> Course:
    limit = _error_limit(transition.policy.values, is_staging=transition.to_stage == Stage.STAGING)
    marks = _marks(transition, told.entries, told.verdicts[:VERDICTS_SHOWN])
    return Course(span.width, _lines(span, binned), marks, _shares(transition, told.entries), limit)


def course_of_version(standing: Standing, now: datetime, reads: ModelReads | None = None) -> Course:
    """Of a version that serves, since its trial began."""
    trial, known = standing.trial, reads or ModelReads(standing.trial.version.model)
    tone = "stable" if trial.kind == compare.Trial.PRODUCTION else "canary"
    versions = {trial.version: tone, **({trial.stable: "stable"} if trial.stable else {})}
    verdicts = list(verdicts_of(Trial.objects.filter(pk=trial.pk))[:VERDICTS_SHOWN])
    span = _span(versions, trial.since, trial.until or now, now)
    limit = _error_limit(known.policy(now).values, is_staging=trial.kind == compare.Trial.STAGING)
    lines = _lines(span, _binned([span], now))
    return Course(span.width, lines, tuple(_verdict_marks(verdicts)), error_limit=limit)


def _error_limit(policy: Policy, *, is_staging: bool) -> float:
    """As the judge has it: Staging's limit for what comes to Staging, Production's for anything else."""
    return policy.comparison.staging_error_rate if is_staging else policy.comparison.production_error_rate


@dataclass(frozen=True, slots=True)
class _Span:
    """A time that is drawn, with the versions and their colours. ``width`` is how long a bin lasts."""

    versions: Mapping[ModelVersion, str]
    since: datetime
    until: datetime
    width: timedelta

    def key(self, version: ModelVersion) -> str:
        """What its bins are remembered by."""
        return f"course:{version.pk}:{self.since.timestamp()}:{self.width.total_seconds()}"


_Binned = Mapping[str, dict[int, Binned]]
"""The bins of one version and span each, by ``_Span.key``."""


def _span(versions: Mapping[ModelVersion, str], since: datetime, until: datetime, now: datetime) -> _Span:
    width = width_for(until - since, LONG_ROWS if since < now - RECENT else timedelta(0))
    return _Span(versions, since, until, width)


def _lines(span: _Span, binned: _Binned) -> tuple[Line, ...]:
    lines = []
    for version, tone in span.versions.items():
        bins = binned[span.key(version)]
        points = tuple(point(number, span.width, bins[number]) for number in sorted(bins))
        lines.append(Line(version, tone, points, classes_by_count(bins, MOST_CLASSES)))
    return tuple(lines)


def _binned(spans: Sequence[_Span], now: datetime) -> _Binned:
    """What is settled is remembered, so that a look every few seconds reads the rest alone: in one query for all."""
    wanted = [(span, version, span.key(version)) for span in spans for version in span.versions]
    known = cache.get_many([key for _, _, key in wanted])
    settled = {key: known.get(key, (span.since, {})) for span, _, key in wanted}
    rows = _rows([(version, settled[key][0], span.until) for span, version, key in wanted])
    binned, news = {}, {}
    for span, version, key in wanted:
        settled_until, bins = settled[key]
        end = min(span.until, now - SETTLED)
        mine = [row for row in rows.get(version.pk, ()) if settled_until < row[1] <= span.until]
        bins = _added(bins, (row for row in mine if row[1] <= end), span.width)
        if end > settled_until:
            news[key] = (end, bins)
        binned[key] = _added(bins, (row for row in mine if row[1] > end), span.width)
    if news:
        cache.set_many(news, _KEPT_SECONDS)
    return binned


def _rows(wanted: Sequence[tuple[ModelVersion, datetime, datetime]]) -> dict[int, list[tuple[Any, ...]]]:
    """What was observed of each version after its first time and up to its second, by the keys of the versions.

    Only what the charts show of each row: features are most of it, and are not among that.
    """
    if not wanted:
        return {}
    times = (Q(version=version, until__gt=after, until__lte=until) for version, after, until in wanted)
    details = (KeyTransform("latency", "details"), KeyTransform("prediction", "details"))
    columns = ("version", "since", "until", "requests", "errors", *details)
    found: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for version, *row in Observation.objects.filter(reduce(or_, times)).order_by("until").values_list(*columns):
        found[version].append(tuple(row))
    return found


def _added(bins: Mapping[int, Binned], rows: Iterable[tuple[Any, ...]], width: timedelta) -> dict[int, Binned]:
    after = dict(bins)
    for since, until, requests, errors, latency, prediction in rows:
        number = bin_of(until, width)
        known = after.get(number, Binned())
        details = {"latency": latency, "prediction": prediction}
        counts = observations.load({name: value for name, value in details.items() if value})
        counts = observations.add(known.counts, counts)
        after[number] = Binned(
            Counts(
                requests=known.counts.requests + requests,
                errors=known.counts.errors + errors,
                latency=counts.latency,
                prediction=counts.prediction,
            ),
            known.seconds + (until - since).total_seconds(),
        )
    return after


# ---------------------------------------------------------------- what happened when


_VERDICT_MARKS = {
    compare.VerdictKind.PROCEED: "go on",
    compare.VerdictKind.HOLD: "wait",
    compare.VerdictKind.ROLL_BACK: "take back",
}
_PERSON_MARKS = {
    "rollout_paused": "paused",
    "rollout_resumed": "resumed",
    "rollout_skipped": "sent on",
    "rollout_promoted": "sent everything",
    "rollout_let_go_on": "let go on",
    "rollback_requested": "rollback",
}


def _marks(transition: Transition, entries: Iterable[AuditEntry], verdicts: Iterable[Verdict]) -> tuple[Mark, ...]:
    key = str(transition.version.version)
    marks = _verdict_marks(verdicts)
    for entry in entries:
        if entry.action == "step_reached":
            weight = entry.details.get("weights", {}).get(key, 0)
            marks.append(Mark(entry.at, "copies" if entry.details.get("mirrors") else f"{weight} %", "step"))
        elif entry.action == "traffic_back":
            marks.append(Mark(entry.at, "all back", "step"))
        elif entry.action in _PERSON_MARKS:
            marks.append(Mark(entry.at, _PERSON_MARKS[entry.action], "person"))
    return tuple(sorted(marks, key=lambda mark: mark.at))


def _verdict_marks(verdicts: Iterable[Verdict]) -> list[Mark]:
    """Where the verdict became another one; that it is the same for another reason is told in the list of verdicts."""
    by_kind = groupby(sorted(verdicts, key=attrgetter("at")), key=attrgetter("kind"))
    firsts = [next(same) for _, same in by_kind]
    return [Mark(verdict.at, _VERDICT_MARKS[compare.VerdictKind(verdict.kind)], "verdict") for verdict in firsts]


def _shares(transition: Transition, entries: Iterable[AuditEntry]) -> tuple[tuple[datetime, int], ...]:
    key = str(transition.version.version)
    moved = [entry for entry in entries if entry.action in ("step_reached", "traffic_back")]
    return tuple((entry.at, entry.details.get("weights", {}).get(key, 0)) for entry in moved)
