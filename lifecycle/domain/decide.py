"""What to do next about a transition: a pure function of the plan, what was observed, and the time.

The decision is a value; ``lifecycle.engine`` carries it out. It is level-triggered: every decision compares the goal
with the world, so it does not matter who changed the world, or how often an executor was killed on the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from lifecycle.domain.compare import VerdictKind
from lifecycle.domain.effects import (
    Effect,
    Observed,
    RegistrySeen,
    ServerPhase,
    ServerSeen,
    SetAlias,
    SetStage,
    SetTags,
    ShiftTraffic,
    StartServer,
    routed,
    serving,
)
from lifecycle.domain.plan import (
    Judged,
    Pause,
    Plan,
    PlannedStep,
    Progress,
    RegistryGoal,
    Split,
    mirrors,
    needed,
    registry_goal,
    split,
)

RETRY = timedelta(seconds=2)
"""How soon to look again at something outside that does not answer."""
SOON = timedelta(milliseconds=250)
"""How soon to look again at something that is about to change."""
LOOK = timedelta(seconds=5)
"""How soon to look again at a step that lasts: somebody may have edited its weights, or its server may have ended."""
PLEASE = "Somebody has to let it go on, or abort it."
OTHERWISE = "If that lasts, a person is asked."


@dataclass(frozen=True, slots=True)
class Look:
    """Read the registry, then decide again. It is read only when it matters, so that a rollback never waits for it."""


@dataclass(frozen=True, slots=True)
class Do:
    effect: Effect


@dataclass(frozen=True, slots=True)
class Checked:
    """The registry agrees with what was approved; execution may begin."""


@dataclass(frozen=True, slots=True)
class Smoke:
    """Ask the new version for one answer, as a user would, before it gets its first request."""

    version: int


@dataclass(frozen=True, slots=True)
class StepReached:
    """The gateway applies the step's weights; its time starts now."""


@dataclass(frozen=True, slots=True)
class NextStep:
    """Go on to this step."""

    step: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before ``until``; ``why`` is shown to people.

    ``shown_until`` is until when it will last, None when nobody can tell; ``asks_person``: nothing but a person ends
    it.
    """

    until: datetime
    why: str
    shown_until: datetime | None = None
    asks_person: bool = False


@dataclass(frozen=True, slots=True)
class TurnBack:
    """Take traffic and stages back to where they were, because of ``why``."""

    why: str


@dataclass(frozen=True, slots=True)
class Fail:
    """End the transition; nothing of it has been carried out."""

    why: str


@dataclass(frozen=True, slots=True)
class Finish:
    pass


Decision = Look | Do | Checked | Smoke | StepReached | NextStep | Wait | TurnBack | Fail | Finish


def decide(plan: Plan, progress: Progress, observed: Observed, now: datetime) -> Decision:
    """The next decision. In order:

    1. The approved facts still hold.
    2. A verdict to roll back turns back: a canary whose server is dead must not wait for it.
    3. A person has let the rollout go on to another step.
    4. The servers are ready, and the new version answers.
    5. The gateway shares the requests out as the step wants.
    6. The step has lasted, and the verdict and whoever is asked let it go on.
    7. The registry follows.
    """
    return (
        _check(plan, progress, observed, now)
        or _verdict(plan, progress, observed)
        or _released(plan, progress)
        or _servers(plan, progress, observed, now)
        or _smoke(plan, progress)
        or _traffic(plan, progress, observed, now)
        or _clock(plan, progress, observed, now)
        or _registry(plan, observed, now)
        or Finish()
    )


def _check(plan: Plan, progress: Progress, observed: Observed, now: datetime) -> Decision | None:
    """Before anything moves, the version must still exist and be in the stage it was approved from."""
    if progress.checked or not plan.tries_out:
        return None
    if observed.registry_error:
        return Wait(now + RETRY, f"MLflow cannot be read, and nothing moves before it can: {observed.registry_error}")
    if observed.registry is None:
        return Look()
    stage = observed.registry.stages.get(plan.version)
    if stage is None:
        return Fail("The version was deleted from MLflow after it was approved.")
    if stage not in (plan.from_stage, plan.to_stage):
        return Fail(f"The version was approved to leave {plan.from_stage}, but MLflow has it in {stage} now.")
    return Checked()


# ---------------------------------------------------------------- judge and people


def _verdict(plan: Plan, progress: Progress, observed: Observed) -> Decision | None:
    judged = observed.judged
    if judged is None or judged.kind != VerdictKind.ROLL_BACK:
        return None
    return TurnBack(judged.why) if is_judged(plan, progress) else None


def is_judged(plan: Plan, progress: Progress) -> bool:
    """Whether the judge has a say about the current step."""
    return plan.tries_out and bool(plan.steps) and plan.steps[progress.step].judged


def _released(plan: Plan, progress: Progress) -> Decision | None:
    if not plan.tries_out or progress.paused is not None:
        return None
    step = min(progress.released, len(plan.steps) - 1)
    return NextStep(step) if progress.step < step else None


# ---------------------------------------------------------------- servers


def _servers(plan: Plan, progress: Progress, observed: Observed, now: datetime) -> Decision | None:
    for version in needed(plan, progress):
        decision = _server(plan, progress, version, observed, now)
        if decision is not None:
            return decision
    return None


def _server(plan: Plan, progress: Progress, version: int, observed: Observed, now: datetime) -> Decision | None:
    seen = observed.servers.get(version)
    if seen is None or seen.phase == ServerPhase.UNKNOWN:
        if plan.goes_back and seen is not None and seen.url:
            return None  # Whoever starts servers is away, not the server: nobody stays with a bad version for that.
        return Wait(now + RETRY, "The model servers cannot be seen: " + (seen.detail if seen else "no answer"))
    if seen.phase == ServerPhase.READY:
        return None
    if _is_stranded(plan, progress, version, observed):
        return NextStep(1)
    why = _why_give_up(plan, progress, seen, now)
    given_up = give_up(plan, progress, version, observed, why, now) if why else None
    if given_up is not None:
        return given_up
    if seen.phase in (ServerPhase.ABSENT, ServerPhase.FAILED):
        return Do(StartServer(version, after=seen.detail if seen.phase == ServerPhase.FAILED else ""))
    return Wait(now + SOON, "The model server is loading its model.")


def _is_stranded(plan: Plan, progress: Progress, version: int, observed: Observed) -> bool:
    """Whether a drill has sent users to a server that is not there any more: they go back, rather than wait for it."""
    drills = plan.drill and not plan.goes_back and progress.step == 0 and version == plan.rollback_to
    gets_some = bool(serving(observed.weights or {}).get(version))
    return drills and (progress.step_since is not None or gets_some)


def _why_give_up(plan: Plan, progress: Progress, seen: ServerSeen, now: datetime) -> str:
    if seen.phase == ServerPhase.FAILED:
        return f"The model server did not start: {seen.detail}"
    if progress.step_since is None and _overdue(plan, progress, now):
        return f"The model server was not ready within {_words(plan.start_limit)}."
    return ""


def _overdue(plan: Plan, progress: Progress, now: datetime) -> bool:
    """Only before the first step: later on, a server that supervision restarts gets the time it takes."""
    if progress.step or progress.started_at is None:
        return False
    return now - progress.started_at > plan.start_limit


def is_candidate(plan: Plan, version: int) -> bool:
    """Whether this version is on trial: giving up on it is better than waiting for it."""
    return plan.tries_out and version == plan.version


def give_up(
    plan: Plan, progress: Progress, version: int, observed: Observed, why: str, now: datetime
) -> TurnBack | Fail | NextStep | Wait | None:
    """What becomes of a transition whose server of ``version`` cannot be made ready; None: it is tried again.

    A drill has to leave everything as it was. It has moved nothing for as long as the version in Production is seen to
    get all requests.
    """
    if is_candidate(plan, version):
        return TurnBack(why)
    if not plan.drill or plan.goes_back or progress.step:
        return None
    if observed.gateway_error:
        return _no_gateway(observed, now)
    unmoved = serving(observed.weights) == {plan.version: 100}
    return Fail(f"No request has been moved. {why}") if unmoved else NextStep(1)


def _smoke(plan: Plan, progress: Progress) -> Decision | None:
    before = progress.step_since is None and not progress.smoked
    return Smoke(plan.version) if plan.enters_service and before else None


# ---------------------------------------------------------------- traffic


def _traffic(plan: Plan, progress: Progress, observed: Observed, now: datetime) -> Decision | None:
    wanted = split(plan, progress)
    if wanted is None:
        return None
    if observed.gateway_error:
        return _no_gateway(observed, now)
    shift = ShiftTraffic(wanted, mirrors(plan, progress))
    if not routed(shift, observed) or _is_somebody_elses(plan, progress, wanted):
        return Do(shift)
    if progress.step_since is None:
        return StepReached()
    return None


def _is_somebody_elses(plan: Plan, progress: Progress, wanted: Split) -> bool:
    """Whether the weights are right by chance: a former change shared requests out like this, but perhaps kept users
    with one version in another way."""
    return plan.tries_out and progress.step_since is None and not progress.routed and len(wanted) > 1


def _no_gateway(observed: Observed, now: datetime) -> Wait:
    return Wait(now + RETRY, f"The gateway does not answer: {observed.gateway_error}")


# ---------------------------------------------------------------- the step


def _clock(plan: Plan, progress: Progress, observed: Observed, now: datetime) -> Decision | None:
    if plan.goes_back or progress.step_since is None or not plan.steps:
        return None
    held = _held(plan, progress, progress.step_since, observed.judged, now) if plan.tries_out else None
    if held is not None:
        return held
    return NextStep(progress.step + 1) if progress.step + 1 < len(plan.steps) else None


def _held(plan: Plan, progress: Progress, since: datetime, judged: Judged | None, now: datetime) -> Wait | None:
    """What keeps a step from going on, or None."""
    step = plan.steps[progress.step]
    if progress.paused is not None:
        return Wait(now + LOOK, _paused(progress.paused))
    if step.judged and judged is not None and judged.asks and _is_hold(judged) and not _is_stale(plan, judged, now):
        return Wait(now + LOOK, f"{judged.why} {PLEASE}", asks_person=True)
    ends = since + step.minimum
    if now < ends:
        words = f"{_goes(step)} to the new version; this step lasts {_words(step.minimum)}."
        return Wait(min(ends, now + LOOK), words, shown_until=ends)
    if not step.judged:
        return None
    why = _undecided(plan, step, judged, now)
    if why and now - since > plan.patience:
        waited = f"That has taken longer than {_words(plan.patience)}."
        return Wait(now + LOOK, f"{why} {waited} {PLEASE}", asks_person=True)
    if why:
        return Wait(now + LOOK, f"{why} {OTHERWISE}", shown_until=since + plan.patience)
    if step.asks is not None:
        asked = f"The verdict is to go on. A person with the role {step.asks.label} has to let it."
        return Wait(now + LOOK, asked, asks_person=True)
    return None


def _undecided(plan: Plan, step: PlannedStep, judged: Judged | None, now: datetime) -> str:
    """Why the verdict does not let the step go on; "" when it does."""
    if judged is None:
        return "There is no verdict on this step yet."
    if _is_stale(plan, judged, now):
        return f"The last verdict is of {_moment(judged.at)}; nothing goes on without a fresh one."
    missing = step.requests - judged.requests
    held = judged.why if judged.kind != VerdictKind.PROCEED else ""
    if missing > 0:
        noun = "request" if missing == 1 else "requests"
        return f"This step waits for {missing:,} more {noun} to the new version. {held}".rstrip()
    return held


def _is_hold(judged: Judged) -> bool:
    return judged.kind == VerdictKind.HOLD


def _is_stale(plan: Plan, judged: Judged, now: datetime) -> bool:
    """A verdict of later than now is one of before a clock was put back: nobody knows how old it is."""
    return abs(now - judged.at) > plan.grace


def _paused(pause: Pause) -> str:
    return f"Paused by {pause.by} on {_moment(pause.since)}: {pause.why}"


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _goes(step: PlannedStep) -> str:
    return f"Copies of {step.mirror} % of requests go" if step.mirror else f"{step.weight} % of requests go"


def _words(length: timedelta) -> str:
    seconds = int(length.total_seconds())
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size} {unit}" + ("s" if seconds != size else "")
    return f"{seconds} seconds"


# ---------------------------------------------------------------- the registry


def _registry(plan: Plan, observed: Observed, now: datetime) -> Decision | None:
    goal = registry_goal(plan)
    if goal == RegistryGoal():
        return None
    if observed.registry_error:
        return Wait(
            now + RETRY, f"Traffic is where it should be. MLflow does not answer yet: {observed.registry_error}"
        )
    if observed.registry is None:
        return Look()
    effect = next(_registry_effects(goal, observed.registry), None)
    return Do(effect) if effect else None


def _registry_effects(goal: RegistryGoal, seen: RegistrySeen) -> Iterator[Effect]:
    """What is still to be written. A version that MLflow has deleted is left out: there is nothing to write to."""
    for version, stage in goal.stages.items():
        if version in seen.stages and seen.stages[version] != stage:
            yield SetStage(version, stage)
    for alias, holder in goal.aliases.items():
        if holder in seen.stages and seen.aliases.get(alias) != holder:
            yield SetAlias(alias, holder)
    for alias, former in goal.released.items():
        if seen.aliases.get(alias) == former:
            yield SetAlias(alias, None)
    for alias in goal.vacant:
        if alias in seen.aliases:
            yield SetAlias(alias, None)
    for version, tags in goal.tags.items():
        have = seen.tags.get(version, {})
        if version in seen.stages and any(have.get(name) != value for name, value in tags.items()):
            yield SetTags(version, tags)
