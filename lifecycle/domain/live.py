"""Which version served what share, and when: a fold over the entries of the record that say so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

ACTIONS = frozenset(
    {
        "step_reached",
        "traffic_back",
        "traffic_changed",
        "shares_seen",
        "disagreement_found",
        "disagreement_changed",
        "disagreement_gone",
    }
)
"""The entries that tell how the gateway shares requests out, where their details have ``weights``."""


@dataclass(frozen=True, slots=True)
class Shares:
    """``weights`` is what percentage of requests each version gets, ``copies`` of how many it gets a copy, whose
    answers nobody gets."""

    weights: Mapping[int, int] = field(default_factory=dict)
    copies: Mapping[int, int] = field(default_factory=dict)

    @property
    def versions(self) -> tuple[int, ...]:
        """Whoever gets requests or copies: the largest share first, copies last."""
        by_share = sorted(self.weights, key=lambda version: (-self.weights[version], version))
        return tuple(dict.fromkeys((*by_share, *sorted(self.copies))))


@dataclass(frozen=True, slots=True)
class Told:
    """What one entry of the record tells: at ``at`` the gateway was seen to share requests out like this."""

    seq: int
    at: datetime
    action: str
    shares: Shares
    transition: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Period:
    """A time in which nothing changed: from ``began`` until ``ended`` was written, None: until nothing else is told.

    ``began`` is the first entry that told of these shares; entries that tell the same again change nothing.
    """

    began: Told
    ended: Told | None = None

    @property
    def shares(self) -> Shares:
        return self.began.shares


def shares_in(details: Mapping[str, Any]) -> Shares | None:
    """What an entry's details tell, None where they tell nothing of shares. JSON has made texts of the versions."""
    weights = details.get("weights")
    if not isinstance(weights, Mapping):
        return None
    return Shares(_by_version(weights), _by_version(details.get("mirrors") or {}))


def as_details(weights: Mapping[int, int], copies: Mapping[int, int]) -> dict[str, Any]:
    """The same as details of an entry, ``shares_in`` reads them again; copies are left out where there are none."""
    told = {"weights": {str(version): share for version, share in sorted(weights.items()) if share}}
    mirrors = {str(version): share for version, share in sorted(copies.items()) if share}
    return {**told, **({"mirrors": mirrors} if mirrors else {})}


def _by_version(shares: Mapping[str, int]) -> dict[int, int]:
    return {int(version): share for version, share in shares.items() if share}


def periods(told: Iterable[Told]) -> tuple[Period, ...]:
    """The times between changes, in the order in which the record has them."""
    changes: list[Told] = []
    for each in sorted(told, key=lambda each: each.seq):
        if not changes or each.shares != changes[-1].shares:
            changes.append(each)
    return tuple(map(Period, changes, [*changes[1:], None]))


def place_at(known: Sequence[Period], at: datetime) -> int | None:
    """Which of the periods holds at a moment; None: before the first.

    It is the last one that had begun. A clock that was put back may have let an entry look older than the one before
    it: the order of the record counts.
    """
    begun = [number for number, period in enumerate(known) if period.began.at <= at]
    return begun[-1] if begun else None
