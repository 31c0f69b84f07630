"""What the server tells Prometheus about itself. Everything here adds up: over time, and over replicas."""

from __future__ import annotations

import logging
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.reference import MAX_CATEGORIES, OTHER, Bins, Labels, Reference, category, count_bins, prediction_vector

log = logging.getLogger(__name__)

OK, CLIENT_ERROR, SERVER_ERROR = "ok", "client_error", "server_error"

# Seconds, 0.98 ms to 32 s, twenty buckets to every doubling: neighbours are 3.5 % apart, so that a version which is
# 10 % slower can be told from one that is 20 % slower. 0.5, 1 and 2 s, the usual limits, are edges themselves.
LATENCY_BUCKETS = tuple(float(f"{2 ** (step / 20):.6g}") for step in range(-200, 101))


class Histogram:
    """Counts of values between fixed edges, and their sum. Not thread-safe."""

    def __init__(self, edges: Iterable[float]) -> None:
        self.edges = np.array(tuple(edges), dtype=np.float64)
        self.counts = np.zeros(len(self.edges) + 1, dtype=np.int64)
        self.total = 0.0

    def observe(self, values: npt.NDArray[np.float64]) -> None:
        """Count values of any number; infinite ones go to the outer bins, NaN to none."""
        self.counts += count_bins(self.edges, values)
        self.total += float(values[np.isfinite(values)].sum())

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts as Prometheus wants them: [(upper edge, count at or below it)]."""
        labels = [*map(repr, self.edges.tolist()), "+Inf"]
        return list(zip(labels, np.cumsum(self.counts).astype(float).tolist(), strict=True))


class Categories:
    """Counts by category. Either the categories are known, or the first 50 seen get a name; the rest is "other"."""

    def __init__(self, known: Iterable[str] | None = None) -> None:
        self.counts: Counter[str] = Counter(dict.fromkeys(known or (), 0))
        self._open = known is None

    def observe(self, values: Iterable[Any]) -> None:
        for name, count in Counter(map(category, values)).items():
            self.counts[name if self._named(name) else OTHER] += count

    def _named(self, name: str) -> bool:
        return name in self.counts or (self._open and len(self.counts.keys() - {OTHER}) < MAX_CATEGORIES)


class Metrics(Collector):
    """The numbers of one server.

    A histogram with negative edges comes without ``_sum`` and ``_count``, as Prometheus' formats want it: its
    "+Inf" bucket is the count.

    Requests are counted on the event loop, rows in the scoring threads, and a scrape reads both: one lock guards all.
    """

    def __init__(self, reference: Reference, *, model: str, version: str) -> None:
        self._lock = threading.Lock()
        self._model, self._version = model, version
        self._requests = dict.fromkeys((OK, CLIENT_ERROR, SERVER_ERROR), 0)
        self._latency = [0] * (len(LATENCY_BUCKETS) + 1)
        self._latency_total = 0.0
        self._rows = self._calls = 0
        self._features = {name: _counter_for(kind) for name, kind in reference.features.items()}
        self._prediction = _counter_for(reference.prediction) if reference.prediction else None
        self._warned = False
        self.in_flight = 0

    def registry(self) -> CollectorRegistry:
        """A registry of these numbers and those of the process (memory, processor time, files)."""
        registry = CollectorRegistry()
        registry.register(self)
        ProcessCollector(registry=registry)
        return registry

    def count_request(self, outcome: str, seconds: float) -> None:
        """Count a finished request; the time of one that was refused says nothing about the model, and is left out."""
        with self._lock:
            self._requests[outcome] += 1
            if outcome != CLIENT_ERROR:
                self._latency[bisect_left(LATENCY_BUCKETS, seconds)] += 1
                self._latency_total += seconds

    def count_rows(self, data: Any, predictions: Any, rows: int) -> None:
        """Count what the model was given and what it answered, after one successful call of it.

        Never raises: an answer that cannot be counted is still an answer.
        """
        with self._lock:
            self._calls += 1
            self._rows += rows
            try:
                self._count_prediction(prediction_vector(predictions))
                self._count_features(data)
            except (TypeError, ValueError, OverflowError):
                self._warn_once()

    def _warn_once(self) -> None:
        if not self._warned:
            self._warned = True
            log.warning("features or predictions do not fit the training reference: not counted", exc_info=True)

    def _count_prediction(self, vector: npt.NDArray[Any] | None) -> None:
        if vector is None:
            return
        if self._prediction is None and vector.dtype.kind in "biuUO":
            self._prediction = Categories()
        _observe(self._prediction, vector)

    def _count_features(self, data: Any) -> None:
        if not isinstance(data, pd.DataFrame | Mapping):
            return
        for name, counter in self._features.items():
            if name in data:
                _observe(counter, data[name])

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            yield from list(self._families())

    def _families(self) -> Iterator[Metric]:
        info = GaugeMetricFamily("stagegate_model_info", "The model version served.", labels=["model", "version"])
        info.add_metric([self._model, self._version], 1)
        yield info
        yield _by_label("stagegate_requests", "Requests to /invocations.", "outcome", self._requests)
        in_flight = "Requests to /invocations being answered."
        yield GaugeMetricFamily("stagegate_requests_in_flight", in_flight, value=self.in_flight)
        yield self._latency_family()
        yield CounterMetricFamily("stagegate_rows", "Rows scored.", value=self._rows)
        yield CounterMetricFamily("stagegate_predict_calls", "Calls of the model that succeeded.", value=self._calls)
        yield from self._prediction_families()
        yield from self._feature_families()

    def _latency_family(self) -> Metric:
        text = "Time from the last byte of a request to its answer, of requests that were not refused."
        counts = np.cumsum(self._latency).astype(float).tolist()
        buckets = list(zip([*map(repr, LATENCY_BUCKETS), "+Inf"], counts, strict=True))
        return HistogramMetricFamily(
            "stagegate_request_duration_seconds", text, buckets=buckets, sum_value=self._latency_total
        )

    def _prediction_families(self) -> Iterator[Metric]:
        if isinstance(self._prediction, Categories):
            yield _by_label("stagegate_predictions", "Predictions by class.", "class", self._prediction.counts)
        elif self._prediction is not None:
            family = HistogramMetricFamily("stagegate_prediction_value", "Predictions, in the bins of training.")
            family.add_metric([], self._prediction.buckets(), self._prediction.total)
            yield family

    def _feature_families(self) -> Iterator[Metric]:
        text = "Values of a feature, in the bins of training; rows without one are left out."
        values = HistogramMetricFamily("stagegate_feature_value", text, labels=["feature"])
        text = "Rows by category of a feature."
        categories = CounterMetricFamily("stagegate_feature_category", text, labels=["feature", "category"])
        for name, counter in self._features.items():
            if isinstance(counter, Histogram):
                values.add_metric([name], counter.buckets(), counter.total)
                continue
            for label, count in counter.counts.items():
                categories.add_metric([name, label], count)
        yield from (values, categories)


def _counter_for(kind: Bins | Labels) -> Histogram | Categories:
    return Histogram(kind.edges) if isinstance(kind, Bins) else Categories(kind.names)


def _observe(counter: Histogram | Categories | None, values: Any) -> None:
    if isinstance(counter, Histogram):
        counter.observe(np.asarray(values, dtype=np.float64))
    elif counter is not None:
        counter.observe(np.asarray(values, dtype=object).ravel().tolist())


def _by_label(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family
