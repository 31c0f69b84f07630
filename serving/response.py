"""Answers in bytes. What MLflow would have written is written with MLflow's own encoder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from mlflow.utils import proto_json_utils

from serving.answers import Values
from serving.errors import RefusedError
from serving.metrics import CLIENT_ERROR, OK, SERVER_ERROR

# MLflow leaves these without types.
_mlflow_json: Any = proto_json_utils
_encode = _mlflow_json.NumpyEncoder().encode


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP status and a JSON body; ``values`` are the predictions in it, as far as they are remembered."""

    status: int
    body: bytes
    values: Values = ()

    @property
    def outcome(self) -> str:
        if self.status < 400:
            return OK
        return CLIENT_ERROR if self.status < 500 else SERVER_ERROR


def jsonable(predictions: Any) -> Any:
    """Predictions as lists and plain objects, one element a row when the model answers row by row."""
    return _mlflow_json._get_jsonable_obj(predictions, pandas_orient="records")


def predicted(predictions: Any, values: Values = (), *, unwrapped: bool = False) -> Answer:
    """The answer with jsonable predictions. Raises TypeError or ValueError when JSON cannot hold them."""
    return Answer(200, _encode(predictions if unwrapped else {"predictions": predictions}).encode(), values)


def refused(refusal: RefusedError) -> Answer:
    return failed(refusal.status, refusal.code, refusal.message)


def failed(status: int, code: str, message: str) -> Answer:
    return Answer(status, json.dumps({"error_code": code, "message": message}).encode())
