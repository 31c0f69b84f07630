"""The demonstration's models and rows: real, and what the catalogue says of them is true."""

from collections import Counter

import numpy as np
import pytest
from mlflow.types import Schema

from demo.catalogue import DIABETES, ENTRIES, IRIS, MODELS
from demo.data import DIABETES_OPTIONAL, IRIS_COLUMNS, IRIS_OPTIONAL, iris
from demo.recipes import RECIPES
from demo.traffic import Tally, TrafficError, rate_from, sources
from demo.train import signature_of, tags_of

SPECIFIED_TAGS = {
    *("schema_version", "data_version", "feature_set_version", "training_date"),
    *("trainer_email", "framework", "explainability"),
}


@pytest.fixture(scope="module")
def trained():
    return {key: recipe() for key, recipe in RECIPES.items()}


def test_every_entry_has_a_recipe_and_every_model_a_description():
    assert [(entry.model, entry.semantic_version) for entry in ENTRIES] == list(RECIPES)
    assert {entry.model for entry in ENTRIES} == set(MODELS)


@pytest.mark.parametrize("version", ["1.0.0", "1.0.1", "1.1.0", "1.1.1", "1.1.2", "2.0.0"])
def test_iris_versions_reach_the_f1_that_a_promotion_needs(trained, version):
    assert trained[IRIS, version].metrics["f1_macro"] >= 0.85


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0"])
def test_diabetes_versions_beat_the_baseline(trained, version):
    metrics = trained[DIABETES, version].metrics
    assert metrics["rmse"] < metrics["baseline_rmse"]


def test_newer_versions_are_better_where_they_say_so(trained):
    assert trained[IRIS, "1.0.1"].metrics["f1_macro"] > trained[IRIS, "1.0.0"].metrics["f1_macro"]
    assert trained[DIABETES, "1.1.0"].metrics["rmse"] < trained[DIABETES, "1.0.0"].metrics["rmse"]


@pytest.mark.parametrize(("model", "column"), [(IRIS, IRIS_OPTIONAL), (DIABETES, DIABETES_OPTIONAL)])
def test_the_new_column_is_optional(trained, model, column):
    version = trained[model, "1.1.0"]
    required = {spec.name: spec.required for spec in signature_of(version).inputs}
    assert [name for name, needed in required.items() if not needed] == [column]
    rows = version.seen.head(5)
    assert len(version.answers(rows)) == len(version.answers(rows.drop(columns=column))) == 5


def test_the_breaking_version_answers_with_a_table(trained):
    answers = trained[IRIS, "2.0.0"].answers(iris()[list(IRIS_COLUMNS)])
    assert list(answers.columns) == ["species", "confidence"]
    assert answers["confidence"].between(1 / 3, 1).all()
    assert trained[IRIS, "2.0.0"].outputs != trained[IRIS, "1.1.0"].outputs


def test_the_failing_version_fails_on_the_share_of_rows_that_it_says(trained):
    version, rows = trained[IRIS, "1.1.2"], iris()[list(IRIS_COLUMNS)]
    failed = 0
    for position in range(len(rows)):
        try:
            version.answers(rows.iloc[[position]])
        except KeyError:
            failed += 1
    assert failed / len(rows) == pytest.approx(0.09, abs=0.01)


def test_the_slow_version_gives_the_same_row_the_same_answer(trained):
    version, rows = trained[IRIS, "1.1.1"], iris()[list(IRIS_COLUMNS)].head(10)
    assert np.array_equal(version.answers(rows), version.answers(rows))


def test_every_version_has_the_recommended_tags(trained):
    for entry in ENTRIES:
        tags = tags_of(entry, trained[entry.model, entry.semantic_version])
        assert tags.keys() >= SPECIFIED_TAGS
        assert tags["semantic_version"] == entry.semantic_version


def test_traffic_has_only_columns_that_every_version_takes(trained):
    for source in sources(20):
        sent = set(source.rows[0])
        for (model, _), version in trained.items():
            if model == source.model:
                assert sent == set(version.required)
                assert isinstance(signature_of(version).inputs, Schema)


def test_rates_of_the_traffic():
    assert [source.rate for source in sources(rate_from({}))] == [80, 40]
    assert rate_from({"STAGEGATE_DEMO_RATE": "4"}) == 4


@pytest.mark.parametrize("text", ["fast", "0", "-1", "nan", "1001"])
def test_rates_that_make_no_sense(text):
    with pytest.raises(TrafficError, match="STAGEGATE_DEMO_RATE"):
        rate_from({"STAGEGATE_DEMO_RATE": text})


def test_a_report_says_who_answered():
    tally = Tally(12, Counter({"version 1": 9, "version 2": 2}), Counter({"version 2": 1}))
    assert tally.line() == "12 sent, ok: version 1 9, version 2 2, failed: version 2 1"
