"""The model server as its users meet it: a process, a socket, and MLflow's own answers beside it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

with warnings.catch_warnings():
    # MLflow warns about its own type hints when it is imported, and a warning is an error in these tests.
    warnings.simplefilter("ignore")
    import mlflow.pyfunc
    import mlflow.sklearn
    from mlflow.models import infer_signature

from serving.reference import METADATA_KEY, build_reference

pytestmark = [pytest.mark.integration, pytest.mark.enable_socket, pytest.mark.filterwarnings("ignore")]

ROOT = Path(__file__).resolve().parents[2]
IRIS = load_iris(as_frame=True)
START_SECONDS = 60
SLOW_MODEL = """
import time
from pathlib import Path


class Slow:
    def __init__(self, directory):
        self.directory = Path(directory)

    def predict(self, data):
        (self.directory / "entered").touch()
        while not (self.directory / "go_on").exists():
            time.sleep(0.01)
        return data["a"].to_numpy()


def _load_pyfunc(path):
    return Slow(path)
"""


@dataclass(frozen=True)
class Server:
    process: subprocess.Popen[bytes]
    client: httpx.Client
    log: Path

    def metrics(self) -> list[str]:
        return self.client.get("/metrics").text.splitlines()


def command(directory, port):
    arguments = ["--model-dir", str(directory), "--name", "iris", "--version", "12", "--port", str(port)]
    return [sys.executable, "-m", "serving", *arguments]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, seconds=START_SECONDS):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


@contextmanager
def serving(directory, log):
    port = free_port()
    # Nothing listens on port 1: a server that asked a registry for anything would fail here.
    environment = os.environ | {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}
    with log.open("wb") as output:
        process = subprocess.Popen(command(directory, port), cwd=ROOT, env=environment, stdout=output, stderr=output)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        try:
            wait_until(lambda: answers(client) or process.poll() is not None)
            assert process.poll() is None, log.read_text()
            yield Server(process, client, log)
        finally:
            process.kill()
            process.wait()


def answers(client):
    try:
        return client.get("/ping").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def model_directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("model") / "iris"
    forest = RandomForestClassifier(20, random_state=0).fit(IRIS.data, IRIS.target)
    predictions = forest.predict(IRIS.data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.sklearn.save_model(
            forest,
            directory,
            signature=infer_signature(IRIS.data, predictions),
            metadata={METADATA_KEY: build_reference(IRIS.data, predictions)},
            pip_requirements=[],
            skops_trusted_types=["sklearn.tree._tree.Tree"],
        )
    return directory


@pytest.fixture(scope="module")
def server(model_directory, tmp_path_factory):
    with serving(model_directory, tmp_path_factory.mktemp("log") / "server.log") as server:
        yield server


@pytest.fixture
def slow_directory(tmp_path):
    """A model that is not scikit-learn's: it is called in place, and waits for a file."""
    code = tmp_path / "slow" / "code"
    code.mkdir(parents=True)
    (code / "slow_model.py").write_text(SLOW_MODEL)
    (tmp_path / "slow" / "MLmodel").write_text(
        json.dumps(
            {
                "flavors": {"python_function": {"loader_module": "slow_model", "code": "code"}},
                "signature": {"inputs": json.dumps([{"type": "double", "name": "a", "required": True}])},
            }
        )
    )
    return tmp_path / "slow"


def split(frame):
    return {"dataframe_split": frame.to_dict(orient="split")}


def test_answers_are_those_of_pyfunc_alone_and_in_company(server, model_directory):
    model = mlflow.pyfunc.load_model(str(model_directory))
    expected = model.predict(IRIS.data).tolist()
    assert server.client.post("/invocations", json=split(IRIS.data)).json() == {"predictions": expected}
    with ThreadPoolExecutor(16) as pool:
        rows = [split(IRIS.data.iloc[[row]]) for row in range(len(IRIS.data))]
        replies = list(pool.map(lambda row: server.client.post("/invocations", json=row), rows))
    assert [reply.json()["predictions"] for reply in replies] == [[label] for label in expected]
    assert {reply.headers["x-model-version"] for reply in replies} == {"12"}


def test_every_row_is_counted_once(server):
    before = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in server.metrics() if line[0] != "#"}
    for row in (3, 60, 120):
        assert server.client.post("/invocations", json=split(IRIS.data.iloc[row : row + 4])).status_code == 200
    after = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in server.metrics() if line[0] != "#"}
    grown = {name: value - before.get(name, 0) for name, value in after.items()}
    assert grown["stagegate_rows_total"] == 12
    assert [grown[f'stagegate_predictions_total{{class="{label}"}}'] for label in range(3)] == [4, 4, 4]
    assert grown['stagegate_feature_value_bucket{feature="petal width (cm)",le="+Inf"}'] == 12
    assert grown['stagegate_requests_total{outcome="ok"}'] == 3
    assert grown["stagegate_request_duration_seconds_count"] == 3


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"inputs": 1}', json.dumps(split(IRIS.data.drop(columns=IRIS.data.columns[0]))).encode()],
)
def test_malformed_input_is_refused(server, body):
    reply = server.client.post("/invocations", content=body, headers={"content-type": "application/json"})
    assert reply.status_code == 400
    assert reply.json()["error_code"] == "BAD_REQUEST"
    assert reply.json()["message"]


def test_what_is_too_large_is_refused_before_it_is_read(server):
    body = b" " * (17 * 2**20)
    reply = httpx.post(
        f"{server.client.base_url}/invocations", content=body, headers={"content-type": "application/json"}
    )
    assert reply.status_code == 413
    assert answers(server.client)


def test_the_process_imports_no_django(server):
    modules = subprocess.run(
        [sys.executable, "-c", "import sys, serving.__main__; print('django' in sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert modules.stdout.strip() == "False"


def test_sigterm_lets_requests_in_flight_finish(slow_directory, tmp_path):
    with serving(slow_directory, tmp_path / "log") as server, ThreadPoolExecutor(1) as pool:
        frame = split(pd.DataFrame({"a": [1.5]}))
        waiting = pool.submit(httpx.post, f"{server.client.base_url}/invocations", json=frame, timeout=30)
        wait_until((slow_directory / "entered").exists)
        assert "stagegate_requests_in_flight 1.0" in server.metrics()
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not accepts(server.client.base_url.port))
        assert server.process.poll() is None
        (slow_directory / "go_on").touch()
        assert waiting.result(30).json() == {"predictions": [1.5]}
        assert server.process.wait(30) == 0


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_a_model_that_hangs_does_not_keep_the_process(slow_directory, tmp_path):
    arguments = [*command(slow_directory, port := free_port()), "--drain-seconds", "1", "--timeout-seconds", "60"]
    with (tmp_path / "log").open("wb") as output:
        process = subprocess.Popen(arguments, cwd=ROOT, stdout=output, stderr=output)
    try:
        wait_until(lambda: accepts(port))
        with ThreadPoolExecutor(1) as pool:
            address = f"http://127.0.0.1:{port}/invocations"
            waiting = pool.submit(httpx.post, address, json=split(pd.DataFrame({"a": [1.5]})), timeout=30)
            wait_until((slow_directory / "entered").exists)
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
            assert waiting.result(20).status_code == 500
    finally:
        process.kill()
        process.wait()


def test_a_broken_model_ends_the_process_before_the_port_is_open(tmp_path):
    (tmp_path / "MLmodel").write_text("flavors: {python_function: {loader_module: mlflow.sklearn, model_path: gone}}")
    port = free_port()
    ended = subprocess.run(command(tmp_path, port), cwd=ROOT, capture_output=True, text=True, timeout=START_SECONDS)
    assert ended.returncode == 1
    assert [line for line in ended.stderr.splitlines() if line.startswith("serving: cannot load iris version 12: ")]
    assert "Traceback" not in ended.stderr
    assert not accepts(port)


def test_a_port_that_is_taken_ends_the_process(model_directory):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        arguments = command(model_directory, taken.getsockname()[1])
        ended = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=START_SECONDS)
    assert ended.returncode > 0
    assert "address already in use" in ended.stderr
