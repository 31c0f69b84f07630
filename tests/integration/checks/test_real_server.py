"""Both checks against the model server that users get, with a model that is good."""

from __future__ import annotations

import pytest

from lifecycle.checks import load_test, malformed_input
from tests.integration.checks.servers import nobody, signature_in, subject
from tests.integration.test_serving import model_directory, server

__all__ = ["model_directory", "server"]

pytestmark = [pytest.mark.integration, pytest.mark.enable_socket, pytest.mark.filterwarnings("ignore")]


def test_the_load_test_measures_it(server, model_directory, monkeypatch):
    # A proxy would get between the generator and the server.
    monkeypatch.setenv("http_proxy", nobody())
    url = str(server.client.base_url)
    said: list[tuple[int, str]] = []
    # How fast the machine is that tests run on is no matter here.
    given = subject(url, model_directory, signature=signature_in(model_directory), steady=2.0, throughput=5.0)
    result = load_test.run(given, lambda percent, phase: said.append((percent, phase)))
    found = result.measurements
    assert result.passed, result.detail
    assert found["throughput"] > 5
    assert 0 < found["p50"] <= found["p95"] <= found["p99"] < 1
    assert (found["failed"], found["failures"], found["users"]) == (0.0, [], 4)
    assert found["requests"] == pytest.approx(found["throughput"] * found["steady_seconds"], abs=8)
    assert found["steady_seconds"] == pytest.approx(2.0, abs=0.5)
    assert found["ramp_seconds"] == pytest.approx(0.4, abs=0.5)
    assert sum(row[1] for row in found["series"]) >= found["requests"]
    assert max(row[5] for row in found["series"]) == 4
    assert found["generator_on_same_machine"] is True
    assert found["tool"].startswith("locust 2.")
    assert found["started"] < found["ended"]
    assert "predictions/s a replica; p95" in result.detail
    assert result.detail.endswith(f"0 of {found['requests']:,} failed.")
    assert [percent for percent, _ in said] == sorted(percent for percent, _ in said)
    assert any(phase.startswith("steady, ") for _, phase in said)


def test_it_refuses_malformed_input(server, model_directory):
    said: list[tuple[int, str]] = []
    url = str(server.client.base_url)
    given = subject(url, model_directory, signature=signature_in(model_directory), malformed=200)
    result = malformed_input.run(given, lambda percent, phase: said.append((percent, phase)))
    found = result.measurements
    assert result.passed, found["failing"]
    assert (found["sent"], found["rejected"], found["failing"]) == (200, 100.0, [])
    assert (found["valid_sent"], found["valid_failed"], found["failed"]) == (50, 0, 0.0)
    assert len(found["by_class"]) == 10
    assert result.detail == "200 of 200 malformed requests refused with a reason; 50 of 50 valid rows answered."
    assert [percent for percent, _ in said] == sorted(percent for percent, _ in said)
    assert "malformed requests, 100 of 200 sent" in {phase for _, phase in said}
