"""A real Prometheus (Debian's package, or the binary that STAGEGATE_TEST_PROMETHEUS names) that collects from a real
Traefik and from model servers."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

import pytest

from lifecycle.adapters.prometheus import PrometheusMetrics
from lifecycle.domain.drift import Distribution
from lifecycle.domain.policy import MetricQueries
from lifecycle.ports import Counter as CountedBy
from lifecycle.ports import Metrics, PermanentError, Reading, TemporaryError
from tests.contract import metrics as contract
from tests.contract.traffic import new_slug, shift
from tests.contract.waiting import eventually
from tests.integration.adapters.prometheus_server import PROGRAM, SLUG, Prometheus, program
from tests.integration.adapters.services import MODEL_SERVER, TrafficWorld, free_port, running

pytestmark = pytest.mark.integration

SHORT_LIVED = 4
BUCKETS = 'stagegate_request_duration_seconds_bucket{version="{version}"}'


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prometheus")


@pytest.fixture(scope="module")
def ending(home: Path) -> Iterator[tuple[int, int]]:
    """The port and the process of a model server that a test may end."""
    port = free_port()
    command = [sys.executable, str(MODEL_SERVER), f"--version={SHORT_LIVED}", f"--port={port}"]
    with running(command, home / "server.log", port) as pid:
        yield port, pid


@pytest.fixture(scope="module")
def prometheus(world: TrafficWorld, home: Path, ending: tuple[int, int]) -> Iterator[Prometheus]:
    binary = program()
    if binary is None:
        pytest.skip(f"there is no Prometheus here: install Debian's package, or name its binary in {PROGRAM}")
    made = Prometheus(home, world.gateway.api_port, {**world.ports, SHORT_LIVED: ending[0]})
    with made.started(binary):
        yield made


@pytest.fixture
def metrics(prometheus: Prometheus) -> PrometheusMetrics:
    return PrometheusMetrics(prometheus.url, timeout=10)


class MetricsWorld:
    """The model servers are the same whatever the route, so their latency is asked for without a slug."""

    queries = MetricQueries(latency=BUCKETS)

    def __init__(self, world: TrafficWorld, prometheus: Prometheus) -> None:
        self._world = world
        self._prometheus = prometheus

    def url(self, version: int) -> str:
        return self._world.url(version)

    def route(self, slug: str, weights: Mapping[int, int]) -> None:
        shift(self._world.again(), self._world, slug, weights)

    def send(self, slug: str, requests: int, *, failing: Collection[int] = ()) -> Counter[int]:
        got = self._world.send(slug, requests, failing=failing)
        self._prometheus.collected()
        return got

    def nobody(self) -> str:
        return f"http://127.0.0.1:{free_port()}"


@pytest.fixture
def scraped(world: TrafficWorld, prometheus: Prometheus) -> MetricsWorld:
    return MetricsWorld(world, prometheus)


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
def test_contract(
    check: Callable[[Metrics, contract.World], None], metrics: PrometheusMetrics, scraped: MetricsWorld
) -> None:
    check(metrics, scraped)


def test_the_servers_own_metrics_come_by_the_labels_of_the_scrape(
    metrics: PrometheusMetrics, scraped: MetricsWorld
) -> None:
    """Those of other versions and other models stay out, and their process tells when the counting began."""
    scraped.route("elsewhere", {1: 100})
    scraped.send("elsewhere", 3)
    (reading,) = metrics.read(SLUG, {1: "", 7: ""}, MetricQueries())
    assert (reading.version, reading.counter) == (1, CountedBy.SERVER)
    assert reading.counts.latency is not None
    assert reading.counts.latency.edges == (0.25, 0.5)
    assert reading.counts.latency.total >= 3
    assert time.time() - 3600 < reading.epoch < time.time()
    assert metrics.read("other", {1: ""}, MetricQueries()) == ()


def test_a_gateway_that_tells_of_one_version_has_counted_nothing_of_the_other(
    metrics: PrometheusMetrics, scraped: MetricsWorld
) -> None:
    slug = new_slug()
    scraped.route(slug, {1: 100})
    scraped.send(slug, 2)

    def read() -> tuple[Reading, ...]:
        return metrics.read(slug, {1: "", 2: ""}, MetricQueries())

    seen = eventually(read, lambda found: any(each.counts.requests for each in found))
    assert {(each.version, each.counts.requests) for each in seen} == {(1, 2), (2, 0)}
    assert len({(each.instance, each.epoch) for each in seen}) == 1


def test_a_server_that_has_ended_is_left_out(
    metrics: PrometheusMetrics, prometheus: Prometheus, ending: tuple[int, int]
) -> None:
    """Prometheus marks its series as ended: what it told last is not taken for what it tells now."""
    assert [each.version for each in metrics.read(SLUG, {SHORT_LIVED: ""}, MetricQueries())] == [SHORT_LIVED]
    os.kill(ending[1], signal.SIGKILL)
    prometheus.answering -= 1
    eventually(lambda: metrics.read(SLUG, {SHORT_LIVED: ""}, MetricQueries()), lambda seen: seen == ())


def test_business_metrics_come_by_the_policys_queries(metrics: PrometheusMetrics) -> None:
    """Any counters will do; a total may be below 0."""
    queries = MetricQueries(
        business_count='count by (job) (up{version="{version}"})',
        business_sum='sum by (job) (up{version="{version}"}) * -5',
        business_squares='sum by (job) (up{version="{version}"}) * 25',
    )
    (reading,) = [each for each in metrics.read("other", {1: ""}, queries) if each.counts.business]
    moments = reading.counts.business["business"]
    assert (moments.count, moments.total, moments.squares) == (1, -5, 25)
    assert reading.instance == "job=servers"


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("rate(x{version={version}}[", "refuses “rate"),
        ('up{version="{version}"}[1m]', "with a matrix"),
        ('"{version}"', "with a string"),
        ("vector({version} * -1)", "below 0"),
    ],
)
def test_a_query_that_gives_no_counters_is_named(metrics: PrometheusMetrics, query: str, why: str) -> None:
    with pytest.raises(PermanentError, match=why):
        metrics.read("iris", {1: ""}, MetricQueries(requests=query))


def test_buckets_are_what_a_latency_query_has_to_give(metrics: PrometheusMetrics) -> None:
    with pytest.raises(PermanentError, match="no buckets"):
        metrics.read("iris", {1: ""}, MetricQueries(latency='up{version="{version}"}'))


def test_without_prometheus_nothing_is_read() -> None:
    metrics = PrometheusMetrics(f"http://user:secret@127.0.0.1:{free_port()}", timeout=1)
    with pytest.raises(TemporaryError) as caught:
        metrics.read("iris", {1: ""}, MetricQueries())
    assert "secret" not in str(caught.value)


def test_buckets_of_several_series_of_an_instance_add_up(metrics: PrometheusMetrics, scraped: MetricsWorld) -> None:
    twice = f'{BUCKETS} or label_replace({BUCKETS}, "of", "another code", "", "")'
    ((one,), (two,)) = (metrics.read("other", {1: ""}, MetricQueries(latency=each)) for each in (BUCKETS, twice))
    assert one.counts.latency is not None
    assert two.counts.latency == Distribution(
        tuple(2 * count for count in one.counts.latency.counts), edges=one.counts.latency.edges
    )
