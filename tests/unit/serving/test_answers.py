"""What the server remembers of its answers, and whom it tells."""

from __future__ import annotations

import json
import time
from hashlib import blake2b

import numpy as np
import pandas as pd
import pytest

from serving.answers import MAX_ANSWERS, MAX_BODY, MAX_CHARACTERS, MAX_ROWS, PAGE, Answers, Told
from serving.reference import Bins, Labels, Reference
from tests.unit.serving.asgi import started
from tests.unit.serving.models import NUMBERS, Picky, Recorder, app_for, pyfunc
from tests.unit.serving.test_batching import post_behind, rows


class Nameless:
    """A class whose name is an error."""

    def __str__(self) -> str:
        raise SystemError("no")

    __repr__ = __str__


def body(*rows):
    return {"inputs": {"a": [float(row) for row in rows], "b": [0.0] * len(rows)}}


def key(payload):
    return blake2b(json.dumps(payload).encode(), digest_size=16).hexdigest()


def remembered(client, after=0):
    return client.get(f"/answers?after={after}").json["answers"]


@pytest.fixture
def client():
    with started(app_for(pyfunc(Recorder(), NUMBERS))) as client:
        yield client


@pytest.mark.parametrize(
    ("predictions", "kind", "values"),
    [
        (np.array([1.5, 2.0]), None, (1.5, 2.0)),
        (np.array([1, 2]), None, ("1", "2")),
        (np.array([1, 2]), Bins((0.0,)), (1.0, 2.0)),
        (np.array([1.0, 2.0]), Labels(("1",)), ("1.0", "2.0")),
        (["setosa", None], None, ("setosa", "missing")),
        (np.array([True]), Bins((0.0,)), ("True",)),
        (np.array([[0.5], [0.25]], dtype=np.float32), None, (0.5, 0.25)),
        (pd.DataFrame({"label": ["a"], "score": [0.5]}), None, ("a",)),
        (pd.Series([1, None]), None, (1.0, "nan")),
        (np.array([np.nan, np.inf, -np.inf]), None, ("nan", "inf", "-inf")),
        (["x" * 200, "lone \ud800"], None, ("x" * 100, "lone ?")),
        (np.arange(30.0), None, tuple(map(float, range(MAX_ROWS)))),
        ([Nameless()], None, ()),
        ([[1, 2], [3, 4]], None, ()),
        (np.zeros((2, 2)), None, ()),
        ({"a": 1}, None, ()),
        ("text", None, ()),
    ],
)
def test_predictions_are_classes_or_numbers(predictions, kind, values):
    assert Told(predictions, kind).rows() == values


def test_rows_of_one_request_are_told_from_those_of_the_next():
    told = Told(np.arange(50.0), None)
    assert told.rows(0, 2) == (0.0, 1.0)
    assert told.rows(2, 3) == (2.0,)
    assert told.rows(3, 50) == tuple(map(float, range(3, 3 + MAX_ROWS)))


def test_an_answer_is_remembered_under_the_digest_of_its_request(client):
    assert remembered(client) == []
    client.post(body(1))
    client.post(body(2, 3))
    assert remembered(client) == [[1, key(body(1)), [1.0]], [2, key(body(2, 3)), [2.0, 3.0]]]
    assert remembered(client, after=1) == [[2, key(body(2, 3)), [2.0, 3.0]]]
    assert remembered(client, after=2) == []
    assert client.get("/answers").json["started"] == pytest.approx(time.time(), abs=60)


def test_joined_requests_are_remembered_one_by_one_and_failed_ones_never():
    model = Picky()
    with started(app_for(pyfunc(model, NUMBERS))) as client:
        payloads = [rows(1), rows(2, 3), rows(-4), rows(5)]
        replies = post_behind(model, client, rows(0), payloads)
        assert client.post(b"{}").status == 400
        found = remembered(client)
    assert [reply.status for reply in replies] == [200, 200, 200, 500, 200]
    assert sorted((name, values) for _, name, values in found) == sorted(
        (key(payload), [value + 0.5 for value in values])
        for payload, values in ((rows(0), [0]), (rows(1), [1]), (rows(2, 3), [2, 3]), (rows(5), [5]))
    )
    assert [number for number, _, _ in found] == [1, 2, 3, 4]


def test_an_answer_that_cannot_be_told_apart_is_given_all_the_same():
    class Nested(Recorder):
        def predict(self, data):
            return [[1, 2] for _ in range(len(data))]

    with started(app_for(pyfunc(Nested(), NUMBERS))) as client:
        assert client.post(body(1)).json == {"predictions": [[1, 2]]}
        assert remembered(client) == []


def test_the_training_reference_says_what_is_a_number():
    class Whole(Recorder):
        def predict(self, data):
            return np.arange(len(data))

    for kind, values in ((None, ["0", "1"]), (Bins((0.0,)), [0.0, 1.0])):
        with started(app_for(pyfunc(Whole(), NUMBERS), reference=Reference(prediction=kind))) as client:
            client.post(body(7, 8))
            assert remembered(client)[0][2] == values


@pytest.mark.parametrize("after", ["", "x", "-1", "1.5", "9" * 30, "\u00b2", "0"])
def test_who_names_no_number_gets_all(client, after):
    client.post(body(1))
    assert [number for number, _, _ in remembered(client, after=after)] == [1]


def test_who_knew_an_earlier_process_begins_again():
    answers = Answers()
    for number in range(3):
        answers.remember(b"%d" % number, (1.0,))
    assert [each[0] for each in json.loads(answers.page(3))["answers"]] == []
    assert [each[0] for each in json.loads(answers.page(4))["answers"]] == [1, 2, 3]


def test_the_oldest_are_forgotten_and_a_page_is_bounded():
    answers = Answers()
    for number in range(MAX_ANSWERS + 10):
        answers.remember(b"%d" % number, ("a",))
    first = json.loads(answers.page(0))["answers"]
    assert (first[0][0], len(first)) == (11, PAGE)
    assert json.loads(answers.page(first[-1][0]))["answers"][0][0] == 11 + PAGE
    last = json.loads(answers.page(MAX_ANSWERS))["answers"]
    assert [each[0] for each in last] == list(range(MAX_ANSWERS + 1, MAX_ANSWERS + 11))


def test_long_answers_are_remembered_in_less_number():
    answers = Answers()
    for number in range(MAX_ANSWERS):
        answers.remember(b"%d" % number, ("x" * 100,) * MAX_ROWS)
    kept = MAX_ANSWERS + 1 - json.loads(answers.page(0))["answers"][0][0]
    assert kept * MAX_ROWS * 100 <= MAX_CHARACTERS
    assert kept > 1000


def test_a_body_longer_than_a_copy_is_not_remembered():
    answers = Answers()
    answers.remember(b"x" * (MAX_BODY + 1), (1.0,))
    answers.remember(b"x" * MAX_BODY, (2.0,))
    assert [each[2] for each in json.loads(answers.page(0))["answers"]] == [[2.0]]


def test_answers_are_for_reading(client):
    assert client.post(b"", path="/answers").status == 405
