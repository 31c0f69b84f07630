"""How templates put values into words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from django.utils.html import conditional_escape

from lifecycle.models import Kind, ModelVersion, RegisteredModel, Transition
from portal.templatetags.stagegate import (
    ago,
    detail,
    duration,
    figure,
    registry_link,
    role_labels,
    run_link,
    shares,
    signature_parts,
    title,
    weights,
    when,
    without_credentials,
    words,
)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "just now"),
        (4.4, "just now"),
        (5, "5 seconds ago"),
        (60, "1 minute ago"),
        (179, "2 minutes ago"),
        (7200, "2 hours ago"),
        (90000, "1 day ago"),
        (-3600, "in 1 hour"),
    ],
)
def test_ago(seconds: float, expected: str) -> None:
    assert ago(timedelta(seconds=seconds)) == expected


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (0, "0 s"),
        (0.412, "0.41 s"),
        (45, "45 s"),
        (90, "1 min 30 s"),
        (timedelta(hours=2), "2 h"),
        (timedelta(days=1, hours=1, minutes=5), "1 d 1 h"),
    ],
)
def test_duration(length: timedelta | float, expected: str) -> None:
    assert duration(length) == expected


def test_when_shows_the_viewers_zone_and_the_exact_utc() -> None:
    moment = datetime(2026, 1, 2, 23, 30, 5, tzinfo=UTC)
    with timezone.override("Europe/Berlin"):
        shown = when(moment, "exact")
    assert "3 Jan 2026, 00:30:05" in shown
    assert 'datetime="2026-01-02T23:30:05.000Z"' in shown
    assert 'title="2026-01-02 23:30:05 UTC"' in shown


def test_when_says_that_a_time_is_not_known() -> None:
    assert "not known" in when(None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.94736842, "0.947368"),
        (120000, "120,000"),
        (1.23e-5, "1.23e-05"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        ("<b>", "<b>"),
        (True, "True"),
    ],
)
def test_figure(value: object, expected: str) -> None:
    assert figure(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, "yes"),
        (False, "no"),
        (0, "0"),
        (5.0, "5"),
        ("drift", "drift"),
        (["read_record", "roll_back"], "read_record, roll_back"),
        ({"1": 95.0, "2": 5}, "1: 95, 2: 5"),
        ({"1": {"2": 3}}, '{"1": {"2": 3}}'),
        (None, ""),
        ("", ""),
        ([], ""),
    ],
)
def test_detail(value: object, expected: str) -> None:
    assert detail(value) == expected


@pytest.mark.parametrize(
    "value",
    ["2026-01-02T23:30:05+00:00", ["2026-01-03T00:30:05.000+01:00"], {"since": "2026-01-02T23:30:05Z"}],
)
def test_a_moment_among_the_details_is_in_the_viewers_zone_with_the_exact_utc(value: object) -> None:
    with timezone.override("Europe/Berlin"):
        shown = detail(value)
    assert "3 Jan 2026, 00:30:05</time>" in shown
    assert 'title="2026-01-02 23:30:05 UTC"' in shown


@pytest.mark.parametrize(
    "value", ["2026-13-02T23:30:05Z", "2026-01-02", "2026-01-02T23:30:05", "9999-12-31T23:59:59-14:00"]
)
def test_what_is_no_moment_stays_as_it_is(value: str) -> None:
    assert detail(value) == value


def test_names_among_the_details_are_escaped_beside_a_moment() -> None:
    assert conditional_escape(detail({"<b>": "<i>", "at": "2026-01-02T23:30:05Z"})).startswith(
        "&lt;b&gt;: &lt;i&gt;, at: <time"
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [({"1": 95.0, "2": 5}, "95 % to version 1, 5 % to version 2"), ({}, "none"), ("all", "all"), (None, "")],
)
def test_shares(value: object, expected: str) -> None:
    assert shares(value) == expected


def test_weights_name_every_step() -> None:
    assert weights([{"weight": 5}, {"weight": 25}, {"weight": 100}]) == "5 → 25 → 100 %"


def test_words() -> None:
    assert words("transition_requested") == "Transition requested"


def test_role_labels_are_in_the_order_of_the_roles() -> None:
    assert role_labels(["ml_engineer", "product_owner"]) == "product owner, ML engineer"
    assert role_labels([]) == "no role"


def _version(name: str = "iris", number: int = 3, **values: object) -> ModelVersion:
    return ModelVersion(model=RegisteredModel(name=name, slug="iris"), version=number, **values)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Kind.PROMOTION, "Move <bdi>&lt;b&gt;</bdi> to Production"),
        (Kind.ARCHIVAL, "Archive <bdi>&lt;b&gt;</bdi>"),
        (Kind.ROLLBACK, "Roll back <bdi>&lt;b&gt;</bdi> to <bdi>version 2</bdi>"),
    ],
)
def test_title_escapes_and_isolates_names(kind: Kind, expected: str) -> None:
    version = _version(tags={"semantic_version": "<b>"})
    transition = Transition(
        model=version.model, version=version, previous=_version(number=2), kind=kind, to_stage="Production"
    )
    assert title(transition) == expected


def test_signature_parts() -> None:
    signature = {
        "inputs": [{"name": "a", "type": "double", "required": False}],
        "outputs": [{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}],
        "params": [{"name": "t", "type": "float", "default": 1.0}],
    }
    inputs, outputs, params = signature_parts(signature)
    assert (inputs.fields[0].name, inputs.fields[0].type, inputs.fields[0].note) == ("a", "double", "optional")
    assert (outputs.fields[0].type, outputs.fields[0].note) == ("tensor of int64", "shape [-1]")
    assert params.fields[0].note == "default 1.0"


@pytest.mark.parametrize("signature", [None, {}, {"inputs": "text"}, {"inputs": [["odd"]]}, {"inputs": [{"type": {}}]}])
def test_signature_parts_survive_what_they_do_not_know(signature: object) -> None:
    assert isinstance(signature_parts(signature), tuple)


@pytest.mark.parametrize(
    ("registry", "expected"),
    [
        ("http://mlflow:5000", "http://mlflow:5000/#/models/a%2F%3Cb%3E/versions/3"),
        ("https://user:secret@mlflow/base/", "https://mlflow/base/#/models/a%2F%3Cb%3E/versions/3"),
        ("databricks", ""),
        ("javascript:alert(1)", ""),
        ("sqlite:///mlflow.db", ""),
    ],
)
def test_registry_link(registry: str, expected: str) -> None:
    assert registry_link(registry, _version(name="a/<b>")) == expected


def test_run_link_needs_a_run() -> None:
    assert run_link("http://mlflow", _version()) == ""
    assert run_link("http://mlflow", _version(run_id="r", experiment_id="1")) == "http://mlflow/#/experiments/1/runs/r"


def test_without_credentials() -> None:
    assert without_credentials("https://user:secret@mlflow:5000/x?token=1") == "https://mlflow:5000/x"
