"""Reads the metrics page of a model server, as ``serving.metrics`` writes it.

The server runs a model that we did not write, and names of features and classes are its data: what is to be stored is
bounded, and freed of what a database cannot hold.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime

from lifecycle.adapters.http import samples
from lifecycle.domain.drift import Distribution
from lifecycle.domain.observations import Counts
from lifecycle.ports import TemporaryError

MAX_NAME = 200
MAX_FEATURES = 300
"""A model with more of them is observed by the first that its training reference names."""
LATEST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()


def counts(text: str) -> Counts:
    """Latency, prediction and features since the server started. Raises TemporaryError for metrics that are none."""
    try:
        classes = _categories(text, "stagegate_predictions_total", "class").get("")
        prediction = classes or _histograms(text, "stagegate_prediction_value_bucket").get("")
        seen = itertools.islice(features(text).items(), MAX_FEATURES)
        return Counts(
            latency=_histograms(text, "stagegate_request_duration_seconds_bucket").get(""),
            prediction=_storable(prediction) if prediction else None,
            features={_named(name): _storable(each) for name, each in seen},
        )
    except (KeyError, ValueError, OverflowError) as error:
        raise TemporaryError("a model server answers with metrics that can't be read") from error


def features(text: str) -> dict[str, Distribution]:
    """What was counted of every feature, in the bins of the training reference. Raises KeyError or ValueError."""
    numeric = _histograms(text, "stagegate_feature_value_bucket")
    return {**numeric, **_categories(text, "stagegate_feature_category_total", "category")}


def started(text: str) -> float:
    """When the process, and with it every count, began, as UNIX time in seconds; 0.0 when it does not say.

    Raises TemporaryError for what is no moment.
    """
    told = next((each.value for each in samples(text, "process_start_time_seconds")), 0.0)
    if not 0 <= told < LATEST:
        raise TemporaryError(f"it says that it was started at {told}")
    return told


def version(text: str) -> str:
    """The version that the server says it serves; "" when it does not say."""
    return next((each.labels.get("version", "") for each in samples(text, "stagegate_model_info")), "")


def _histograms(text: str, name: str) -> dict[str, Distribution]:
    """By feature, "" where there is none. Buckets are cumulative, "le" is their upper edge and +Inf the last one."""
    buckets: dict[str, dict[float, float]] = defaultdict(dict)
    for sample in samples(text, name):
        buckets[sample.labels.get("feature", "")][float(sample.labels["le"])] = sample.value
    return {feature: _finite(_from_cumulative(each)) for feature, each in buckets.items()}


def _from_cumulative(buckets: Mapping[float, float]) -> Distribution:
    edges = sorted(buckets)
    cumulative = [0.0, *(buckets[edge] for edge in edges)]
    counted = tuple(max(right - left, 0.0) for left, right in itertools.pairwise(cumulative))
    return Distribution(counted, edges=tuple(edges[:-1]))


def _categories(text: str, name: str, label: str) -> dict[str, Distribution]:
    """By feature, "" where there is none."""
    seen: dict[str, dict[str, float]] = defaultdict(dict)
    for sample in samples(text, name):
        seen[sample.labels.get("feature", "")][sample.labels[label]] = sample.value
    return {
        feature: _finite(Distribution(tuple(each.values()), categories=tuple(each))) for feature, each in seen.items()
    }


def _finite(counted: Distribution) -> Distribution:
    if not all(math.isfinite(count) and count >= 0 for count in counted.counts):
        raise ValueError("a count is no number")
    return counted


def _storable(counted: Distribution) -> Distribution:
    """With categories by names that can be stored; those that have the same one then are one."""
    if not counted.categories:
        return counted
    by_name: dict[str, float] = defaultdict(float)
    for name, count in zip(counted.categories, counted.counts, strict=True):
        by_name[_named(name)] += count
    return Distribution(tuple(by_name.values()), categories=tuple(by_name))


def _named(name: str) -> str:
    return name.replace("\x00", "\ufffd")[:MAX_NAME]
