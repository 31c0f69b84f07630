"""A scikit-learn model whose requests may leave some columns out."""

from __future__ import annotations

from typing import Any

import pandas as pd
import skops.io
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

# The forest's trees, and the type of the numbers that the imputer was fitted to.
TRUSTED = ["numpy.dtype", "sklearn.tree._tree.Tree"]


class OptionalColumns(PythonModel):
    """Columns that a request leaves out become missing values, which the estimator was trained to take."""

    estimator: Any

    def load_context(self, context: PythonModelContext) -> None:
        self.estimator = skops.io.load(context.artifacts["estimator"], trusted=TRUSTED)

    def predict(self, context: PythonModelContext | None, model_input: pd.DataFrame) -> Any:
        columns = model_input.reindex(columns=list(self.estimator.feature_names_in_))
        return self.estimator.predict(columns)


set_model(OptionalColumns())
