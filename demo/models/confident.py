"""A classifier that says how sure it is."""

from __future__ import annotations

from typing import Any

import pandas as pd
import skops.io
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

TRUSTED = ["sklearn.tree._tree.Tree"]


class Confident(PythonModel):
    """Answers with a table: the species, and the share of the forest's vote that it got (0 to 1)."""

    estimator: Any

    def load_context(self, context: PythonModelContext) -> None:
        self.estimator = skops.io.load(context.artifacts["estimator"], trusted=TRUSTED)

    def predict(self, context: PythonModelContext | None, model_input: pd.DataFrame) -> pd.DataFrame:
        votes = self.estimator.predict_proba(model_input.reindex(columns=list(self.estimator.feature_names_in_)))
        species = self.estimator.classes_[votes.argmax(axis=1)]
        return pd.DataFrame({"species": species, "confidence": votes.max(axis=1)}, index=model_input.index)


set_model(Confident())
