"""The drift check against what a model server really tells of itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from prometheus_client import generate_latest

from lifecycle.checks import drift
from lifecycle.checks.base import Result, Subject
from lifecycle.domain.policy import Policy
from lifecycle.ports import PermanentError, TemporaryError, VersionRef
from serving.metrics import Metrics
from serving.reference import METADATA_KEY, build_reference, read_reference

RANDOM = np.random.default_rng(1)
TRAINED = pd.DataFrame(
    {
        "length": RANDOM.normal(5, 1, 2000),
        "width": RANDOM.normal(2, 0.5, 2000),
        "colour": RANDOM.choice(["red", "blue"], 2000, p=[0.25, 0.75]),
    }
)


def asked(rows: int, *, shift: float = 0, colours: tuple[str, ...] = ("red", "blue", "blue", "blue")) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "length": RANDOM.normal(5, 1, rows),
            "width": RANDOM.normal(2 + shift, 0.5, rows),
            "colour": [colours[row % len(colours)] for row in range(rows)],
        }
    )


@contextmanager
def answering(status: int, text: bytes) -> Iterator[str]:
    """A server that gives this one answer; yields its base address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def subject(files: Path, url: str, metadata: dict[str, Any] | None = None) -> Subject:
    reference = {METADATA_KEY: build_reference(TRAINED, [0.0, 1.0])} if metadata is None else metadata
    (files / "MLmodel").write_text(yaml.safe_dump({"flavors": {}, "metadata": reference}))
    return Subject(VersionRef("iris", 1), "iris", Policy(), None, files, users_url=url)


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., Result]:
    """Run the check after a server has answered these rows."""

    def run(rows: pd.DataFrame, counts_in: pd.DataFrame = TRAINED) -> Result:
        reference = read_reference({METADATA_KEY: build_reference(counts_in, [0.0, 1.0])})
        metrics = Metrics(reference, model="iris", version="1")
        metrics.count_rows(rows, np.zeros(len(rows)), len(rows))
        with answering(200, generate_latest(metrics.registry())) as url:
            return drift.run(subject(tmp_path, url), lambda percent, phase: None)

    return run


def test_requests_like_those_of_training_pass(check) -> None:
    result = check(asked(1000))
    assert result.passed, result.detail
    assert result.measurements["rows"] == 1000
    assert result.measurements["since"]
    assert set(result.measurements["distances"]) == {"length", "width", "colour"}
    assert result.measurements["value"] < 0.1


def test_other_requests_fail_and_the_feature_is_named(check) -> None:
    result = check(asked(1000, shift=2))
    assert not result.passed
    assert result.measurements["feature"] == "width"
    assert result.measurements["value"] == result.measurements["distances"]["width"] > 0.5
    assert result.detail.startswith("width lies 0.")
    shown = result.measurements["distributions"][0]
    assert shown["feature"] == "width"
    assert len(shown["reference"]) == len(shown["seen"]) == len(shown["edges"]) + 1
    assert sum(shown["reference"]) == pytest.approx(1, abs=0.001)
    assert shown["seen"][-1] > 0.9


def test_a_category_that_training_never_saw_counts(check) -> None:
    result = check(asked(400, colours=("green",)))
    assert not result.passed
    assert result.measurements["distances"]["colour"] == 1
    shown = result.measurements["distributions"][0]
    assert dict(zip(shown["categories"], shown["seen"], strict=True)) == {"blue": 0, "red": 0, "other": 1}


def test_a_feature_that_is_hardly_ever_given_is_left_out_and_said(check) -> None:
    rows = asked(500)
    rows.loc[50:, "width"] = np.nan
    result = check(rows)
    assert result.passed
    assert result.measurements["not_compared"] == {"width": "was given in 50 rows only, of at least 100"}


def test_too_few_requests_are_no_evidence(check) -> None:
    with pytest.raises(PermanentError, match="Only 99 rows so far"):
        check(asked(99))
    assert check(asked(100)) is not None


def test_counts_in_other_bins_are_refused(check) -> None:
    with pytest.raises(PermanentError, match="width was counted in other bins"):
        check(asked(200), TRAINED.assign(width=TRAINED["width"] * 2))


def test_a_version_that_serves_nobody_is_no_evidence(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="Move it to Staging first"):
        drift.run(subject(tmp_path, ""), lambda percent, phase: None)


@pytest.mark.parametrize("metadata", [{}, {METADATA_KEY: {}}, {METADATA_KEY: {"features": {}}}, {METADATA_KEY: "x"}])
def test_without_a_reference_it_says_how_to_give_one(tmp_path: Path, metadata: dict[str, Any]) -> None:
    with pytest.raises(PermanentError, match="says nothing about the data"):
        drift.run(subject(tmp_path, "http://127.0.0.1:1", metadata), lambda percent, phase: None)


def test_a_reference_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    metadata = {METADATA_KEY: {"features": {"a\0b": {"edges": [2, 1], "counts": [1, 1, 1]}}}}
    with pytest.raises(PermanentError, match="the feature a\N{REPLACEMENT CHARACTER}b has edges"):
        drift.run(subject(tmp_path, "http://127.0.0.1:1", metadata), lambda percent, phase: None)


BUCKET = b'stagegate_rows_total 500\nstagegate_feature_value_bucket{feature="width",le="%b"} %b\n'


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (500, b""),
        (200, BUCKET % (b"x", b"1")),
        (200, BUCKET % (b"1", b"NaN")),
        (200, b"stagegate_rows_total NaN\n"),
        (200, b"stagegate_rows_total Inf\n"),
        (200, b"stagegate_rows_total 500\nprocess_start_time_seconds 1e300\n"),
        (200, b'stagegate_rows_total 500\nstagegate_feature_category_total{a="b"} 1\n'),
        (200, b"stagegate_rows_total abc\n"),
    ],
)
def test_a_server_that_answers_nonsense_is_asked_again(tmp_path: Path, status: int, text: bytes) -> None:
    with answering(status, text) as url, pytest.raises(TemporaryError):
        drift.run(subject(tmp_path, url), lambda percent, phase: None)
