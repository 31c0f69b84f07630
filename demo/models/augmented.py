"""Test-time augmentation: a classifier that looks at many slightly changed copies of each row."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import skops.io
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

TRUSTED = ["sklearn.tree._tree.Tree"]
COPIES = 60
# Half a millimetre to either side, about what a ruler allows.
SPREAD_CM = 0.05


class Augmented(PythonModel):
    """Averages the forest's votes over COPIES copies, one call a copy. The changes are fixed: same row, same answer."""

    estimator: Any

    def load_context(self, context: PythonModelContext) -> None:
        self.estimator = skops.io.load(context.artifacts["estimator"], trusted=TRUSTED)

    def predict(self, context: PythonModelContext | None, model_input: pd.DataFrame) -> npt.NDArray[Any]:
        answers: npt.NDArray[Any] = self.estimator.classes_[self.votes(model_input).argmax(axis=1)]
        return answers

    def votes(self, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        """The mean vote for each row and class, (rows, classes)."""
        columns = rows.reindex(columns=list(self.estimator.feature_names_in_))
        shifts = np.random.default_rng(0).normal(0.0, SPREAD_CM, (COPIES, columns.shape[1]))
        return np.mean([self.estimator.predict_proba(columns + shift) for shift in shifts], axis=0)


set_model(Augmented())
