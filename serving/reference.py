"""The training reference: how features and predictions were distributed when the model was trained.

It travels in the MLmodel file, as ``metadata={"stagegate_reference": build_reference(features, predictions)}`` at
``log_model``. Its bins are those of the server's histograms, so what a version sees can be laid over what it was
trained on, whichever replica saw it.

Form, all of it JSON::

    {"features": {name: distribution}, "prediction": distribution or null}
    distribution: {"edges": [...], "counts": [...]}        numbers; len(counts) == len(edges) + 1
               or {"categories": [...], "counts": [...]}   everything else; equally long

Bin i of a numeric distribution holds edges[i-1] < value <= edges[i]; the first and last are open. Null is counted
nowhere among numbers, and as "missing" among categories.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

METADATA_KEY = "stagegate_reference"
BINS = 10
MAX_CATEGORIES = 50
OTHER = "other"
MISSING = "missing"

Floats = npt.NDArray[np.float64]


class InvalidReferenceError(ValueError):
    """The training reference in the model's metadata does not have the form described above."""


@dataclass(frozen=True, slots=True)
class Bins:
    """The bins of a numeric distribution: ascending, finite edges."""

    edges: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Labels:
    """The categories of any other distribution."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """The bins that the server counts in. ``prediction`` is None when the reference has none."""

    features: Mapping[str, Bins | Labels] = field(default_factory=dict)
    prediction: Bins | Labels | None = None


def build_reference(features: pd.DataFrame, predictions: Any) -> dict[str, Any]:
    """The reference for ``log_model``'s metadata, JSON-able.

    ``features`` is the table that the model was trained on, one row an example; dates and bytes are left out, since
    neither bins nor categories describe them. ``predictions`` is what the model answers for these rows: a vector, or
    a data frame whose first column is the one to watch. Predictions of any other shape are left out too.

    Numbers are put into at most 10 bins that hold equally many training rows; booleans and texts are counted by
    category, the 50 most frequent by name and the rest as "other". Integer predictions with at most 50 different
    values are classes, so they are counted by category too; other predictions are put into bins with round edges, which
    the next version of a model most likely has as well, so that the two can be compared.
    """
    columns = {str(name): features[name] for name in features.columns if features[name].dtype.kind not in "mMSV"}
    vector = prediction_vector(predictions)
    return {
        "features": {name: _distribution(column) for name, column in columns.items()},
        "prediction": None if vector is None else _distribution(pd.Series(vector), predicted=True),
    }


def prediction_vector(predictions: Any) -> npt.NDArray[Any] | None:
    """One value a row from what a model answered, or None when its shape does not say which."""
    if isinstance(predictions, pd.DataFrame):
        return predictions.iloc[:, 0].to_numpy() if predictions.shape[1] else None
    if isinstance(predictions, list) and any(isinstance(value, dict | list | tuple) for value in predictions):
        return None
    vector = np.asarray(predictions)
    if vector.ndim == 2 and vector.shape[1] == 1:
        return vector[:, 0]
    return vector if vector.ndim == 1 else None


def category(value: Any) -> str:
    """The name under which a value is counted."""
    return MISSING if value is None or value is pd.NA or value != value else str(value)


def _distribution(column: pd.Series, *, predicted: bool = False) -> dict[str, list[Any]]:
    few = predicted and column.dtype.kind in "iu" and column.nunique() <= MAX_CATEGORIES
    if few or column.dtype.kind not in "iuf":
        return _by_category(column)
    return _by_bins(column.dropna().to_numpy(np.float64), _round_edges if predicted else _edges)


def _by_category(column: pd.Series) -> dict[str, list[Any]]:
    counts = Counter(map(category, column.tolist()))
    top = sorted(counts.most_common(MAX_CATEGORIES))
    rest = counts.total() - sum(count for _, count in top)
    if rest:
        top.append((OTHER, rest))
    return {"categories": [name for name, _ in top], "counts": [count for _, count in top]}


def _by_bins(values: Floats, edges_of: Callable[[Floats], Floats]) -> dict[str, list[Any]]:
    edges = edges_of(values[np.isfinite(values)])
    return {"edges": edges.tolist(), "counts": count_bins(edges, values).tolist()}


def _edges(values: Floats) -> Floats:
    distinct = np.unique(values)
    if len(distinct) <= BINS:
        return _edges_between(distinct)
    return np.unique(np.quantile(values, np.arange(1, BINS) / BINS))


def _round_edges(values: Floats) -> Floats:
    """Multiples of 1, 2 or 5 times a power of ten that lie inside the values, some 10 over what is not extreme."""
    if len(np.unique(values)) <= BINS:
        return _edges(values)
    low, high = np.quantile(values, [0.01, 0.99])
    if not high > low:
        return _edges(values)
    wanted = float(high - low) / BINS
    power = 10.0 ** math.floor(math.log10(wanted))
    step = min((1 * power, 2 * power, 5 * power, 10 * power), key=lambda width: abs(math.log(width / wanted)))
    multiples = np.arange(math.floor(low / step) + 1, math.ceil(high / step))
    return np.array([float(f"{multiple * step:.12g}") for multiple in multiples])


def _edges_between(distinct: Floats) -> Floats:
    """A bin for each of a few values, and one on either side for what training never saw."""
    if not len(distinct):
        return np.zeros(1)
    reach = np.diff(distinct) / 2 if len(distinct) > 1 else np.array([abs(distinct[0]) / 2 or 0.5])
    return np.concatenate(
        [[distinct[0] - reach[0]], distinct[:-1] + reach[: len(distinct) - 1], [distinct[-1] + reach[-1]]]
    )


def count_bins(edges: Floats, values: Floats) -> npt.NDArray[np.int64]:
    """How many of the values fall into each bin, (len(edges) + 1,). NaN falls into none."""
    bins = np.searchsorted(edges, values[~np.isnan(values)], side="left")
    return np.bincount(bins, minlength=len(edges) + 1)


def read_reference(metadata: Mapping[str, Any] | None) -> Reference:
    """The reference in a model's metadata, empty when there is none. Raises InvalidReferenceError."""
    raw = (metadata or {}).get(METADATA_KEY)
    if raw is None:
        return Reference()
    if not isinstance(raw, Mapping) or not isinstance(raw.get("features", {}), Mapping):
        raise InvalidReferenceError(f"{METADATA_KEY} must be an object with 'features' and 'prediction'")
    features = {str(name): _read(value, f"feature {name!r}") for name, value in raw.get("features", {}).items()}
    prediction = raw.get("prediction")
    return Reference(features, None if prediction is None else _read(prediction, "the prediction"))


def _read(distribution: Any, what: str) -> Bins | Labels:
    if isinstance(distribution, Mapping) and isinstance(distribution.get("edges"), list):
        return Bins(_ascending(distribution["edges"], what))
    if isinstance(distribution, Mapping) and isinstance(distribution.get("categories"), list):
        return Labels(tuple(map(str, distribution["categories"])))
    raise InvalidReferenceError(f"{METADATA_KEY}: {what} must have a list of 'edges' or of 'categories'")


def _ascending(edges: Iterable[Any], what: str) -> tuple[float, ...]:
    try:
        numbers = tuple(map(float, edges))
    except (TypeError, ValueError) as error:
        raise InvalidReferenceError(f"{METADATA_KEY}: the edges of {what} must be numbers") from error
    pairs = itertools.pairwise(numbers)
    if not numbers or not all(map(math.isfinite, numbers)) or any(left >= right for left, right in pairs):
        raise InvalidReferenceError(f"{METADATA_KEY}: the edges of {what} must be finite and ascending")
    return numbers
