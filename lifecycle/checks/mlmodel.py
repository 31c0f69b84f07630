"""What the file MLmodel tells MLflow to load, and from where."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from lifecycle.checks.names import climbs

_PICKLES = (".pkl", ".pickle", ".joblib", ".dill")
_PATHS = (
    "code",
    "data",
    "model_path",
    "pickled_model",
    "python_model",
    "model_data",
    "env",
    "artifacts",
    "model_config",
)
"""The settings of a flavor that name files. ``model_code_path`` is not among them: MLflow uses only its last part."""


def complaints(loaded: Any, *, names: Collection[str], trusted: Collection[str]) -> list[str]:
    """What its flavors would load that they should not, in words that follow the file's name.

    ``names`` are the paths of all files of the model, ``trusted`` the types that the policy trusts in skops files.
    """
    flavors = loaded.get("flavors") if isinstance(loaded, Mapping) else None
    if not isinstance(flavors, Mapping):
        return ["names no flavors, so nobody can tell what would be loaded"]
    found: list[str] = []
    for flavor, settings in flavors.items():
        if not isinstance(settings, Mapping):
            found.append(f"has a flavor {str(flavor)[:100]} without settings")
            continue
        found += _of_flavor(str(flavor)[:100], settings, names, trusted)
    return found


def _of_flavor(
    flavor: str, settings: Mapping[str, Any], names: Collection[str], trusted: Collection[str]
) -> Iterator[str]:
    for key in _PATHS:
        for path in _paths(settings.get(key)):
            if climbs(path):
                yield f"lets its flavor {flavor} take {key} from {path[:200]!r}, outside of the model's directory"
    for key in ("pickled_model", "python_model", "model_path", "data"):
        data = settings.get(key)
        if isinstance(data, str) and data.lower().endswith(_PICKLES):
            yield from _pickle(flavor, data, names)
    yield from _loader(flavor, settings, names)
    types = settings.get("skops_trusted_types")
    for name in types if isinstance(types, list) else []:
        if name not in trusted:
            yield f"makes MLflow trust the type {str(name)[:200]}, which the policy does not"


def _paths(value: Any) -> Iterator[str]:
    """Every path in a setting: a text, or the texts of a mapping; of a saved artifact, only the path counts."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if name != "uri":
                yield from _paths(inner)


def _pickle(flavor: str, path: str, names: Collection[str]) -> Iterator[str]:
    if path not in names:
        yield f"lets its flavor {flavor} load {path[:200]}, a pickle that is not among its files"


def _loader(flavor: str, settings: Mapping[str, Any], names: Collection[str]) -> Iterator[str]:
    """A loader is a module that MLflow imports and calls: one of its own, or one that came with the model."""
    module = settings.get("loader_module")
    if module is None or str(module).partition(".")[0] == "mlflow":
        return
    code = settings.get("code")
    folder = PurePosixPath(code if isinstance(code, str) else "")
    file = folder.joinpath(*str(module).split("."))
    if not {f"{file}.py", f"{file}/__init__.py"} & set(names):
        yield f"lets its flavor {flavor} be loaded by {str(module)[:200]}, which is neither MLflow's nor in its files"
