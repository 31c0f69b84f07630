"""One MLflow server for all tests that need a real one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.registry.server import MlflowServer, running_mlflow


@pytest.fixture(scope="session")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with running_mlflow(tmp_path_factory.mktemp("mlflow")) as server:
        yield server
