"""Reading a model server's answers, whatever it sends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lifecycle.adapters import server_answers
from lifecycle.adapters.http import Answer
from lifecycle.adapters.server_answers import read_answers
from lifecycle.ports import ServerAnswer, TemporaryError

KEY = "0123456789abcdef" * 2
URL = "http://127.0.0.1:8200"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the server sends: ``text``, or else its ``answers`` by page, with a ``status``; ``asked`` grows."""
    state: dict[str, Any] = {"status": 200, "text": None, "answers": [], "asked": []}

    def get(url: str, *, timeout: float) -> Answer:
        after = int(url.partition("after=")[2])
        state["asked"].append(after)
        page = [each for each in state["answers"] if each[0] > after][: server_answers.PAGE]
        text = state["text"] if state["text"] is not None else json.dumps({"started": 1.0, "answers": page})
        return Answer(state["status"], {}, text)

    monkeypatch.setattr(server_answers, "get", get)
    return state


def test_answers_are_read_page_by_page(server: dict[str, Any]) -> None:
    server["answers"] = [[number, KEY, ["a"]] for number in range(1, 4097)]
    assert [each.number for each in read_answers(URL, 7, 1.0)] == list(range(8, 4097))
    assert server["asked"] == [7, 2007, 4007]


def test_no_more_is_read_than_a_server_remembers(server: dict[str, Any]) -> None:
    server["answers"] = [[number, KEY, ["a"]] for number in range(1, 20_000)]
    assert len(read_answers(URL, 0, 1.0)) == server_answers.MAX_ANSWERS
    assert len(server["asked"]) == 3


def test_a_server_that_repeats_itself_is_asked_twice(server: dict[str, Any]) -> None:
    answers = [[number, KEY, ["a"]] for number in range(1, server_answers.PAGE + 1)]
    server["text"] = json.dumps({"answers": answers})
    assert len(read_answers(URL, 9000, 1.0)) == server_answers.PAGE
    assert len(server["asked"]) == 2


def test_a_server_without_answers(server: dict[str, Any]) -> None:
    assert read_answers(URL, 0, 1.0) == ()


def test_values_are_bounded(server: dict[str, Any]) -> None:
    server["answers"] = [[3, KEY, ["x" * 500, 2, 0.5, "a\0b", *range(30)]]]
    (answer,) = read_answers(URL, 0, 1.0)
    assert answer == ServerAnswer(3, KEY, ("x" * 100, 2.0, 0.5, "a\ufffdb", *map(float, range(16))))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>",
        "[]",
        "{}",
        '{"answers": 5}',
        '{"answers": {"a": 1}}',
        '{"answers": [[1]]}',
        f'{{"answers": [[0, "{KEY}", ["a"]]]}}',
        f'{{"answers": [[true, "{KEY}", ["a"]]]}}',
        f'{{"answers": [[{2**63}, "{KEY}", ["a"]]]}}',
        '{"answers": [[1, "short", ["a"]]]}',
        '{"answers": [[1, 5, ["a"]]]}',
        f'{{"answers": [[1, "{KEY}", "a"]]}}',
        f'{{"answers": [[1, "{KEY}", [null]]]}}',
        f'{{"answers": [[1, "{KEY}", [NaN]]]}}',
        f'{{"answers": [[1, "{KEY}", [true]]]}}',
        f'{{"answers": [[1, "{KEY}", [{"9" * 400}]]]}}',
        f'{{"answers": [[1, "{KEY}", [["a"]]]]}}',
        "[" * 100_000,
    ],
)
def test_answers_of_another_form_are_none(server: dict[str, Any], text: str) -> None:
    server["text"] = text
    with pytest.raises(TemporaryError, match="form"):
        read_answers(URL, 0, 1.0)


def test_another_status_is_no_answer(server: dict[str, Any]) -> None:
    server["status"] = 404
    with pytest.raises(TemporaryError, match="answers 404 to /answers"):
        read_answers(URL, 0, 1.0)
