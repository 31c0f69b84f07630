"""How the policy's confidence is shared out: over the trials of a rollout, the measures, and what they look at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy.typing as npt

from lifecycle.domain.compare.parts import Evidence, OnBreach, Trial
from lifecycle.domain.policy import Policy
from lifecycle.domain.sequential import Floats, share_of_look
from lifecycle.domain.strategies import BreachAction


@dataclass(frozen=True, slots=True)
class Budget:
    """The chances of being wrong, of one trial as a whole.

    ``acting`` is that of each measure that can roll back: all of them together stay within the policy's confidence.
    ``holding`` is that of each measure that only holds, on its own: a hold in error costs somebody a look.
    """

    acting: float
    holding: float

    def of(self, on_breach: str) -> float:
        return self.holding if on_breach == OnBreach.HOLD else self.acting

    def whole(self, on_breach: str) -> float:
        """For everything since the trial began."""
        return self.of(on_breach) / 2.0

    def window(self, on_breach: str, look: npt.ArrayLike, windows: int) -> Floats:
        """For each of the latest ``windows`` at this look: equal parts, and of each the share of the look."""
        return self.of(on_breach) / 2.0 / windows * share_of_look(look)

    def spans(self, on_breach: str, evidence: Evidence) -> list[float]:
        """For the whole and then for each window."""
        windows = len(evidence.windows)
        return [self.whole(on_breach), *[float(self.window(on_breach, evidence.look, max(windows, 1)))] * windows]


def budget(evidence: Evidence, policy: Policy) -> Budget:
    trial = (1.0 - policy.comparison.confidence / 100.0) / max(evidence.steps, 1)
    return Budget(acting=trial / _acting_measures(evidence, policy), holding=trial)


def _acting_measures(evidence: Evidence, policy: Policy) -> int:
    """Errors against the limit, errors and p95 against the stable version, and the p95 of Staging."""
    compared = evidence.trial != Trial.PRODUCTION
    by_latency = compared and policy.comparison.on_latency == BreachAction.ROLL_BACK
    return 1 + compared + by_latency + (evidence.trial == Trial.STAGING)


def on_latency(policy: Policy) -> OnBreach:
    return OnBreach(policy.comparison.on_latency.value)
