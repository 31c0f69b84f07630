"""What a model's own files say of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.domain.drift import Distribution
from lifecycle.model_files import read_mlmodel, training_reference
from lifecycle.ports import PermanentError


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "can't be read"),
        ("- a\n- b\n", "holds no settings"),
        ("a: !!python/object/apply:os.system ['true']\n", "can't be read"),
    ],
)
def test_reading_a_file_that_is_none(tmp_path: Path, text: str | None, why: str) -> None:
    if text is not None:
        (tmp_path / "MLmodel").write_text(text)
    with pytest.raises(PermanentError, match=why):
        read_mlmodel(tmp_path)


@pytest.mark.parametrize(
    ("metadata", "reference"),
    [
        ("{}", {}),
        ("{stagegate_reference: x}", {}),
        ("{stagegate_reference: {features: {}}}", {}),
        (
            "{stagegate_reference: {features: {width: {edges: [1.0], counts: [2, 3]}}}}",
            {"width": Distribution((2.0, 3.0), edges=(1.0,))},
        ),
    ],
)
def test_the_training_reference_is_what_the_model_says(tmp_path: Path, metadata: str, reference: object) -> None:
    (tmp_path / "MLmodel").write_text(f"metadata: {metadata}\n")
    assert training_reference(tmp_path) == reference


def test_a_reference_that_is_none_names_the_feature(tmp_path: Path) -> None:
    text = 'metadata: {stagegate_reference: {features: {"a\\0b": {edges: [2, 1], counts: [1, 1, 1]}}}}\n'
    (tmp_path / "MLmodel").write_text(text)
    with pytest.raises(PermanentError, match="the feature a\N{REPLACEMENT CHARACTER}b has edges"):
        training_reference(tmp_path)
