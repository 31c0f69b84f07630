"""The load test against servers that are good, slow, broken, silent or somebody else's."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from lifecycle.adapters import load as load_module
from lifecycle.adapters.load import PROGRAM, Finished, Load, generate
from lifecycle.checks import load_test
from lifecycle.checks.base import CheckCancelledError
from lifecycle.ports import PermanentError, TemporaryError
from tests.integration.checks.servers import (
    PREDICTIONS,
    answer,
    bad_server,
    hang,
    nobody,
    quiet,
    slow,
    subject,
)
from tests.integration.test_serving import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.enable_socket, pytest.mark.filterwarnings("ignore")]
ROOT = Path(__file__).resolve().parents[3]


def generators() -> list[psutil.Process]:
    """Load generators that run on this machine, of whomever."""
    return [each for each in psutil.process_iter(["cmdline"]) if str(PROGRAM) in (each.info["cmdline"] or ())]


def measured(url, tmp_path, **options):
    result = load_test.run(subject(url, tmp_path, **options), quiet)
    json.dumps(result.measurements, allow_nan=False)
    return result


def test_a_slow_server_fails(tmp_path):
    with bad_server(slow) as server:
        result = measured(server.url, tmp_path)
    assert not result.passed
    assert 4 < result.measurements["throughput"] <= 16.5
    assert result.measurements["p50"] == pytest.approx(0.25, abs=0.2)
    assert result.measurements["failed"] == 0.0


def test_one_failure_in_twenty_is_too_many(tmp_path):
    numbers = itertools.count()

    def sometimes(handler, body):
        return (500, '{"message": "KeyError: 7"}') if next(numbers) % 20 == 0 else answer(handler, body)

    with bad_server(sometimes) as server:
        result = measured(server.url, tmp_path, throughput=1.0)
    assert not result.passed
    assert result.measurements["failed"] == pytest.approx(5.0, abs=2.0)
    [failure] = result.measurements["failures"]
    assert failure["reason"] == "status 500"
    assert "KeyError: 7" in failure["example"]


def test_what_is_no_prediction_is_a_failure(tmp_path):
    answers = itertools.cycle(
        [(400, '{"message": "no"}'), (302, PREDICTIONS), (200, "<html>"), (200, '{"predictions": null}'), None]
    )
    # Nothing listens at port 1: a redirection that was followed would be another failure.
    with bad_server(lambda handler, body: next(answers), Location="http://127.0.0.1:1/invocations") as server:
        result = measured(server.url, tmp_path)
    assert not result.passed
    assert (result.measurements["throughput"], result.measurements["failed"]) == (0.0, 100.0)
    assert {each["reason"] for each in result.measurements["failures"]} == {
        "status 400",
        "status 302",
        "status 200 without predictions",
        "connection closed before the answer was complete",
    }


def test_an_answer_of_another_version_is_a_failure(tmp_path):
    with bad_server(answer, **{"X-Model-Version": "13"}) as server:
        result = measured(server.url, tmp_path, steady=0.5)
    assert not result.passed
    assert [each["reason"] for each in result.measurements["failures"]] == ["answered as version 13, not 12"]


def drip(handler, body):
    """An answer that never ends."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    while not handler.server.ended.wait(0.05):
        handler.wfile.write(b" ")
        handler.wfile.flush()


@pytest.mark.parametrize("behave", [hang, drip], ids=["hangs", "drips"])
def test_an_answer_that_takes_too_long_is_a_failure(behave, tmp_path, monkeypatch):
    monkeypatch.setattr(load_test, "TIMEOUT_SECONDS", 1.0)
    with bad_server(behave) as server:
        result = measured(server.url, tmp_path)
    assert not result.passed
    assert result.measurements["failed"] == 100.0
    assert result.measurements["p95"] is None
    assert {each["reason"] for each in result.measurements["failures"]} == {"no answer within 1 s"}
    assert result.measurements["failures"][0]["count"] >= 4


def test_where_nobody_listens_nothing_is_scored(tmp_path):
    result = measured(nobody(), tmp_path, steady=0.5)
    assert not result.passed
    assert result.measurements["failures"][0]["reason"] == "connection refused"
    # A user waits after a refusal: a closed door is not asked thousands of times.
    assert result.measurements["requests"] < 100


def test_without_a_signature_the_input_example_is_asked(tmp_path):
    (tmp_path / "serving_input_example.json").write_text('{"inputs": ["example"]}')
    bodies = set()
    with bad_server(lambda handler, body: bodies.add(body) or answer(handler, body)) as server:
        assert measured(server.url, tmp_path, signature=None, steady=0.5).measurements["failed"] == 0.0
    assert bodies == {b'{"inputs": ["example"]}'}


def test_without_signature_and_example_nobody_can_know_what_to_ask(tmp_path):
    with pytest.raises(PermanentError, match="signature"):
        load_test.run(subject(nobody(), tmp_path, signature=None), quiet)


@pytest.mark.parametrize("word", ["starting", "ramping", "steady"])
def test_cancelling_stops_the_load_at_once(word, tmp_path):
    def cancel(percent, phase):
        if phase.startswith(word):
            raise CheckCancelledError

    before = {each.pid for each in generators()}
    with bad_server(answer) as server:
        given = subject(server.url, tmp_path, steady=30.0)
        with pytest.raises(CheckCancelledError):
            load_test.run(given, cancel)
        assert {each.pid for each in generators()} <= before
        asked = server.asked
        time.sleep(0.2)
        # What each of the four users had on its way may still arrive.
        assert server.asked <= asked + 4


def test_the_generator_ends_with_the_process_that_started_it(tmp_path):
    """A worker that is killed cannot clean up."""
    program = (
        "import sys; from lifecycle.adapters.load import Load, generate\n"
        "for second in generate(Load(sys.argv[1], '12', 2, 0.2, 60.0, 10.0, ('{}',))):\n"
        "    print(second, flush=True)\n"
    )
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    with bad_server(answer) as server:
        worker = subprocess.Popen(
            [sys.executable, "-c", program, server.url], cwd=ROOT, env=environment, stdout=subprocess.PIPE
        )
        try:
            assert worker.stdout is not None
            assert any(b"Second(" in line for line in worker.stdout)
            [generator] = psutil.Process(worker.pid).children()
        finally:
            worker.send_signal(signal.SIGKILL)
            worker.wait()
            worker.stdout.close()
        wait_until(lambda: not generator.is_running() or generator.status() == psutil.STATUS_ZOMBIE, seconds=10)


def small(**changes):
    options = {"url": nobody(), "version": "12", "users": 1, "ramp": 0.1, "steady": 0.1, "timeout": 1.0}
    return Load(**{**options, "bodies": ("{}",), **changes})


def instead(monkeypatch, tmp_path, program):
    """Another program in place of the load generator."""
    path = tmp_path / "generator.py"
    path.write_text(program)
    monkeypatch.setattr(load_module, "PROGRAM", path)


def test_a_generator_that_breaks_is_no_evidence(monkeypatch, tmp_path):
    instead(monkeypatch, tmp_path, "import sys; sys.exit('no more memory')")
    # More than a pipe holds: writing it meets a reader that has gone.
    with pytest.raises(TemporaryError, match="the load generator ended: no more memory"):
        list(generate(small(bodies=("x" * 10**6,))))


def test_a_generator_that_says_nothing_is_given_up(monkeypatch, tmp_path):
    instead(monkeypatch, tmp_path, "import time; time.sleep(60)")
    monkeypatch.setattr(load_module, "START_SECONDS", 0.5)
    started = time.monotonic()
    with pytest.raises(TemporaryError, match="stopped speaking"):
        list(generate(small()))
    assert time.monotonic() - started < 10


def test_a_generator_that_goes_on_for_ever_is_given_up(monkeypatch, tmp_path):
    line = '{"at": 1.0, "phase": "steady", "users": 1, "latencies": [], "failures": {}}'
    instead(monkeypatch, tmp_path, f"import time\nwhile True:\n    print('{line}', flush=True)\n    time.sleep(0.05)")
    monkeypatch.setattr(load_module, "SILENT_SECONDS", 0.5)
    with pytest.raises(TemporaryError, match="longer than its load"):
        list(generate(small()))


def test_the_generator_inherits_nothing(monkeypatch, tmp_path):
    program = "import json, os; print(json.dumps({'phase': 'done', 'tool': json.dumps(dict(os.environ))}))"
    instead(monkeypatch, tmp_path, program)
    monkeypatch.setenv("STAGEGATE_SECRET_KEY", "secret")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    with closing(generate(small())) as said:
        [finished] = [each for each in said if isinstance(each, Finished)]
    assert set(json.loads(finished.tool)) <= {"PATH", "LANG", "LC_CTYPE", "PYTHONUNBUFFERED"}
