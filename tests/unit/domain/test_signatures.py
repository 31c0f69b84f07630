"""Reading MLflow's signatures, and which bump each change of one requires."""

import copy
import json
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.models.utils import _ALLOWED_CONVERSIONS_FOR_PARAMS, _enforce_mlflow_datatype, _enforce_object
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import AnyType, Array, Map, Object, Property

from lifecycle.domain import signatures
from lifecycle.domain.signatures import (
    MAX_COLUMNS,
    PARAMETER_WIDENINGS,
    WIDENINGS,
    Bump,
    Part,
    SignatureError,
    compare,
    compare_written,
    read,
)
from tests.unit.domain.signature_strategies import signatures as written_signatures

OUTPUT = [{"type": "string", "required": True}]


def column(name, kind="double", required=True):
    return {"name": name, "type": kind, "required": required}


def tensor(dtype="float32", shape=(-1, 28), name=None):
    spec = {"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": list(shape)}}
    return spec if name is None else {"name": name, **spec}


def array(kind):
    return {"type": "array", "items": {"type": kind}}


def record(**properties):
    return {"type": "object", "properties": properties}


def parameter(name="threshold", kind="double", default=0.5, shape=None):
    return {"name": name, "type": kind, "default": default, "shape": shape}


def signed(inputs=None, outputs=OUTPUT, params=None):
    return {"inputs": [column("a")] if inputs is None else inputs, "outputs": outputs, "params": params}


# ---------------------------------------------------------------- reading


def as_mirrored(signature):
    """As the registry's adapter decodes what MLflow writes."""
    return {part: json.loads(text) if text else None for part, text in signature.to_dict().items()}


def test_every_form_that_mlflow_writes_is_read():
    complex_type = Array(Object([Property("x", DataType.double), Property("y", Map(AnyType()), required=False)]))
    written = as_mirrored(
        ModelSignature(
            inputs=Schema([*(ColSpec(kind, kind.name) for kind in DataType), ColSpec(complex_type, "deep", False)]),
            outputs=Schema([TensorSpec(np.dtype("float32"), (-1, 3))]),
            params=ParamSchema(
                [
                    ParamSpec("one", "double", 0.5),
                    ParamSpec("many", "long", [1, 2], (-1,)),
                    ParamSpec("day", "datetime", np.datetime64("2026-01-01")),
                    ParamSpec("named", Object([Property("x", DataType.double)]), {"x": 1.0}),
                    ParamSpec("nothing", "string", None),
                ]
            ),
        )
    )
    found = read(written)
    assert [each.words for each in found.inputs] == [
        *(kind.name for kind in DataType),
        "list of object {x: double; y: map of text to any, optional}, optional",
    ]
    assert [each.words for each in found.outputs] == ["tensor of float32, shape (any, 3)"]
    assert [each.words for each in found.params] == [
        "double, default 0.5",
        "list of long, default [1, 2]",
        'datetime, default "2026-01-01"',
        'object {x: double}, default {"x": 1.0}',
        "string, default null",
    ]
    assert found.words == "9 inputs, 1 output, 5 parameters"


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (None, "without a signature"),
        ([], "not of MLflow's form"),
        ({}, "has no inputs"),
        (signed(inputs=[]), "has no inputs"),
        (signed(outputs=None), "has no outputs"),
        (signed(outputs="double"), "outputs are not a list"),
        (signed(["double"]), "input 1 is not of MLflow's form"),
        (signed([{"name": "a"}]), "“a” has no type"),
        (signed([column("a", "decimal")]), "“decimal”, which MLflow does not have"),
        (signed([column("a"), column("a")]), "“a” more than once"),
        (signed([column("a"), {"type": "double"}]), "some have none"),
        (signed([{"type": "double", "required": False}]), "optional input without a name"),
        (signed([column("a", required="no")]), "whether input “a” is required"),
        (signed([column(["a"])]), "is not text"),
        (signed([column("a"), tensor(name="b")]), "partly tensors"),
        (signed([tensor(shape=[1.5])]), "no shape that can be read"),
        (signed([tensor(shape=[-2])]), "no shape that can be read"),
        (signed([tensor(dtype="f4,f4")]), "no type that can be read"),
        (signed([{"type": "tensor"}]), "without a shape"),
        (signed([{"name": "a", "type": "array"}]), "does not say what is in it"),
        (signed([{"name": "a", **record()}]), "what its properties are"),
        (signed(params=[{"name": "p", "type": "double"}]), "has no default"),
        (signed(params=[parameter(kind="any")]), "no parameter can be"),
        (signed(params=[parameter(shape=[2])]), "neither one value nor a list"),
        (signed([column("a")] * (MAX_COLUMNS + 1)), "too many to compare"),
    ],
)
def test_what_cannot_be_read_is_told(written, words):
    with pytest.raises(SignatureError, match=words):
        read(written)


def test_a_bottomless_type_is_refused():
    bottomless = {"type": "double"}
    for _ in range(5000):
        bottomless = {"type": "array", "items": bottomless}
    with pytest.raises(SignatureError, match="too deeply"):
        read(signed([{"name": "a", **bottomless}]))
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(SignatureError, match="cannot be read"):
        read(signed(params=[parameter(default=deep)]))


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["name", "type", "items", "properties", "tensor-spec", "dtype"]), inner),
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["inputs", "outputs", "params"]), anything) | anything)
def test_reading_raises_nothing_else(written):
    with suppress(SignatureError):
        assert read(written).words


def test_old_spellings_are_read():
    old = signed([{"name": "a", "type": "double", "optional": True}], params=[{**parameter(), "dtype": "double"}])
    del old["params"][0]["type"]
    new = signed([column("a", required=False)], params=[parameter()])
    assert read(old) == read(new)


# ---------------------------------------------------------------- comparing


@pytest.mark.parametrize(
    ("before", "after", "bump"),
    [
        # inputs
        ([column("a")], [column("a")], Bump.PATCH),
        ([column("a"), column("b")], [column("b"), column("a")], Bump.PATCH),
        ([column("a")], [column("a"), column("b", required=False)], Bump.MINOR),
        ([column("a")], [column("a"), column("b")], Bump.MAJOR),
        ([column("a"), column("b")], [column("a")], Bump.MAJOR),
        ([column("a"), column("b", required=False)], [column("a")], Bump.MAJOR),
        ([column("a")], [column("A")], Bump.MAJOR),
        ([column("a")], [column("a", required=False)], Bump.MINOR),
        ([column("a", required=False)], [column("a")], Bump.MAJOR),
        # types
        ([column("a", "integer")], [column("a", "long")], Bump.MINOR),
        ([column("a", "integer")], [column("a", "double")], Bump.MINOR),
        ([column("a", "float")], [column("a", "double")], Bump.MINOR),
        ([column("a", "integer")], [column("a", "float")], Bump.MAJOR),
        ([column("a", "long")], [column("a", "double")], Bump.MAJOR),
        ([column("a", "double")], [column("a", "float")], Bump.MAJOR),
        ([column("a", "long")], [column("a", "integer")], Bump.MAJOR),
        ([column("a", "double")], [column("a", "string")], Bump.MAJOR),
        ([column("a", "double")], [column("a", "any")], Bump.MINOR),
        ([column("a", "any")], [column("a", "double")], Bump.MAJOR),
        ([column("a", "integer", False)], [column("a", "long")], Bump.MAJOR),
        # unnamed columns are known by their place
        ([{"type": "long"}, {"type": "string"}], [{"type": "string"}, {"type": "long"}], Bump.MAJOR),
        ([{"type": "long"}], [{"type": "long"}, {"type": "long"}], Bump.MAJOR),
        ([{"type": "double"}], [column("a")], Bump.MAJOR),
        # tensors
        ([tensor()], [tensor()], Bump.PATCH),
        ([tensor(shape=(1, 28))], [tensor(shape=(-1, 28))], Bump.MAJOR),
        ([tensor("float32")], [tensor("float64")], Bump.MAJOR),
        ([tensor(name="x")], [column("x")], Bump.MAJOR),
        ([column("x")], [tensor(name="x")], Bump.MAJOR),
        # nested types
        ([{"name": "a", **array("integer")}], [{"name": "a", **array("long")}], Bump.MINOR),
        ([{"name": "a", **array("long")}], [{"name": "a", **array("string")}], Bump.MAJOR),
        ([{"name": "a", **array("long")}], [column("a", "any")], Bump.MINOR),
        (
            [{"name": "a", **record(x={"type": "long"})}],
            [{"name": "a", **record(x={"type": "long"}, y={"type": "long", "required": False})}],
            Bump.MINOR,
        ),
        (
            [{"name": "a", **record(x={"type": "long"})}],
            [{"name": "a", **record(x={"type": "long"}, y={"type": "long"})}],
            Bump.MAJOR,
        ),
        (
            [{"name": "a", **record(x={"type": "long"}, y={"type": "long"})}],
            [{"name": "a", **record(x={"type": "long"})}],
            Bump.MAJOR,
        ),
        (
            [{"name": "a", **record(x={"type": "long", "required": False})}],
            [{"name": "a", **record(x={"type": "long"})}],
            Bump.MAJOR,
        ),
    ],
)
def test_inputs(before, after, bump):
    assert compare_written(signed(before), signed(after)).bump == bump


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([column("a")], [column("a"), column("b", required=False)]),
        ([column("a"), column("b")], [column("a")]),
        ([column("a")], [column("b")]),
        ([column("a", "integer")], [column("a", "long")]),
        ([column("a", "long")], [column("a", "integer")]),
        ([column("a", required=False)], [column("a")]),
        ([column("a")], [column("a", required=False)]),
        ([{"type": "string"}], [column("species", "string")]),
        ([tensor(shape=(-1, 3))], [tensor(shape=(-1, 4))]),
    ],
)
def test_every_change_of_the_output_is_major(before, after):
    assert compare_written(signed(outputs=before), signed(outputs=after)).bump == Bump.MAJOR


@pytest.mark.parametrize(
    ("before", "after", "bump"),
    [
        (None, [parameter()], Bump.MINOR),
        (None, [parameter(default=None)], Bump.MINOR),
        ([parameter()], None, Bump.MAJOR),
        ([parameter("a")], [parameter("b")], Bump.MAJOR),
        ([parameter(default=0.5)], [parameter(default=0.7)], Bump.MINOR),
        ([parameter(kind="long", default=1)], [parameter(kind="float", default=1)], Bump.MINOR),
        ([parameter(kind="double")], [parameter(kind="long")], Bump.MAJOR),
        ([parameter(kind="double")], [parameter(kind="string")], Bump.MAJOR),
        ([parameter()], [parameter(default=[0.5], shape=[-1])], Bump.MAJOR),
        ([], None, Bump.PATCH),
    ],
)
def test_parameters(before, after, bump):
    assert compare_written(signed(params=before), signed(params=after)).bump == bump


def test_the_difference_is_told_column_by_column_the_gravest_first():
    before = signed([column("a"), column("width", "long"), column("c")])
    after = signed(
        [column("a"), column("d", "string", required=False), column("breadth", "long"), column("c", "float")]
    )
    difference = compare_written(before, after)
    assert [(each.part, each.name, each.before, each.after, each.bump) for each in difference.changes] == [
        (Part.INPUT, "width", "long", "", Bump.MAJOR),
        (Part.INPUT, "breadth", "", "long", Bump.MAJOR),
        (Part.INPUT, "c", "double", "float", Bump.MAJOR),
        (Part.INPUT, "d", "", "string, optional", Bump.MINOR),
    ]
    assert "Perhaps it is called “breadth” now." in difference.changes[0].what
    assert "Perhaps it was called “width” before." in difference.changes[1].what
    assert difference.unchanged == 2


def test_nobody_guesses_a_rename_among_many():
    difference = compare_written(signed([column("a"), column("b")]), signed([column("c"), column("d")]))
    assert not any("erhaps" in each.what for each in difference.changes)


def test_a_wide_table_is_told_shortly():
    difference = compare_written(signed([column(f"c{i}") for i in range(500)]), signed([column("x")]))
    assert len(difference.changes) == 501
    assert len(difference.words) < 1000
    assert difference.words.endswith("; and 496 more changes.")


@pytest.mark.parametrize("missing", [None, {"inputs": [column("a")], "outputs": None}])
def test_what_cannot_be_compared_says_so_and_counts_as_breaking(missing):
    for pair in ((missing, signed()), (signed(), missing)):
        difference = compare_written(*pair)
        assert difference.bump == Bump.MAJOR
        assert difference.problem
        assert not difference.changes


# ---------------------------------------------------------------- properties


@settings(max_examples=100, deadline=None)
@given(written_signatures)
def test_a_signature_is_the_same_as_itself(written):
    difference = compare(read(written), read(copy.deepcopy(written)))
    assert (difference.bump, difference.changes) == (Bump.PATCH, ())


@settings(max_examples=100, deadline=None)
@given(written_signatures, st.data())
def test_removing_anything_is_major(written, data):
    part = data.draw(st.sampled_from([name for name in ("inputs", "outputs", "params") if written[name]]))
    place = data.draw(st.integers(0, len(written[part]) - 1))
    fewer = {**written, part: [each for number, each in enumerate(written[part]) if number != place]}
    assert compare_written(written, fewer).bump == Bump.MAJOR


@settings(max_examples=100, deadline=None)
@given(written_signatures, written_signatures)
def test_both_ways_the_same_columns_differ(one, other):
    there, back = compare(read(one), read(other)), compare(read(other), read(one))
    assert {(each.part, each.name) for each in there.changes} == {(each.part, each.name) for each in back.changes}
    assert there.unchanged == back.unchanged
    assert (there.bump == Bump.PATCH) == (back.bump == Bump.PATCH)


@settings(max_examples=60, deadline=None)
@given(written_signatures, written_signatures)
def test_no_change_is_less_than_the_gravest(one, other):
    difference = compare(read(one), read(other))
    assert difference.bump == max([each.bump for each in difference.changes], default=Bump.PATCH)
    assert list(difference.changes) == sorted(difference.changes, key=lambda each: -each.bump)


# ---------------------------------------------------------------- what MLflow itself accepts

EXTREME = {
    "integer": pd.Series([-(2**31), 2**31 - 1], dtype="int32"),
    "long": pd.Series([-(2**63), 2**63 - 1], dtype="int64"),
    "float": pd.Series([-3e38, 1e-38], dtype="float32"),
    "double": pd.Series([-1e308, 1e-308], dtype="float64"),
    "boolean": pd.Series([True, False]),
    "datetime": pd.Series(pd.to_datetime(["2026-01-01"])),
}


@pytest.mark.parametrize("before", EXTREME)
@pytest.mark.parametrize("after", EXTREME)
def test_a_wider_input_is_what_mlflow_converts(before, after):
    try:
        _enforce_mlflow_datatype("a", EXTREME[before], DataType[after])
        converted = True
    except MlflowException:
        converted = False
    assert converted == (before == after or (before, after) in WIDENINGS)


def test_a_wider_parameter_is_what_mlflow_converts():
    of_mlflow = {
        (before.name, after.name) for after, sources in _ALLOWED_CONVERSIONS_FOR_PARAMS.items() for before in sources
    }
    assert of_mlflow == PARAMETER_WIDENINGS


def test_an_object_is_accepted_as_mlflow_accepts_it():
    old = Object([Property("x", DataType.integer)])
    optional = Object([Property("x", DataType.long), Property("y", DataType.long, required=False)])
    required = Object([Property("x", DataType.long), Property("y", DataType.long)])
    assert _enforce_object({"x": 1}, optional)
    with pytest.raises(MlflowException):
        _enforce_object({"x": 1}, required)
    kinds = [signatures._type(each.to_dict(), "a") for each in (old, optional, required)]
    assert [signatures.accepts(new, kinds[0]) for new in kinds] == [True, True, False]
