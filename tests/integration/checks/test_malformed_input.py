"""The malformed-input check against servers that refuse, swallow, stumble, hang and fall over."""

from __future__ import annotations

import json
import threading

import pytest

from lifecycle.checks import malformed_input
from lifecycle.checks.base import CheckCancelledError
from lifecycle.checks.malformed_input import VALID
from lifecycle.ports import TemporaryError
from tests.integration.checks.servers import (
    PREDICTIONS,
    answer,
    bad_server,
    hang,
    nobody,
    quiet,
    refuse,
    strict,
    subject,
)

pytestmark = [pytest.mark.integration, pytest.mark.enable_socket, pytest.mark.filterwarnings("ignore")]


def checked(behave, tmp_path, **options):
    with bad_server(behave) as server:
        result = malformed_input.run(subject(server.url, tmp_path, **options), quiet)
    json.dumps(result.measurements, allow_nan=False)
    return result


def test_a_server_that_answers_everything_fails_with_the_simplest_inputs(tmp_path):
    result = checked(answer, tmp_path)
    found = result.measurements
    assert not result.passed
    assert (found["rejected"], found["failed"], found["sent"]) == (0.0, 0.0, 60)
    assert all(of["rejected"] == 0 for of in found["by_class"].values())
    shown = {each["class"]: each for each in reversed(found["failing"])}
    assert set(shown) == set(found["by_class"])
    assert shown["wrong envelope"]["body"] == ""
    assert (shown["no rows"]["status"], shown["no rows"]["answer"]) == (200, PREDICTIONS)
    assert "not those with wrong type (" in result.detail


def test_a_server_that_stumbles_over_one_class_fails_by_that_class(tmp_path):
    def stumble(handler, body):
        if b"NaN" in body or b"Infinity" in body:
            return 500, '{"message": "cannot convert float NaN to integer"}'
        return strict(handler, body)

    result = checked(stumble, tmp_path, malformed=120)
    found = result.measurements
    assert not result.passed
    bad = {name for name, of in found["by_class"].items() if of["rejected"] < of["sent"]}
    assert bad == {"null or not finite"}
    assert 90 < found["rejected"] < 100
    assert {each["status"] for each in found["failing"]} == {500}
    assert all("NaN" in each["body"] or "Infinity" in each["body"] for each in found["failing"])
    assert found["valid_failed"] == 0


def test_a_refusal_needs_a_reason(tmp_path):
    def wordless(handler, body):
        return (400, "") if strict(handler, body)[0] == 400 else answer(handler, body)

    result = checked(wordless, tmp_path)
    assert not result.passed
    assert result.measurements["rejected"] == 0.0


def test_a_server_that_refuses_everything_has_not_passed(tmp_path):
    result = checked(refuse, tmp_path)
    assert not result.passed
    assert result.measurements["rejected"] == 100.0
    assert (result.measurements["valid_failed"], result.measurements["failed"]) == (50, 100.0)
    assert {each["class"] for each in result.measurements["failing"]} == {VALID}


def test_a_version_that_fails_on_valid_rows_has_not_passed(tmp_path):
    """A lookup that knows only what training had."""

    def lookup(handler, body):
        status, text = strict(handler, body)
        return (500, '{"message": "KeyError: 3"}') if status == 200 and b": 3" in body else (status, text)

    result = checked(lookup, tmp_path)
    assert not result.passed
    assert result.measurements["rejected"] == 100.0
    assert 0 < result.measurements["valid_failed"] < 50
    assert VALID in {each["class"] for each in result.measurements["failing"]}


def test_a_server_that_hangs_is_given_up_soon(tmp_path, monkeypatch):
    monkeypatch.setattr(malformed_input, "TIMEOUT_SECONDS", 0.2)

    def hang_on_nonsense(handler, body):
        return answer(handler, body) if strict(handler, body)[0] == 200 else hang(handler, body)

    result = checked(hang_on_nonsense, tmp_path)
    found = result.measurements
    assert not result.passed
    assert (found["sent"], found["rejected"], found["valid_sent"]) == (5, 0.0, 0)
    assert found["stopped"] == "5 requests in a row got no answer"
    assert found["failing"][0]["status"] is None
    assert "did not answer within 0.2 s" in found["failing"][0]["answer"]


def test_a_server_that_falls_over_has_not_passed(tmp_path):
    def die(handler, body):
        if b"unexpected" in body:
            threading.Thread(target=handler.server.server_close).start()
            return None
        return strict(handler, body)

    result = checked(die, tmp_path, malformed=200)
    assert not result.passed
    assert result.measurements["stopped"]
    assert "closed before an answer came" in result.measurements["failing"][0]["answer"]


def test_a_server_that_was_never_there_is_no_evidence(tmp_path):
    with pytest.raises(TemporaryError, match="can't be reached"):
        malformed_input.run(subject(nobody(), tmp_path), quiet)


def test_another_version_at_the_address_is_no_evidence(tmp_path):
    with bad_server(answer, **{"X-Model-Version": "13"}) as server, pytest.raises(TemporaryError, match="another"):
        malformed_input.run(subject(server.url, tmp_path), quiet)


def test_without_a_signature_nothing_can_be_refused_with_a_reason(tmp_path):
    result = malformed_input.run(subject(nobody(), tmp_path, signature=None), quiet)
    assert not result.passed
    assert "Without a signature nothing can be refused with a reason." in result.detail
    assert result.measurements == {}


@pytest.mark.parametrize("word", ["making up", "malformed requests, 7 of", "valid rows", "looking for the simplest"])
def test_cancelling_stops_it_at_once(word, tmp_path):
    asked: list[int] = []

    def cancel(percent, phase):
        if phase.startswith(word):
            asked.append(server.asked)
            raise CheckCancelledError

    with bad_server(answer) as server:
        with pytest.raises(CheckCancelledError):
            malformed_input.run(subject(server.url, tmp_path), cancel)
        assert asked == [server.asked]
