"""What a yes is bound to: the artifact, the gate with its evidence, the policy and the strategy, as they were shown.

Each part is kept as a digest with a few words, so that a yes which is void can say what has changed since.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lifecycle.domain.chain import digest
from lifecycle.domain.words import listed


@dataclass(frozen=True, slots=True)
class Shown:
    """What was shown to whoever decided.

    ``artifact`` is the digest of the version's files, "" before they were first read; ``criteria`` pairs each criterion
    of the gate with its state and what decided it (``passed evidence:17``); ``policy`` is the policy's number;
    ``strategy`` says how requests move, step by step.
    """

    artifact: str
    criteria: tuple[tuple[str, str], ...]
    policy: int
    strategy: tuple[str, ...]

    @property
    def digest(self) -> str:
        return digest(dump(self))


def dump(shown: Shown) -> dict[str, Any]:
    values = asdict(shown)
    return {**values, "criteria": [list(pair) for pair in shown.criteria], "strategy": list(shown.strategy)}


def load(values: Mapping[str, Any]) -> Shown | None:
    """None for a transition of before decisions were bound to anything."""
    if not values:
        return None
    criteria: Sequence[Sequence[str]] = values["criteria"]
    return Shown(
        artifact=values["artifact"],
        criteria=tuple((name, state) for name, state in criteria),
        policy=values["policy"],
        strategy=tuple(values["strategy"]),
    )


def changed(before: Shown, now: Shown) -> str:
    """What differs, as a sentence; "" when nothing does."""
    parts = []
    if before.artifact != now.artifact:
        parts.append("the model's files")
    parts += [f"the criterion “{name}”" for name in _changed_criteria(before, now)]
    if before.policy != now.policy:
        parts.append(f"the policy (number {before.policy} then, {now.policy} now)")
    if before.strategy != now.strategy:
        parts.append("the way requests move")
    sentence = f"{listed(parts)} changed since then." if parts else ""
    return sentence[:1].upper() + sentence[1:]


def _changed_criteria(before: Shown, now: Shown) -> list[str]:
    was, is_now = dict(before.criteria), dict(now.criteria)
    return [name for name in dict.fromkeys((*was, *is_now)) if was.get(name) != is_now.get(name)]
