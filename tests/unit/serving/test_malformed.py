"""Malformed input is refused with a reason that names the place; nothing is quietly made to fit."""

from __future__ import annotations

import json

import numpy as np
import pytest
from mlflow.types import ColSpec, Schema, TensorSpec

from tests.unit.serving.asgi import started
from tests.unit.serving.models import MIXED, NUMBERS, ROW, Recorder, app_for, pyfunc

GOOD = {"a": 1.0, "b": 2.0}


def split(columns, data, **more):
    return {"dataframe_split": {"columns": columns, "data": data, **more}}


def records(**changes):
    return {"dataframe_records": [ROW, {**ROW, **changes}]}


def without(name):
    return {"dataframe_records": [ROW, {key: value for key, value in ROW.items() if key != name}]}


BODIES = {
    "empty": (b"", "body is empty"),
    "blank": (b" \n", "body is empty"),
    "not JSON": (b"{", "not valid JSON"),
    "cut off": (b'{"inputs": {"a": [1.0], "b"', "not valid JSON"),
    "not UTF-8": (b'{"inputs": "\xff"}', "not valid JSON"),
    "nested beyond reason": (b"[" * 100_000, "not valid JSON"),
    "nested beyond reason, with NaN": (b"[NaN," * 100_000, "not valid JSON"),
    "a list": (b"[1, 2]", "must be a JSON object"),
    "a text": (b'"x"', "must be a JSON object"),
    "null": (b"null", "must be a JSON object"),
}

PAYLOADS = {
    "no form": ({}, "exactly one of"),
    "unknown form": ({"data": [1]}, "exactly one of"),
    "two forms": ({"inputs": GOOD, "instances": [GOOD]}, "'instances', 'inputs'"),
    "unknown field": ({"inputs": GOOD, "more": 1}, "unknown fields: 'more'"),
    "params not an object": ({"inputs": GOOD, "params": [1]}, "'params' must be an object"),
    "unknown params": ({"inputs": GOOD, "params": {"x": 1}}, "no such params: 'x'"),
    "params of a wrong type": ({"inputs": GOOD, "params": {"scale": "x"}}, "scale"),
    "split is a list": ({"dataframe_split": [GOOD]}, "must be an object"),
    "split without data": ({"dataframe_split": {"columns": ["a", "b"]}}, "'data' must be a list"),
    "split without columns": ({"dataframe_split": {"data": [[1, 2]]}}, "needs 'columns'"),
    "split, column not a name": (split(["a", 1], [[1, 2]]), "needs 'columns'"),
    "split, unknown field": (split(["a", "b"], [[1, 2]], dtype="x"), "unknown fields: 'dtype'"),
    "split, column twice": (split(["a", "b", "a"], [[1, 2, 3]]), "named twice: 'a'"),
    "split, row too short": (split(["a", "b"], [[1, 2], [1]]), "row 1: expected 2 values, one a column, got 1"),
    "split, row too long": (split(["a", "b"], [[1, 2, 3]]), "row 0: expected 2 values, one a column, got 3"),
    "split, row not a list": (split(["a", "b"], [[1, 2], 3]), "row 1: expected a list of values, got 3"),
    "split, data flat": (split(["a", "b"], [1, 2]), "row 0: expected a list"),
    "split, no rows": (split(["a", "b"], []), "no rows"),
    "split, index too short": (split(["a", "b"], [[1, 2]], index=[]), "'index'"),
    "split, index nested": (split(["a", "b"], [[1, 2]], index=[[1]]), "'index'"),
    "split, missing column": (split(["a"], [[1]]), "required columns are missing: 'b'"),
    "split, extra column": (split(["a", "b", "c"], [[1, 2, 3]]), "no such columns: 'c'"),
    "records is an object": ({"dataframe_records": GOOD}, "must be a list"),
    "records, no rows": ({"dataframe_records": []}, "no rows"),
    "records, row not an object": ({"dataframe_records": [GOOD, [1, 2]]}, "row 1: expected an object"),
    "records, missing column": ({"dataframe_records": [GOOD, {"a": 1}]}, "row 1: required columns are missing: 'b'"),
    "records, extra column": (
        {"dataframe_records": [GOOD, {**GOOD, "c": 1}]},
        "row 1: the model has no such columns: 'c'",
    ),
    "records, another column instead": ({"dataframe_records": [{"a": 1, "c": 1}]}, "row 0: required columns"),
    "instances mixed": ({"instances": [GOOD, 1]}, "row 1: expected an object"),
    "instances of lists": ({"instances": [[1.0, 2.0]]}, "expected a list of records"),
    "instances empty": ({"instances": []}, "expected a list of records"),
    "inputs a number": ({"inputs": 3}, "expected a list of records"),
    "inputs null": ({"inputs": None}, "expected a list of records"),
    "inputs, missing column": ({"inputs": {"a": [1]}}, "required columns are missing: 'b'"),
    "inputs, extra column": ({"inputs": {**GOOD, "c": 1}}, "no such columns: 'c'"),
    "inputs, lengths differ": ({"inputs": {"a": [1, 2], "b": [1]}}, "'b': every column must be a list of the same"),
    "inputs, list and scalar": ({"inputs": {"a": [1, 2], "b": 1}}, "'b': every column must be a list of the same"),
    "inputs, no rows": ({"inputs": {"a": [], "b": []}}, "no rows"),
    "inputs, nested": ({"inputs": {"a": [[1]], "b": [2]}}, "column 'a', row 0: expected a number, got list"),
}

VALUES = {
    "text for a number": (records(real="1.5"), "column 'real', row 1: expected a number, got text '1.5'"),
    "boolean for a number": (records(real=True), "column 'real', row 1: expected a number, got boolean True"),
    "object for a number": (records(real={}), "column 'real', row 1: expected a number"),
    "null for a number": (records(real=None), "column 'real', row 1: a value is required, got null"),
    "NaN": (records(real=float("nan")), "column 'real', row 1: expected a finite number, got nan"),
    "infinity": (records(real=float("inf")), "column 'real', row 1: expected a finite number, got inf"),
    "too large for a float": (records(short=1e39), "column 'short', row 1: 1e+39 is too large"),
    "fraction for a whole number": (records(whole=1.5), "column 'whole', row 1: expected a whole number"),
    "text for a whole number": (records(whole="1"), "column 'whole', row 1: expected a whole number"),
    "boolean for a whole number": (records(whole=False), "column 'whole', row 1: expected a whole number"),
    "null for a whole number": (records(whole=None), "column 'whole', row 1: a value is required"),
    "beyond 64 bits": (records(whole=2**63), "column 'whole', row 1: 9223372036854775808 is outside"),
    "far beyond 64 bits": (records(whole=10**30), "column 'whole', row 1: 1e+30 is outside"),
    "beyond 32 bits": (records(small=2**31), "column 'small', row 1: 2147483648 is outside"),
    "number for a boolean": (records(flag=1), "column 'flag', row 1: expected true or false, got number 1"),
    "text for a boolean": (records(flag="true"), "column 'flag', row 1: expected true or false"),
    "null for a boolean": (records(flag=None), "column 'flag', row 1: a value is required"),
    "number for text": (records(text=1), "column 'text', row 1: expected text, got number 1"),
    "null for text": (records(text=None), "column 'text', row 1: a value is required"),
    "wrong type in an optional column": (records(extra="x"), "column 'extra', row 1: expected a number"),
    "NaN in an optional column": (records(extra=float("nan")), "column 'extra', row 1: expected a finite number"),
    "missing": (without("flag"), "row 1: required columns are missing: 'flag'"),
    "null text in a tensor": ({"inputs": [{**ROW, "note": None}]}, "column 'note', row 0: null text"),
}

TABLES = {
    "empty": (b"", "body is empty"),
    "header only": (b"a,b\n", "no rows"),
    "missing column": (b"a\n1\n", "required columns are missing: 'b'"),
    "extra column": (b"a,b,c\n1,2,3\n", "no such columns: 'c'"),
    "column twice": (b"a,b,a\n1,2,3\n", "no such columns: 'a.1'"),
    "text for a number": (b"a,b\n1,2\n1,x\n", "could not convert"),
    "boolean for a number": (b"a,b\n1,true\n1,True\n", "column 'b', row 0: expected a number, got 'true'"),
    "value missing": (b"a,b\n1,2\n1,\n", "column 'b', row 1: a value is required"),
    "infinity": (b"a,b\n1,2\n1,inf\n", "column 'b', row 1: expected a finite number"),
    "rows too long": (b"a,b\n1,2,3\n", "more values than the header"),
    "one row too long": (b"a,b\n1,2\n1,2,3\n", "Expected 2 fields"),
    "not UTF-8": (b"a,b\n1,\xff\n", "not UTF-8"),
}


def refusal(body, schema=NUMBERS, content_type="application/json"):
    recorder = Recorder()
    with started(app_for(pyfunc(recorder, schema, {"scale": "long"}))) as client:
        reply = client.post(body, content_type)
        metrics = client.get("/metrics").body.decode()
    assert not recorder.given
    assert reply.headers["content-type"] == "application/json"
    assert set(reply.json) == {"error_code", "message"}
    assert 'stagegate_requests_total{outcome="client_error"} 1.0' in metrics
    return reply


@pytest.mark.parametrize(("body", "reason"), BODIES.values(), ids=BODIES.keys())
def test_bodies(body, reason):
    reply = refusal(body)
    assert (reply.status, reply.json["error_code"]) == (400, "BAD_REQUEST")
    assert reason in reply.json["message"]


@pytest.mark.parametrize(("payload", "reason"), PAYLOADS.values(), ids=PAYLOADS.keys())
def test_shapes(payload, reason):
    reply = refusal(json.dumps(payload).encode())
    assert reply.status == 400
    assert reason in reply.json["message"]


@pytest.mark.parametrize(("payload", "reason"), VALUES.values(), ids=VALUES.keys())
def test_values(payload, reason):
    reply = refusal(json.dumps(payload).encode(), MIXED)
    assert reply.status == 400
    assert reason in reply.json["message"]


@pytest.mark.parametrize(("body", "reason"), TABLES.values(), ids=TABLES.keys())
def test_csv(body, reason):
    reply = refusal(body, content_type="text/csv")
    assert reply.status == 400
    assert reason in reply.json["message"]


def test_csv_number_for_a_boolean():
    reply = refusal(b"flag\n1\n0\n", Schema([ColSpec("boolean", "flag")]), "text/csv")
    assert reply.json["message"] == "column 'flag', row 0: expected true or false, got '1'"


def test_parquet_that_is_none():
    assert refusal(b"PAR0", content_type="application/vnd.apache.parquet").status == 400


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "application/json; charset=latin-1", "application/json; version=2"]
)
def test_media_types(content_type):
    reply = refusal(json.dumps({"inputs": GOOD}).encode(), content_type=content_type)
    assert (reply.status, reply.json["error_code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_what_a_caller_sends_is_repeated_only_in_part():
    message = refusal(json.dumps({"inputs": {"a": "x" * 10_000, "b": 1}}).encode()).json["message"]
    assert len(message) < 200


@pytest.mark.parametrize("payload", [{"inputs": [[1.0], [2.0]]}, {"inputs": "x"}, {"instances": {}}, {"foo": 1}])
def test_tensors_of_a_wrong_shape(payload):
    schema = Schema([TensorSpec(np.dtype("float64"), (-1, 2))])
    assert refusal(json.dumps(payload).encode(), schema).status == 400


TENSOR_VALUES = {
    "null": ("float64", [[1.0, None]], "expected a number, got"),
    "text for a number": ("float64", [[1.0, "1.5"]], "expected a number, got text '1.5'"),
    "boolean for a number": ("float64", [[1.0, True]], "expected a number, got boolean True"),
    "object for a number": ("float64", [[1.0, {}]], "expected a number, got object"),
    "list for a number": ("float64", [[1.0, [2.0]]], "expected a number, got list"),
    "too large for a float": ("float32", [[1.0, 1e39]], "too large"),
    "fraction for a whole number": ("int64", [[1, 1.5]], "expected a whole number, got number 1.5"),
    "boolean for a whole number": ("int64", [[1, True]], "expected a whole number, got boolean True"),
    "beyond 64 bits": ("int64", [[1, 2**63]], "is outside"),
    "beyond a byte": ("uint8", [[1, 256]], "256 is outside 0 to 255"),
    "below a byte": ("uint8", [[1, -1]], "-1 is outside 0 to 255"),
    "number for a boolean": ("bool", [[True, 1]], "expected true or false, got number 1"),
    "text for a boolean": ("bool", [[True, "false"]], "expected true or false"),
    "number for text": ("str", [["x", 1]], "expected text, got number 1"),
    "null for text": ("str", [["x", None]], "expected text, got"),
}


@pytest.mark.parametrize("form", ["inputs", "instances"])
@pytest.mark.parametrize(("dtype", "values", "reason"), TENSOR_VALUES.values(), ids=TENSOR_VALUES.keys())
def test_elements_of_a_tensor(dtype, values, reason, form):
    schema = Schema([TensorSpec(np.dtype(dtype), (-1, 2))])
    reply = refusal(json.dumps({form: values}).encode(), schema)
    assert reply.status == 400
    assert reason in reply.json["message"]


NAMED_TENSORS = Schema([TensorSpec(np.dtype("float64"), (-1, 2), "a"), TensorSpec(np.dtype("int64"), (-1,), "b")])


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"inputs": {"a": [[1, 2]], "b": ["1"]}}, "input 'b': expected a whole number, got text '1'"),
        ({"inputs": {"a": [[1, None]], "b": [1]}}, "input 'a': expected a number"),
        ({"inputs": {"a": [[1, 2]], "b": [1], "c": [1]}}, "no such inputs: 'c'"),
        ({"inputs": {"a": [[1, 2]]}}, "missing inputs"),
        ({"inputs": {"a": [[1, 2]], "b": 1}}, "Shape of input"),
        ({"inputs": {"a": [[1, 2]], "b": [1]}, "more": 1}, "unknown fields: 'more'"),
        ({"inputs": {"a": [[1, 2]], "b": [1]}, "instances": []}, "exactly one of"),
        ({"instances": [{"a": [1, 2], "b": 1.5}]}, "input 'b': expected a whole number"),
        ({"instances": [{"a": [1, 2], "b": 1, "c": 1}]}, "no such inputs: 'c'"),
    ],
)
def test_tensors_by_name(payload, reason):
    reply = refusal(json.dumps(payload).encode(), NAMED_TENSORS)
    assert reply.status == 400
    assert reason in reply.json["message"]


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity", "1e400"])
@pytest.mark.parametrize("dtype", ["float64", "int64"])
def test_numbers_that_are_no_json_in_a_tensor(dtype, token):
    schema = Schema([TensorSpec(np.dtype(dtype), (-1, 2))])
    reply = refusal(b'{"inputs": [[1, %s]]}' % token.encode(), schema)
    assert "not valid JSON" in reply.json["message"]


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("datetime", "", "expected a date, got text ''"),
        ("datetime", "NaT", "expected a date, got text 'NaT'"),
        ("datetime", "not a date", "not a date"),
        ("datetime", 3, "expected text, got number 3"),
        ("binary", "!!", "expected base64, got text '!!'"),
        ("binary", "aGVsbG8", "expected base64"),
        ("binary", "\u00e9", "expected base64"),
        ("binary", 3, "expected text, got number 3"),
    ],
)
def test_dates_and_bytes(kind, value, reason):
    schema = Schema([ColSpec(kind, "c")])
    assert reason in refusal(json.dumps({"dataframe_records": [{"c": value}]}).encode(), schema).json["message"]


@pytest.mark.parametrize("value", ["aGVsbG8=", "aGVs\nbG8=\n", ""])
def test_bytes_in_base64_are_taken(value):
    recorder = Recorder()
    with started(app_for(pyfunc(recorder, Schema([ColSpec("binary", "c")])))) as client:
        assert client.post({"dataframe_records": [{"c": value}]}).status == 200
