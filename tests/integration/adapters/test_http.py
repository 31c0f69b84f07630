"""Answers of neighbours that mean no good: slow, endless, huge, or none."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from lifecycle.adapters import http
from lifecycle.adapters.http import RefusedError, get, samples
from lifecycle.ports import TemporaryError
from tests.integration.adapters.services import free_port

pytestmark = pytest.mark.integration

HEAD = b"HTTP/1.1 200 OK\r\n"


@contextmanager
def answering(chunks: Iterable[bytes], pause: float = 0) -> Iterator[str]:
    """A server that answers its one request with these bytes, ``pause`` seconds apart; its address."""
    gone = threading.Event()

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            for chunk in chunks:
                try:
                    connection.sendall(chunk)
                except OSError:
                    return
                if gone.wait(pause):
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            gone.set()
            thread.join()


@pytest.mark.parametrize("status", [200, 404, 503])
def test_any_status_is_an_answer(status: int) -> None:
    with answering(
        [f"HTTP/1.1 {status} X\r\nX-Model-Version: 3\r\nContent-Length: 4\r\n\r\n\xff\xfeab".encode("latin-1")]
    ) as url:
        answer = get(url, timeout=5)
    assert (answer.status, answer.headers["x-model-version"], answer.text) == (status, "3", "\ufffd\ufffdab")


def test_redirects_are_not_followed() -> None:
    elsewhere = f"http://127.0.0.1:{free_port()}/"
    with answering([f"HTTP/1.1 302 X\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n".encode()]) as url:
        assert get(url, timeout=5).status == 302


def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    with answering([HEAD + b"Content-Length: 2\r\n\r\nok"]) as url:
        assert get(url, timeout=5).text == "ok"


@pytest.mark.parametrize(
    "chunks",
    [
        [HEAD, *[b"X-Drip: 1\r\n"] * 200],
        [HEAD + b"Content-Length: 1000\r\n\r\n", *[b"x"] * 200],
        [],
    ],
    ids=["dripping headers", "dripping body", "silence"],
)
def test_slow_answers_are_given_up(chunks: list[bytes]) -> None:
    with answering([*chunks, *[b""] * 100], pause=0.1) as url:
        began = time.monotonic()
        with pytest.raises(TemporaryError, match=r"did not answer within 0.5 s"):
            get(url, timeout=0.5)
        assert time.monotonic() - began < 2


def test_huge_answers_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_BYTES", 100_000)
    with (
        answering([HEAD + b"\r\n", *[b"x" * 65536] * 1000]) as url,
        pytest.raises(TemporaryError, match="more than 100000"),
    ):
        get(url, timeout=5)


def test_nobody_there() -> None:
    with pytest.raises(RefusedError, match="can't be reached"):
        get(f"http://127.0.0.1:{free_port()}/", timeout=5)


def test_an_answer_that_is_not_http() -> None:
    with answering([b"220 mail.example ESMTP\r\n"]) as url, pytest.raises(TemporaryError):
        get(url, timeout=1)


def test_samples_are_those_of_the_name() -> None:
    text = '# TYPE a counter\na{x="1"} 3\na_total 4\nab 5\na 6 \nbroken {\n'
    assert [(sample.labels, sample.value) for sample in samples(text, "a")] == [({"x": "1"}, 3.0), ({}, 6.0)]
    with pytest.raises(TemporaryError, match="not in Prometheus' format"):
        list(samples("a{ 3 }} x\n", "a"))
