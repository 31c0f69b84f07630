"""One MLflow server for all tests of the registry."""

from collections.abc import Iterator

import pytest

from lifecycle.adapters.mlflow_registry import MlflowRegistry
from tests.integration.registry.server import MlflowServer, MlflowWorld, running_mlflow


@pytest.fixture(scope="session")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with running_mlflow(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture
def world(mlflow: MlflowServer) -> Iterator[MlflowWorld]:
    world = MlflowWorld(mlflow)
    with world.session:
        yield world


@pytest.fixture
def registry(mlflow: MlflowServer) -> Iterator[MlflowRegistry]:
    registry = MlflowRegistry(mlflow.uri, timeout_seconds=20)
    yield registry
    registry.close()
