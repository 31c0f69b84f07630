"""What a model's own files say: the settings in its MLmodel file, and the data that it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lifecycle.domain.drift import Distribution, NotComparableError, read_distribution
from lifecycle.ports import PermanentError

MLMODEL = "MLmodel"
MAX_BYTES = 8 * 2**20
REFERENCE = "stagegate_reference"
SHOWN_NAME = 200


def read_mlmodel(directory: Path) -> Mapping[str, Any]:
    """The MLmodel file of a model. Raises PermanentError when there is none, or it can't be read."""
    try:
        with (directory / MLMODEL).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        loaded = yaml.load(content, Loader=yaml.CSafeLoader) if len(content) <= MAX_BYTES else None
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise PermanentError(f"The model's {MLMODEL} file can't be read.") from error
    if not isinstance(loaded, Mapping):
        raise PermanentError(f"The model's {MLMODEL} file is too long, or holds no settings.")
    return loaded


def described_features(directory: Path) -> dict[str, Any]:
    """The features that a model was trained on, as it describes them, by name; empty when it does not.

    Raises PermanentError as ``read_mlmodel`` does.
    """
    metadata = read_mlmodel(directory).get("metadata")
    raw = metadata.get(REFERENCE) if isinstance(metadata, Mapping) else None
    features = raw.get("features") if isinstance(raw, Mapping) else None
    return {str(name): each for name, each in features.items()} if isinstance(features, Mapping) else {}


def training_reference(directory: Path) -> dict[str, Distribution]:
    """How those features are distributed. Raises PermanentError also for a description that is none."""
    return {name: _distribution(name, raw) for name, raw in described_features(directory).items()}


def _distribution(name: str, raw: object) -> Distribution:
    try:
        return read_distribution(raw)
    except NotComparableError as error:
        shown = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in name[:SHOWN_NAME])
        raise PermanentError(f"The training reference of the feature {shown} {error}.") from error
