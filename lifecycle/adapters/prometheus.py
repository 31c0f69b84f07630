"""The metrics of an installation whose gateway and model servers a Prometheus already collects.

Only counters as they are kept are asked for, one series an instance. ``increase()`` and ``rate()`` extrapolate to the
edges of their range, which makes up requests that nobody sent, and loses others; what has grown since the last look is
for ``lifecycle.observing`` to tell, which knows when that was.

Series of one instance are added up: those of its status codes and methods, say. An instance is told from another by
the labels in IDENTITY, of which a scrape adds the first two. One that shows nothing of a version while it shows others
has counted nothing of it; one that shows nothing at all is not there.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from lifecycle.adapters import model_metrics
from lifecycle.adapters.http import Answer, get
from lifecycle.adapters.server_answers import read_answers
from lifecycle.domain.drift import Distribution
from lifecycle.domain.observations import Counts, Moments, add
from lifecycle.domain.policy import MetricQueries
from lifecycle.domain.slugs import is_slug
from lifecycle.domain.strategies import Gateway
from lifecycle.ports import Counter, PermanentError, Reading, ServerAnswer, TemporaryError

IDENTITY = ("instance", "job", "namespace", "pod", "container", "cluster")
MAX_INSTANCE = 200
MAX_THREADS = 8
MAX_SHOWN = 300
BUSINESS = "business"
"""The name of the business metric that a policy's queries give."""

_NAME = "__name__"
_TARGET = (_NAME, *IDENTITY, "slug", "version")
_EXPORTED = "exported_"

SERVER_METRICS = (
    "process_start_time_seconds",
    "stagegate_request_duration_seconds_bucket",
    "stagegate_predictions_total",
    "stagegate_prediction_value_bucket",
    "stagegate_feature_value_bucket",
    "stagegate_feature_category_total",
)
SERVERS = f'{{{_NAME}=~"{"|".join(SERVER_METRICS)}",slug="{{slug}}",version="{{version}}"}}'
"""A model server's own metrics; the scrape has added the labels slug and version."""

_TRAEFIK = 'service=~"{slug}--v{version}@.+"'
_ENVOY = 'envoy_cluster_name=~"(.*[^a-z0-9-])?{slug}--v{version}([^0-9].*)?"'
_ISTIO = 'reporter="source",destination_workload="{slug}--v{version}"'
REQUESTS = {
    Gateway.TRAEFIK: f"traefik_service_requests_total{{{_TRAEFIK}}}",
    Gateway.ENVOY: f"envoy_cluster_upstream_rq_total{{{_ENVOY}}}",
    Gateway.ISTIO: f"istio_requests_total{{{_ISTIO}}}",
}
ERRORS = {
    Gateway.TRAEFIK: f'traefik_service_requests_total{{{_TRAEFIK},code=~"5.."}}',
    Gateway.ENVOY: f'envoy_cluster_upstream_rq_xx{{{_ENVOY},envoy_response_code_class="5"}}',
    Gateway.ISTIO: f'istio_requests_total{{{_ISTIO},response_code=~"5.."}}',
}
"""What is asked where a policy has no query of its own. Istio tells of a request twice: what counts is what whoever
sent it has seen."""


@dataclass(frozen=True, slots=True)
class Series:
    """The value of one series at the moment that was asked for."""

    labels: Mapping[str, str]
    value: float

    @property
    def instance(self) -> str:
        """Who counted, in at most MAX_INSTANCE characters; "" where a query leaves nothing to tell it by."""
        told = ",".join(f"{name}={self.labels[name]}" for name in IDENTITY if self.labels.get(name))
        if len(told) <= MAX_INSTANCE:
            return told
        return f"{told[: MAX_INSTANCE - 17]} {hashlib.sha256(told.encode()).hexdigest()[:16]}"


class PrometheusMetrics:
    """The ``Metrics`` port on a Prometheus, or whatever speaks its HTTP API.

    ``url`` is its address, to which ``/api/v1/query`` is added; ``timeout`` in seconds bounds connecting, and again the
    answer, of every query. All queries of a reading are about the same moment, by Prometheus' own clock.
    """

    def __init__(self, url: str, *, timeout: float = 4.0) -> None:
        self._url = url.rstrip("/")
        self._timeout = timeout

    def read(self, slug: str, servers: Mapping[int, str], queries: MetricQueries) -> tuple[Reading, ...]:
        """Raises TemporaryError, and PermanentError for a query that Prometheus refuses or that gives no counters."""
        if not is_slug(slug):
            raise PermanentError(f"{slug!r} is not the name of a route")
        at = self._now()
        asked = [
            (version, ask)
            for version in servers
            for ask in (_gateway_part, _server_part, _latency_part, _business_part)
        ]
        with ThreadPoolExecutor(max(1, min(len(asked), MAX_THREADS))) as pool:
            jobs = [pool.submit(ask, _Asker(self._query, at, slug, version), queries) for version, ask in asked]
            parts = [reading for job in jobs for reading in job.result()]
        return tuple(_together([*parts, *_silent(parts, servers)]))

    def answers(self, url: str, *, after: int) -> tuple[ServerAnswer, ...]:
        """No Prometheus has them: the model server itself is asked."""
        return read_answers(url, after, self._timeout)

    def _now(self) -> float:
        """Prometheus' own clock: ours may be apart from it."""
        answer = self._ask("time()", None)
        try:
            return float(answer["result"][1])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise TemporaryError("Prometheus does not say what time it is") from error

    def _query(self, query: str, at: float) -> list[Series]:
        data = self._ask(query, at)
        if data.get("resultType") != "vector":
            raise PermanentError(
                f"Prometheus answers with a {data.get('resultType')}, not with one number a series, to {_shown(query)}"
            )
        return [_series(each, query) for each in data["result"]]

    def _ask(self, query: str, at: float | None) -> Mapping[str, Any]:
        about = {"query": query} if at is None else {"query": query, "time": f"{at:.3f}"}
        try:
            answer = get(f"{self._url}/api/v1/query?{urlencode(about)}", timeout=self._timeout)
        except TemporaryError as error:
            # The error behind it names the address, which may have a password in it.
            raise TemporaryError(f"Prometheus cannot be reached, or answers too late to {_shown(query)}") from error
        return _data(answer, query)


def _data(answer: Answer, query: str) -> Mapping[str, Any]:
    try:
        said = json.loads(answer.text)
        data = said["data"] if said["status"] == "success" else None
        why = str(said.get("error", ""))[:MAX_SHOWN]
    except (ValueError, KeyError, TypeError) as error:
        raise TemporaryError(f"what should be Prometheus answers {answer.status}, but not in its format") from error
    if isinstance(data, Mapping):
        return data
    if answer.status in (400, 422):
        raise PermanentError(f"Prometheus refuses {_shown(query)}: {why}")
    raise TemporaryError(f"Prometheus answers {answer.status} to {_shown(query)}: {why}")


def _series(raw: Any, query: str) -> Series:
    try:
        labels = {str(name): str(value) for name, value in raw["metric"].items()}
        value = float(raw["value"][1])
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise PermanentError(f"Prometheus does not answer with plain numbers to {_shown(query)}") from error
    if not math.isfinite(value):
        raise TemporaryError(f"Prometheus answers {value:g}, which is no count, to {_shown(query)}")
    return Series(labels, value)


def _shown(query: str) -> str:
    return f"“{query[:MAX_SHOWN]}”"


# ---------------------------------------------------------------- what is asked of one version


@dataclass(frozen=True, slots=True)
class _Asker:
    """Asks about one version at one moment."""

    query: Callable[[str, float], list[Series]]
    at: float
    slug: str
    version: int

    def __call__(self, text: str) -> list[Series]:
        """``text`` is PromQL with ``{slug}`` and ``{version}``: letters, digits and "-" break out of no string."""
        return self.query(text.replace("{slug}", self.slug).replace("{version}", str(self.version)), self.at)

    def counters(self, text: str) -> dict[str, list[Series]]:
        """By instance. A count that is below 0 is none."""
        found = self(text)
        if any(each.value < 0 for each in found):
            raise PermanentError(f"Prometheus answers with numbers below 0, which are no counts, to {_shown(text)}")
        return _by_instance(found)

    def reading(self, counter: Counter, instance: str, counts: Counts, epoch: float = 0.0) -> Reading:
        return Reading(self.version, counter, instance, counts, epoch)


def _gateway_part(ask: _Asker, queries: MetricQueries) -> list[Reading]:
    requests = ask.counters(queries.requests or REQUESTS[queries.gateway])
    errors = ask.counters(queries.errors or ERRORS[queries.gateway])
    began = _epochs(ask, requests)
    return [
        ask.reading(Counter.GATEWAY, instance, Counts(_total(seen), _total(errors.get(instance, ()))), began(seen))
        for instance, seen in requests.items()
    ]


def _epochs(ask: _Asker, counted: Mapping[str, Sequence[Series]]) -> Callable[[Sequence[Series]], float]:
    """When the process behind these series started, by the labels of its scrape; 0.0 where it does not say."""
    targets = {_target(each) for series in counted.values() for each in series} - {("", "")}
    if not targets:
        return lambda series: 0.0
    names = "|".join(sorted({re.escape(instance) for instance, _ in targets}))
    started = ask(f"process_start_time_seconds{{instance=~{_text(names)}}}")
    known = {_target(each): each.value for each in started}
    return lambda series: max((known.get(_target(each), 0.0) for each in series), default=0.0)


def _target(series: Series) -> tuple[str, str]:
    return series.labels.get("instance", ""), series.labels.get("job", "")


def _text(value: str) -> str:
    """A string of PromQL; its escapes are those of JSON but for the characters that are written as they are."""
    return json.dumps(value, ensure_ascii=False)


def _server_part(ask: _Asker, queries: MetricQueries) -> list[Reading]:
    """What the model servers of the version count themselves, as if each had been asked for its page."""
    readings = []
    for instance, series in ask.counters(SERVERS).items():
        page = "".join(map(_line, series))
        counts = model_metrics.counts(page)
        if queries.latency:
            counts = replace(counts, latency=None)
        readings.append(ask.reading(Counter.SERVER, instance, counts, model_metrics.started(page)))
    return readings


def _line(series: Series) -> str:
    """A line of a metrics page. A label of the server's own that a label of the scrape has pushed aside comes back."""
    own = {name: value for name, value in series.labels.items() if name not in _TARGET}
    own = {name.removeprefix(_EXPORTED): value for name, value in own.items()}
    labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in own.items())
    return f"{series.labels.get(_NAME, '')}{{{labels}}} {series.value!r}\n"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _latency_part(ask: _Asker, queries: MetricQueries) -> list[Reading]:
    if not queries.latency:
        return []
    seen = ask.counters(queries.latency)
    began = _epochs(ask, seen)
    return [
        ask.reading(Counter.SERVER, instance, Counts(latency=_histogram(series, queries.latency)), began(series))
        for instance, series in seen.items()
    ]


def _histogram(series: Iterable[Series], query: str) -> Distribution:
    """Buckets are cumulative, "le" is their upper edge and +Inf the last one."""
    buckets: defaultdict[float, float] = defaultdict(float)
    try:
        for each in series:
            buckets[float(each.labels["le"])] += each.value
    except (KeyError, ValueError) as error:
        raise PermanentError(f"there are no buckets, by the label le, in what comes to {_shown(query)}") from error
    edges = sorted(buckets)
    if len(edges) < 2 or edges[-1] != math.inf:
        raise PermanentError(f"there is no bucket +Inf beside others in what comes to {_shown(query)}")
    below = [0.0, *(buckets[edge] for edge in edges[:-1])]
    counts = tuple(max(buckets[edge] - before, 0.0) for edge, before in zip(edges, below, strict=True))
    return Distribution(counts, edges=tuple(edges[:-1]))


def _business_part(ask: _Asker, queries: MetricQueries) -> list[Reading]:
    """The three queries together tell how many values there were, how large, and how far apart."""
    if not (queries.business_count and queries.business_sum and queries.business_squares):
        return []
    count, squares = ask.counters(queries.business_count), ask.counters(queries.business_squares)
    total = _by_instance(ask(queries.business_sum))
    return [
        ask.reading(
            Counter.SERVER,
            instance,
            Counts(
                business={
                    BUSINESS: Moments(
                        count=_sum(seen),
                        total=_sum(total.get(instance, ())),
                        squares=_sum(squares.get(instance, ())),
                    )
                }
            ),
        )
        for instance, seen in count.items()
    ]


# ---------------------------------------------------------------- putting it together


def _by_instance(series: Iterable[Series]) -> dict[str, list[Series]]:
    found: defaultdict[str, list[Series]] = defaultdict(list)
    for each in series:
        found[each.instance].append(each)
    return dict(found)


def _sum(series: Iterable[Series]) -> float:
    return math.fsum(each.value for each in series)


def _total(series: Iterable[Series]) -> int:
    return round(_sum(series))


def _silent(parts: Sequence[Reading], versions: Iterable[int]) -> list[Reading]:
    """A gateway that tells of some versions, and of another nothing, has counted nothing of it since it began."""
    gateways = {each.instance: each.epoch for each in parts if each.counter == Counter.GATEWAY}
    told = {(each.version, each.instance) for each in parts if each.counter == Counter.GATEWAY}
    return [
        Reading(version, Counter.GATEWAY, instance, Counts(), epoch)
        for version in versions
        for instance, epoch in gateways.items()
        if (version, instance) not in told
    ]


def _together(parts: Iterable[Reading]) -> list[Reading]:
    """One reading a version, counter and instance: latency and business metrics may come from the same one."""
    merged: dict[tuple[int, Counter, str], Reading] = {}
    for part in parts:
        key = (part.version, part.counter, part.instance)
        before = merged.get(key)
        merged[key] = part if before is None else _joined(before, part)
    return list(merged.values())


def _joined(left: Reading, right: Reading) -> Reading:
    return replace(left, counts=add(left.counts, right.counts), epoch=max(left.epoch, right.epoch))
