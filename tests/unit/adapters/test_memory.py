"""The twins keep the same contracts as the real adapters, and their switches work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pytest

from lifecycle.adapters.memory import MemoryMetrics, MemoryRegistry, MemoryServing, MemoryTraffic
from lifecycle.domain.drift import Distribution
from lifecycle.domain.observations import Counts
from lifecycle.domain.policy import MetricQueries
from lifecycle.ports import (
    Backend,
    Metrics,
    PermanentError,
    Registry,
    ServerState,
    Serving,
    StickyBy,
    TemporaryError,
    Traffic,
    VersionDetails,
    VersionRef,
)
from tests.contract import metrics as metrics_contract
from tests.contract import registry as registry_contract
from tests.contract import serving as serving_contract
from tests.contract import traffic as traffic_contract

REF = VersionRef("iris", 1)
ROUTE = (Backend(1, "http://127.0.0.1:8200", 75), Backend(2, "http://127.0.0.1:8201", 25))


class RegistryWorld:
    def __init__(self, registry: MemoryRegistry) -> None:
        self._registry = registry

    def create_model(self, name: str, *, tags: Mapping[str, str] | None = None, description: str = "") -> None:
        self._registry.add_model(name, tags=tags, description=description)

    def create_version(
        self,
        name: str,
        *,
        tags: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
        params: Mapping[str, str] | None = None,
        signature: Mapping[str, Any] | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> VersionRef:
        has_run = metrics is not None or params is not None
        details = VersionDetails(
            metrics=metrics or {},
            params=params or {},
            run_name="run" if has_run else "",
            experiment_id="1" if has_run else "",
            signature=signature,
            flavors=("python_function",) if signature or files else (),
        )
        stored = {"MLmodel": b"flavors: {python_function: {}}\n", **(files or {})}
        return self._registry.add_version(name, tags=tags, details=details, files=stored).ref

    def delete_version(self, ref: VersionRef) -> None:
        self._registry.delete_version(ref)

    def delete_model(self, name: str) -> None:
        self._registry.delete_model(name)


class ServingWorld:
    def __init__(self, serving: MemoryServing) -> None:
        self._serving = serving

    def starts(self, ref: VersionRef, slug: str) -> int:
        return self._serving.starts[ref]

    def break_model(self, ref: VersionRef, slug: str) -> None:
        self._serving.broken.add(ref)

    def mend_model(self, ref: VersionRef, slug: str) -> None:
        self._serving.broken.remove(ref)


class TrafficWorld:
    def __init__(self, traffic: MemoryTraffic) -> None:
        self._traffic = traffic

    def url(self, version: int) -> str:
        return f"http://127.0.0.1:{8200 + version}"

    def send(self, slug: str, requests: int, *, failing: Collection[int] = ()) -> Counter[int]:
        return self._traffic.send(slug, requests, failing=failing)

    def again(self) -> Traffic:
        return self._traffic


@pytest.mark.parametrize("check", registry_contract.CHECKS, ids=lambda check: check.__name__)
def test_registry_contract(check: Callable[[Registry, registry_contract.World], None]) -> None:
    registry = MemoryRegistry()
    check(registry, RegistryWorld(registry))


def test_registry_downloads(tmp_path: Path) -> None:
    registry = MemoryRegistry()
    registry_contract.downloads_put_the_files_at_the_top(registry, RegistryWorld(registry), tmp_path)


@pytest.mark.parametrize("check", serving_contract.CHECKS, ids=lambda check: check.__name__)
def test_serving_contract(check: Callable[[Serving, serving_contract.World], None]) -> None:
    serving = MemoryServing()
    check(serving, ServingWorld(serving))


class MetricsWorld:
    queries = MetricQueries()

    def __init__(self, traffic: MemoryTraffic, metrics: MemoryMetrics) -> None:
        self._traffic, self._metrics = traffic, metrics
        self._metrics.silent.add(self.nobody())

    def url(self, version: int) -> str:
        return f"http://127.0.0.1:820{version}"

    def route(self, slug: str, weights: Mapping[int, int]) -> None:
        backends = tuple(Backend(version, self.url(version), weight) for version, weight in weights.items())
        self._traffic.apply(slug, backends, fence=1)

    def send(self, slug: str, requests: int, *, failing: Collection[int] = ()) -> Counter[int]:
        got = self._traffic.send(slug, requests, failing=failing)
        for version, number in got.items():
            self._metrics.count(self.url(version), Counts(latency=Distribution((float(number), 0.0), edges=(0.5,))))
        return got

    def nobody(self) -> str:
        return "http://127.0.0.1:8299"


@pytest.mark.parametrize("check", metrics_contract.CHECKS, ids=lambda check: check.__name__)
def test_metrics(check: Callable[[Metrics, metrics_contract.World], None]) -> None:
    metrics = MemoryMetrics(traffic := MemoryTraffic())
    check(metrics, MetricsWorld(traffic, metrics))


@pytest.mark.parametrize("check", traffic_contract.CHECKS, ids=lambda check: check.__name__)
def test_traffic_contract(check: Callable[[Traffic, traffic_contract.World], None]) -> None:
    traffic = MemoryTraffic()
    check(traffic, TrafficWorld(traffic))


@pytest.mark.parametrize(
    ("twin", "call"),
    [
        (MemoryRegistry(), lambda twin: twin.models(limit=1)),
        (MemoryServing(), lambda twin: twin.status(REF, slug="iris")),
        (MemoryTraffic(), lambda twin: twin.weights("iris")),
    ],
)
def test_twins_fail_when_told(twin: Any, call: Callable[[Any], object]) -> None:
    call(twin)
    twin.down = True
    with pytest.raises(TemporaryError):
        call(twin)
    twin.down = False
    twin.fail_next = PermanentError("no")
    with pytest.raises(PermanentError, match=r"^no$"):
        call(twin)
    call(twin)
    assert sum(twin.calls.values()) == 2


def test_a_failed_write_is_not_applied() -> None:
    traffic = MemoryTraffic()
    traffic.fail_next = TemporaryError("no")
    with pytest.raises(TemporaryError):
        traffic.apply("iris", ROUTE, fence=9)
    assert traffic.weights("iris") is None
    traffic.apply("iris", ROUTE, fence=1)


def test_a_gateway_that_does_not_apply() -> None:
    traffic = MemoryTraffic()
    traffic.apply("iris", ROUTE, fence=1)
    traffic.applies = False
    traffic.apply("iris", (Backend(2, "http://127.0.0.1:8201", 100),), fence=2)
    assert traffic.weights("iris") == {1: 75, 2: 25}
    traffic.catch_up()
    assert traffic.weights("iris") == {2: 100}


def test_weights_edited_by_hand_show() -> None:
    traffic = MemoryTraffic()
    traffic.apply("iris", ROUTE, fence=5)
    traffic.set_by_hand("iris", {1: 0, 2: 100})
    assert traffic.weights("iris") == {1: 0, 2: 100}
    assert traffic.send("iris", 4) == {2: 4}


def test_copies_are_counted_as_requests_of_the_mirror() -> None:
    traffic = MemoryTraffic()
    backends = (Backend(1, "http://127.0.0.1:8200", 100), Backend(2, "http://127.0.0.1:8201", 0))
    traffic.apply("iris", backends, fence=1, mirrors={2: 30}, sticky=StickyBy(cookie="c"))
    for _ in range(20):
        assert traffic.send("iris", 1, failing={2}) == {1: 1}
    counted = traffic.counted["iris"]
    assert [(counted[version].requests, counted[version].errors) for version in (1, 2)] == [(20, 0), (6, 6)]
    assert traffic.sticky == {"iris": StickyBy(cookie="c")}


def test_a_restarted_gateway_counts_from_nothing() -> None:
    traffic = MemoryTraffic()
    traffic.apply("iris", ROUTE, fence=1)
    traffic.send("iris", 8)
    traffic.restart()
    assert traffic.counted == {}
    assert traffic.weights("iris") == {1: 75, 2: 25}


def test_a_server_that_takes_its_time() -> None:
    serving = MemoryServing(loads_at_once=False)
    serving.ensure(REF, slug="iris")
    assert serving.status(REF, slug="iris").state == ServerState.STARTING
    serving.finish_loading(REF)
    serving.in_flight[REF] = 3
    ready = serving.status(REF, slug="iris")
    assert (ready.state, ready.in_flight) == (ServerState.READY, 3)
    serving.crash(REF, "out of memory")
    assert serving.status(REF, slug="iris").detail == "out of memory"


def test_a_server_that_was_started_anew_gives_all_the_answers_that_it_has() -> None:
    metrics, url = MemoryMetrics(MemoryTraffic()), "http://127.0.0.1:8201"
    for key in "abc":
        metrics.answer(url, key, "setosa")
    assert [each.key for each in metrics.answers(url, after=2)] == ["c"]
    assert metrics.answers(url, after=3) == ()
    metrics.restart_server(url)
    metrics.answer(url, "d", "setosa")
    assert [each.key for each in metrics.answers(url, after=3)] == ["d"]
