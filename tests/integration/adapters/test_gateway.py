"""What a real Traefik does with the files that we write: how fast, and what users notice."""

from __future__ import annotations

import http.client
import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pytest

from lifecycle.adapters import local_gateway
from lifecycle.adapters.files import write_atomically
from lifecycle.adapters.http import samples
from lifecycle.adapters.local_gateway import COPIED_BYTES, TraefikTraffic
from lifecycle.ports import Backend, PermanentError, StickyBy, TemporaryError
from tests.contract.traffic import backends, new_slug, shift
from tests.contract.waiting import eventually
from tests.integration.adapters.services import (
    MODEL_SERVER,
    Crowd,
    Gateway,
    TrafficWorld,
    User,
    free_port,
    model_server,
    running,
)

pytestmark = pytest.mark.integration


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


@pytest.mark.parametrize("share", [20, 80, 95])
def test_a_dead_version_costs_no_request(
    traffic: TraefikTraffic, world: TrafficWorld, share: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the first health check has run Traefik believes that it lives; retries cover that time."""
    monkeypatch.setattr(local_gateway, "HEALTH_INTERVAL", "1h")
    slug = new_slug()
    dead = Backend(2, f"http://127.0.0.1:{free_port()}", share)
    traffic.apply(slug, (Backend(1, world.url(1), 100 - share), dead), fence=1)
    eventually(lambda: traffic.weights(slug), lambda seen: seen == {1: 100 - share, 2: share})
    assert world.send(slug, 50) == {1: 50}
    assert world.gateway.server_status(slug, 2) == {dead.url: "UP"}


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


def test_a_version_without_requests_that_was_gone_leaves_no_request_hanging(
    traffic: TraefikTraffic, world: TrafficWorld, tmp_path: Path
) -> None:
    """A warm version was started again, and then the one that serves is."""
    slug, other, ports = new_slug(), new_slug(), {version: free_port() for version in (4, 5)}
    urls = {version: f"http://127.0.0.1:{port}" for version, port in ports.items()}

    def server(version: int) -> AbstractContextManager[int]:
        command = [sys.executable, str(MODEL_SERVER), f"--version={version}", f"--port={ports[version]}"]
        return running(command, tmp_path / "log", ports[version])

    def checked(route: str, version: int, status: str) -> None:
        eventually(lambda: world.gateway.server_status(route, version), lambda seen: seen == {urls[version]: status})

    with ExitStack() as stack:
        with server(4):
            with server(5):
                traffic.apply(slug, (Backend(4, urls[4], 100), Backend(5, urls[5], 0)), fence=1)
                traffic.apply(other, (Backend(5, urls[5], 100),), fence=1)
                eventually(lambda: world.send(slug, 1) + world.send(other, 1), lambda seen: seen == {4: 1, 5: 1})
                assert traffic.weights(slug) == {4: 100, 5: 0}
            # A reload starts all checks at once, so another route with this server tells when it was found so.
            checked(other, 5, "DOWN")
            stack.enter_context(server(5))
            checked(other, 5, "UP")
        checked(slug, 4, "DOWN")
        assert world.send(slug, 1) == {}
        stack.enter_context(server(4))
        eventually(lambda: world.send(slug, 1), lambda seen: seen == {4: 1})


@pytest.mark.parametrize("reads", [True, False], ids=["after reading it", "before reading it"])
def test_a_request_is_never_sent_twice(traffic: TraefikTraffic, world: TrafficWorld, reads: bool) -> None:
    """A server that drops a connection may have worked on the request, so nobody may send it again.

    Traefik says 502, or 500 where the connection was gone before it had written the request.
    """
    slug = new_slug()
    with dropping_server(reads=reads) as (url, posts):
        traffic.apply(slug, (Backend(1, url, 100),), fence=1)
        eventually(lambda: traffic.weights(slug), lambda seen: seen == {1: 100})
        with User(world.gateway) as user:
            assert user.post(slug)[0] in (500, 502, 503)
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


def test_users_do_not_reach_the_api_nor_routes_the_api_port(traffic: TraefikTraffic, world: TrafficWorld) -> None:
    slug = new_slug()
    shift(traffic, world, slug, {1: 100})
    swapped = Gateway(world.gateway.home, port=world.gateway.api_port, api_port=world.gateway.port)
    assert "404" in swapped.api("/api/http/services")
    with User(swapped) as user:
        assert user.post(slug)[0] == 404


def test_a_cookie_keeps_a_user_until_the_weights_change(traffic: TraefikTraffic, world: TrafficWorld) -> None:
    slug, sticky = new_slug(), StickyBy(cookie="variant")
    shift(traffic, world, slug, {1: 50, 2: 50}, sticky=sticky)
    given = [ask(world, slug) for _ in range(4)]
    assert {answer.version for answer in given} == {1, 2}
    for answer in given:
        assert all(word in answer.cookie for word in (f"Path=/{slug}/", "HttpOnly", "SameSite=Lax"))
        assert "Secure" not in answer.cookie
        assert {ask(world, slug, Cookie=answer.value).version for _ in range(4)} == {answer.version}
    shift(traffic, world, slug, {1: 40, 2: 60}, sticky=sticky)
    on_two = next(answer.value for answer in given if answer.version == 2)
    assert {ask(world, slug, Cookie=on_two).version for _ in range(6)} == {1, 2}


def test_no_cookie_brings_a_user_to_a_version_without_weight(traffic: TraefikTraffic, world: TrafficWorld) -> None:
    """Neither one of the weights before, nor one that names the version under the name for these weights."""
    slug, sticky = new_slug(), StickyBy(cookie="variant")
    shift(traffic, world, slug, {1: 50, 2: 50}, sticky=sticky)
    cookies = [answer.value for answer in (ask(world, slug), ask(world, slug)) if answer.version == 2]
    shift(traffic, world, slug, {1: 100, 2: 0}, sticky=sticky)
    now = ask(world, slug).value.partition("=")[0]
    cookies += [f"{now}={cookie.partition('=')[2]}" for cookie in cookies]
    assert len(cookies) == 2
    assert {ask(world, slug, Cookie=cookie).version for cookie in cookies for _ in range(5)} == {1}


def test_a_number_in_a_header_chooses_and_goes_on_to_choose_the_version(
    traffic: TraefikTraffic, world: TrafficWorld
) -> None:
    slug, sticky = new_slug(), StickyBy(header="X-User-Bucket")
    for weight in (5, 25, 60):
        shift(traffic, world, slug, {1: 100 - weight, 2: weight}, sticky=sticky)
        asked = (0, 4, 5, 24, 25, 59, 60, 99)
        got = [ask(world, slug, X_User_Bucket=str(number)).version for number in asked]
        assert got == [2 if number < weight else 1 for number in asked]
        assert ask(world, slug, X_User_Bucket="04").version == 2
    shift(traffic, world, slug, {1: 50, 2: 50}, sticky=sticky)
    for wrong in ("", "-1", "100", "004", "1.0", "x", "1,60", "9\xb2"):
        assert {ask(world, slug, X_User_Bucket=wrong).version for _ in range(6)} == {1, 2}
    shift(traffic, world, slug, {1: 100, 2: 0}, sticky=sticky)
    assert {ask(world, slug, X_User_Bucket=str(number)).version for number in (0, 49, 50)} == {1}


def test_users_with_a_number_leave_a_dead_version(traffic: TraefikTraffic, world: TrafficWorld) -> None:
    slug = new_slug()
    dead = Backend(2, f"http://127.0.0.1:{free_port()}", 50)
    traffic.apply(slug, (Backend(1, world.url(1), 50), dead), fence=1, sticky=StickyBy(header="X-User"))
    eventually(lambda: world.gateway.server_status(slug, 2), lambda seen: seen == {dead.url: "DOWN"})
    assert [ask(world, slug, X_User="7").version for _ in range(5)] == [1] * 5


def test_numbers_and_copies_go_together(traffic: TraefikTraffic, world: TrafficWorld) -> None:
    slug = new_slug()
    shift(traffic, world, slug, {1: 50, 2: 50, 3: 0}, mirrors={3: 100}, sticky=StickyBy(header="X-User"))
    got = [ask(world, slug, X_User=number).version for number in ("7", "7", "70", "70")]
    assert got == [2, 2, 1, 1]
    eventually(lambda: counted(world, slug, 3), lambda seen: seen == {"200": 4})


@pytest.mark.parametrize("shadow", ["failing", "silent", "absent", "dropping"])
def test_no_shadow_costs_a_user_a_request(traffic: TraefikTraffic, world: TrafficWorld, shadow: str) -> None:
    slug = new_slug()
    with shadow_at(world, shadow) as url:
        traffic.apply(slug, (Backend(1, world.url(1), 100), Backend(3, url, 0)), fence=1, mirrors={3: 100})
        eventually(lambda: traffic.mirrors(slug), lambda seen: seen == {3: 100})
        began = time.perf_counter()
        with User(world.gateway) as user:
            answers = Counter(user.post(slug, X_Fail="3") for _ in range(150))
        seconds = time.perf_counter() - began
    assert answers == {(200, 1): 150}
    assert seconds < 5
    assert counted(world, slug, 1) == {"200": 150}


@contextmanager
def shadow_at(world: TrafficWorld, shadow: str) -> Iterator[str]:
    """The address of a shadow that behaves like that."""
    if shadow == "failing":
        yield world.url(3)
    elif shadow == "absent":
        yield f"http://127.0.0.1:{free_port()}"
    elif shadow == "dropping":
        with dropping_server(reads=True) as (url, _):
            yield url
    else:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            yield f"http://127.0.0.1:{silent.getsockname()[1]}"


def test_copies_count_as_requests_of_the_shadow(traffic: TraefikTraffic, world: TrafficWorld) -> None:
    slug = new_slug()
    shift(traffic, world, slug, {1: 100, 2: 0, 3: 0}, mirrors={2: 100, 3: 25})
    world.send(slug, 12)
    world.send(slug, 8, failing={2})
    told = [{"200": 20}, {"200": 12, "500": 8}, {"200": 5}]
    eventually(lambda: [counted(world, slug, version) for version in (1, 2, 3)], lambda seen: seen == told)


def test_what_is_not_json_and_what_is_too_long_is_answered_too(traffic: TraefikTraffic, world: TrafficWorld) -> None:
    """Copying reads the body first; what is longer than a copy may be goes to the users' version alone."""
    slug = new_slug()
    shift(traffic, world, slug, {1: 100, 2: 0}, mirrors={2: 100})
    for size in (0, COPIED_BYTES, COPIED_BYTES + 1):
        assert ask(world, slug, body=b"x" * size).version == 1
    assert ask(world, slug, "ping", method="GET").status == 200
    eventually(lambda: counted(world, slug, 2), lambda seen: seen == {"200": 3})


def counted(world: TrafficWorld, slug: str, version: int) -> dict[str, float]:
    """What the gateway has counted for a version, by status."""
    name = f"{slug}--v{version}@file"
    found: dict[str, float] = {}
    for sample in samples(world.gateway.api("/metrics"), "traefik_service_requests_total"):
        if sample.labels["service"] == name:
            found[sample.labels["code"]] = found.get(sample.labels["code"], 0) + sample.value
    return found


@pytest.mark.parametrize("name", ["metrics", "answers"])
def test_users_do_not_reach_what_a_server_tells_of_other_users(
    traffic: TraefikTraffic, world: TrafficWorld, name: str
) -> None:
    """The model server of these tests answers every path; the real one decodes it, and answers those that it has."""
    slug = new_slug()
    shift(traffic, world, slug, {1: 100, 2: 0}, mirrors={2: 100}, sticky=StickyBy(header="X-User"))
    first = f"%{ord(name[0]):02x}"
    ways = "", "/", "./", "x/../", "x/%2e%2e/", "%2e/", f"../{slug}/", "x/..%2f", "%2f", "%252e/"
    spelt = [f"{way}{name}" for way in ways]
    spelt += [f"{name}{end}" for end in ("?after=1", "/", "/.", "%2f", "%00", ";x", "%3f", "#x", "%20", "%")]
    spelt += [f"{first}{name[1:]}", f"{first.upper()}{name[1:]}", f"%25{first[1:]}{name[1:]}", name.upper()]
    reached = {path: ask(world, slug, path, X_User="7").path for path in spelt}
    assert [path for path, got in reached.items() if unquote(got.partition("?")[0]) == f"/{name}"] == []
    assert ask(world, slug, "ping").path == "/ping"


@dataclass(frozen=True)
class Asked:
    status: int
    version: int | None
    cookie: str
    path: str

    @property
    def value(self) -> str:
        """The cookie as a client sends it back."""
        return self.cookie.partition(";")[0]


def ask(
    world: TrafficWorld,
    slug: str,
    path: str = "invocations",
    *,
    method: str = "POST",
    body: bytes = b"",
    **headers: str,
) -> Asked:
    """One request over a connection of its own. ``X_User`` stands for X-User; ``path`` is sent as it is."""
    connection = http.client.HTTPConnection("127.0.0.1", world.gateway.port, timeout=10)
    connection.request(
        method, f"/{slug}/{path}", body, {name.replace("_", "-"): value for name, value in headers.items()}
    )
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    version = response.headers.get("X-Model-Version")
    reached = json.loads(text).get("path", "") if text.startswith("{") else ""
    return Asked(response.status, int(version) if version else None, response.headers.get("Set-Cookie", ""), reached)


def test_while_the_gateway_is_down(world: TrafficWorld, tmp_path: Path) -> None:
    """Writes are kept for when it is back; questions have no answer, and soon."""
    gateway, slug = Gateway(tmp_path), new_slug()
    gateway.routes.mkdir()
    traffic = gateway.adapter(timeout=1)
    traffic.apply(slug, backends(world, {1: 100}), fence=1)
    with pytest.raises(TemporaryError, match="can't be reached"):
        traffic.weights(slug)
    with gateway.started():
        eventually(lambda: traffic.weights(slug), lambda seen: seen == {1: 100})


def test_a_gateway_that_hangs_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        traffic = TraefikTraffic(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.3)
        began = time.monotonic()
        with pytest.raises(TemporaryError, match=r"did not answer within 0.3 s"):
            traffic.weights("iris")
        assert time.monotonic() - began < 3
