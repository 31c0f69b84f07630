"""Compares the answers of a shadow with those that users got.

The gateway sends the copy of a request once the users' answer is given, so the two servers answer at different
moments and in different order. Each remembers its answers under a digest of the request's body; ``match`` joins them by
it, and what has no counterpart yet waits in ``Pending``.

What counts as the same answer: two classes that are equal, or two numbers that differ by no more than arithmetic alone
explains (TOLERANCE). Models that compute in single precision, or sum in another order because requests were scored
together, differ by some 1e-7 from themselves. Anything above is another answer: which difference a product can live
with is no question of arithmetic, so it is for a person, or the policy, to decide by the sizes that are counted here.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

SAME = "same"
OTHER_SHAPE = "other shape"
OTHER_CLASSES = "other→other"
ARROW = "→"
SIZES = {"≤0.1 %": 0.001, "≤1 %": 0.01, "≤5 %": 0.05, "≤20 %": 0.2, ">20 %": math.inf}
"""Classes of difference between two numbers, by |a - b| as a part of the larger of |a| and |b|."""

TOLERANCE = 1e-6
NEARLY_ZERO = 1e-12
MAX_WAITING = 2000
MAX_WAITING_VALUES = 10_000
MAX_PAIRS = 100

Value = str | float
Values = tuple[Value, ...]


class Answer(Protocol):
    """One answer as a model server remembers it; see ``lifecycle.ports.ServerAnswer``."""

    @property
    def number(self) -> int: ...

    @property
    def key(self) -> str: ...

    @property
    def values(self) -> Values: ...


Waiting = tuple[str, Values]
"""The digest of a request, and the predictions that one of the two gave, one a row."""


@dataclass(frozen=True, slots=True)
class Pending:
    """Answers that wait for their counterpart, oldest first, at most MAX_WAITING of each side.

    ``stable_seen`` and ``shadow_seen`` are the numbers of the latest answers that were taken in: ask each server for
    those after it.
    """

    stable: tuple[Waiting, ...] = ()
    shadow: tuple[Waiting, ...] = ()
    stable_seen: int = 0
    shadow_seen: int = 0


def dump(pending: Pending) -> dict[str, Any]:
    """As JSON values."""
    return {
        "stable": [[key, list(values)] for key, values in pending.stable],
        "shadow": [[key, list(values)] for key, values in pending.shadow],
        "stable_seen": pending.stable_seen,
        "shadow_seen": pending.shadow_seen,
    }


def load(raw: Mapping[str, Any]) -> Pending:
    """What ``dump`` wrote; nothing waits in an empty mapping."""
    return Pending(
        tuple((key, tuple(values)) for key, values in raw.get("stable", ())),
        tuple((key, tuple(values)) for key, values in raw.get("shadow", ())),
        raw.get("stable_seen", 0),
        raw.get("shadow_seen", 0),
    )


def match(pending: Pending, stable: Sequence[Answer], shadow: Sequence[Answer]) -> tuple[dict[str, int], Pending]:
    """Join new answers with each other and with those that wait: rows by class of agreement, and who waits now.

    A body that was sent twice makes two pairs, the first with the first. Each answer is counted once at most; when more
    wait than Pending may hold, the oldest are let go uncounted.
    """
    users = [*pending.stable, *((each.key, each.values) for each in stable)]
    copies = [*pending.shadow, *((each.key, each.values) for each in shadow)]
    by_key: defaultdict[str, deque[Values]] = defaultdict(deque)
    for key, values in copies:
        by_key[key].append(values)
    counts: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    alone: list[Waiting] = []
    for key, values in users:
        if by_key[key]:
            counts.update(_rows(values, by_key[key].popleft()))
            taken[key] += 1
        else:
            alone.append((key, values))
    after = Pending(
        _latest(alone),
        _latest(_without(copies, taken)),
        max((each.number for each in stable), default=pending.stable_seen),
        max((each.number for each in shadow), default=pending.shadow_seen),
    )
    return bounded(counts), after


def _without(waiting: Iterable[Waiting], taken: Counter[str]) -> Iterator[Waiting]:
    """What is left when the first so many of each key are taken."""
    for key, values in waiting:
        if taken[key]:
            taken[key] -= 1
        else:
            yield key, values


def _latest(waiting: Iterable[Waiting]) -> tuple[Waiting, ...]:
    """As many of the last as may wait, in the order given."""
    kept: list[Waiting] = []
    room = MAX_WAITING_VALUES
    for key, values in reversed(list(waiting)):
        room -= len(values)
        if room < 0 or len(kept) == MAX_WAITING:
            break
        kept.append((key, values))
    return tuple(reversed(kept))


def _rows(stable: Values, shadow: Values) -> list[str]:
    """The class of agreement of each row of one request."""
    if len(stable) != len(shadow):
        return [OTHER_SHAPE] * max(len(stable), len(shadow))
    return [_row(left, right) for left, right in zip(stable, shadow, strict=True)]


def _row(stable: Value, shadow: Value) -> str:
    if isinstance(stable, str) and isinstance(shadow, str):
        return SAME if stable == shadow else f"{_named(stable)}{ARROW}{_named(shadow)}"
    if isinstance(stable, str) or isinstance(shadow, str):
        return OTHER_SHAPE
    if math.isclose(stable, shadow, rel_tol=TOLERANCE, abs_tol=NEARLY_ZERO):
        return SAME
    part = abs(stable - shadow) / max(abs(stable), abs(shadow))
    return next(size for size, most in SIZES.items() if part <= most)


def _named(name: str) -> str:
    """A class as it can stand beside an arrow."""
    return name.replace(ARROW, "->")


def bounded(counts: Mapping[str, int]) -> dict[str, int]:
    """At most MAX_PAIRS different pairs of classes, the most frequent; the rest together are OTHER_CLASSES."""
    pairs = [key for key in counts if ARROW in key and key != OTHER_CLASSES]
    rare = set(sorted(pairs, key=lambda key: (-counts[key], key))[MAX_PAIRS:])
    kept = {key: count for key, count in counts.items() if key not in rare}
    if rare:
        kept[OTHER_CLASSES] = kept.get(OTHER_CLASSES, 0) + sum(counts[key] for key in rare)
    return kept


# ---------------------------------------------------------------- for pages


def compared(counts: Mapping[str, int]) -> int:
    """How many rows were compared."""
    return sum(counts.values())


def alike(counts: Mapping[str, int], tolerance: float = 0.0) -> int:
    """How many rows got the same answer, numbers that differ by ``tolerance`` percent at most among them."""
    near = (counts.get(size, 0) for size, most in SIZES.items() if 100 * most <= tolerance)
    return counts.get(SAME, 0) + sum(near)


def agreement(counts: Mapping[str, int], tolerance: float = 0.0) -> float | None:
    """The part of rows that got the same answer, 0 to 1; None when nothing was compared."""
    rows = compared(counts)
    return alike(counts, tolerance) / rows if rows else None


def confusions(counts: Mapping[str, int]) -> tuple[tuple[str, str, int], ...]:
    """The users' class, the shadow's class, and how many rows, the most frequent first."""
    pairs = [(key.partition(ARROW), count) for key, count in counts.items() if ARROW in key]
    found = [(left, right, count) for (left, _, right), count in pairs]
    return tuple(sorted(found, key=lambda each: (-each[2], each)))


def sizes(counts: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """How many rows differ by how much, in order; empty when the answers are no numbers, or all the same."""
    if not any(counts.get(size) for size in SIZES):
        return ()
    return tuple((size, counts.get(size, 0)) for size in SIZES)
