"""What a transition has to bring about: the goal of every step, as plain values.

A goal is a state of the world, never an instruction: the weights of a model's route, and the registry as it should
be read afterwards. The same goal can be worked towards any number of times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from lifecycle.domain.compare import VerdictKind
from lifecycle.domain.permissions import Role
from lifecycle.domain.policy import Policy
from lifecycle.domain.stages import STAGE_ALIASES, Stage
from lifecycle.domain.strategies import Strategy

Split = Mapping[int, int]
"""MLflow version -> percentage of requests; the values sum to 100, or there are none."""


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step of a change: ``weight`` percent of requests for the new version, and copies of ``mirror`` percent.

    It lasts for ``minimum``. Where it is ``judged``, it also takes a verdict to go on, after ``requests`` that the new
    version has answered; where it ``asks``, somebody with that role.
    """

    weight: int
    minimum: timedelta = timedelta(0)
    requests: int = 0
    mirror: int = 0
    judged: bool = False
    asks: Role | None = None


DRILL_STEPS = (PlannedStep(0), PlannedStep(100))
"""A drill takes all requests away from the version in Production, and gives them back."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a reconciliation puts right, and nothing besides.

    ``weights`` are None where traffic is as it should be. ``aliases`` maps an alias to the version that has it, None
    where nobody has.
    """

    weights: Split | None = None
    stages: Mapping[int, Stage] = field(default_factory=dict)
    aliases: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """The course of one transition, fixed when execution begins.

    ``version`` is moved from ``from_stage`` to ``to_stage``; ``stable`` is the version that served users then (None
    before the first promotion). What else it may be:

    - ``rolls_back``: ``version`` leaves, and all requests go to ``rollback_to``; None: nobody serves afterwards.
    - ``turned_back``: a change that is being undone: its version returns to ``from_stage``, users to ``stable``.
    - ``drill``: all requests go to ``rollback_to`` and then back to ``version``; stages and roles stay as they are.
    - ``restores``: what was changed elsewhere is put right.

    ``steps`` is empty when no traffic moves. A step that is undecided for longer than ``patience`` asks a person; a
    verdict older than ``grace`` counts for nothing.
    """

    version: int
    from_stage: Stage
    to_stage: Stage
    stable: int | None = None
    rolls_back: bool = False
    rollback_to: int | None = None
    turned_back: bool = False
    drill: bool = False
    restores: Target | None = None
    steps: tuple[PlannedStep, ...] = ()
    start_limit: timedelta = timedelta(minutes=10)
    grace: timedelta = timedelta(minutes=2)
    patience: timedelta = timedelta(hours=24)

    @property
    def goes_back(self) -> bool:
        return self.turned_back or self.rolls_back

    @property
    def tries_out(self) -> bool:
        """Whether ``version`` is on trial: giving up on it is better than waiting for it."""
        return not (self.goes_back or self.drill or self.restores is not None)

    @property
    def enters_service(self) -> bool:
        return self.tries_out and self.to_stage in STAGE_ALIASES

    @property
    def concerns_production(self) -> bool:
        return Stage.PRODUCTION in (self.from_stage, self.to_stage)

    @property
    def may_mirror(self) -> bool:
        """Whether the route may have copies of requests, wanted or not."""
        return self.restores is not None or any(step.mirror for step in self.steps)

    @property
    def back_to(self) -> int | None:
        """Who serves after going back; None: nobody did before, or nobody shall, so nobody does after."""
        if self.rolls_back:
            return self.rollback_to
        return self.version if self.drill else self.stable

    @property
    def end_stage(self) -> Stage:
        return self.from_stage if self.turned_back else self.to_stage


@dataclass(frozen=True, slots=True)
class Pause:
    """A person has stopped a rollout at the step where it is."""

    by: str
    since: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a transition stands. ``step_since`` is when the gateway was seen to apply the step's weights.

    ``routed`` is whether it has written the route itself, ``smoked`` whether the new version has answered its smoke
    request, and ``released`` the step that a person has let it go on to.
    """

    checked: bool = False
    step: int = 0
    step_since: datetime | None = None
    started_at: datetime | None = None
    routed: bool = True
    smoked: bool = True
    released: int = 0
    paused: Pause | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """What the judge said last about a step, ``at`` which time, and how many ``requests`` the new version has answered
    in it. ``asks``: a threshold is breached, so that nothing but a person lets it go on."""

    kind: VerdictKind
    why: str
    requests: int
    at: datetime
    asks: bool = False


@dataclass(frozen=True, slots=True)
class RegistryGoal:
    """The registry as it should be.

    ``stages`` and ``tags`` by version; ``aliases`` maps an alias to its version; ``released`` maps an alias to the
    version that must no longer have it; nobody has one of ``vacant``.
    """

    stages: Mapping[int, Stage] = field(default_factory=dict)
    aliases: Mapping[str, int] = field(default_factory=dict)
    released: Mapping[str, int] = field(default_factory=dict)
    tags: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    vacant: tuple[str, ...] = ()

    @property
    def versions(self) -> tuple[int, ...]:
        """The versions to read before it can be said what is to be written."""
        return tuple(dict.fromkeys((*self.stages, *self.aliases.values())))


def steps_of_change(
    to_stage: Stage,
    policy: Policy,
    *,
    stable: int | None,
    version: int,
    gets_requests: bool = True,
    strategy: Strategy | None = None,
) -> tuple[PlannedStep, ...]:
    """The traffic steps of a change. Where nobody else serves, there is nothing to move gradually.

    ``gets_requests`` is whether the version has a share now: archiving one that has none moves nobody's traffic.
    ``strategy`` is how requests come to a version that enters Production, None for the policy's.
    """
    alone = stable is None or stable == version
    if to_stage == Stage.PRODUCTION:
        return (PlannedStep(100),) if alone else _into_production(policy, strategy or policy.rollout.strategy)
    if to_stage == Stage.STAGING:
        return () if alone else (PlannedStep(policy.staging_weight),)
    return (PlannedStep(0),) if gets_requests and not alone else ()


def _into_production(policy: Policy, strategy: Strategy) -> tuple[PlannedStep, ...]:
    """At the last step nobody else serves, so there is nothing left to compare with, and nowhere to go on to."""
    if strategy == Strategy.BLUE_GREEN:
        return (PlannedStep(100),)
    if strategy == Strategy.SHADOW:
        rules = policy.rollout
        copies = PlannedStep(0, rules.shadow_duration, rules.shadow_requests, mirror=100, judged=True)
        return (copies, PlannedStep(100))
    *first, last = policy.canary_steps
    judged = (PlannedStep(each.weight, each.minimum, each.requests, judged=True, asks=each.asks) for each in first)
    return (*judged, PlannedStep(last.weight, last.minimum))


def split(plan: Plan, progress: Progress) -> Split | None:
    """The weights that the current step wants, or None when this transition does not touch traffic."""
    if plan.restores is not None:
        return plan.restores.weights
    if plan.goes_back:
        return {} if plan.back_to is None else {plan.back_to: 100}
    if not plan.steps:
        return None
    other = plan.rollback_to if plan.drill else plan.stable
    if other is None or other == plan.version:
        return {plan.version: 100}
    weight = plan.steps[progress.step].weight
    shares = {other: 100 - weight, plan.version: weight}
    return {version: share for version, share in shares.items() if share}


def mirrors(plan: Plan, progress: Progress) -> Split:
    """The versions that get copies of requests in the current step, and of how many percent."""
    if not plan.tries_out or not plan.steps:
        return {}
    mirror = plan.steps[progress.step].mirror
    return {plan.version: mirror} if mirror else {}


def needed(plan: Plan, progress: Progress) -> tuple[int, ...]:
    """The versions that must have a ready server now, in the order in which to start them."""
    wanted = tuple(split(plan, progress) or ())
    stays_ready = plan.enters_service or (plan.drill and not plan.goes_back)
    return (*wanted, plan.version) if stays_ready and plan.version not in wanted else wanted


def registry_goal(plan: Plan) -> RegistryGoal:
    """What MLflow must say when the transition has finished.

    The version that Production is given to stays the only one with the alias ``production``; a replaced version keeps
    its stage, because it is archived by a change of its own once its time in Production has passed.
    """
    if plan.drill:
        return RegistryGoal()
    if plan.restores is not None:
        return _restored(plan.restores)
    stages = {plan.version: plan.end_stage}
    tags = {plan.version: _stage_tag(plan.end_stage)}
    holders = {plan.end_stage: plan.version}
    if plan.goes_back and plan.back_to is not None and plan.concerns_production:
        holders[Stage.PRODUCTION] = plan.back_to
        stages[plan.back_to] = Stage.PRODUCTION
        tags[plan.back_to] = _stage_tag(Stage.PRODUCTION)
        if plan.rolls_back:
            tags[plan.version]["lifecycle.rolled_back_to"] = str(plan.back_to)
    aliases = {STAGE_ALIASES[stage]: version for stage, version in holders.items() if stage in STAGE_ALIASES}
    released = {alias: plan.version for alias in STAGE_ALIASES.values() if aliases.get(alias) != plan.version}
    return RegistryGoal(stages=stages, aliases=aliases, released=_unclaimed(released, aliases), tags=tags)


def _restored(target: Target) -> RegistryGoal:
    return RegistryGoal(
        stages=target.stages,
        aliases={alias: version for alias, version in target.aliases.items() if version is not None},
        tags={version: _stage_tag(stage) for version, stage in target.stages.items()},
        vacant=tuple(alias for alias, version in target.aliases.items() if version is None),
    )


def _stage_tag(stage: Stage) -> dict[str, str]:
    return {"lifecycle.stage": str(stage)}


def _unclaimed(released: Mapping[str, int], aliases: Mapping[str, int]) -> dict[str, int]:
    """An alias that gets a new holder needs no release of its own: giving it away takes it away."""
    return {alias: version for alias, version in released.items() if alias not in aliases}


def rollback_target(serving: int | None, history: Sequence[int]) -> int | None:
    """The version that a rollback brings back: the last one promoted to Production before the one that serves.

    ``history`` lists the versions that entered Production, newest first, without those that were rolled back.
    """
    return next((version for version in history if version != serving), None)


def dump_step(step: PlannedStep) -> dict[str, Any]:
    """As JSON values; ``minimum`` in seconds."""
    return {**asdict(step), "minimum": step.minimum.total_seconds(), "asks": step.asks and step.asks.value}


def load_step(raw: Mapping[str, Any]) -> PlannedStep:
    """The step that ``dump_step`` wrote, or one that was planned when there were but weights and minimum times."""
    asks = raw.get("asks")
    return PlannedStep(
        **{**raw, "minimum": timedelta(seconds=raw["minimum"]), "asks": Role(asks) if asks else None},
    )


def dump_target(target: Target) -> dict[str, Any]:
    """As JSON values, in which versions that are keys are texts."""
    weights = target.weights
    return {
        "weights": None if weights is None else {str(version): share for version, share in weights.items()},
        "stages": {str(version): str(stage) for version, stage in target.stages.items()},
        "aliases": dict(target.aliases),
    }


def load_target(raw: Mapping[str, Any]) -> Target:
    """The target that ``dump_target`` wrote."""
    weights = raw["weights"]
    return Target(
        weights=None if weights is None else {int(version): share for version, share in weights.items()},
        stages={int(version): Stage(stage) for version, stage in raw["stages"].items()},
        aliases=raw["aliases"],
    )
