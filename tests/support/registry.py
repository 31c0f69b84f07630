"""MLflow's own client, for what people do with the registry directly."""

from __future__ import annotations

from mlflow import MlflowClient

from tests.support.installation import Installation


def client_of(installation: Installation) -> MlflowClient:
    return MlflowClient(installation.environment["MLFLOW_TRACKING_URI"])
