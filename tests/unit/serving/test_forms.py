"""Every form of MLflow's protocol reaches the model as MLflow would have passed it on, and is answered alike."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest
from mlflow.pyfunc import scoring_server
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

from tests.unit.serving.asgi import started
from tests.unit.serving.models import MIXED, NUMBERS, ROW, Recorder, app_for, pyfunc

OTHER_ROW = {**ROW, "real": 2, "whole": 8.0, "flag": False, "text": "longer text", "extra": 0.25, "note": "n"}
FULL_ROW = {**ROW, "extra": 3, "note": "here"}


def split(*rows, **more):
    names = list(rows[0])
    return {"dataframe_split": {"columns": names, "data": [[row[name] for name in names] for row in rows], **more}}


def columns(*rows):
    return {name: [row[name] for row in rows] for name in rows[0]}


MIXED_PAYLOADS = {
    "split": split(ROW),
    "split, several rows": split(FULL_ROW, OTHER_ROW),
    "split, other order": split(dict(reversed(FULL_ROW.items())), dict(reversed(OTHER_ROW.items()))),
    "split, index": split(FULL_ROW, OTHER_ROW, index=[5, 9]),
    "split, text index": split(ROW, index=["x"]),
    "records": {"dataframe_records": [ROW]},
    "records, optional columns in some rows": {"dataframe_records": [ROW, OTHER_ROW]},
    "records, null in optional columns": {"dataframe_records": [{**ROW, "extra": None, "note": None}, OTHER_ROW]},
    "records, only null": {"dataframe_records": [{**ROW, "extra": None, "note": None}]},
    "instances, records": {"instances": [FULL_ROW, OTHER_ROW]},
    "instances, columns": {"instances": columns(FULL_ROW, OTHER_ROW)},
    "inputs, records": {"inputs": [ROW, OTHER_ROW]},
    "inputs, columns": {"inputs": columns(FULL_ROW, OTHER_ROW)},
    "inputs, one row of columns": {"inputs": columns(ROW)},
    "inputs, scalars": {"inputs": ROW},
    "params null": {**split(ROW), "params": None},
}


def assert_same_data(ours, theirs):
    assert type(ours) is type(theirs)
    if isinstance(ours, pd.DataFrame):
        pd.testing.assert_frame_equal(ours, theirs, check_index_type=False, check_column_type=False)
    else:
        np.testing.assert_array_equal(ours, theirs)


def assert_like_mlflow(schema, body, content_type="application/json"):
    recorder = Recorder()
    model = pyfunc(recorder, schema, {"scale": "long"})
    with started(app_for(model)) as client:
        reply = client.post(body, content_type)
    expected = scoring_server.invocations(body, content_type, model, model.metadata.get_input_schema())
    assert (reply.status, reply.body.decode()) == (expected.status, expected.response)
    ours, theirs = recorder.given
    assert_same_data(ours, theirs)


@pytest.mark.parametrize("payload", MIXED_PAYLOADS.values(), ids=MIXED_PAYLOADS.keys())
def test_columns_of_every_type(payload):
    assert_like_mlflow(MIXED, json.dumps(payload).encode())


@pytest.mark.parametrize("charset", ["", "; charset=utf-8", ";charset=UTF-8"])
def test_csv(charset):
    text = pd.DataFrame([FULL_ROW, OTHER_ROW]).astype({"whole": int}).to_csv(index=False)
    assert_like_mlflow(MIXED, text.encode(), f"text/csv{charset}")


def test_csv_with_an_optional_column_empty():
    assert_like_mlflow(
        Schema([ColSpec("double", "a"), ColSpec("double", "b", required=False)]), b"a,b\n1.5,\n2,3\n", "text/csv"
    )


def test_parquet():
    body = io.BytesIO()
    pd.DataFrame({"a": [1.0, 2.0], "b": [0.5, 0.25]}).to_parquet(body)
    assert_like_mlflow(NUMBERS, body.getvalue(), "application/vnd.apache.parquet")


@pytest.mark.parametrize("form", ["instances", "inputs"])
def test_a_single_column_may_come_as_a_bare_list(form):
    assert_like_mlflow(Schema([ColSpec("double", "a")]), json.dumps({form: [1, 2.5]}).encode())


@pytest.mark.parametrize(
    "payload",
    [
        {"dataframe_split": {"columns": ["a", "at"], "data": [[1, "2026-01-02T03:04:05"]]}},
        {"dataframe_records": [{"a": 1, "at": "2026-01-02"}]},
        {"inputs": {"a": [1.0], "at": ["2026-01-02"]}},
    ],
)
def test_dates_are_converted_by_mlflow(payload):
    schema = Schema([ColSpec("double", "a"), ColSpec("datetime", "at")])
    assert_like_mlflow(schema, json.dumps(payload).encode())


@pytest.mark.parametrize(
    ("schema", "payload"),
    [
        (Schema([TensorSpec(np.dtype("float64"), (-1, 2))]), {"inputs": [[1.0, 2.0], [3.0, 4.0]]}),
        (Schema([TensorSpec(np.dtype("float64"), (-1, 2))]), {"instances": [[1, 2]]}),
        (Schema([ColSpec(DataType.double), ColSpec(DataType.double)]), {"dataframe_split": {"data": [[1.0, 2.0]]}}),
        (None, {"dataframe_records": [{"x": 1, "y": 2}]}),
    ],
    ids=["tensor inputs", "tensor instances", "columns without names", "no signature"],
)
def test_other_signatures_are_read_by_mlflow(schema, payload):
    assert_like_mlflow(schema, json.dumps(payload).encode())


def test_params_reach_the_model():
    given = []

    class Scaled:
        def predict(self, data, params=None):
            given.append(params)
            return data["a"].to_numpy() * params["scale"]

    model = pyfunc(Scaled(), NUMBERS, {"scale": "long"})
    payload = {"dataframe_records": [{"a": 2.0, "b": 0.0}]}
    with started(app_for(model)) as client:
        assert client.post({**payload, "params": {"scale": 5}}).json == {"predictions": [10.0]}
        assert client.post(payload).json == {"predictions": [2.0]}
    assert given == [{"scale": 5}, {"scale": 1}]
