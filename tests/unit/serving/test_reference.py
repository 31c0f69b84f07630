"""The training reference: bins that hold what training saw, and a form that survives JSON."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from serving.reference import (
    METADATA_KEY,
    Bins,
    InvalidReferenceError,
    Labels,
    Reference,
    build_reference,
    count_bins,
    prediction_vector,
    read_reference,
)


def distribution(values, name="x"):
    return build_reference(pd.DataFrame({name: values}), [0] * len(values))["features"][name]


def prediction(values):
    return build_reference(pd.DataFrame({"x": [0] * len(values)}), values)["prediction"]


def test_many_numbers_get_ten_bins_of_equal_counts():
    found = distribution(np.random.default_rng(0).normal(size=1000))
    assert len(found["edges"]) == 9
    assert found["counts"] == [100] * 10


@pytest.mark.parametrize(
    ("values", "edges", "counts"),
    [
        ([3.0] * 4, [1.5, 4.5], [0, 4, 0]),
        ([0] * 4, [-0.5, 0.5], [0, 4, 0]),
        ([-2, -2], [-3, -1], [0, 2, 0]),
        ([0, 1, 1, 4], [-0.5, 0.5, 2.5, 5.5], [0, 1, 2, 1, 0]),
        ([1.0, None, 2.0], [0.5, 1.5, 2.5], [0, 1, 1, 0]),
        ([np.nan, np.nan], [0.0], [0, 0]),
        ([1.0, np.inf, -np.inf], [0.5, 1.5], [1, 1, 1]),
    ],
    ids=["constant", "zero", "negative", "few values", "null", "only null", "infinite"],
)
def test_few_numbers_get_a_bin_each_and_one_on_either_side(values, edges, counts):
    assert distribution(values) == {"edges": edges, "counts": counts}


def test_numbers_of_which_most_are_alike():
    found = distribution([0.0] * 900 + list(range(1, 101)))
    assert found["edges"] == sorted(set(found["edges"]))
    assert sum(found["counts"]) == 1000


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["b", "a", "b"], {"categories": ["a", "b"], "counts": [1, 2]}),
        ([True, False, True], {"categories": ["False", "True"], "counts": [1, 2]}),
        (["a", None, "a"], {"categories": ["a", "missing"], "counts": [2, 1]}),
    ],
)
def test_everything_else_is_counted_by_category(values, expected):
    assert distribution(values) == expected


def test_nullable_types_of_pandas():
    frame = pd.DataFrame({"n": pd.array([1, None, 3], "Int64"), "b": pd.array([True, None, True], "boolean")})
    features = build_reference(frame, [0, 0, 0])["features"]
    assert sum(features["n"]["counts"]) == 2
    assert features["b"] == {"categories": ["True", "missing"], "counts": [2, 1]}


def test_rare_categories_are_one():
    found = distribution([f"c{n:03}" for n in range(80) for _ in range(80 - n)])
    assert found["categories"] == [*(f"c{n:03}" for n in range(50)), "other"]
    assert found["counts"][-1] == sum(range(1, 31))


def test_dates_and_bytes_are_left_out():
    frame = pd.DataFrame({"at": pd.to_datetime(["2026-01-01"]), "x": [1.0]})
    assert list(build_reference(frame, [0])["features"]) == ["x"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([2, 0, 2], {"categories": ["0", "2"], "counts": [1, 2]}),
        (["no", "yes"], {"categories": ["no", "yes"], "counts": [1, 1]}),
        (np.array([[1.0], [2.0]]), {"edges": [0.5, 1.5, 2.5], "counts": [0, 1, 1, 0]}),
        (pd.DataFrame({"label": ["a", "b"], "score": [0.1, 0.9]}), {"categories": ["a", "b"], "counts": [1, 1]}),
        (np.array([[0.1, 0.9], [0.5, 0.5]]), None),
        ([{"label": "a"}, {"label": "b"}], None),
    ],
    ids=["classes", "texts", "one column", "data frame", "probabilities", "objects"],
)
def test_predictions(values, expected):
    assert prediction(values) == expected


def test_many_whole_predictions_are_numbers():
    assert prediction(list(range(200)))["edges"] == [20, 40, 60, 80, 100, 120, 140, 160, 180]


@pytest.mark.parametrize(
    ("values", "edges"),
    [
        (np.linspace(60, 280, 300), [80, 100, 120, 140, 160, 180, 200, 220, 240, 260]),
        (np.linspace(50, 260, 300), [60, 80, 100, 120, 140, 160, 180, 200, 220, 240]),
        (np.linspace(-0.31, 0.29, 100), [-0.3, -0.25, -0.2, -0.15, -0.1, -0.05, 0, 0.05, 0.1, 0.15, 0.2, 0.25]),
    ],
)
def test_numeric_predictions_have_round_edges_which_versions_share(values, edges):
    assert prediction(values)["edges"] == pytest.approx(edges)


def test_bins_include_their_upper_edge():
    assert count_bins(np.array([1.0, 2.0]), np.array([0.5, 1.0, 1.5, 2.0, 2.5, np.nan, np.inf])).tolist() == [2, 2, 2]


def test_the_reference_survives_json_and_is_read_back():
    frame = pd.DataFrame({"n": np.arange(100.0), "t": ["a", "b"] * 50})
    built = json.loads(json.dumps(build_reference(frame, np.arange(100) % 3)))
    reference = read_reference({METADATA_KEY: built})
    assert reference.features["n"] == Bins(tuple(built["features"]["n"]["edges"]))
    assert reference.features["t"] == Labels(("a", "b"))
    assert reference.prediction == Labels(("0", "1", "2"))


@pytest.mark.parametrize("metadata", [None, {}, {"other": 1}])
def test_no_reference(metadata):
    assert read_reference(metadata) == Reference()


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ([1], "must be an object"),
        ({"features": [1]}, "must be an object"),
        ({"features": {"x": {"bins": []}}}, "feature 'x' must have"),
        ({"features": {"x": {"edges": ["a"]}}}, "must be numbers"),
        ({"features": {"x": {"edges": [1, None]}}}, "must be numbers"),
        ({"features": {"x": {"edges": []}}}, "finite and ascending"),
        ({"features": {"x": {"edges": [2, 1]}}}, "finite and ascending"),
        ({"features": {"x": {"edges": [1, 1]}}}, "finite and ascending"),
        ({"prediction": {"edges": [float("nan")]}}, "the prediction must be finite"),
    ],
)
def test_a_reference_of_another_form_is_an_error(raw, reason):
    with pytest.raises(InvalidReferenceError, match=METADATA_KEY) as caught:
        read_reference({METADATA_KEY: raw})
    assert reason in str(caught.value)


def test_vectors():
    assert prediction_vector(pd.Series([1, 2])).tolist() == [1, 2]
    assert prediction_vector(pd.DataFrame()) is None
    assert prediction_vector(5) is None
