"""Loads a model version from a directory, or says in one line why that cannot be done."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.environment_variables import _MLFLOW_IS_IN_SERVING_ENVIRONMENT
from mlflow.pyfunc import PyFuncModel, load_model
from sklearn.base import BaseEstimator

from serving.errors import printable
from serving.reference import Reference, read_reference

log = logging.getLogger(__name__)


class LoadError(Exception):
    """The model cannot be served; the text says why, in one line."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory, and the training reference that came with it."""

    model: PyFuncModel
    reference: Reference


def load(directory: Path) -> LoadedModel:
    """The model in a local directory. Raises LoadError; opens no connection."""
    if not (directory / "MLmodel").is_file():
        raise LoadError(f"{directory} has no MLmodel file")
    # As mlflow models serve does: some flavors leave out work that only matters outside a server.
    os.environ[_MLFLOW_IS_IN_SERVING_ENVIRONMENT.name] = "true"
    try:
        model = load_model(str(directory.resolve()))
        loaded = LoadedModel(model, read_reference(model.metadata.metadata))
    except (Exception, SystemExit) as error:
        log.debug("loading failed", exc_info=True)
        reason = printable(" ".join(str(error).split()))[:500]
        raise LoadError(f"{type(error).__name__}: {reason}") from error
    use_one_job(model)
    return loaded


def use_one_job(model: PyFuncModel) -> None:
    """Let every scikit-learn estimator in the model work in the calling thread.

    Starting threads costs more than scoring a row, and the process has other requests to answer.
    """
    for estimator in _estimators(getattr(model._model_impl, "sklearn_model", None)):
        if getattr(estimator, "n_jobs", None) is not None:
            estimator.n_jobs = 1


def silence_warnings() -> None:
    """Leave Python's warnings with one filter, to ignore them: nobody reads the warnings of a model in production.

    scikit-learn installs all filters again for every tree of a forest; with the fifteen that its imports leave behind,
    that is half the time of a prediction.
    """
    warnings.resetwarnings()
    warnings.simplefilter("ignore")


def _estimators(value: Any) -> Iterator[Any]:
    """A scikit-learn estimator and those inside it: steps, voters, the wrapped and the fitted."""
    if isinstance(value, BaseEstimator):
        yield value
        value = list(vars(value).values())
    if isinstance(value, list | tuple):
        for inner in value:
            if isinstance(inner, BaseEstimator | list | tuple):
                yield from _estimators(inner)
