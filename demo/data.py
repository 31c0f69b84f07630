"""The data sets that ship with scikit-learn, with column names fit for a schema."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import sklearn
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import train_test_split

SEED = 1
HELD_OUT = 0.3
IRIS_COLUMNS = ("sepal_length", "petal_length", "petal_width")
IRIS_OPTIONAL = "sepal_width"
DIABETES_OPTIONAL = "triglycerides_log"
DIABETES_COLUMNS = (
    *("age", "sex", "bmi", "blood_pressure", "total_cholesterol"),
    *("ldl", "hdl", "cholesterol_ratio", "glucose"),
)


@dataclass(frozen=True, slots=True)
class Split:
    """Rows to train on and rows held out, and what is true of them."""

    train: pd.DataFrame
    test: pd.DataFrame
    train_truth: pd.Series
    test_truth: pd.Series


def iris() -> pd.DataFrame:
    """150 flowers: lengths and widths in centimetres, and the ``species``."""
    loaded = load_iris(as_frame=True)
    frame = loaded.data.set_axis(["sepal_length", "sepal_width", "petal_length", "petal_width"], axis="columns")
    return frame.assign(species=loaded.target_names[loaded.target])


def diabetes() -> pd.DataFrame:
    """442 patients in the units of measurement, and the ``progression`` after a year (25 to 346)."""
    loaded = load_diabetes(as_frame=True, scaled=False)
    names = [*DIABETES_COLUMNS[:8], DIABETES_OPTIONAL, DIABETES_COLUMNS[8]]
    return loaded.data.set_axis(names, axis="columns").assign(progression=loaded.target)


def iris_split() -> Split:
    """Held-out rows have each species as often as the whole."""
    rows = iris()
    truth = rows.pop("species")
    parts = train_test_split(rows, truth, test_size=HELD_OUT, stratify=truth, random_state=SEED)
    return Split(*parts)


def diabetes_split() -> Split:
    rows = diabetes()
    truth = rows.pop("progression")
    return Split(*train_test_split(rows, truth, test_size=HELD_OUT, random_state=SEED))


def data_version(name: str) -> str:
    """Which snapshot of the data: it comes with scikit-learn and changes only with it."""
    return f"{name}@scikit-learn-{sklearn.__version__}"
