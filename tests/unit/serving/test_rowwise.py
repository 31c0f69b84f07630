"""Requests are joined only for models that provably answer a row in company as they do alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from mlflow.types import ColSpec, Schema
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression

from serving.payload import strict_columns
from serving.reference import Bins, Labels, Reference
from serving.rowwise import may_join, probe_rows, same_together
from tests.unit.serving.models import MIXED, NUMBERS, Recorder, pyfunc

RANDOM = np.random.default_rng(0)
FEATURES = pd.DataFrame(RANDOM.normal(size=(60, 2)), columns=["a", "b"])
TEXTS = Schema([ColSpec("double", "a"), ColSpec("string", "t")])


def decide(implementation, schema=NUMBERS, batching="auto", example=None, reference=None, loader=None):
    model = pyfunc(implementation, schema)
    model.input_example = example
    if loader:
        model.metadata.flavors["python_function"]["loader_module"] = loader
    return may_join(model, strict_columns(model), reference or Reference(), batching)


class Centred:
    def predict(self, data):
        return (data["a"] - data["a"].mean()).to_numpy()


class Indexed:
    def predict(self, data):
        return data.index.to_numpy() + data["a"].to_numpy()


class Counting:
    def predict(self, data):
        return [len(data)]


class Slow:
    def __init__(self, clock):
        self.clock = clock
        self.calls = 0

    def predict(self, data):
        self.calls += 1
        self.clock.now += 2
        return data["a"].to_numpy()


def test_trees_may():
    forest = RandomForestClassifier(5, random_state=0).fit(FEATURES, FEATURES["a"] > 0)
    assert decide(forest)


def test_a_linear_regression_may_not_because_its_last_bit_depends_on_company():
    assert not decide(LinearRegression().fit(FEATURES, FEATURES.sum(axis=1) * np.pi))


@pytest.mark.parametrize("model", [Centred(), Indexed(), Counting()], ids=["mean", "index", "one answer"])
@pytest.mark.parametrize("batching", ["auto", "on"])
def test_rows_that_depend_on_each_other(model, batching):
    assert decide(model, batching=batching) is (batching == "on" and isinstance(model, Counting))


def test_off_is_off():
    assert not decide(Recorder(), batching="off")


@pytest.mark.parametrize(("batching", "joined"), [("auto", False), ("on", True)])
def test_unknown_flavors_need_the_operators_word(batching, joined):
    assert decide(Recorder(), batching=batching, loader="mlflow.pyfunc.model") is joined


def test_a_signature_that_is_not_read_strictly():
    assert not decide(Recorder(), schema=None, batching="on")


def test_text_needs_an_example_or_a_reference():
    assert not decide(Recorder(), TEXTS)
    assert decide(Recorder(), TEXTS, batching="on")
    assert decide(Recorder(), TEXTS, example=pd.DataFrame({"a": [1.0], "t": ["x"]}))
    assert decide(Recorder(), TEXTS, reference=Reference({"t": Labels(("x", "y", "missing"))}))


def test_probes_look_like_the_example_and_the_reference():
    columns = strict_columns(pyfunc(Recorder(), MIXED))
    example = pd.DataFrame([{"real": 100.0, "whole": 5, "small": 2, "short": 0.5, "flag": True, "text": "x"}])
    reference = Reference({"extra": Bins((40.0, 50.0)), "note": Labels(("n", "other"))})
    rows = probe_rows(columns, example, reference)
    assert rows["real"].between(99, 101).all()
    assert rows["extra"].between(39, 51).all()
    assert set(rows["text"]) == {"x"}
    assert set(rows["note"]) == {"n"}
    assert list(map(str, rows.dtypes)) == ["float64", "int64", "int32", "float32", "bool", "str", "float64", "str"]
    pd.testing.assert_frame_equal(rows, probe_rows(columns, example, reference))


def test_the_example_comes_first():
    rows = probe_rows(strict_columns(pyfunc(Recorder(), NUMBERS)), FEATURES[["b", "a"]].head(3), Reference())
    pd.testing.assert_frame_equal(rows.head(3), FEATURES.head(3))
    assert len(rows) == 48


def test_slow_models_are_compared_on_fewer_rows(monkeypatch):
    class Clock:
        now = 0.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr("serving.rowwise.time", clock)
    model = Slow(clock)
    assert same_together(model.predict, FEATURES)
    assert model.calls == 4


def test_a_model_that_cannot_score_made_up_rows():
    class Choosy:
        def predict(self, data):
            raise ValueError("unknown category")

    assert same_together(Choosy().predict, FEATURES) is None
    assert not decide(Choosy())
