"""How each version of the demonstration is trained: real estimators on real rows, with fixed seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.pyfunc import PythonModel
from mlflow.types import ColSpec, Schema
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.metrics import accuracy_score, f1_score, log_loss, mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, StandardScaler

from demo.catalogue import DIABETES, IRIS
from demo.data import (
    DIABETES_COLUMNS,
    DIABETES_OPTIONAL,
    IRIS_COLUMNS,
    IRIS_OPTIONAL,
    SEED,
    Split,
    data_version,
    diabetes_split,
    iris_split,
)
from demo.models import augmented, confident, looked_up, optional_columns

TREES = 60
RIDGE_ALPHA = 1.0
SPECIES = Schema([ColSpec("string")])
SPECIES_AND_CONFIDENCE = Schema([ColSpec("string", "species"), ColSpec("double", "confidence")])
NUMBER = Schema([ColSpec("double")])


@dataclass(frozen=True, slots=True)
class Trained:
    """A version before it is logged.

    ``estimator`` is what scikit-learn fitted, to ``rows`` and their ``truth``; ``answerer``, when there is one, is the
    model as code around it, and ``tables`` are the JSON files that it reads. Of the ``inputs``, the columns that a
    request may have, it must have those in ``required``. ``params`` and ``metrics`` are what the run records.
    """

    estimator: Any
    rows: pd.DataFrame
    truth: pd.Series
    inputs: Sequence[str]
    required: Sequence[str]
    outputs: Schema
    metrics: Mapping[str, float]
    params: Mapping[str, Any]
    data_version: str
    feature_set: str
    schema_version: str
    answerer: PythonModel | None = None
    tables: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def seen(self) -> pd.DataFrame:
        """The training rows as requests would bring them."""
        return self.rows[list(self.inputs)]

    @property
    def code(self) -> Path | None:
        module = type(self.answerer).__module__.rpartition(".")[2] if self.answerer else ""
        return Path(__file__).parent / "models" / f"{module}.py" if module else None

    def answers(self, rows: pd.DataFrame) -> Any:
        """What the version answers for rows, as its users will see it."""
        return self.answerer.predict(None, rows) if self.answerer else self.estimator.predict(rows)


def forest() -> RandomForestClassifier:
    return RandomForestClassifier(n_estimators=TREES, min_samples_leaf=2, random_state=SEED)


def with_gaps(rows: pd.DataFrame, column: str, share: float) -> pd.DataFrame:
    """The rows with ``column`` missing from a ``share`` of them, so that a model learns to do without it."""
    gaps = rows.copy()
    gaps.loc[rows.sample(frac=share, random_state=SEED).index, column] = np.nan
    return gaps


def classification_metrics(truth: pd.Series, votes: Any, classes: Any) -> dict[str, float]:
    """``votes`` has a probability for each row and class, (rows, classes)."""
    answers = np.asarray(classes)[np.argmax(votes, axis=1)]
    return {
        "accuracy": accuracy_score(truth, answers),
        "f1_macro": f1_score(truth, answers, average="macro"),
        "log_loss": log_loss(truth, votes, labels=list(classes)),
    }


def regression_metrics(split: Split, answers: Any) -> dict[str, float]:
    """The baseline always answers with the mean of the training rows."""
    baseline = np.full(len(split.test_truth), split.train_truth.mean())
    return {
        "rmse": root_mean_squared_error(split.test_truth, answers),
        "mae": mean_absolute_error(split.test_truth, answers),
        "r2": r2_score(split.test_truth, answers),
        "baseline_rmse": root_mean_squared_error(split.test_truth, baseline),
    }


def iris_of(split: Split, estimator: Any, columns: Sequence[str]) -> Trained:
    """The iris model's first form around a fitted ``estimator``: needs three columns, answers with the species."""
    votes = estimator.predict_proba(split.test[list(columns)])
    return Trained(
        estimator=estimator,
        rows=split.train[list(columns)],
        truth=split.train_truth,
        inputs=columns,
        required=IRIS_COLUMNS,
        outputs=SPECIES,
        metrics=classification_metrics(split.test_truth, votes, estimator.classes_),
        params={"trees": TREES, "seed": SEED, "training_rows": len(split.train), "held_out_rows": len(split.test)},
        data_version=data_version("iris"),
        feature_set="v1.0.0",
        schema_version="1.0.0",
    )


def iris_1_0_0() -> Trained:
    split = iris_split()
    bins = KBinsDiscretizer(4, encode="ordinal", strategy="uniform", quantile_method="averaged_inverted_cdf")
    pipeline = make_pipeline(bins, forest()).fit(split.train[list(IRIS_COLUMNS)], split.train_truth)
    return iris_of(split, pipeline, IRIS_COLUMNS)


def iris_1_0_1() -> Trained:
    split = iris_split()
    pipeline = make_pipeline(StandardScaler(), forest()).fit(split.train[list(IRIS_COLUMNS)], split.train_truth)
    return replace(iris_of(split, pipeline, IRIS_COLUMNS), feature_set="v1.0.1")


def iris_1_1_0() -> Trained:
    """Takes an optional column; says how good it is without it, too. 1.1.1 and 2.0.0 build on it."""
    split, answerer = iris_split(), optional_columns.OptionalColumns()
    columns = [*IRIS_COLUMNS, IRIS_OPTIONAL]
    seen = with_gaps(split.train[columns], IRIS_OPTIONAL, share=0.5)
    answerer.estimator = forest().fit(seen, split.train_truth)
    first = iris_of(split, answerer.estimator, columns)
    without = answerer.predict(None, split.test[list(IRIS_COLUMNS)])
    return replace(
        first,
        rows=seen,
        metrics={**first.metrics, "f1_macro_without_optional": f1_score(split.test_truth, without, average="macro")},
        feature_set="v1.1.0",
        schema_version="1.1.0",
        answerer=answerer,
    )


def iris_1_1_1() -> Trained:
    base, split, answerer = iris_1_1_0(), iris_split(), augmented.Augmented()
    answerer.estimator = base.estimator
    votes = answerer.votes(split.test)
    return replace(
        base,
        metrics=classification_metrics(split.test_truth, votes, base.estimator.classes_),
        params={**base.params, "copies": augmented.COPIES, "spread_cm": augmented.SPREAD_CM},
        answerer=answerer,
    )


def iris_1_1_2() -> Trained:
    """Measured on the held-out rows that the table knows; how many it does not know is a metric of its own."""
    split, answerer = iris_split(), looked_up.LookedUp()
    columns = [*IRIS_COLUMNS, IRIS_OPTIONAL, "usual_petal_width"]
    answerer.usual_widths = split.train.groupby(looked_up.cells(split.train))["petal_width"].mean().to_dict()
    known = [cell in answerer.usual_widths for cell in looked_up.cells(split.test)]
    train = with_gaps(answerer.with_usual_width(split.train), IRIS_OPTIONAL, share=0.5)
    test = answerer.with_usual_width(split.test[known])
    answerer.estimator = forest().fit(train[columns], split.train_truth)
    first = iris_of(Split(train, test, split.train_truth, split.test_truth[known]), answerer.estimator, columns)
    return replace(
        first,
        inputs=[*IRIS_COLUMNS, IRIS_OPTIONAL],
        schema_version="1.1.0",
        metrics={**first.metrics, "held_out_rows_not_in_table": known.count(False)},
        feature_set="v1.1.2",
        answerer=answerer,
        tables={"usual_widths": answerer.usual_widths},
    )


def iris_2_0_0() -> Trained:
    base, answerer = iris_1_1_0(), confident.Confident()
    answerer.estimator = base.estimator
    return replace(base, outputs=SPECIES_AND_CONFIDENCE, schema_version="2.0.0", answerer=answerer)


def ridge(imputed: bool) -> Pipeline:
    steps = [SimpleImputer()] if imputed else []
    return make_pipeline(*steps, StandardScaler(), Ridge(alpha=RIDGE_ALPHA))


def diabetes_of(split: Split, estimator: Pipeline, columns: Sequence[str]) -> Trained:
    return Trained(
        estimator=estimator,
        rows=split.train[list(columns)],
        truth=split.train_truth,
        inputs=columns,
        required=DIABETES_COLUMNS,
        outputs=NUMBER,
        metrics=regression_metrics(split, estimator.predict(split.test[list(columns)])),
        params={
            "alpha": RIDGE_ALPHA,
            "seed": SEED,
            "training_rows": len(split.train),
            "held_out_rows": len(split.test),
        },
        data_version=data_version("diabetes"),
        feature_set="v1.0.0",
        schema_version="1.0.0",
    )


def diabetes_1_0_0() -> Trained:
    split = diabetes_split()
    fitted = ridge(imputed=False).fit(split.train[list(DIABETES_COLUMNS)], split.train_truth)
    return diabetes_of(split, fitted, DIABETES_COLUMNS)


def diabetes_1_1_0() -> Trained:
    split, answerer = diabetes_split(), optional_columns.OptionalColumns()
    columns = [*DIABETES_COLUMNS, DIABETES_OPTIONAL]
    seen = with_gaps(split.train[columns], DIABETES_OPTIONAL, share=0.3)
    answerer.estimator = ridge(imputed=True).fit(seen, split.train_truth)
    first = diabetes_of(split, answerer.estimator, columns)
    without = answerer.predict(None, split.test[list(DIABETES_COLUMNS)])
    return replace(
        first,
        rows=seen,
        metrics={**first.metrics, "rmse_without_optional": root_mean_squared_error(split.test_truth, without)},
        feature_set="v1.1.0",
        schema_version="1.1.0",
        answerer=answerer,
    )


RECIPES: Mapping[tuple[str, str], Callable[[], Trained]] = {
    (IRIS, "1.0.0"): iris_1_0_0,
    (IRIS, "1.0.1"): iris_1_0_1,
    (IRIS, "1.1.0"): iris_1_1_0,
    (IRIS, "1.1.1"): iris_1_1_1,
    (IRIS, "1.1.2"): iris_1_1_2,
    (IRIS, "2.0.0"): iris_2_0_0,
    (DIABETES, "1.0.0"): diabetes_1_0_0,
    (DIABETES, "1.1.0"): diabetes_1_1_0,
}
