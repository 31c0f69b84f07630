"""Requests that wait together are scored together, get their own answers, and fail for themselves alone."""

from __future__ import annotations

import asyncio

import pytest

from serving import batching
from tests.unit.serving.asgi import run, started
from tests.unit.serving.models import MIXED, NUMBERS, ROW, Gated, Picky, Recorder, app_for, pyfunc


def rows(*values):
    return {"dataframe_split": {"columns": ["a", "b"], "data": [[value, 0.5] for value in values]}}


def post_behind(model, client, first, payloads):
    """Sends the first request, and the others while the model is at work on it."""

    async def send():
        replies = [asyncio.ensure_future(client.send("POST", "/invocations", first))]
        await asyncio.to_thread(model.entered.wait, 20)
        replies += [asyncio.ensure_future(client.send("POST", "/invocations", payload)) for payload in payloads]
        await asyncio.sleep(0.01)
        model.go_on.set()
        return await asyncio.gather(*replies)

    return run(send())


def sizes(model):
    return [len(table) for table in model.given]


def test_a_lone_request_does_not_wait():
    model = Recorder()
    with started(app_for(pyfunc(model, NUMBERS))) as client:
        assert client.post(rows(1)).json == {"predictions": [1.5]}
        assert client.post(rows(2)).json == {"predictions": [2.5]}
    assert sizes(model) == [1, 1]


def test_waiting_requests_become_one_table_and_get_their_own_rows():
    model = Gated()
    with started(app_for(pyfunc(model, NUMBERS))) as client:
        replies = post_behind(model, client, rows(1), [rows(2), rows(3, 4), rows(5)])
    assert [reply.json["predictions"] for reply in replies] == [[1.5], [2.5], [3.5, 4.5], [5.5]]
    assert sizes(model) == [1, 4]


def test_nothing_is_joined_for_a_model_that_is_not_row_wise():
    model = Gated()
    with started(app_for(pyfunc(model, NUMBERS), row_wise=False)) as client:
        replies = post_behind(model, client, rows(1), [rows(2), rows(3)])
    assert [reply.json["predictions"] for reply in replies] == [[1.5], [2.5], [3.5]]
    assert sizes(model) == [1, 1, 1]


def test_one_bad_row_fails_its_own_request_only(caplog):
    model = Picky()
    with started(app_for(pyfunc(model, NUMBERS))) as client:
        replies = post_behind(model, client, rows(0), [rows(1), rows(2), rows(-3, 4), rows(5), rows(6, 7)])
        metrics = client.get("/metrics").body.decode()
    assert [reply.status for reply in replies] == [200, 200, 200, 500, 200, 200]
    assert replies[3].json["message"] == "the model failed on this input: ValueError: negative a"
    assert replies[5].json["predictions"] == [6.5, 7.5]
    assert "stagegate_rows_total 6.0" in metrics


def test_malformed_requests_are_not_in_the_batch():
    model = Gated()
    with started(app_for(pyfunc(model, NUMBERS))) as client:
        replies = post_behind(model, client, rows(1), [rows(2), {"inputs": {"a": 1}}, rows("x"), rows(3)])
    assert [reply.status for reply in replies] == [200, 200, 400, 400, 200]
    assert sizes(model) == [1, 2]


def test_only_like_requests_are_joined_and_the_order_is_kept():
    model = Gated()
    plain = {"dataframe_records": [ROW]}
    optional = {"dataframe_records": [{**ROW, "extra": 1.0}]}
    null_text = {"dataframe_records": [{**ROW, "note": None}]}
    csv_like = {"dataframe_records": [ROW, ROW]}
    with started(app_for(pyfunc(model, MIXED))) as client:
        replies = post_behind(model, client, plain, [plain, csv_like, optional, optional, null_text, null_text])
    assert {reply.status for reply in replies} == {200}
    assert sizes(model) == [1, 3, 2, 1, 1]


def test_a_batch_is_bounded(monkeypatch):
    monkeypatch.setattr(batching.Batcher.__init__, "__kwdefaults__", {"threads": 1, "max_rows": 4, "max_waiting": 99})
    model = Gated()
    with started(app_for(pyfunc(model, NUMBERS))) as client:
        replies = post_behind(model, client, rows(1), [rows(1), rows(1, 1), rows(1, 1), rows(*[1] * 9), rows(1)])
    assert {reply.status for reply in replies} == {200}
    assert sizes(model) == [1, 3, 2, 9, 1]


def test_requests_beyond_the_queue_are_turned_away(monkeypatch):
    monkeypatch.setattr(batching.Batcher.__init__, "__kwdefaults__", {"threads": 1, "max_rows": 4, "max_waiting": 2})
    model = Gated()
    with started(app_for(pyfunc(model, NUMBERS))) as client:
        replies = post_behind(model, client, rows(1), [rows(2), rows(3), rows(4)])
    assert [reply.status for reply in replies] == [200, 200, 200, 503]
    assert replies[3].json["error_code"] == "OVERLOADED"


def test_a_model_that_turns_out_not_to_be_row_wise(caplog):
    class Summing(Gated):
        def predict(self, data):
            return super().predict(data)[:1]

    model = Summing()
    with started(app_for(pyfunc(model, NUMBERS))) as client:
        replies = post_behind(model, client, rows(1), [rows(2), rows(3)])
        assert [reply.json["predictions"] for reply in replies] == [[1.5], [2.5], [3.5]]
        assert not client._app._scorer.row_wise
    assert sizes(model) == [1, 2, 1, 1]
    assert "scored alone from now on" in caplog.text


@pytest.mark.parametrize("error", [SystemExit(0), KeyboardInterrupt()], ids=["exit", "interrupt"])
def test_a_scoring_thread_survives_whatever_the_model_raises(error, caplog):
    class Leaving(Recorder):
        def predict(self, data):
            if not self.given:
                super().predict(data)
                raise error
            return super().predict(data)

    with started(app_for(pyfunc(Leaving(), NUMBERS))) as client:
        assert client.post(rows(1)).status == 500
        assert client.post(rows(1)).json == {"predictions": [1.5]}


def test_a_request_whose_time_is_up_is_not_scored():
    model = Gated()
    with started(app_for(pyfunc(model, NUMBERS), seconds=0.1)) as client:

        async def send():
            first = asyncio.ensure_future(client.send("POST", "/invocations", rows(1)))
            await asyncio.to_thread(model.entered.wait, 20)
            replies = await asyncio.gather(first, client.send("POST", "/invocations", rows(2)))
            model.go_on.set()
            return replies

        assert [reply.status for reply in run(send())] == [504, 504]
        assert client.post(rows(3)).status == 200
    assert sizes(model) == [1, 1]
