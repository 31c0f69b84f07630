"""Models to serve in tests: real pyfunc models around small implementations, made in memory."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import Model, ModelSignature
from mlflow.pyfunc import PyFuncModel
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

from serving.app import App, Limits
from serving.metrics import Metrics
from serving.payload import FrameBuilder, reader_for, strict_columns
from serving.reference import Reference
from serving.scoring import Scorer

MIXED = Schema(
    [
        ColSpec("double", "real"),
        ColSpec("long", "whole"),
        ColSpec("integer", "small"),
        ColSpec("float", "short"),
        ColSpec("boolean", "flag"),
        ColSpec("string", "text"),
        ColSpec("double", "extra", required=False),
        ColSpec("string", "note", required=False),
    ]
)
NUMBERS = Schema([ColSpec("double", "a"), ColSpec("double", "b")])
ROW = {"real": 1.5, "whole": 7, "small": -3, "short": 0.1, "flag": True, "text": "ä b"}


class Recorder:
    """Remembers what it was given; answers with the sum of the numbers in each row."""

    def __init__(self) -> None:
        self.given: list[Any] = []

    def predict(self, data: Any) -> Any:
        self.given.append(data)
        if isinstance(data, pd.DataFrame):
            return data.select_dtypes("number").sum(axis=1).to_numpy()
        return np.asarray(data, dtype=float).reshape(len(data), -1).sum(axis=1)


class Gated(Recorder):
    """Waits in its first call until it is let go, so that others gather behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.go_on = threading.Event()

    def predict(self, data: Any) -> Any:
        first = not self.given
        answer = super().predict(data)
        if first:
            self.entered.set()
            assert self.go_on.wait(20)
        return answer


class Picky(Gated):
    """Refuses tables that hold a negative number."""

    def predict(self, data: Any) -> Any:
        answer = super().predict(data)
        if (data["a"] < 0).any():
            raise ValueError("negative a\nand more lines")
        return answer


def pyfunc(implementation: Any, inputs: Schema | None, params: dict[str, str] | None = None) -> PyFuncModel:
    specs = [ParamSpec(name, kind, 1) for name, kind in (params or {}).items()]
    signature = ModelSignature(inputs, params=ParamSchema(specs) if specs else None) if inputs else None
    meta = Model(signature=signature, flavors={"python_function": {"loader_module": "mlflow.sklearn"}})
    return PyFuncModel(model_meta=meta, model_impl=implementation)


def app_for(model: PyFuncModel, *, row_wise: bool = True, reference: Reference | None = None, **limits: Any) -> App:
    metrics = Metrics(reference or Reference(), model="m", version="7")
    prediction = reference.prediction if reference else None
    scorer = Scorer(model, FrameBuilder(strict_columns(model)), metrics, row_wise=row_wise, prediction=prediction)
    return App(reader_for(model), scorer, metrics, version="7", limits=Limits(**limits))
