"""The whole of one variant: ``python -m serving`` under supervisord, behind Traefik."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from hashlib import blake2b
from pathlib import Path

import pytest

from lifecycle.adapters.local_gateway import TraefikTraffic
from lifecycle.adapters.local_metrics import LocalMetrics
from lifecycle.adapters.local_serving import SupervisorServing
from lifecycle.adapters.server_answers import read_answers
from lifecycle.domain.drift import Distribution
from lifecycle.domain.observations import LATENCY_EDGES
from lifecycle.domain.policy import MetricQueries
from lifecycle.ports import Backend, ServerState, VersionRef
from tests.contract.serving import new_slug, wait_for
from tests.contract.waiting import eventually
from tests.integration.adapters.services import PASSWORD, USER, Keeper, TrafficWorld, free_port

pytestmark = pytest.mark.integration

# In a process of its own: what MLflow and scikit-learn warn about while saving is not under test.
SAVE_MODEL = """
import sys
import mlflow.sklearn
from mlflow.models import infer_signature
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

features, labels = load_iris(return_X_y=True, as_frame=True)
model = LogisticRegression(max_iter=1000).fit(features, labels)
signature = infer_signature(features, model.predict(features))
mlflow.sklearn.save_model(model, sys.argv[1] + "/model", signature=signature, serialization_format="skops")
"""
ROW = {"dataframe_split": {"columns": [
    "sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"
], "data": [[5.1, 3.5, 1.4, 0.2]]}}  # fmt: skip


def save_model(ref: VersionRef, directory: Path) -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", SAVE_MODEL, str(directory)], check=True, timeout=120)
    for path in list((directory / "model").iterdir()):
        path.rename(directory / path.name)
    (directory / "model").rmdir()


def test_a_model_answers_through_the_gateway(
    keeper: Keeper, traffic: TraefikTraffic, world: TrafficWorld, tmp_path: Path
) -> None:
    serving = SupervisorServing(
        fetch=save_model,
        model_store=tmp_path / "models",
        servers_dir=keeper.servers,
        log_dir=tmp_path / "log",
        url=f"http://127.0.0.1:{keeper.port}",
        user=USER,
        password=PASSWORD,
        ports=[free_port()],
    )
    ref, slug = VersionRef("iris; 'the' %(here)s model", 1), new_slug()
    serving.ensure(ref, slug=slug)
    server = wait_for(serving, ref, slug, ServerState.READY)
    traffic.apply(slug, (Backend(1, server.url, 100),), fence=1)
    eventually(lambda: traffic.weights(slug), lambda seen: seen == {1: 100})
    request = urllib.request.Request(
        f"http://127.0.0.1:{world.gateway.port}/{slug}/invocations",
        json.dumps(ROW).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.headers["X-Model-Version"] == "1"
        assert json.load(response) == {"predictions": [0]}
    assert serving.status(ref, slug=slug).in_flight == 0
    metrics = LocalMetrics(f"http://127.0.0.1:{world.gateway.api_port}", timeout=5)
    by_gateway, by_server = metrics.read(slug, {1: server.url}, MetricQueries())
    assert (by_gateway.counts.requests, by_gateway.counts.errors) == (1, 0)
    assert by_server.counts.latency is not None
    assert by_server.counts.latency.edges == LATENCY_EDGES
    assert by_server.counts.latency.total == 1
    assert by_server.counts.prediction == Distribution((1.0,), categories=("0",))
    assert [answer.values for answer in metrics.answers(server.url, after=0)] == [("0",)]
    users, copies = Backend(1, server.url, 100), Backend(2, server.url, 0)
    traffic.apply(slug, (users, copies), fence=1, mirrors={2: 100})
    eventually(lambda: traffic.mirrors(slug), lambda seen: seen == {2: 100})
    with urllib.request.urlopen(request, timeout=30) as response:
        assert json.load(response) == {"predictions": [0]}
    answers = eventually(lambda: read_answers(server.url, 1, 5), lambda seen: len(seen) == 2)
    assert [(each.number, each.key, each.values) for each in answers] == [
        (number, blake2b(json.dumps(ROW).encode(), digest_size=16).hexdigest(), ("0",)) for number in (2, 3)
    ]
    traffic.apply(slug, (), fence=2)
    eventually(lambda: traffic.weights(slug), lambda seen: seen == {})
    serving.remove(ref, slug=slug)
    assert serving.status(ref, slug=slug).state == ServerState.ABSENT
