"""Whether a model gives a row the same answer in company as alone, to the last bit.

Only then may requests be joined. Trees and most classifiers pass. A linear regression does not: the order in which
BLAS adds up a row's products depends on how many rows there are.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from mlflow.pyfunc import PyFuncModel
from mlflow.types import DataType

from serving.batching import MAX_ROWS
from serving.columns import WHOLE_RANGES, Column
from serving.reference import MISSING, OTHER, Bins, Labels, Reference
from serving.response import jsonable

log = logging.getLogger(__name__)

# Their estimators predict row by row; what wraps them may not, which the comparison finds out.
ROW_WISE_LOADERS = frozenset({"mlflow.sklearn", "mlflow.xgboost", "mlflow.lightgbm", "mlflow.catboost"})
PROBES = 48
SIZES = (2, 3, 5, 8, 16, 33, 48, 100, MAX_ROWS)
SECONDS = 3.0

Predict = Callable[[pd.DataFrame], Any]


def may_join(model: PyFuncModel, columns: Sequence[Column], reference: Reference, batching: str) -> bool:
    """Whether requests may be joined under ``batching``: auto, on or off. Says why not in the log.

    "auto" wants a known flavor and a comparison that shows no difference; "on" goes without a comparison when there
    is nothing to compare with, for the operator who knows the model.
    """
    if batching == "off" or not columns:
        return False
    if batching == "auto" and model.loader_module not in ROW_WISE_LOADERS:
        log.info("requests are scored alone: %s is not known to predict row by row", model.loader_module)
        return False
    rows = probe_rows(columns, model.input_example, reference)
    same = None if rows is None else same_together(model.predict, rows)
    if same is None and batching == "auto":
        log.info("requests are scored alone: the model has no input example to compare rows on")
    if same is False:
        log.info("requests are scored alone: rows together are not answered exactly as they are alone")
    return batching == "on" if same is None else same


def same_together(predict: Predict, rows: pd.DataFrame) -> bool | None:
    """Compares predictions for rows alone with those for tables of up to MAX_ROWS rows; None when the model fails.

    Slow models are compared on fewer rows and sizes, so that a start takes seconds, not minutes.
    """
    deadline = time.monotonic() + SECONDS
    alone: list[Any] = []
    try:
        while len(alone) < len(rows) and (len(alone) < 2 or time.monotonic() < deadline):
            alone.extend(_answers(predict, rows.iloc[len(alone) : len(alone) + 1]))
        for size in SIZES:
            # The largest size is never left out: it is the one that BLAS treats most differently.
            if time.monotonic() > deadline and 2 < size < MAX_ROWS:
                continue
            picked = np.arange(size) % len(alone)
            if _answers(predict, rows.iloc[picked].reset_index(drop=True)) != [alone[row] for row in picked]:
                return False
    except Exception as error:
        log.info("the model failed on rows made up to compare on: %s: %s", type(error).__name__, error)
        return None
    return True


def _answers(predict: Predict, rows: pd.DataFrame) -> list[str]:
    """One text an answer, which tells NaN from NaN no differently than a caller would. Raises when not one a row."""
    answers = jsonable(predict(rows))
    if not isinstance(answers, list) or len(answers) != len(rows):
        raise ValueError(f"{len(rows)} rows got another number of answers")
    return list(map(repr, answers))


def probe_rows(columns: Sequence[Column], example: Any, reference: Reference) -> pd.DataFrame | None:
    """Rows to compare on, always the same ones: the input example first, then values drawn column by column.

    None when nothing tells what a column of text may hold.
    """
    random = np.random.default_rng(0)
    known = example if isinstance(example, pd.DataFrame) else pd.DataFrame()
    rows = pd.DataFrame()
    for column in columns:
        values = _draw(column, known, reference.features, random)
        if values is None:
            return None
        rows[column.name] = column.array(values)
    if not {column.name for column in columns} <= set(known.columns):
        return rows
    known = known[list(rows.columns)].dropna().head(PROBES)
    try:
        return pd.concat([known.astype(rows.dtypes.to_dict()), rows], ignore_index=True).head(PROBES)
    except (TypeError, ValueError):
        return rows


def _draw(
    column: Column, known: pd.DataFrame, features: Mapping[str, Bins | Labels], random: np.random.Generator
) -> list[Any] | None:
    numeric = column.type not in (DataType.string, DataType.boolean, DataType.datetime, DataType.binary)
    bins = features.get(column.name)
    if numeric:
        low, high = _span(bins, known.get(column.name))
        values = random.uniform(low, high, PROBES)
        return [int(value) for value in values] if column.type in WHOLE_RANGES else values.tolist()
    if column.type is DataType.boolean:
        return [bool(value) for value in random.integers(0, 2, PROBES)]
    return _pick(_choices(bins, known.get(column.name)), random) if column.type is DataType.string else None


def _span(bins: Bins | Labels | None, known: pd.Series | None) -> tuple[float, float]:
    """A range of plausible values: that of training, of the input example, or around zero."""
    if isinstance(bins, Bins):
        return bins.edges[0] - 1, bins.edges[-1] + 1
    values = _finite(known)
    return (float(values.min()) - 1, float(values.max()) + 1) if len(values) else (-3.0, 3.0)


def _finite(known: pd.Series | None) -> npt.NDArray[np.float64]:
    values = pd.to_numeric(known, errors="coerce").to_numpy(np.float64) if known is not None else np.zeros(0)
    return values[np.isfinite(values)]


def _choices(bins: Bins | Labels | None, known: pd.Series | None) -> list[str]:
    if isinstance(bins, Labels):
        return [name for name in bins.names if name not in (MISSING, OTHER)]
    return [value for value in known.tolist() if isinstance(value, str)] if known is not None else []


def _pick(choices: list[str], random: np.random.Generator) -> list[str] | None:
    return [choices[index] for index in random.integers(0, len(choices), PROBES)] if choices else None
