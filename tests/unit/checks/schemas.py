"""Signatures of every kind, and a server in memory of a model that answers whatever it is given."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec
from mlflow.types.schema import Array, Map, Object, Property

from lifecycle.rows import Known, RowSource
from tests.unit.serving.asgi import Client, started
from tests.unit.serving.models import MIXED, NUMBERS, app_for, pyfunc

COLUMNS = {
    "numbers": NUMBERS,
    "every scalar type": MIXED,
    "one column": Schema([ColSpec("double", "a")]),
    "text": Schema([ColSpec("string", "a"), ColSpec("string", "b", required=False)]),
    "optional columns only": Schema([ColSpec("double", "a", required=False), ColSpec("long", "b", required=False)]),
    "dates and bytes": Schema([ColSpec("datetime", "d"), ColSpec("binary", "b")]),
    "names of the protocol": Schema([ColSpec("double", "inputs"), ColSpec("double", "columns")]),
}
TENSORS = {
    "matrix": Schema([TensorSpec(np.dtype("float64"), (-1, 2))]),
    "images": Schema([TensorSpec(np.dtype("uint8"), (-1, 2, -1, 3))]),
    "vector": Schema([TensorSpec(np.dtype("int32"), (-1,))]),
    "fixed": Schema([TensorSpec(np.dtype("float32"), (2, 3))]),
    "booleans": Schema([TensorSpec(np.dtype("bool"), (-1, 2))]),
    "texts": Schema([TensorSpec(np.dtype("str"), (-1, 2))]),
    "named": Schema([TensorSpec(np.dtype("float64"), (-1, 2), "a"), TensorSpec(np.dtype("int64"), (-1,), "b")]),
}
OTHERS = {
    "nested": Schema(
        [
            ColSpec(Array("double"), "v"),
            ColSpec("long", "n"),
            ColSpec(Object([Property("p", "long"), Property("q", Array("string"))]), "o"),
            ColSpec(Map("double"), "m"),
        ]
    ),
    "columns without names": Schema([ColSpec("double"), ColSpec("long")]),
    "one text without a name": Schema([ColSpec("string")]),
}
ALL = {**COLUMNS, **TENSORS, **OTHERS}


class Ready:
    """A model that has an answer to everything."""

    def predict(self, data: Any) -> list[int]:
        return [1]


def signature_of(schema: Schema) -> dict[str, Any]:
    """MLflow's dictionary, decoded as the registry's mirror has it."""
    written = ModelSignature(inputs=schema, outputs=Schema([ColSpec("long")])).to_dict()
    return {name: json.loads(value) for name, value in written.items() if value}


NOTHING_KNOWN = Known()


def source_for(schema: Schema, known: Known = NOTHING_KNOWN) -> RowSource:
    return RowSource(signature_of(schema), known)


@contextmanager
def server_of(schema: Schema) -> Iterator[Client]:
    with started(app_for(pyfunc(Ready(), schema), row_wise=False)) as client:
        yield client
