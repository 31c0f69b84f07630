"""What the tests of the registry share beside its server."""

from collections.abc import Iterator

import pytest

from lifecycle.adapters.mlflow_registry import MlflowRegistry
from tests.integration.registry.server import MlflowServer, MlflowWorld


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
