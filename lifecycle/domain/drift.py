"""How far what a model is asked lies from what it was trained on, feature by feature.

The measure is the Jensen-Shannon distance with logarithms to base 2: the square root of the divergence of Lin,
"Divergence measures based on the Shannon entropy", IEEE Trans. Inf. Theory 37 (1991). It is a metric (Endres and
Schindelin, IEEE Trans. Inf. Theory 49, 2003), symmetric, 0 for equal and 1 for disjoint distributions, and finite also
where one of them has an empty bin.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import rel_entr


class NotComparableError(ValueError):
    """Two counts that were not counted in the same bins, or of which one is empty. ``str(error)`` says which."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """How often each bin, or each category, was seen.

    Of a numeric distribution, ``edges`` are ascending, and bin i holds edges[i-1] < value <= edges[i]; the first and
    the last bin are open, so there is one more of ``counts``. Of any other, ``categories`` name the counts, one each.
    """

    counts: tuple[float, ...]
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()

    @property
    def total(self) -> float:
        return float(sum(self.counts))

    @property
    def shares(self) -> tuple[float, ...]:
        """The counts as parts of 1; all 0 when nothing was counted."""
        total = self.total
        return tuple(count / total if total else 0.0 for count in self.counts)


def in_common_bins(left: Distribution, right: Distribution) -> tuple[Distribution, Distribution] | None:
    """Both, counted between the edges that both have: bins are only put together, so nothing is guessed.

    None when they have less than two edges in common, or when one has categories and the other has not.
    """
    if left.edges == right.edges:
        return (left, right) if bool(left.categories) == bool(right.categories) else None
    edges = tuple(sorted(set(left.edges) & set(right.edges)))
    return (_merged(left, edges), _merged(right, edges)) if len(edges) > 1 else None


def _merged(distribution: Distribution, edges: tuple[float, ...]) -> Distribution:
    counts = [0.0] * (len(edges) + 1)
    for edge, count in zip((*distribution.edges, math.inf), distribution.counts, strict=True):
        counts[bisect_left(edges, edge)] += count
    return Distribution(tuple(counts), edges=edges)


def read_distribution(raw: object) -> Distribution:
    """A distribution of the training reference, as ``serving.reference`` describes it. Raises NotComparableError."""
    if not isinstance(raw, Mapping):
        raise NotComparableError("has no distribution")
    counts = _numbers(raw.get("counts"), "counts")
    if any(count < 0 for count in counts):
        raise NotComparableError("has negative counts")
    if "edges" in raw:
        edges = _numbers(raw["edges"], "edges")
        if list(edges) != sorted(set(edges)) or len(counts) != len(edges) + 1:
            raise NotComparableError("has edges that do not ascend, or do not fit its counts")
        return Distribution(counts, edges=edges)
    names = raw.get("categories")
    if not isinstance(names, Sequence) or isinstance(names, str) or len(names) != len(counts):
        raise NotComparableError("has categories that do not fit its counts")
    return Distribution(counts, categories=tuple(map(str, names)))


def _numbers(raw: object, what: str) -> tuple[float, ...]:
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        raise NotComparableError(f"has no {what}")
    try:
        numbers = tuple(float(value) for value in raw)
    except (TypeError, ValueError):
        raise NotComparableError(f"has {what} that are no numbers") from None
    if not all(map(math.isfinite, numbers)):
        raise NotComparableError(f"has {what} that are not finite")
    return numbers


def distance(reference: Distribution, seen: Distribution) -> float:
    """The Jensen-Shannon distance, 0 to 1. Raises NotComparableError for other bins, or when nothing was counted.

    A category that only one of the two knows was seen 0 times by the other.
    """
    if reference.edges != seen.edges or bool(reference.categories) != bool(seen.categories):
        raise NotComparableError("was counted in other bins than its training reference")
    if not reference.total or not seen.total:
        raise NotComparableError("has no values to compare")
    if not reference.categories:
        return _jensen_shannon(reference.counts, seen.counts)
    names = sorted({*reference.categories, *seen.categories})
    return _jensen_shannon(_in_order(reference, names), _in_order(seen, names))


def _in_order(distribution: Distribution, names: Sequence[str]) -> tuple[float, ...]:
    counts = dict.fromkeys(names, 0.0)
    for name, count in zip(distribution.categories, distribution.counts, strict=True):
        counts[name] += count
    return tuple(counts.values())


def _jensen_shannon(left: Sequence[float], right: Sequence[float]) -> float:
    first, second = _normalised(left), _normalised(right)
    middle = (first + second) / 2
    divergence = (rel_entr(first, middle).sum() + rel_entr(second, middle).sum()) / (2 * math.log(2))
    # Rounding leaves equal distributions a hair below 0, and disjoint ones above 1.
    return math.sqrt(min(max(float(divergence), 0.0), 1.0))


def _normalised(counts: Sequence[float]) -> npt.NDArray[np.float64]:
    """Counts as parts of 1, divided by the largest first: sums of huge counts would overflow."""
    values = np.asarray(counts, dtype=np.float64)
    scaled: npt.NDArray[np.float64] = values / values.max()
    return scaled / float(scaled.sum())


def largest(distances: Mapping[str, float]) -> tuple[str, float]:
    """The feature that lies farthest from its reference, and how far; of equals the first by name.

    Raises ValueError when there are none.
    """
    return min(distances.items(), key=lambda item: (-item[1], item[0]))
