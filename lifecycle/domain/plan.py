"""What a transition has to bring about: the goal of every step, as plain values.

A goal is a state of the world, never an instruction: the weights of a model's route, and the registry as it should
be read afterwards. The same goal can be worked towards any number of times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from lifecycle.domain.policy import Policy, Step
from lifecycle.domain.stages import STAGE_ALIASES, Stage

Split = Mapping[int, int]
"""MLflow version -> percentage of requests; the values sum to 100, or there are none."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The course of one transition, fixed when execution begins.

    ``version`` is moved from ``from_stage`` to ``to_stage``; ``stable`` is the version that served users then (None
    before the first promotion). A rollback takes ``version`` out of Production and brings ``rollback_to`` in.
    ``turned_back`` is a change that is being undone: its version returns to ``from_stage``, and users to ``stable``.
    ``steps`` is empty when no traffic moves.
    """

    version: int
    from_stage: Stage
    to_stage: Stage
    stable: int | None = None
    rollback_to: int | None = None
    turned_back: bool = False
    steps: tuple[Step, ...] = ()
    start_limit: timedelta = timedelta(minutes=10)

    @property
    def goes_back(self) -> bool:
        return self.turned_back or self.rollback_to is not None

    @property
    def back_to(self) -> int | None:
        """Who serves after going back; None: nobody did before, so nobody does after."""
        return self.rollback_to if self.rollback_to is not None else self.stable

    @property
    def end_stage(self) -> Stage:
        return self.from_stage if self.turned_back else self.to_stage


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a transition stands. ``step_since`` is when the gateway was seen to apply the step's weights."""

    checked: bool = False
    step: int = 0
    step_since: datetime | None = None
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RegistryGoal:
    """The registry as it should be.

    ``stages`` and ``tags`` by version; ``aliases`` maps an alias to its version; ``released`` maps an alias to the
    version that must no longer have it.
    """

    stages: Mapping[int, Stage] = field(default_factory=dict)
    aliases: Mapping[str, int] = field(default_factory=dict)
    released: Mapping[str, int] = field(default_factory=dict)
    tags: Mapping[int, Mapping[str, str]] = field(default_factory=dict)


def steps_of_change(
    to_stage: Stage, policy: Policy, *, stable: int | None, version: int, gets_requests: bool = True
) -> tuple[Step, ...]:
    """The traffic steps of a change. Where nobody else serves, there is nothing to move gradually.

    ``gets_requests`` is whether the version has a share now: archiving one that has none moves nobody's traffic.
    """
    at_once = timedelta(0)
    alone = stable is None or stable == version
    if to_stage == Stage.PRODUCTION:
        return (Step(100, at_once),) if alone else policy.canary_steps
    if to_stage == Stage.STAGING:
        return () if alone else (Step(policy.staging_weight, at_once),)
    return (Step(0, at_once),) if gets_requests and not alone else ()


def split(plan: Plan, progress: Progress) -> Split | None:
    """The weights that the current step wants, or None when this transition does not touch traffic."""
    if plan.goes_back:
        return {} if plan.back_to is None else {plan.back_to: 100}
    if not plan.steps:
        return None
    weight = plan.steps[progress.step].weight
    if plan.stable is None or plan.stable == plan.version:
        return {plan.version: 100}
    shares = {plan.stable: 100 - weight, plan.version: weight}
    return {version: share for version, share in shares.items() if share}


def needed(plan: Plan, progress: Progress) -> tuple[int, ...]:
    """The versions that must have a ready server now, in the order in which to start them."""
    wanted = tuple(split(plan, progress) or ())
    enters_service = plan.to_stage in STAGE_ALIASES and not plan.goes_back
    return (*wanted, plan.version) if enters_service and plan.version not in wanted else wanted


def registry_goal(plan: Plan) -> RegistryGoal:
    """What MLflow must say when the transition has finished.

    The version that Production is given to stays the only one with the alias ``production``; a replaced version keeps
    its stage, because it is archived by a change of its own once its time in Production has passed.
    """
    stages = {plan.version: plan.end_stage}
    tags = {plan.version: {"lifecycle.stage": str(plan.end_stage)}}
    holders = {plan.end_stage: plan.version}
    if plan.goes_back and plan.back_to is not None and Stage.PRODUCTION in (plan.from_stage, plan.to_stage):
        holders[Stage.PRODUCTION] = plan.back_to
        stages[plan.back_to] = Stage.PRODUCTION
        tags[plan.back_to] = {"lifecycle.stage": str(Stage.PRODUCTION)}
    if plan.rollback_to is not None:
        tags[plan.version]["lifecycle.rolled_back_to"] = str(plan.rollback_to)
    aliases = {STAGE_ALIASES[stage]: version for stage, version in holders.items() if stage in STAGE_ALIASES}
    released = {alias: plan.version for alias in STAGE_ALIASES.values() if aliases.get(alias) != plan.version}
    return RegistryGoal(stages=stages, aliases=aliases, released=_unclaimed(released, aliases), tags=tags)


def _unclaimed(released: Mapping[str, int], aliases: Mapping[str, int]) -> dict[str, int]:
    """An alias that gets a new holder needs no release of its own: giving it away takes it away."""
    return {alias: version for alias, version in released.items() if alias not in aliases}


def rollback_target(serving: int | None, history: Sequence[int]) -> int | None:
    """The version that a rollback brings back: the last one promoted to Production before the one that serves.

    ``history`` lists the versions that entered Production, newest first, without those that were rolled back.
    """
    return next((version for version in history if version != serving), None)
