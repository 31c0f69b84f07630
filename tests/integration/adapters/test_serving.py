"""What a real supervisord does with the servers that we ask it to keep."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lifecycle.adapters.local_serving import SupervisorServing
from lifecycle.ports import PermanentError, ServerState, TemporaryError, VersionRef
from tests.contract.serving import HOSTILE_NAMES, new_slug, wait_for
from tests.contract.waiting import eventually
from tests.integration.adapters.services import Keeper, free_port, listens

pytestmark = pytest.mark.integration

REF = VersionRef("iris", 1)


@pytest.mark.parametrize("name", [HOSTILE_NAMES[0], HOSTILE_NAMES[1], HOSTILE_NAMES[2], HOSTILE_NAMES[6]])
def test_names_arrive_as_they_are(serving: SupervisorServing, keeper: Keeper, name: str) -> None:
    ref, slug = VersionRef(name, 7), new_slug()
    serving.ensure(ref, slug=slug)
    url = wait_for(serving, ref, slug, ServerState.READY).url
    serving.remove(ref, slug=slug)
    [note] = keeper.notes(ref, slug)
    assert note["argv"] == [
        f"--model-dir={keeper.model_dir(ref, slug)}",
        f"--name={name}",
        "--version=7",
        "--host=127.0.0.1",
        f"--port={urlsplit(url).port}",
    ]


def test_a_server_inherits_no_secret(serving: SupervisorServing, keeper: Keeper) -> None:
    slug = new_slug()
    serving.ensure(REF, slug=slug)
    wait_for(serving, REF, slug, ServerState.READY)
    serving.remove(REF, slug=slug)
    [note] = keeper.notes(REF, slug)
    assert set(note["environ"]) - {"LC_CTYPE"} == {
        "PATH",
        "LANG",
        "HOME",
        "PYTHONNOUSERSITE",
        "PYTHONUNBUFFERED",
        "PYTHONDONTWRITEBYTECODE",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
    }
    assert note["cwd"] == str(keeper.home)


def test_a_killed_server_comes_back_at_its_address(serving: SupervisorServing, keeper: Keeper) -> None:
    slug = new_slug()
    serving.ensure(REF, slug=slug)
    before = wait_for(serving, REF, slug, ServerState.READY)
    os.kill(keeper.notes(REF, slug)[0]["pid"], signal.SIGKILL)
    eventually(lambda: keeper.starts(REF, slug), lambda starts: starts == 2)
    assert wait_for(serving, REF, slug, ServerState.READY) == before
    serving.remove(REF, slug=slug)


def test_a_server_that_crashes_in_a_loop_fails(serving: SupervisorServing, keeper: Keeper) -> None:
    """It looks alive for a second each time; the reason it wrote is shown without its control characters."""
    slug = new_slug()
    keeper.behave(REF, slug, fail="loading\nbad \x00\x1b[31mweights\u202e <b>", after=0.7)
    serving.ensure(REF, slug=slug)
    assert serving.status(REF, slug=slug).state == ServerState.STARTING
    failed = wait_for(serving, REF, slug, ServerState.FAILED)
    assert keeper.starts(REF, slug) == 2
    assert failed.detail.splitlines()[1:] == ["loading", "bad [31mweights <b>"]
    serving.remove(REF, slug=slug)


def test_a_server_that_never_listens_fails(serving: SupervisorServing, keeper: Keeper) -> None:
    slug = new_slug()
    keeper.behave(REF, slug, deaf=True)
    serving.ensure(REF, slug=slug)
    assert serving.status(REF, slug=slug).state == ServerState.STARTING
    assert "does not listen 3 s after its start" in wait_for(serving, REF, slug, ServerState.FAILED).detail
    keeper.behave(REF, slug)
    serving.ensure(REF, slug=slug)
    wait_for(serving, REF, slug, ServerState.READY)
    serving.remove(REF, slug=slug)


def test_somebody_elses_answer_is_not_ready(serving: SupervisorServing, keeper: Keeper) -> None:
    slug = new_slug()
    keeper.behave(REF, slug, answers_as="2")
    serving.ensure(REF, slug=slug)
    url = serving.status(REF, slug=slug).url
    eventually(lambda: listens(urlsplit(url).port or 0), bool)
    assert serving.status(REF, slug=slug).state == ServerState.STARTING
    wait_for(serving, REF, slug, ServerState.FAILED)
    serving.remove(REF, slug=slug)


@pytest.mark.parametrize("metrics", ["", "not { metrics", "stagegate_requests_in_flight NaN\n"])
def test_unreadable_metrics_leave_a_server_ready(serving: SupervisorServing, keeper: Keeper, metrics: str) -> None:
    slug = new_slug()
    keeper.behave(REF, slug, metrics=metrics)
    serving.ensure(REF, slug=slug)
    assert wait_for(serving, REF, slug, ServerState.READY).in_flight is None
    serving.remove(REF, slug=slug)


def test_removing_waits_for_requests_in_flight(serving: SupervisorServing) -> None:
    slug = new_slug()
    serving.ensure(REF, slug=slug)
    url = wait_for(serving, REF, slug, ServerState.READY).url
    answers: list[int] = []

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", urlsplit(url).port, timeout=10)
        connection.request("POST", "/invocations", b"{}", {"X-Sleep": "1.5", "Connection": "close"})
        answers.append(connection.getresponse().status)
        connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    eventually(lambda: serving.status(REF, slug=slug).in_flight, lambda seen: seen == 1)
    serving.remove(REF, slug=slug)
    thread.join()
    assert answers == [200]
    assert not listens(urlsplit(url).port or 0)


def test_model_files_are_fetched_once_and_stay(serving: SupervisorServing, keeper: Keeper) -> None:
    ref, slug = VersionRef(new_slug(), 1), new_slug()
    for _ in range(2):
        serving.ensure(ref, slug=slug)
        wait_for(serving, ref, slug, ServerState.READY)
        serving.remove(ref, slug=slug)
    assert keeper.fetches[ref] == 1
    assert (keeper.model_dir(ref, slug) / "MLmodel").exists()
    assert not list(keeper.servers.glob(f"{slug}*"))


def test_what_cannot_be_fetched_starts_nothing(keeper: Keeper) -> None:
    def unreachable(ref: VersionRef, directory: Path) -> None:
        raise TemporaryError("the registry is down")

    slug = new_slug()
    serving = keeper.adapter(fetch=unreachable)
    with pytest.raises(TemporaryError, match="the registry is down"):
        serving.ensure(REF, slug=slug)
    assert serving.status(REF, slug=slug).state == ServerState.ABSENT
    assert not list(keeper.servers.glob(f"{slug}*"))


def test_workers_that_start_servers_at_once_give_each_a_port(keeper: Keeper) -> None:
    """Also when several want the same server."""
    ports, slug = [free_port() for _ in range(12)], new_slug()
    refs = [VersionRef("iris", version) for version in (1, 2, 3, 4)] * 2
    with ThreadPoolExecutor(8) as pool:
        workers = [keeper.adapter(ports=ports) for _ in refs]
        list(pool.map(lambda pair: pair[0].ensure(pair[1], slug=slug), zip(workers, refs, strict=True)))
    urls = {wait_for(workers[0], ref, slug, ServerState.READY).url for ref in refs}
    assert len(urls) == 4
    for ref in refs[:4]:
        assert keeper.starts(ref, slug) == 1
        workers[0].remove(ref, slug=slug)


def test_a_port_that_another_program_has_is_passed_over(keeper: Keeper) -> None:
    slug = new_slug()
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        taken = squatter.getsockname()[1]
        only = keeper.adapter(ports=[taken])
        with pytest.raises(PermanentError, match=f"all ports from {taken} to {taken} are taken"):
            only.ensure(REF, slug=slug)
        free = free_port()
        serving = keeper.adapter(ports=[taken, free])
        serving.ensure(REF, slug=slug)
        assert wait_for(serving, REF, slug, ServerState.READY).url == f"http://127.0.0.1:{free}"
        serving.remove(REF, slug=slug)


def test_a_server_whose_port_was_taken_gets_another(keeper: Keeper) -> None:
    slug, first, second = new_slug(), free_port(), free_port()
    serving = keeper.adapter(ports=[first, second])
    serving.ensure(REF, slug=slug)
    assert wait_for(serving, REF, slug, ServerState.READY).url.endswith(f":{first}")
    with squatting(first, keeper.notes(REF, slug)[0]["pid"]):
        wait_for(serving, REF, slug, ServerState.FAILED)
        serving.ensure(REF, slug=slug)
        assert wait_for(serving, REF, slug, ServerState.READY).url.endswith(f":{second}")
    serving.remove(REF, slug=slug)


@contextmanager
def squatting(port: int, pid: int) -> Iterator[None]:
    """Kill the process that listens on a port and listen there before it is started again."""
    squatter = socket.socket()
    squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    os.kill(pid, signal.SIGKILL)

    def bound() -> bool:
        try:
            squatter.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True

    eventually(bound, bool)
    squatter.listen()
    try:
        yield
    finally:
        squatter.close()


def test_servers_come_back_with_supervisord(tmp_path: Path) -> None:
    keeper, slug = Keeper(tmp_path), new_slug()
    serving = keeper.adapter()
    with keeper.started():
        serving.ensure(REF, slug=slug)
        before = wait_for(serving, REF, slug, ServerState.READY)
    with pytest.raises(TemporaryError, match="supervisord can't be reached"):
        serving.status(REF, slug=slug)
    with keeper.started():
        assert wait_for(serving, REF, slug, ServerState.READY) == before
        serving.remove(REF, slug=slug)
    with keeper.started():
        assert serving.status(REF, slug=slug).state == ServerState.ABSENT


def test_while_supervisord_is_down_nothing_is_forgotten(tmp_path: Path) -> None:
    keeper, slug = Keeper(tmp_path), new_slug()
    serving = keeper.adapter()
    for call in (serving.ensure, serving.status, serving.remove):
        with pytest.raises(TemporaryError, match="supervisord can't be reached"):
            call(REF, slug=slug)
    with keeper.started():
        serving.ensure(REF, slug=slug)
        wait_for(serving, REF, slug, ServerState.READY)


def test_a_supervisord_that_hangs_is_given_up(keeper: Keeper) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        serving = keeper.adapter(url=f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.3)
        began = time.monotonic()
        with pytest.raises(TemporaryError, match="supervisord can't be reached"):
            serving.status(REF, slug=new_slug())
        assert time.monotonic() - began < 3


def test_a_wrong_password_is_permanent(keeper: Keeper) -> None:
    with pytest.raises(PermanentError, match="refuses our name and password"):
        keeper.adapter(password="guess").status(REF, slug=new_slug())


def test_a_supervisord_that_does_not_include_our_files_is_permanent(keeper: Keeper, tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="supervisord refuses"):
        keeper.adapter(servers_dir=tmp_path / "elsewhere").ensure(REF, slug=new_slug())
