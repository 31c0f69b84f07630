"""Histograms add up: every request, row and prediction is in exactly one place."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from lifecycle.domain.observations import LATENCY_EDGES
from serving.metrics import CLIENT_ERROR, LATENCY_BUCKETS, OK, SERVER_ERROR, Metrics
from serving.reference import Bins, Labels, Reference, build_reference, read_reference


def scrape(metrics):
    """{(sample name, labels without le): value}, and buckets as {(name, labels): [counts, not cumulative]}."""
    values, buckets = {}, {}
    for family in text_string_to_metric_families(generate_latest(metrics.registry()).decode()):
        for sample in family.samples:
            labels = tuple(sorted((key, value) for key, value in sample.labels.items() if key != "le"))
            if "le" in sample.labels:
                buckets.setdefault((sample.name, labels), []).append(sample.value)
            else:
                values[sample.name, labels] = sample.value
    return values, {key: np.diff(counts, prepend=0).tolist() for key, counts in buckets.items()}


def metrics_for(reference=None):
    return Metrics(reference or Reference(), model="m", version="3")


def test_requests_by_outcome_and_the_time_of_those_answered():
    metrics = metrics_for()
    for outcome, seconds in [(OK, 0.5), (OK, 0.5000001), (SERVER_ERROR, 2.0), (CLIENT_ERROR, 9.0), (OK, 100.0)]:
        metrics.count_request(outcome, seconds)
    values, buckets = scrape(metrics)
    requests = {
        name: values["stagegate_requests_total", (("outcome", name),)] for name in (OK, CLIENT_ERROR, SERVER_ERROR)
    }
    assert requests == {OK: 3, CLIENT_ERROR: 1, SERVER_ERROR: 1}
    counts = dict(
        zip([*LATENCY_BUCKETS, "+Inf"], buckets["stagegate_request_duration_seconds_bucket", ()], strict=True)
    )
    assert {edge: count for edge, count in counts.items() if count} == {0.5: 1, 0.517632: 1, 2.0: 1, "+Inf": 1}
    assert values["stagegate_request_duration_seconds_count", ()] == 4
    assert values["stagegate_request_duration_seconds_sum", ()] == pytest.approx(103.0)


def test_latency_is_stored_by_the_name_of_its_buckets():
    assert LATENCY_BUCKETS == LATENCY_EDGES


def test_latency_buckets_resolve_the_limits_and_a_change_of_a_fifth():
    assert {0.5, 1.0, 2.0} <= set(LATENCY_BUCKETS)
    assert LATENCY_BUCKETS[0] <= 0.001
    assert LATENCY_BUCKETS[-1] >= 30
    assert max(np.divide(LATENCY_BUCKETS[1:], LATENCY_BUCKETS[:-1])) ** 2 < 1.2


def test_training_data_gives_the_counts_of_the_reference():
    random = np.random.default_rng(1)
    frame = pd.DataFrame({"n": random.exponential(size=500), "t": random.choice(["a", "b"], 500)})
    predictions = random.normal(size=500)
    built = build_reference(frame, predictions)
    metrics = metrics_for(read_reference({"stagegate_reference": built}))
    for start in range(0, 500, 125):
        part = frame.iloc[start : start + 125]
        metrics.count_rows(part, predictions[start : start + 125], len(part))
    values, buckets = scrape(metrics)
    assert buckets["stagegate_feature_value_bucket", (("feature", "n"),)] == built["features"]["n"]["counts"]
    assert buckets["stagegate_prediction_value_bucket", ()] == built["prediction"]["counts"]
    by_category = [values["stagegate_feature_category_total", (("category", c), ("feature", "t"))] for c in "ab"]
    assert by_category == built["features"]["t"]["counts"]
    assert values["stagegate_feature_value_sum", (("feature", "n"),)] == pytest.approx(frame["n"].sum())
    # As the exposition formats want it: where values may be negative there is no sum, and the last bucket counts.
    assert ("stagegate_prediction_value_sum", ()) not in values
    assert values["stagegate_rows_total", ()] == 500
    assert values["stagegate_predict_calls_total", ()] == 4


def test_values_outside_training():
    metrics = metrics_for(Reference({"n": Bins((0.0, 1.0)), "t": Labels(("a",))}, Labels(("x", "y"))))
    frame = pd.DataFrame({"n": [-9.0, 0.0, 0.5, 9.0, np.nan], "t": ["a", "b", None, "a", "c"]})
    metrics.count_rows(frame, ["x", "z", "x", "x", "w"], 5)
    values, buckets = scrape(metrics)
    assert buckets["stagegate_feature_value_bucket", (("feature", "n"),)] == [2, 1, 1]
    categories = {
        dict(labels)["category"]: value for (name, labels), value in values.items() if "category_total" in name
    }
    assert categories == {"a": 2, "other": 3}
    classes = {dict(labels)["class"]: value for (name, labels), value in values.items() if "predictions_total" in name}
    assert classes == {"x": 3, "y": 0, "other": 2}


@pytest.mark.parametrize(
    ("predictions", "expected"),
    [
        (np.array([0, 2, 2]), {"0": 1, "2": 2}),
        (np.array(["a", "b", "a"]), {"a": 2, "b": 1}),
        ([True, False, True], {"True": 2, "False": 1}),
        (np.array([0.5, 1.5, 2.5]), {}),
        (np.zeros((3, 2)), {}),
    ],
    ids=["whole", "text", "boolean", "real", "probabilities"],
)
def test_predictions_without_a_reference(predictions, expected):
    metrics = metrics_for()
    metrics.count_rows(pd.DataFrame({"n": [1.0, 2.0, 3.0]}), predictions, 3)
    values, buckets = scrape(metrics)
    classes = {dict(labels)["class"]: value for (name, labels), value in values.items() if "predictions_total" in name}
    assert classes == expected
    assert not any("feature" in name or "prediction" in name for name, _ in buckets)


def test_classes_are_bounded():
    metrics = metrics_for()
    for value in range(60):
        metrics.count_rows(None, [value], 1)
    metrics.count_rows(None, [3], 1)
    values, _ = scrape(metrics)
    classes = {dict(labels)["class"]: value for (name, labels), value in values.items() if "predictions_total" in name}
    assert len(classes) == 51
    assert (classes["3"], classes["other"]) == (2, 10)


def test_inputs_that_are_no_table():
    metrics = metrics_for(Reference({"n": Bins((0.0,))}))
    metrics.count_rows({"n": np.array([1.0, -1.0])}, np.zeros(2), 2)
    metrics.count_rows(np.zeros((2, 3)), np.zeros(2), 2)
    _, buckets = scrape(metrics)
    assert buckets["stagegate_feature_value_bucket", (("feature", "n"),)] == [1, 1]


def test_what_does_not_fit_the_reference_is_reported_once(caplog):
    metrics = metrics_for(Reference({}, Bins((0.0,))))
    for _ in range(3):
        metrics.count_rows(None, ["text"], 1)
    assert caplog.text.count("do not fit") == 1


def test_untrusted_names_are_escaped():
    metrics = metrics_for(Reference({'a"\n\\{}': Bins((0.0,))}))
    values, _ = scrape(metrics)
    assert ("stagegate_feature_value_count", (("feature", 'a"\n\\{}'),)) in values
