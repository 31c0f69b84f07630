"""The endpoints: what they answer, to whom, and what they count."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest
from mlflow.version import VERSION

from tests.unit.serving.asgi import run, started
from tests.unit.serving.models import NUMBERS, Recorder, app_for, pyfunc

ROW = {"inputs": {"a": 1.0, "b": 2.0}}


class Failing:
    def predict(self, data):
        raise KeyError("no such thing\nand a second line")


class Hanging:
    def __init__(self):
        self.go_on = threading.Event()

    def predict(self, data):
        assert self.go_on.wait(20)
        return data["a"].to_numpy()


@pytest.fixture
def client():
    with started(app_for(pyfunc(Recorder(), NUMBERS))) as client:
        yield client


@pytest.mark.parametrize(("path", "body"), [("/ping", b"\n"), ("/health", b"\n"), ("/version", VERSION.encode())])
def test_health_and_version_are_mlflows(client, path, body):
    reply = client.get(path)
    assert (reply.status, reply.body, reply.headers["content-type"]) == (200, body, "application/json")


def test_every_answer_names_the_version(client):
    replies = [client.get(path) for path in ("/ping", "/metrics", "/nothing", "/invocations")]
    replies += [client.post(ROW), client.post(b"")]
    assert [reply.status for reply in replies] == [200, 200, 404, 405, 200, 400]
    assert {reply.headers["x-model-version"] for reply in replies} == {"7"}


def test_other_methods_are_told_what_is_allowed(client):
    assert client.get("/invocations").headers["allow"] == "POST"
    reply = client.post(b"", path="/ping")
    assert (reply.status, reply.headers["allow"], reply.json["error_code"]) == (405, "GET", "METHOD_NOT_ALLOWED")


def test_a_body_may_come_in_parts(client):
    parts = [b'{"inputs": {"a"', b": 1.0,", b' "b": 2.0}}']
    assert client.post(b"", chunks=parts).json == {"predictions": [3.0]}


@pytest.mark.parametrize("headers", [[], [(b"content-length", b"101")]], ids=["in parts", "declared"])
def test_a_body_that_is_too_large(headers):
    with started(app_for(pyfunc(Recorder(), NUMBERS), body_bytes=100)) as client:
        reply = client.post(b"", chunks=[b" " * 60, b" " * 41], headers=headers)
    assert (reply.status, reply.json["error_code"]) == (413, "REQUEST_TOO_LARGE")
    assert reply.headers["connection"] == "close"


def test_a_client_that_hangs_up(client):
    assert client.post(b"", chunks=[None]).status == 0
    metrics = client.get("/metrics").body.decode()
    assert 'stagegate_requests_total{outcome="client_error"} 1.0' in metrics
    assert "stagegate_requests_in_flight 0.0" in metrics


def test_a_model_that_fails_is_a_server_error_without_a_trace(caplog):
    with started(app_for(pyfunc(Failing(), NUMBERS))) as client:
        reply = client.post(ROW)
        metrics = client.get("/metrics").body.decode()
    assert (reply.status, reply.json["error_code"]) == (500, "INTERNAL_ERROR")
    assert reply.json["message"] == "the model failed on this input: KeyError: 'no such thing\\nand a second line'"
    assert "Traceback" not in reply.body.decode()
    assert "Traceback" in caplog.text
    assert 'outcome="server_error"} 1.0' in metrics


def test_an_answer_that_json_cannot_hold(caplog):
    class Odd:
        def predict(self, data):
            return [object()]

    with started(app_for(pyfunc(Odd(), NUMBERS))) as client:
        assert client.post(ROW).status == 500


def test_a_model_that_takes_too_long():
    model = Hanging()
    with started(app_for(pyfunc(model, NUMBERS), seconds=0.05)) as client:
        reply = client.post(ROW)
        model.go_on.set()
        assert (reply.status, reply.json["error_code"]) == (504, "TIMEOUT")
        assert client.post(ROW).status in (200, 504)


def test_requests_in_flight_are_counted():
    model = Hanging()
    with started(app_for(pyfunc(model, NUMBERS))) as client:

        async def scrape_meanwhile():
            waiting = asyncio.ensure_future(client.send("POST", "/invocations", ROW))
            await asyncio.sleep(0)
            reply = await client.send("GET", "/metrics")
            model.go_on.set()
            await waiting
            return reply

        during = run(scrape_meanwhile())
        after = client.get("/metrics")
    assert b"stagegate_requests_in_flight 1.0" in during.body
    assert b"stagegate_requests_in_flight 0.0" in after.body


def test_openmetrics_is_spoken_where_asked_for(client):
    reply = run(client.send("GET", "/metrics", headers=[(b"accept", b"application/openmetrics-text; version=1.0.0")]))
    assert reply.headers["content-type"].startswith("application/openmetrics-text")
    assert reply.body.endswith(b"# EOF\n")


def test_an_error_of_our_own_is_answered_and_logged(client, caplog, monkeypatch):
    def broken(_body, _content_type):
        raise RuntimeError("bug")

    monkeypatch.setattr(client._app._reader, "read", broken)
    with caplog.at_level(logging.ERROR):
        reply = client.post(ROW)
    assert reply.status == 500
    assert "bug" not in reply.json["message"]
    assert "bug" in caplog.text
