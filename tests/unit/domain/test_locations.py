"""Which versions share files, in all the ways that MLflow has of naming a place."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.domain.locations import Overlaps, location_of, original_of

RUN, OTHER_RUN = "1" * 32, "2" * 32
MODEL, OTHER_MODEL = "m-" + "a" * 32, "m-" + "b" * 32
STORE = "mlflow-artifacts:/0"

SHARED = [
    ((f"models:/{MODEL}", RUN), (f"models:/{MODEL}", "")),
    ((f"models:/{MODEL}", RUN), (f"{STORE}/models/{MODEL}/artifacts", "")),
    ((f"models:/{MODEL}", RUN), (f"s3://bucket/1/models/{MODEL}/artifacts/sub", "")),
    ((f"models:/{MODEL}", RUN), (f"runs:/{RUN}/model", RUN)),
    ((f"{STORE}/{RUN}/artifacts/model", RUN), (f"{STORE}/{RUN}/artifacts/model", "")),
    ((f"{STORE}/{RUN}/artifacts/model", RUN), (f"runs:/{RUN}/model", RUN)),
    ((f"{STORE}/{RUN}/artifacts/model", RUN), (f"{STORE}/{RUN}/artifacts/model/data", RUN)),
    ((f"{STORE}/{RUN}/artifacts/model", RUN), (f"{STORE}/{RUN}/artifacts", RUN)),
    ((f"{STORE}/{RUN}/artifacts/model", RUN), (STORE, "")),
    (("s3://bucket/a/b", ""), ("s3://bucket/a", "")),
    (("s3://bucket/a", ""), ("s3://bucket", "")),
]
APART = [
    ((f"models:/{MODEL}", RUN), (f"models:/{OTHER_MODEL}", RUN)),
    ((f"models:/{MODEL}", RUN), (f"runs:/{OTHER_RUN}/model", OTHER_RUN)),
    ((f"models:/{MODEL}", RUN), (f"{STORE}/{RUN}/artifacts/plots", RUN)),
    ((f"{STORE}/{RUN}/artifacts/model", RUN), (f"{STORE}/{RUN}/artifacts/model2", RUN)),
    ((f"{STORE}/{RUN}/artifacts/model", RUN), (f"{STORE}/{OTHER_RUN}/artifacts/model", RUN)),
    (("s3://bucket/a", ""), ("s3://bucket/ab", "")),
    (("s3://bucket/a", ""), ("gs://bucket/a", "")),
    (("s3://bucket/a", ""), ("s3://other/a", "")),
    (("s3://bucket/a", ""), ("", "")),
]


def overlap(one, other):
    return Overlaps([(1, location_of(*one))]).with_(location_of(*other)) == {1}


@pytest.mark.parametrize(("one", "other"), SHARED)
def test_shared(one, other):
    assert overlap(one, other)
    assert overlap(other, one)


@pytest.mark.parametrize(("one", "other"), APART)
def test_apart(one, other):
    assert not overlap(one, other)
    assert not overlap(other, one)


@pytest.mark.parametrize(
    ("source", "original"),
    [
        ("models:/iris/3", ("iris", 3)),
        ("models:/a b <c>/12", ("a b <c>", 12)),
        (f"models:/{MODEL}", None),
        ("models:/iris@champion", None),
        ("models:/iris/latest", None),
        ("models:/iris/", None),
        ("runs:/1/2", None),
        ("s3://models:/iris/3", None),
        ("", None),
    ],
)
def test_the_original_of_a_copy(source, original):
    assert original_of(source) == original


sources = st.text(alphabet="abm-/:.1 ", max_size=40) | st.sampled_from([place for pair in SHARED for place, _ in pair])


@settings(max_examples=200)
@given(sources, sources)
def test_every_place_overlaps_itself_and_order_never_matters(one, other):
    assert overlap((one, ""), (one, "")) or len(location_of(one).paths[0]) < 2
    assert overlap((one, ""), (other, "")) == overlap((other, ""), (one, ""))
