"""Rows are valid for their signature, look like training data, and are the same ones every time."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from mlflow.types import ColSpec, Schema, TensorSpec

from lifecycle import rows as rows_module
from lifecycle.checks.malformed import cases
from lifecycle.rows import Known, NoRowsError, RowSource, known_of, smoke_request
from serving.reference import build_reference
from tests.unit.checks.schemas import ALL, server_of, signature_of, source_for
from tests.unit.serving.models import MIXED, NUMBERS

TRAINING = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0] * 10, "b": [10.0, 20.0, 30.0, 40.0] * 10})


@pytest.mark.parametrize("schema", ALL.values(), ids=ALL.keys())
def test_every_row_is_answered(schema):
    with server_of(schema) as client:
        replies = [client.post(body) for body in source_for(schema).bodies(30)]
    assert {reply.status for reply in replies} == {200}, [reply.body for reply in replies if reply.status != 200][:1]


def test_they_are_the_same_ones_every_time():
    source = source_for(MIXED)
    first = source.bodies(20)
    assert len(set(first)) == 20
    assert source.bodies(30)[:20] == source_for(MIXED).bodies(20) == first


def test_optional_columns_are_sometimes_left_out():
    source = source_for(MIXED)
    assert all("extra" in row for row in source.rows(40, whole=True))
    given = ["extra" in row for row in source.rows(40)]
    assert 0 < given.count(False) < given.count(True)


def test_numbers_are_those_of_training_in_new_combinations():
    known = Known(reference=build_reference(TRAINING, TRAINING["a"])["features"])
    rows = source_for(NUMBERS, known).rows(200)
    assert all(0.5 <= row["a"] <= 4.5 and 5 <= row["b"] <= 45 for row in rows)
    seen = {(round(row["a"]), round(row["b"], -1)) for row in rows}
    assert len(seen - {(1, 10), (2, 20), (3, 30), (4, 40)}) >= 6


def test_frequent_bins_are_drawn_frequently():
    known = Known(reference={"a": {"edges": [0.0, 10.0], "counts": [0, 99, 1]}})
    rows = source_for(NUMBERS, known).rows(200)
    assert sum(0 <= row["a"] <= 10 for row in rows) > 180


def test_whole_numbers_stay_in_their_bin():
    schema = Schema([ColSpec("long", "n"), ColSpec("integer", "small")])
    reference = {
        "n": {"edges": [1.5, 2.5, 3.5], "counts": [0, 1, 1, 0]},
        "small": {"edges": [2.0**31, 2.0**32], "counts": [0, 1, 0]},
    }
    rows = source_for(schema, Known(reference=reference)).rows(50)
    assert {row["n"] for row in rows} == {2, 3}
    assert {row["small"] for row in rows} == {2**31 - 1}


def test_texts_are_categories_of_training():
    reference = {"text": {"categories": ["blue", "missing", "never", "other", "red"], "counts": [3, 1, 0, 5, 2]}}
    rows = source_for(MIXED, Known(reference=reference)).rows(60)
    assert {row["text"] for row in rows} == {"blue", "red"}


def test_without_a_reference_the_input_example_says_what_values_are_like(tmp_path):
    example = {"dataframe_split": {"columns": ["a", "b"], "data": [[100.0, 7.0], [200.0, 7.0]]}}
    (tmp_path / "serving_input_example.json").write_text(json.dumps(example))
    rows = source_for(NUMBERS, known_of(tmp_path)).rows(20)
    assert all(100 <= row["a"] <= 200 and 6 <= row["b"] <= 8 for row in rows)


def test_what_the_model_brings_is_read_from_its_files(tmp_path):
    reference = build_reference(TRAINING, TRAINING["a"])
    document = {"metadata": {"stagegate_reference": reference}, "is_signature_from_type_hint": True}
    (tmp_path / "MLmodel").write_text(json.dumps(document))
    known = known_of(tmp_path)
    assert known.reference == reference["features"]
    assert known.type_hint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        "{",
        "metadata: 3",
        "metadata: {stagegate_reference: {features: [1]}}",
        "metadata: {stagegate_reference: {features: {a: {edges: [1], counts: [1]}}}}",
        "metadata: {stagegate_reference: {features: {a: {edges: [.nan], counts: [1, 2]}}}}",
        "metadata: {stagegate_reference: {features: {a: {edges: [1], counts: [0, 0]}}}}",
        "metadata: {stagegate_reference: {features: {a: {edges: [x], counts: [1, 1]}}}}",
        "metadata: {stagegate_reference: {features: {a: {categories: [x], counts: [1, 1]}}}}",
        "!!python/object/apply:os.system [exit]",
    ],
)
def test_files_of_another_form_are_left_aside(tmp_path, text):
    (tmp_path / "MLmodel").write_text(text)
    (tmp_path / "input_example.json").write_text("[" * 100_000)
    assert known_of(tmp_path).reference == {}
    assert len(source_for(NUMBERS, known_of(tmp_path)).bodies(5)) == 5


@pytest.mark.parametrize("signature", [None, {}, {"inputs": []}, {"inputs": [{"type": "double", "name": "a"}]}])
def test_without_a_signature_nobody_knows_what_a_row_is(signature):
    with pytest.raises(NoRowsError, match="signature"):
        RowSource(signature)


def test_a_signature_from_a_type_hint_is_asked_with_inputs():
    source = RowSource(signature_of(NUMBERS), Known(type_hint=True))
    assert list(json.loads(source.bodies(1)[0])) == ["inputs"]


def test_large_rows_are_few(monkeypatch):
    monkeypatch.setattr(rows_module, "MOST_BYTES", 2000)
    assert 1 <= len(source_for(MIXED).bodies(500)) <= 15
    assert len(cases(source_for(MIXED), 500)) <= 15


def test_a_tensor_that_no_request_can_hold_is_not_made_up():
    source = source_for(Schema([TensorSpec(np.dtype("float32"), (-1, 100_000, 100_000))]))
    with pytest.raises(NoRowsError, match="too large"):
        source.bodies(1)


@pytest.mark.parametrize(
    ("name", "example", "body"),
    [
        ("serving_input_example.json", {"inputs": [[1.0]]}, {"inputs": [[1.0]]}),
        (
            "input_example.json",
            {"columns": ["a"], "data": [[1.0], [2.0]]},
            {"dataframe_split": {"columns": ["a"], "data": [[1.0], [2.0]]}},
        ),
        ("input_example.json", {"dataframe_records": [{"a": 1.0}]}, {"dataframe_records": [{"a": 1.0}]}),
    ],
)
def test_the_smoke_request_is_the_input_example_as_a_request(tmp_path, name, example, body):
    (tmp_path / name).write_text(json.dumps(example))
    assert json.loads(smoke_request(None, tmp_path)) == body


@pytest.mark.parametrize("example", ["{}", '{"a": 1.0}', "[1.0]", "{", '{"columns": 3, "data": []}'])
def test_an_example_that_is_no_request_leaves_a_row_drawn_for_the_signature(tmp_path, example):
    (tmp_path / "input_example.json").write_text(example)
    assert list(json.loads(smoke_request(signature_of(NUMBERS), tmp_path))) == ["dataframe_split"]


def test_without_example_and_signature_there_is_nothing_to_ask(tmp_path):
    with pytest.raises(NoRowsError):
        smoke_request(None, tmp_path)
