"""The numbers that rule a model's life. The defaults are those of the model lifecycle strategy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from lifecycle.domain.permissions import Role
from lifecycle.domain.stages import Stage


class PolicyError(ValueError):
    """A policy that cannot be obeyed. ``str(error)`` names the value and what is allowed."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a rollout: ``weight`` percent of requests for the canary, for at least ``minimum``."""

    weight: int
    minimum: timedelta


def _default_steps() -> tuple[Step, ...]:
    """5 % in the first hour, 25 % from hour 2, 50 % from hour 4, 100 % from hour 8."""
    hours = ((5, 1), (25, 2), (50, 4), (100, 0))
    return tuple(Step(weight, timedelta(hours=length)) for weight, length in hours)


@dataclass(frozen=True, slots=True)
class Policy:
    """``shortened`` marks a policy whose durations are not the strategy's, so that pages can say so."""

    canary_steps: tuple[Step, ...] = field(default_factory=_default_steps)
    staging_weight: int = 10
    approvals_to_staging: tuple[Role, ...] = (Role.ML_ENGINEER,)
    approvals_to_production: tuple[Role, ...] = (Role.PRODUCT_OWNER, Role.ML_ENGINEER)
    approvals_to_archived: tuple[Role, ...] = (Role.ML_ENGINEER,)
    start_limit: timedelta = timedelta(minutes=10)
    warm_window: timedelta = timedelta(hours=24)
    production_retention: timedelta = timedelta(days=30)
    shortened: bool = False

    def __post_init__(self) -> None:
        _check_steps(self.canary_steps)
        if not 0 <= self.staging_weight <= 50:
            raise PolicyError(f"staging_weight is {self.staging_weight}; it must be between 0 and 50 percent")

    def approvals(self, stage: Stage) -> tuple[Role, ...]:
        """The roles that must say yes before a version enters the stage."""
        return {
            Stage.STAGING: self.approvals_to_staging,
            Stage.PRODUCTION: self.approvals_to_production,
            Stage.ARCHIVED: self.approvals_to_archived,
        }.get(stage, ())


def _check_steps(steps: Sequence[Step]) -> None:
    weights = [step.weight for step in steps]
    if not weights or weights[-1] != 100:
        raise PolicyError(f"canary_steps are {weights}; the last one must be 100 percent")
    if weights != sorted(set(weights)) or weights[0] < 1:
        raise PolicyError(f"canary_steps are {weights}; they must rise from step to step, within 1 to 100 percent")
    if any(step.minimum < timedelta(0) for step in steps):
        raise PolicyError("canary_steps have a negative duration; a step lasts 0 seconds or longer")


_DURATIONS = ("start_limit", "warm_window", "production_retention")
_APPROVALS = ("approvals_to_staging", "approvals_to_production", "approvals_to_archived")


def dump(policy: Policy) -> dict[str, Any]:
    """The policy as JSON values; durations are seconds."""
    return {
        "canary_steps": [
            {"weight": step.weight, "minimum": step.minimum.total_seconds()} for step in policy.canary_steps
        ],
        "staging_weight": policy.staging_weight,
        **{name: [str(role) for role in getattr(policy, name)] for name in _APPROVALS},
        **{name: getattr(policy, name).total_seconds() for name in _DURATIONS},
        "shortened": policy.shortened,
    }


def load(body: Mapping[str, Any]) -> Policy:
    """The policy that ``dump`` wrote. Values that are absent take the defaults. Raises PolicyError."""
    known = {"canary_steps", "staging_weight", "shortened", *_APPROVALS, *_DURATIONS}
    unknown = set(body) - known
    if unknown:
        raise PolicyError(f"a policy has no value called {sorted(unknown)[0]!r}")
    try:
        return Policy(**{name: _read(name, value) for name, value in body.items()})
    except (TypeError, KeyError) as error:
        raise PolicyError(f"this is not a policy: {error}") from error


def _read(name: str, value: Any) -> Any:
    if name == "canary_steps":
        return tuple(Step(int(step["weight"]), timedelta(seconds=step["minimum"])) for step in value)
    if name in _APPROVALS:
        return tuple(Role(role) for role in value)
    if name in _DURATIONS:
        return timedelta(seconds=value)
    return value
