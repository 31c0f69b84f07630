"""``python -m demo.train``: train the demonstration's models and register them with MLflow.

Trains what the registry lacks and nothing else, so that it can be run again at any time, also after a stop half-way.
Reads MLFLOW_TRACKING_URI. Sets no stage and no alias: that is what Stagegate is for.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import mlflow
import pandas as pd
import skops.io
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.models.model import ModelInfo
from mlflow.types import ColSpec, Schema
from sklearn.inspection import permutation_importance

from demo.catalogue import MODELS, Entry, missing
from demo.data import SEED
from demo.recipes import RECIPES, Trained
from serving.reference import METADATA_KEY, build_reference

TRAINER = "data-science@example.com"
TRUSTED = ["sklearn.tree._tree.Tree"]
PACKAGES = ("mlflow", "numpy", "pandas", "scikit-learn", "skops")
EXAMPLE_ROWS = 3
CHECKED_ROWS = 20
log = logging.getLogger("demo.train")


def main() -> int:
    """Returns 0 when every version of the catalogue is registered."""
    # MLflow imports a model as code before it logs it. Its bytecode would be logged too, and nobody can review that.
    sys.dont_write_bytecode = True
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    uri = os.environ["MLFLOW_TRACKING_URI"]
    mlflow.set_tracking_uri(uri)
    client = MlflowClient()
    for entry in missing(uri):
        make(client, entry)
    return 0


def make(client: MlflowClient, entry: Entry) -> None:
    """Train, log and register one version.

    Registering comes last and is one call, tags included: a version that is there is whole. A run that a stop left
    without its version is removed first.
    """
    trained = RECIPES[entry.model, entry.semantic_version]()
    remove_unfinished(client, entry, mlflow.set_experiment(entry.model).experiment_id)
    tags = tags_of(entry, trained)
    with mlflow.start_run(run_name=f"{entry.model} {entry.semantic_version}", tags=tags, description=entry.description):
        mlflow.log_params(dict(trained.params))
        mlflow.log_metrics(dict(trained.metrics))
        mlflow.log_figure(importance_figure(trained), "explainability/permutation_importance.png")
        info = log_model(trained)
    check_answers(trained, info)
    register(client, entry, info, tags)
    log.info("%s is registered: %s", entry, ", ".join(f"{k} {v:.3f}" for k, v in trained.metrics.items()))


def remove_unfinished(client: MlflowClient, entry: Entry, experiment_id: str) -> None:
    for run in client.search_runs([experiment_id], f"tags.semantic_version = '{entry.semantic_version}'"):
        if not is_registered(client, run):
            client.delete_run(run.info.run_id)


def is_registered(client: MlflowClient, run: Run) -> bool:
    return bool(client.search_model_versions(f"run_id = '{run.info.run_id}'", max_results=1))


def tags_of(entry: Entry, trained: Trained) -> dict[str, str]:
    """The recommended tags of the lifecycle strategy, on the run and on the version alike."""
    return {
        "semantic_version": entry.semantic_version,
        "environment": "production",
        "schema_version": trained.schema_version,
        "data_version": trained.data_version,
        "feature_set_version": trained.feature_set,
        "training_date": datetime.now(UTC).date().isoformat(),
        "trainer_email": TRAINER,
        "framework": "sklearn",
        "explainability": "permutation importance",
    }


def log_model(trained: Trained) -> ModelInfo:
    """Log with signature, example and training reference; files are skops, JSON and Python source, never pickle."""
    common: dict[str, Any] = {
        "name": "model",
        "signature": signature_of(trained),
        "input_example": trained.seen[list(trained.required)].head(EXAMPLE_ROWS),
        "metadata": {METADATA_KEY: build_reference(trained.seen, trained.answers(trained.seen))},
        "pip_requirements": [f"{package}=={installed(package)}" for package in PACKAGES],
    }
    if trained.code is None:
        return mlflow.sklearn.log_model(
            trained.estimator, serialization_format="skops", skops_trusted_types=TRUSTED, **common
        )
    with tempfile.TemporaryDirectory() as folder:
        artifacts = write_artifacts(trained, Path(folder))
        return mlflow.pyfunc.log_model(python_model=str(trained.code), artifacts=artifacts, **common)


def check_answers(trained: Trained, info: ModelInfo) -> None:
    """Raise AssertionError unless the logged files, loaded again, answer as the model did before it was logged."""
    rows = trained.seen.head(CHECKED_ROWS)
    logged = mlflow.pyfunc.load_model(info.model_uri)
    found, expected = (
        pd.DataFrame(answers).reset_index(drop=True) for answers in (logged.predict(rows), trained.answers(rows))
    )
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def write_artifacts(trained: Trained, folder: Path) -> Mapping[str, str]:
    """The files that a model as code reads, by the names that it knows them by."""
    skops.io.dump(trained.estimator, folder / "estimator.skops")
    for name, table in trained.tables.items():
        (folder / f"{name}.json").write_text(json.dumps(table, indent=1, sort_keys=True), encoding="utf-8")
    return {file.stem: str(file) for file in folder.iterdir()}


def signature_of(trained: Trained) -> ModelSignature:
    columns = [ColSpec("double", name, required=name in trained.required) for name in trained.seen.columns]
    return ModelSignature(inputs=Schema(columns), outputs=trained.outputs)


def importance_figure(trained: Trained) -> Figure:
    """How much worse the estimator gets when one column's values are shuffled among the rows."""
    columns = list(trained.rows.columns)
    found = permutation_importance(trained.estimator, trained.rows, trained.truth, n_repeats=5, random_state=SEED)
    figure, axes = plt.subplots(figsize=(7, 0.5 * len(columns) + 1), layout="constrained")
    axes.barh(columns, found.importances_mean, xerr=found.importances_std)
    axes.set_xlabel(f"Loss of score when the column is shuffled ({len(trained.rows)} training rows)")
    plt.close(figure)
    return figure


def register(client: MlflowClient, entry: Entry, info: ModelInfo, tags: dict[str, str]) -> None:
    try:
        client.create_registered_model(entry.model, description=MODELS[entry.model])
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    client.create_model_version(
        entry.model,
        source=info.model_uri,
        run_id=info.run_id,
        tags=tags,
        description=entry.description,
        model_id=info.model_id,
    )


if __name__ == "__main__":
    sys.exit(main())
