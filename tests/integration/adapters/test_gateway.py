"""What a real Traefik does with the files that we write: how fast, and what users notice."""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lifecycle.adapters.files import write_atomically
from lifecycle.adapters.local_gateway import TraefikTraffic
from lifecycle.ports import Backend, PermanentError, TemporaryError
from tests.contract.traffic import backends, new_slug, shift
from tests.contract.waiting import eventually
from tests.integration.adapters.services import Crowd, Gateway, TrafficWorld, User, free_port, model_server

pytestmark = pytest.mark.integration


def test_shifts_are_in_force_and_shown_within_a_moment(traffic: TraefikTraffic, world: TrafficWorld) -> None:
    """Typically far below 300 ms; the bound leaves room for a busy machine."""
    slug = new_slug()
    shift(traffic, world, slug, {1: 100, 2: 0})
    seconds = []
    for share in range(5, 105, 5):
        began = time.perf_counter()
        shift(traffic, world, slug, {1: 100 - share, 2: share})
        seconds.append(time.perf_counter() - began)
    typical, worst = statistics.median(seconds) * 1000, max(seconds) * 1000
    print(f"\nfrom apply() to weights(): median {typical:.0f} ms, worst {worst:.0f} ms of {len(seconds)} shifts")
    assert typical < 300
    assert worst < 2000


def test_requests_follow_from_the_moment_that_weights_are_shown(traffic: TraefikTraffic, world: TrafficWorld) -> None:
    slug = new_slug()
    shift(traffic, world, slug, {1: 100, 2: 0})
    with User(world.gateway) as user:
        for turn in range(40):
            good = 2 - turn % 2
            shift(traffic, world, slug, {good: 100, 3 - good: 0})
            assert user.post(slug) == (200, good)


def test_no_request_fails_through_a_hundred_shifts(traffic: TraefikTraffic, world: TrafficWorld) -> None:
    slug = new_slug()
    shift(traffic, world, slug, {1: 100, 2: 0})
    with Crowd(world.gateway, slug) as crowd:
        for turn in range(100):
            share = (turn * 37) % 101
            shift(traffic, world, slug, {1: 100 - share, 2: share})
    print(f"\n{crowd.answers.total()} requests through 100 shifts: {dict(crowd.answers)}")
    assert crowd.failed == {}
    assert crowd.answers.total() > 500
    assert crowd.answers[200, 1] > 0 < crowd.answers[200, 2]


def test_a_request_in_flight_survives_the_end_of_its_version(traffic: TraefikTraffic, world: TrafficWorld) -> None:
    slug = new_slug()
    shift(traffic, world, slug, {1: 0, 2: 100})
    answers: list[tuple[int, int | None]] = []

    def slow() -> None:
        with User(world.gateway) as user:
            answers.append(user.post(slug, X_Sleep="1"))

    thread = threading.Thread(target=slow)
    before = in_flight(world, 2)
    thread.start()
    eventually(lambda: in_flight(world, 2), lambda seen: seen > before)
    shift(traffic, world, slug, {1: 100})
    assert world.send(slug, 5) == {1: 5}
    thread.join()
    assert answers == [(200, 2)]


def in_flight(world: TrafficWorld, version: int) -> float:
    port = world.ports[version]
    text = Gateway(world.gateway.home, port=port, api_port=port).api("/metrics")
    return float(text.split()[1])


def test_a_dead_canary_costs_no_request(traffic: TraefikTraffic, world: TrafficWorld) -> None:
    """Until the first health check has run Traefik believes that the canary lives; retries cover that time."""
    slug = new_slug()
    dead = Backend(2, f"http://127.0.0.1:{free_port()}", 20)
    traffic.apply(slug, (Backend(1, world.url(1), 80), dead), fence=1)
    eventually(lambda: traffic.weights(slug), lambda seen: seen == {1: 80, 2: 20})
    assert world.gateway.server_status(slug, 2) in ({}, {dead.url: "UP"})
    assert world.send(slug, 50) == {1: 50}
    counts = traffic.counts(slug)
    assert (counts[1].requests, counts[1].errors) == (50, 0)
    assert counts[2].requests == counts[2].errors > 0


def test_health_checks_take_a_dead_stable_version_out(traffic: TraefikTraffic, world: TrafficWorld) -> None:
    slug = new_slug()
    dead = Backend(2, f"http://127.0.0.1:{free_port()}", 95)
    traffic.apply(slug, (Backend(1, world.url(1), 5), dead), fence=1)
    eventually(lambda: world.gateway.server_status(slug, 2), lambda seen: seen == {dead.url: "DOWN"})
    assert world.send(slug, 50) == {1: 50}
    assert traffic.weights(slug) == {1: 5, 2: 95}


def test_a_server_that_comes_back_gets_requests_again(
    traffic: TraefikTraffic, world: TrafficWorld, tmp_path: Path
) -> None:
    slug = new_slug()
    with model_server(4, tmp_path / "log") as port:
        url = f"http://127.0.0.1:{port}"
        traffic.apply(slug, (Backend(4, url, 100),), fence=1)
        eventually(lambda: world.send(slug, 1), lambda seen: seen == {4: 1})
    eventually(lambda: world.gateway.server_status(slug, 4), lambda seen: seen == {url: "DOWN"})
    assert world.send(slug, 1) == {}


@pytest.mark.parametrize("reads", [True, False], ids=["after reading it", "before reading it"])
def test_a_request_is_never_sent_twice(traffic: TraefikTraffic, world: TrafficWorld, reads: bool) -> None:
    """A server that drops a connection may have worked on the request, so nobody may send it again."""
    slug = new_slug()
    with dropping_server(reads=reads) as (url, posts):
        traffic.apply(slug, (Backend(1, url, 100),), fence=1)
        eventually(lambda: traffic.weights(slug), lambda seen: seen == {1: 100})
        with User(world.gateway) as user:
            assert user.post(slug)[0] in (502, 503)
        assert len(posts) <= 1


@contextmanager
def dropping_server(*, reads: bool) -> Iterator[tuple[str, list[bytes]]]:
    """Takes connections and drops them; its address and the POSTs that it read."""
    posts: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                if reads and (got := connection.recv(65536)).startswith(b"POST"):
                    posts.append(got)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", posts
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_only_a_real_change_is_a_reload(traffic: TraefikTraffic, world: TrafficWorld) -> None:
    slug, other = new_slug(), new_slug()
    shift(traffic, world, slug, {1: 60, 2: 40}, fence=1)
    before = world.gateway.reloads()
    for fence in (1, 2, 3):
        traffic.apply(slug, backends(world, {1: 60, 2: 40}), fence=fence)
    shift(traffic, world, other, {1: 100})
    assert world.gateway.reloads() == before + 1


def test_a_broken_neighbour_holds_up_changes_and_it_shows(traffic: TraefikTraffic, world: TrafficWorld) -> None:
    """Traefik reads all files or none; that the file is right proves nothing, so weights() asks Traefik."""
    slug, probe = new_slug(), new_slug()
    shift(traffic, world, slug, {1: 100, 2: 0})
    broken = world.gateway.routes / "broken.yml"
    broken.write_text("http: [\n")
    try:
        traffic.apply(slug, backends(world, {1: 0, 2: 100}), fence=2)
        log = world.gateway.home / "traefik.log"
        eventually(lambda: log.read_text(), lambda text: "broken.yml" in text)
        assert traffic.weights(slug) == {1: 100, 2: 0}
        assert world.send(slug, 5) == {1: 5}
    finally:
        broken.unlink()
    eventually(lambda: traffic.weights(slug), lambda seen: seen == {1: 0, 2: 100})
    shift(traffic, world, probe, {1: 100})


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda text: text.replace("http://", "::"), "refuses the route .*missing protocol scheme"),
        (lambda text: text.replace("service: ", "service: not-"), "refuses the route .*not-"),
        (lambda text: text.replace("--v1", "--v1-other"), "changed by hand"),
    ],
    ids=["no address", "no service", "foreign service"],
)
def test_a_route_spoilt_by_hand_is_reported(
    traffic: TraefikTraffic, world: TrafficWorld, spoil: Callable[[str], str], words: str
) -> None:
    slug = new_slug()
    shift(traffic, world, slug, {1: 100})
    path = world.gateway.routes / f"{slug}.yml"
    write_atomically(path, spoil(path.read_text()))

    def said() -> str:
        try:
            return str(traffic.weights(slug))
        except PermanentError as error:
            return str(error)

    assert eventually(said, lambda seen: seen != "{1: 100}")
    with pytest.raises(PermanentError, match=words):
        traffic.weights(slug)
    traffic.apply(slug, backends(world, {2: 100}), fence=1)
    eventually(said, lambda seen: seen == "{2: 100}")


def test_weights_edited_by_hand_show(traffic: TraefikTraffic, world: TrafficWorld) -> None:
    slug = new_slug()
    shift(traffic, world, slug, {1: 90, 2: 10})
    path = world.gateway.routes / f"{slug}.yml"
    write_atomically(path, path.read_text().replace("weight: 90", "weight: 1").replace("weight: 10", "weight: 3"))
    eventually(lambda: traffic.weights(slug), lambda seen: seen == {1: 1, 2: 3})


def test_counts_begin_again_when_a_version_has_left(traffic: TraefikTraffic, world: TrafficWorld) -> None:
    slug = new_slug()
    shift(traffic, world, slug, {1: 50, 2: 50})
    world.send(slug, 20)
    shift(traffic, world, slug, {1: 100, 2: 0})
    assert [traffic.counts(slug)[2].requests for _ in range(3)] == [10, 10, 10]
    shift(traffic, world, slug, {1: 100})
    eventually(lambda: set(traffic.counts(slug)), lambda seen: seen == {1})
    shift(traffic, world, slug, {1: 50, 2: 50})
    world.send(slug, 4)
    assert {version: each.requests for version, each in traffic.counts(slug).items()} == {1: 12, 2: 2}


def test_users_do_not_reach_the_api_nor_routes_the_api_port(traffic: TraefikTraffic, world: TrafficWorld) -> None:
    slug = new_slug()
    shift(traffic, world, slug, {1: 100})
    swapped = Gateway(world.gateway.home, port=world.gateway.api_port, api_port=world.gateway.port)
    assert "404" in swapped.api("/api/http/services")
    with User(swapped) as user:
        assert user.post(slug)[0] == 404


def test_while_the_gateway_is_down(world: TrafficWorld, tmp_path: Path) -> None:
    """Writes are kept for when it is back; questions have no answer, and soon."""
    gateway, slug = Gateway(tmp_path), new_slug()
    gateway.routes.mkdir()
    traffic = gateway.adapter(timeout=1)
    traffic.apply(slug, backends(world, {1: 100}), fence=1)
    for ask in (lambda: traffic.weights(slug), lambda: traffic.counts(slug)):
        with pytest.raises(TemporaryError, match="can't be reached"):
            ask()
    with gateway.started():
        eventually(lambda: traffic.weights(slug), lambda seen: seen == {1: 100})


def test_a_gateway_that_hangs_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        traffic = TraefikTraffic(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.3)
        began = time.monotonic()
        for ask in (lambda: traffic.weights("iris"), lambda: traffic.counts("iris")):
            with pytest.raises(TemporaryError, match=r"did not answer within 0.3 s"):
                ask()
        assert time.monotonic() - began < 3
