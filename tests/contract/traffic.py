"""What every ``Traffic`` must do, whatever gateway stands behind it.

A test module parametrizes over ``CHECKS`` and hands each check a gateway and a world: users who send requests, and
addresses where versions 1, 2 and 3 answer.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

import pytest

from lifecycle.ports import Backend, FencedError, PermanentError, Traffic
from tests.contract.waiting import eventually


class World(Protocol):
    def url(self, version: int) -> str:
        """Where version 1, 2 or 3 answers."""

    def send(self, slug: str, requests: int, *, failing: Collection[int] = ()) -> Counter[int]:
        """Send requests to the route, one after the other; how many each version answered.

        Versions in ``failing`` answer with an error 500. Requests that no version answered are not counted.
        """

    def again(self) -> Traffic:
        """The same gateway, as a worker that has just started sees it."""


def new_slug() -> str:
    return f"model-{uuid.uuid4().hex[:10]}"


def backends(world: World, weights: Mapping[int, int]) -> tuple[Backend, ...]:
    return tuple(Backend(version, world.url(version), weight) for version, weight in weights.items())


def shift(traffic: Traffic, world: World, slug: str, weights: Mapping[int, int], *, fence: int = 1) -> None:
    """Apply weights and wait until the gateway says that they are in force."""
    traffic.apply(slug, backends(world, weights), fence=fence)
    eventually(lambda: traffic.weights(slug), lambda seen: seen == weights)


def an_unknown_route_has_no_weights(traffic: Traffic, world: World) -> None:
    slug = new_slug()
    assert traffic.weights(slug) is None
    assert traffic.counts(slug) == {}


def weights_are_read_back(traffic: Traffic, world: World) -> None:
    slug = new_slug()
    for weights in ({1: 100}, {1: 95, 2: 5}, {1: 75, 2: 25}, {1: 0, 2: 100}, {2: 100}, {1: 20, 2: 30, 3: 50}):
        shift(traffic, world, slug, weights)
        assert traffic.weights(slug) == weights


def requests_follow_the_weights(traffic: Traffic, world: World) -> None:
    slug = new_slug()
    shift(traffic, world, slug, {1: 90, 2: 10, 3: 0})
    got = world.send(slug, 100)
    assert got[3] == 0
    assert 88 <= got[1] <= 92
    assert got[1] + got[2] == 100


def no_request_goes_to_weight_zero(traffic: Traffic, world: World) -> None:
    slug = new_slug()
    shift(traffic, world, slug, {1: 50, 2: 50})
    world.send(slug, 10)
    shift(traffic, world, slug, {1: 100, 2: 0})
    assert world.send(slug, 30) == {1: 30}


def weights_of_zero_serve_nobody(traffic: Traffic, world: World) -> None:
    slug = new_slug()
    shift(traffic, world, slug, {1: 100})
    shift(traffic, world, slug, {1: 0, 2: 0})
    assert world.send(slug, 5) == {}
    shift(traffic, world, slug, {1: 0, 2: 100})
    assert world.send(slug, 5) == {2: 5}


def a_route_may_have_no_backends(traffic: Traffic, world: World) -> None:
    slug = new_slug()
    shift(traffic, world, slug, {1: 100})
    shift(traffic, world, slug, {})
    assert world.send(slug, 3) == {}


def applying_the_same_again_changes_nothing(traffic: Traffic, world: World) -> None:
    slug = new_slug()
    for fence in (1, 1, 2):
        shift(traffic, world, slug, {1: 60, 2: 40}, fence=fence)
    assert sum(world.send(slug, 10).values()) == 10


def a_lower_fence_is_refused(traffic: Traffic, world: World) -> None:
    slug = new_slug()
    shift(traffic, world, slug, {1: 100}, fence=7)
    for late in (traffic, world.again()):
        with pytest.raises(FencedError):
            late.apply(slug, backends(world, {2: 100}), fence=6)
    assert traffic.weights(slug) == {1: 100}
    shift(traffic, world, slug, {1: 50, 2: 50}, fence=7)
    shift(traffic, world, slug, {2: 100}, fence=8)


def a_fence_holds_for_one_route_only(traffic: Traffic, world: World) -> None:
    fenced, other = new_slug(), new_slug()
    shift(traffic, world, fenced, {1: 100}, fence=50)
    shift(traffic, world, other, {2: 100}, fence=1)
    assert (traffic.weights(fenced), traffic.weights(other)) == ({1: 100}, {2: 100})


def counts_grow_by_version(traffic: Traffic, world: World) -> None:
    slug = new_slug()
    shift(traffic, world, slug, {1: 50, 2: 50})
    world.send(slug, 20)
    world.send(slug, 10, failing={2})
    counts = eventually(lambda: traffic.counts(slug), lambda seen: sum(each.requests for each in seen.values()) == 30)
    assert (counts[1].requests, counts[1].errors) == (15, 0)
    assert (counts[2].requests, counts[2].errors) == (15, 5)


def what_is_no_route_is_refused(traffic: Traffic, world: World) -> None:
    slug = new_slug()
    url = world.url(1)
    for name in ("", "a--b", "../x", "a/b", "UPPER", "a b", "a`b", "-a", "a\n", "x" * 64):
        for call in (
            lambda name=name: traffic.apply(name, (Backend(1, url, 100),), fence=1),
            lambda name=name: traffic.weights(name),
            lambda name=name: traffic.counts(name),
        ):
            with pytest.raises(PermanentError):
                call()
    wrong = (
        (Backend(1, url, 99),),
        (Backend(1, url, 60), Backend(2, url, 60)),
        (Backend(1, url, 150), Backend(2, url, -50)),
        (Backend(1, url, 50), Backend(1, url, 50)),
        (Backend(-1, url, 100),),
        (Backend(1, "", 100),),
        (Backend(1, "file:///etc/passwd", 100),),
        (Backend(1, "http://", 100),),
        (Backend(1, "http://127.0.0.1:port", 100),),
    )
    for each in wrong:
        with pytest.raises(PermanentError):
            traffic.apply(slug, each, fence=1)
    assert traffic.weights(slug) is None


CHECKS: tuple[Callable[[Traffic, World], None], ...] = (
    an_unknown_route_has_no_weights,
    weights_are_read_back,
    requests_follow_the_weights,
    no_request_goes_to_weight_zero,
    weights_of_zero_serve_nobody,
    a_route_may_have_no_backends,
    applying_the_same_again_changes_nothing,
    a_lower_fence_is_refused,
    a_fence_holds_for_one_route_only,
    counts_grow_by_version,
    what_is_no_route_is_refused,
)
