"""What to do next about a transition: a pure function of the plan, what was observed, and the time.

The decision is a value; ``lifecycle.engine`` carries it out. It is level-triggered: every decision compares the goal
with the world, so it does not matter who changed the world, or how often an executor was killed on the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

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
    serving,
)
from lifecycle.domain.plan import Plan, Progress, RegistryGoal, needed, registry_goal, split

RETRY = timedelta(seconds=2)
"""How soon to look again at something outside that does not answer."""
SOON = timedelta(milliseconds=250)
"""How soon to look again at something that is about to change."""


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
class StepReached:
    """The gateway applies the step's weights; its time starts now."""


@dataclass(frozen=True, slots=True)
class NextStep:
    pass


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before ``until``; ``why`` is shown to people."""

    until: datetime
    why: str


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


Decision = Look | Do | Checked | StepReached | NextStep | Wait | TurnBack | Fail | Finish


def decide(plan: Plan, progress: Progress, observed: Observed, now: datetime) -> Decision:
    """The next decision. In order: the approved facts still hold, servers, traffic, the step's time, the registry."""
    return (
        _check(plan, progress, observed, now)
        or _servers(plan, progress, observed, now)
        or _traffic(plan, progress, observed, now)
        or _clock(plan, progress, now)
        or _registry(plan, observed, now)
        or Finish()
    )


def _check(plan: Plan, progress: Progress, observed: Observed, now: datetime) -> Decision | None:
    """Before anything moves, the version must still exist and be in the stage it was approved from."""
    if progress.checked or plan.goes_back:
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


def _servers(plan: Plan, progress: Progress, observed: Observed, now: datetime) -> Decision | None:
    for version in needed(plan, progress):
        decision = _server(plan, progress, version, observed.servers.get(version), now)
        if decision is not None:
            return decision
    return None


def _server(plan: Plan, progress: Progress, version: int, seen: ServerSeen | None, now: datetime) -> Decision | None:
    if seen is None or seen.phase == ServerPhase.UNKNOWN:
        return Wait(now + RETRY, "The model servers cannot be seen: " + (seen.detail if seen else "no answer"))
    if seen.phase == ServerPhase.READY:
        return None
    candidate = is_candidate(plan, version)
    if seen.phase == ServerPhase.FAILED and candidate:
        return TurnBack(f"The model server did not start: {seen.detail}")
    if candidate and progress.step_since is None and _overdue(plan, progress, now):
        return TurnBack(f"The model server was not ready within {_words(plan.start_limit)}.")
    if seen.phase in (ServerPhase.ABSENT, ServerPhase.FAILED):
        return Do(StartServer(version))
    return Wait(now + SOON, "The model server is loading its model.")


def is_candidate(plan: Plan, version: int) -> bool:
    """Whether this version is on trial: giving up on it is better than waiting for it."""
    return version == plan.version and not plan.goes_back


def _overdue(plan: Plan, progress: Progress, now: datetime) -> bool:
    """Only before the first step: later on, a server that supervision restarts gets the time it takes."""
    if progress.step or progress.started_at is None:
        return False
    return now - progress.started_at > plan.start_limit


def _traffic(plan: Plan, progress: Progress, observed: Observed, now: datetime) -> Decision | None:
    wanted = split(plan, progress)
    if wanted is None:
        return None
    if observed.gateway_error:
        return Wait(now + RETRY, f"The gateway does not answer: {observed.gateway_error}")
    if serving(observed.weights) != dict(wanted):
        return Do(ShiftTraffic(wanted))
    if progress.step_since is None:
        return StepReached()
    return None


def _clock(plan: Plan, progress: Progress, now: datetime) -> Decision | None:
    if plan.goes_back or not plan.steps or progress.step_since is None:
        return None
    step = plan.steps[progress.step]
    until = progress.step_since + step.minimum
    if now < until:
        return Wait(
            until, f"{step.weight} % of requests go to the new version; this step lasts {_words(step.minimum)}."
        )
    return NextStep() if progress.step + 1 < len(plan.steps) else None


def _words(length: timedelta) -> str:
    seconds = int(length.total_seconds())
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size} {unit}" + ("s" if seconds != size else "")
    return f"{seconds} seconds"


def _registry(plan: Plan, observed: Observed, now: datetime) -> Decision | None:
    if observed.registry_error:
        return Wait(
            now + RETRY, f"Traffic is where it should be. MLflow does not answer yet: {observed.registry_error}"
        )
    if observed.registry is None:
        return Look()
    effect = next(_registry_effects(registry_goal(plan), observed.registry), None)
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
    for version, tags in goal.tags.items():
        have = seen.tags.get(version, {})
        if version in seen.stages and any(have.get(name) != value for name, value in tags.items()):
            yield SetTags(version, tags)
