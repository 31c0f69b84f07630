"""What every ``Metrics`` must do, whoever keeps the numbers.

A test module parametrizes over ``CHECKS`` and hands each check the port and a world: a gateway with users, and
addresses where versions 1 and 2 answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

import pytest

from lifecycle.domain.observations import Counts, add
from lifecycle.domain.policy import MetricQueries
from lifecycle.ports import Metrics, PermanentError, TemporaryError
from tests.contract.traffic import new_slug
from tests.contract.waiting import eventually


class World(Protocol):
    queries: MetricQueries

    def url(self, version: int) -> str:
        """Where version 1 or 2 answers."""

    def route(self, slug: str, weights: Mapping[int, int]) -> None:
        """Make the gateway share out the requests to the route so; return when it does."""

    def send(self, slug: str, requests: int, *, failing: Collection[int] = ()) -> Counter[int]:
        """Send requests to the route; how many each version answered. Those in ``failing`` answer with an error 500.

        Every answer is timed, by the model server or by the gateway.
        """

    def nobody(self) -> str:
        """An address where nothing answers."""


def counted(metrics: Metrics, world: World, slug: str, versions: Collection[int] = (1, 2)) -> dict[int, Counts]:
    """What all counters together have counted of each version."""
    found: dict[int, Counts] = {}
    for reading in metrics.read(slug, {version: world.url(version) for version in versions}, world.queries):
        found[reading.version] = add(found.get(reading.version, Counts()), reading.counts)
    return found


def timed(counts: Counts) -> float:
    return counts.latency.total if counts.latency else 0.0


def nothing_is_counted_of_an_unknown_route(metrics: Metrics, world: World) -> None:
    found = counted(metrics, world, new_slug())
    assert all((each.requests, each.errors) == (0, 0) for each in found.values())


def requests_and_errors_grow_by_version(metrics: Metrics, world: World) -> None:
    slug = new_slug()
    world.route(slug, {1: 50, 2: 50})
    world.send(slug, 20)
    world.send(slug, 10, failing={2})
    seen = eventually(
        lambda: counted(metrics, world, slug), lambda found: sum(each.requests for each in found.values()) == 30
    )
    assert (seen[1].requests, seen[1].errors) == (15, 0)
    assert (seen[2].requests, seen[2].errors) == (15, 5)


def every_answer_is_timed(metrics: Metrics, world: World) -> None:
    slug = new_slug()
    world.route(slug, {1: 100, 2: 0})
    before = counted(metrics, world, slug, [1]).get(1, Counts())
    world.send(slug, 7)
    eventually(lambda: timed(counted(metrics, world, slug, [1])[1]) - timed(before), lambda grown: grown == 7)


def only_the_versions_asked_for_are_read(metrics: Metrics, world: World) -> None:
    slug = new_slug()
    world.route(slug, {1: 50, 2: 50})
    world.send(slug, 4)
    seen = eventually(lambda: counted(metrics, world, slug, [2]), lambda found: bool(found) and found[2].requests == 2)
    assert set(seen) == {2}


def a_counter_that_goes_on_keeps_its_name_and_its_epoch(metrics: Metrics, world: World) -> None:
    """Whoever counts may tell of its first requests one after another: all that is said of them is waited for."""
    slug = new_slug()
    world.route(slug, {1: 100})
    before = timed(counted(metrics, world, slug, [1]).get(1, Counts()))

    def names_after(requests: int) -> set[tuple[str, str, float]]:
        world.send(slug, 3)
        seen = eventually(
            lambda: metrics.read(slug, {1: world.url(1)}, world.queries),
            lambda found: (
                sum(reading.counts.requests for reading in found) == requests
                and sum(timed(reading.counts) for reading in found) == before + requests
            ),
        )
        return {(reading.counter, reading.instance, reading.epoch) for reading in seen}

    assert names_after(3) == names_after(6)


def a_server_that_does_not_answer_keeps_no_other_counts_back(metrics: Metrics, world: World) -> None:
    slug = new_slug()
    world.route(slug, {1: 50, 2: 50})
    world.send(slug, 4)
    servers = {1: world.nobody(), 2: world.url(2)}

    def seen() -> int:
        return sum(reading.counts.requests for reading in metrics.read(slug, servers, world.queries))

    eventually(seen, lambda requests: requests == 4)


def a_server_that_does_not_answer_has_no_answers(metrics: Metrics, world: World) -> None:
    with pytest.raises(TemporaryError):
        metrics.answers(world.nobody(), after=0)


def what_is_no_route_is_refused(metrics: Metrics, world: World) -> None:
    for name in ("", "a--b", "../x", "UPPER", 'a"b', "a{b", "a\n"):
        with pytest.raises(PermanentError):
            metrics.read(name, {}, world.queries)


CHECKS: tuple[Callable[[Metrics, World], None], ...] = (
    nothing_is_counted_of_an_unknown_route,
    requests_and_errors_grow_by_version,
    every_answer_is_timed,
    only_the_versions_asked_for_are_read,
    a_counter_that_goes_on_keeps_its_name_and_its_epoch,
    a_server_that_does_not_answer_keeps_no_other_counts_back,
    a_server_that_does_not_answer_has_no_answers,
    what_is_no_route_is_refused,
)
