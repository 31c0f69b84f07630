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

from lifecycle.ports import Backend, FencedError, PermanentError, StickyBy, Traffic
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


def shift(
    traffic: Traffic,
    world: World,
    slug: str,
    weights: Mapping[int, int],
    *,
    fence: int = 1,
    mirrors: Mapping[int, int] | None = None,
    sticky: StickyBy | None = None,
) -> None:
    """Apply weights, and mirrors where they matter, and wait until the gateway says that they are in force."""
    traffic.apply(slug, backends(world, weights), fence=fence, mirrors=mirrors, sticky=sticky)
    eventually(lambda: traffic.weights(slug), lambda seen: seen == weights)
    if mirrors is not None:
        eventually(lambda: traffic.mirrors(slug), lambda seen: seen == mirrors)


def an_unknown_route_has_no_weights(traffic: Traffic, world: World) -> None:
    slug = new_slug()
    assert traffic.weights(slug) is None
    assert traffic.mirrors(slug) == {}


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


def mirrors_are_read_back(traffic: Traffic, world: World) -> None:
    slug = new_slug()
    for mirrors in ({2: 100}, {2: 50, 3: 1}, {}, {3: 10}):
        shift(traffic, world, slug, {1: 100, 2: 0, 3: 0}, mirrors=mirrors)
        assert (traffic.weights(slug), traffic.mirrors(slug)) == ({1: 100, 2: 0, 3: 0}, mirrors)
    shift(traffic, world, slug, {1: 0, 3: 100}, mirrors={})


def copies_are_answered_to_nobody(traffic: Traffic, world: World) -> None:
    slug = new_slug()
    shift(traffic, world, slug, {1: 100, 2: 0}, mirrors={2: 100})
    assert world.send(slug, 20, failing={2}) == {1: 20}


def users_are_kept_and_new_ones_follow_the_weights(traffic: Traffic, world: World) -> None:
    """What is sent here comes from a new user each time."""
    slug = new_slug()
    for sticky in (StickyBy(cookie="variant"), StickyBy(header="X-User"), StickyBy(), None):
        shift(traffic, world, slug, {1: 50, 2: 50}, sticky=sticky)
        assert world.send(slug, 20) == {1: 10, 2: 10}
        shift(traffic, world, slug, {1: 100, 2: 0}, sticky=sticky)
        assert world.send(slug, 5) == {1: 5}


def what_is_no_route_is_refused(traffic: Traffic, world: World) -> None:
    slug = new_slug()
    url = world.url(1)
    for name in ("", "a--b", "../x", "a/b", "UPPER", "a b", "a`b", "-a", "a\n", "x" * 64):
        for call in (
            lambda name=name: traffic.apply(name, (Backend(1, url, 100),), fence=1),
            lambda name=name: traffic.weights(name),
            lambda name=name: traffic.mirrors(name),
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
    route = backends(world, {1: 100, 2: 0})
    for mirrors in ({1: 100}, {3: 100}, {2: 0}, {2: 101}, {2: -1}):
        with pytest.raises(PermanentError, match="copies"):
            traffic.apply(slug, route, fence=1, mirrors=mirrors)
    for sticky in (
        StickyBy("a", "b"),
        StickyBy("a b"),
        StickyBy(header="a`b"),
        StickyBy("-"),
        StickyBy(header="x" * 61),
    ):
        with pytest.raises(PermanentError, match="cookie or"):
            traffic.apply(slug, route, fence=1, sticky=sticky)
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
    mirrors_are_read_back,
    copies_are_answered_to_nobody,
    users_are_kept_and_new_ones_follow_the_weights,
    what_is_no_route_is_refused,
)
