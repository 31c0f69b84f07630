"""The files that Traefik reads: their content, their fence, and that nobody ever reads half of one."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest
import yaml

import serving.answers
from lifecycle.adapters.local_gateway import COPIED_BYTES, TraefikTraffic, route
from lifecycle.ports import Backend, FencedError, PermanentError, StickyBy, TemporaryError

BACKENDS = (Backend(1, "http://127.0.0.1:8200", 75), Backend(2, "http://127.0.0.1:8201", 25))
SHADOWED = (Backend(1, "http://127.0.0.1:8200", 100), Backend(3, "http://127.0.0.1:8202", 0))


@pytest.fixture
def traffic(tmp_path: Path) -> TraefikTraffic:
    return TraefikTraffic(tmp_path, "http://127.0.0.1:1", timeout=0.2)


def test_a_route_is_a_router_a_weighted_service_and_one_service_a_version() -> None:
    http = route("iris", BACKENDS)["http"]
    assert http["routers"]["iris"]["rule"] == "PathPrefix(`/iris/`) && !Path(`/iris/metrics`) && !Path(`/iris/answers`)"
    assert http["routers"]["iris"]["service"] == "iris"
    assert http["services"]["iris"]["middlewares"] == ["iris--retry"]
    assert http["middlewares"]["iris--strip"] == {"stripPrefix": {"prefixes": ["/iris"]}}
    assert http["services"]["iris"]["weighted"] == {
        "services": [{"name": "iris--v1", "weight": 75}, {"name": "iris--v2", "weight": 25}],
        "healthCheck": {},
    }
    for version, port in ((1, 8200), (2, 8201)):
        server = http["services"][f"iris--v{version}"]["loadBalancer"]
        assert server["servers"] == [{"url": f"http://127.0.0.1:{port}"}]
        assert server["healthCheck"]["path"] == "/ping"


@pytest.mark.parametrize(
    ("weights", "sharing", "idle"),
    [
        ({1: 100}, {1: 100}, None),
        ({1: 100, 2: 0}, {1: 100}, {2: 0}),
        ({1: 0, 2: 95, 3: 5}, {2: 95, 3: 5}, {1: 0}),
        ({1: 0, 2: 0}, {1: 0, 2: 0}, None),
    ],
)
def test_a_version_without_weight_stands_apart_from_those_that_share_requests(
    weights: dict[int, int], sharing: dict[int, int], idle: dict[int, int] | None
) -> None:
    backends = [Backend(version, f"http://127.0.0.1:820{version}", weight) for version, weight in weights.items()]
    services = route("iris", backends)["http"]["services"]
    found = {
        name: {int(child["name"].removeprefix("iris--v")): child["weight"] for child in each["weighted"]["services"]}
        for name, each in services.items()
        if "weighted" in each
    }
    assert found == {"iris": sharing} | ({"iris--idle": idle} if idle else {})


def test_retries_are_for_users_alone() -> None:
    """Copies are made before the retries, or a copy that fails could have the user's request sent again."""
    http = route("iris", SHADOWED, mirrors={3: 40})["http"]
    assert http["routers"]["iris"]["middlewares"] == ["iris--strip"]
    assert http["services"]["iris"]["middlewares"] == ["iris--retry"]
    assert http["routers"]["iris"]["service"] == "iris--copies"
    assert "middlewares" not in http["services"]["iris--copies"]


@pytest.mark.parametrize(
    ("weights", "attempts"),
    [
        ((100,), 3),
        ((100, 0), 3),
        ((50, 50), 3),
        ((80, 20), 8),
        ((20, 70, 10), 15),
        ((95, 5), 30),
        ((99, 1), 30),
        ((0,), 3),
    ],
)
def test_a_request_is_tried_until_the_lightest_version_has_had_its_turn(
    weights: tuple[int, ...], attempts: int
) -> None:
    backends = [Backend(version, "http://127.0.0.1:8200", weight) for version, weight in enumerate(weights, 1)]
    assert route("iris", backends)["http"]["middlewares"]["iris--retry"] == {"retry": {"attempts": attempts}}


def test_mirrors_are_bounded_in_time_number_and_size() -> None:
    http = route("iris", SHADOWED, mirrors={3: 40})["http"]
    mirroring = http["services"]["iris--copies"]["mirroring"]
    assert (mirroring["service"], mirroring["mirrors"]) == ("iris", [{"name": "iris--v3", "percent": 40}])
    assert mirroring["maxBodySize"] == COPIED_BYTES == serving.answers.MAX_BODY
    shadow = http["services"]["iris--v3"]
    assert http["middlewares"][shadow["middlewares"][0]] == {"inFlightReq": {"amount": 100}}
    transport = http["serversTransports"][shadow["loadBalancer"]["serversTransport"]]
    assert transport["forwardingTimeouts"]["responseHeaderTimeout"] == "10s"
    assert "responseHeaderTimeout" not in http["serversTransports"]["iris"]["forwardingTimeouts"]
    assert http["services"]["iris--v1"]["loadBalancer"]["serversTransport"] == "iris"


def test_the_cookie_has_another_name_for_other_weights() -> None:
    def name(*weights: int, slug: str = "iris") -> str:
        backends = [Backend(version, "http://127.0.0.1:8200", weight) for version, weight in enumerate(weights, 1)]
        weighted = route(slug, backends, sticky=StickyBy(cookie="c"))["http"]["services"][slug]["weighted"]
        return str(weighted["sticky"]["cookie"]["name"])

    assert name(75, 25) == name(75, 25)
    assert len({name(75, 25), name(25, 75), name(0, 100), name(100, 0), name(75, 25, slug="other")}) == 5


@pytest.mark.parametrize(
    ("weights", "numbers"),
    [
        ({1: 95, 2: 5}, {2: range(5), 1: range(5, 100)}),
        ({2: 30, 1: 70}, {2: range(30), 1: range(30, 100)}),
        ({1: 20, 3: 30, 2: 50}, {3: range(30), 2: range(30, 80), 1: range(80, 100)}),
        ({1: 50, 2: 50, 3: 0}, {2: range(50), 1: range(50, 100)}),
        ({1: 100, 2: 0}, {}),
        ({1: 0, 2: 0}, {}),
        ({}, {}),
    ],
)
def test_every_number_belongs_to_one_version(weights: dict[int, int], numbers: dict[int, range]) -> None:
    backends = [Backend(version, "http://127.0.0.1:8200", weight) for version, weight in weights.items()]
    http = route("iris", backends, sticky=StickyBy(header="X-User"))["http"]
    rules = {name: router["rule"] for name, router in http["routers"].items() if name != "iris"}
    assert set(rules) == {f"iris--v{version}--first" for version in numbers}
    for version, expected in numbers.items():
        name = f"iris--v{version}--first"
        pattern = re.search(r"HeaderRegexp\(`X-User`, `(.*)`\)", rules[name])
        assert pattern is not None
        assert [number for number in range(200) if re.search(pattern[1], str(number))] == list(expected)
        assert http["services"][name]["failover"] == {
            "service": f"iris--v{version}", "fallback": "iris", "healthCheck": {},
        }  # fmt: skip


def test_the_file_is_the_route_and_its_fence(traffic: TraefikTraffic, tmp_path: Path) -> None:
    traffic.apply("iris", BACKENDS, fence=12)
    text = (tmp_path / "iris.yml").read_text()
    assert yaml.safe_load(text) == route("iris", BACKENDS)
    assert "# fence: 12\n" in text


def test_what_is_the_same_is_not_written_again(traffic: TraefikTraffic, tmp_path: Path) -> None:
    traffic.apply("iris", BACKENDS, fence=3)
    before = (tmp_path / "iris.yml").stat()
    traffic.apply("iris", BACKENDS, fence=3)
    after = (tmp_path / "iris.yml").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    traffic.apply("iris", BACKENDS, fence=4)
    assert (tmp_path / "iris.yml").stat().st_ino != before.st_ino


@pytest.mark.parametrize(("fence", "refused"), [(0, True), (6, True), (7, False), (8, False)])
def test_the_fence(traffic: TraefikTraffic, tmp_path: Path, fence: int, refused: bool) -> None:
    traffic.apply("iris", BACKENDS, fence=7)
    before = (tmp_path / "iris.yml").read_text()
    late = TraefikTraffic(tmp_path, "http://127.0.0.1:1")
    if refused:
        with pytest.raises(FencedError):
            late.apply("iris", (), fence=fence)
        assert (tmp_path / "iris.yml").read_text() == before
    else:
        late.apply("iris", (), fence=fence)
        assert f"# fence: {fence}\n" in (tmp_path / "iris.yml").read_text()


@pytest.mark.parametrize("content", [b"", b"http: [\n", b"\xff\xfe\x00", b"# fence: none\nhttp: {}\n"])
def test_a_file_spoilt_by_hand_is_replaced(traffic: TraefikTraffic, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "iris.yml").write_bytes(content)
    traffic.apply("iris", BACKENDS, fence=1)
    assert yaml.safe_load((tmp_path / "iris.yml").read_text()) == route("iris", BACKENDS)


def test_a_left_over_temporary_file_does_no_harm(traffic: TraefikTraffic, tmp_path: Path) -> None:
    (tmp_path / ".iris.yml.tmp").write_text("half of a fi")
    traffic.apply("iris", BACKENDS, fence=1)
    assert yaml.safe_load((tmp_path / "iris.yml").read_text()) == route("iris", BACKENDS)
    assert list(tmp_path.glob("*.tmp")) == list(tmp_path.glob(".*.tmp")) == []


def test_a_missing_directory_is_permanent(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="No such file"):
        TraefikTraffic(tmp_path / "missing", "http://127.0.0.1:1").apply("iris", BACKENDS, fence=1)


def test_a_full_disk_is_temporary_and_keeps_the_route(
    traffic: TraefikTraffic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    traffic.apply("iris", BACKENDS, fence=1)
    before = (tmp_path / "iris.yml").read_text()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lifecycle.adapters.files.os.fsync", full)
    with pytest.raises(TemporaryError, match="No space left"):
        traffic.apply("iris", (), fence=2)
    assert (tmp_path / "iris.yml").read_text() == before


def test_readers_never_see_half_a_file_and_the_highest_fence_wins(traffic: TraefikTraffic, tmp_path: Path) -> None:
    """Four writers, one of them late, and a reader, all at once."""
    traffic.apply("iris", BACKENDS, fence=0)
    done = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not done.wait(0.001):
            weighted = yaml.safe_load((tmp_path / "iris.yml").read_text())["http"]["services"]["iris"]["weighted"]
            seen.append(sum(child["weight"] for child in weighted["services"]))

    def write(offset: int) -> None:
        mine = TraefikTraffic(tmp_path, "http://127.0.0.1:1", timeout=10)
        for number in range(offset, 60, 4):
            share = number % 101
            backends = (Backend(1, "http://127.0.0.1:8200", share), Backend(2, "http://127.0.0.1:8201", 100 - share))
            try:
                mine.apply("iris", backends, fence=number)
            except FencedError:
                continue

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(offset,)) for offset in range(4)]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    assert set(seen) == {100}
    assert "# fence: 59\n" in (tmp_path / "iris.yml").read_text()
