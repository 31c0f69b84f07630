"""What a real Traefik and the model servers tell of themselves, and what is made of it when they tell nothing."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from lifecycle.adapters.local_gateway import TraefikTraffic
from lifecycle.adapters.local_metrics import LocalMetrics
from lifecycle.domain.policy import MetricQueries
from lifecycle.ports import Backend, Metrics, TemporaryError
from lifecycle.ports import Counter as CountedBy
from tests.contract import metrics as contract
from tests.contract.traffic import new_slug, shift
from tests.contract.waiting import eventually
from tests.integration.adapters.services import Gateway, TrafficWorld, free_port

pytestmark = pytest.mark.integration

QUERIES = MetricQueries()


def adapter(gateway: Gateway, *, timeout: float = 10.0) -> LocalMetrics:
    return LocalMetrics(f"http://127.0.0.1:{gateway.api_port}", timeout=timeout)


class MetricsWorld:
    queries = QUERIES

    def __init__(self, world: TrafficWorld) -> None:
        self._world = world

    def url(self, version: int) -> str:
        return self._world.url(version)

    def route(self, slug: str, weights: Mapping[int, int]) -> None:
        shift(self._world.again(), self._world, slug, weights)

    def send(self, slug: str, requests: int, *, failing: Collection[int] = ()) -> Counter[int]:
        return self._world.send(slug, requests, failing=failing)

    def nobody(self) -> str:
        return f"http://127.0.0.1:{free_port()}"


@pytest.fixture
def metrics(gateway: Gateway) -> LocalMetrics:
    return adapter(gateway)


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
def test_contract(check: Callable[[Metrics, contract.World], None], metrics: LocalMetrics, world: TrafficWorld) -> None:
    check(metrics, MetricsWorld(world))


def gateway_counts(metrics: LocalMetrics, slug: str, versions: Collection[int] = (1, 2)) -> dict[int, tuple[int, int]]:
    read = metrics.read(slug, dict.fromkeys(versions, ""), QUERIES)
    return {each.version: (each.counts.requests, each.counts.errors) for each in read}


def test_both_tell_when_their_counting_began(metrics: LocalMetrics, world: TrafficWorld) -> None:
    read = metrics.read(new_slug(), {1: world.url(1)}, QUERIES)
    assert {reading.counter for reading in read} == {CountedBy.GATEWAY, CountedBy.SERVER}
    for reading in read:
        assert time.time() - 3600 < reading.epoch < time.time()


def test_a_version_that_no_route_names_any_more_is_read_as_nothing(
    metrics: LocalMetrics, traffic: TraefikTraffic, world: TrafficWorld
) -> None:
    """Its counter is shown once more, and begins again from 0 when the version comes back."""
    slug = new_slug()
    shift(traffic, world, slug, {1: 50, 2: 50})
    world.send(slug, 20)
    shift(traffic, world, slug, {1: 100, 2: 0})
    assert [gateway_counts(metrics, slug)[2] for _ in range(3)] == [(10, 0)] * 3
    shift(traffic, world, slug, {1: 100})
    eventually(lambda: gateway_counts(metrics, slug), lambda seen: seen == {1: (10, 0), 2: (0, 0)})
    shift(traffic, world, slug, {1: 50, 2: 50})
    world.send(slug, 4)
    assert gateway_counts(metrics, slug) == {1: (12, 0), 2: (2, 0)}


def test_an_attempt_that_failed_counts_as_an_error_of_its_version(
    metrics: LocalMetrics, traffic: TraefikTraffic, world: TrafficWorld
) -> None:
    slug = new_slug()
    dead = Backend(2, f"http://127.0.0.1:{free_port()}", 20)
    traffic.apply(slug, (Backend(1, world.url(1), 80), dead), fence=1)
    eventually(lambda: traffic.weights(slug), lambda seen: seen == {1: 80, 2: 20})
    assert world.send(slug, 50) == {1: 50}
    seen = gateway_counts(metrics, slug)
    assert seen[1] == (50, 0)
    assert seen[2][0] == seen[2][1] > 0


def test_a_server_of_another_version_counts_for_nobody(metrics: LocalMetrics, world: TrafficWorld) -> None:
    read = metrics.read(new_slug(), {1: world.url(2)}, QUERIES)
    assert [reading.counter for reading in read] == [CountedBy.GATEWAY]


def test_servers_that_hang_cost_one_time_out_together(gateway: Gateway, world: TrafficWorld) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(4)]
        hanging = {3 + index: f"http://127.0.0.1:{each.getsockname()[1]}" for index, each in enumerate(silent)}
        began = time.monotonic()
        read = adapter(gateway, timeout=1).read(new_slug(), {1: world.url(1), **hanging}, QUERIES)
        assert time.monotonic() - began < 3
    assert [reading.version for reading in read if reading.counter == CountedBy.SERVER] == [1]
    assert {reading.version for reading in read if reading.counter == CountedBy.GATEWAY} == {1, 3, 4, 5, 6}


@pytest.mark.parametrize("hangs", [True, False], ids=["hangs", "is down"])
def test_without_the_gateway_nothing_is_read(world: TrafficWorld, tmp_path: Path, hangs: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1] if hangs else free_port()
        metrics = LocalMetrics(f"http://127.0.0.1:{port}", timeout=0.3)
        with pytest.raises(TemporaryError):
            metrics.read("iris", {1: world.url(1)}, QUERIES)
