"""What MLmodel makes MLflow load."""

from __future__ import annotations

from typing import Any

import pytest

from lifecycle.checks import mlmodel

NAMES = ("MLmodel", "model.skops", "model.pkl", "code/mine/loader.py", "artifacts/a.json")


def complaints(settings: Any) -> list[str]:
    return mlmodel.complaints({"flavors": {"python_function": settings}}, names=NAMES, trusted=("a.Trusted",))


@pytest.mark.parametrize(
    "settings",
    [
        {"loader_module": "mlflow.sklearn", "model_path": "model.skops", "env": {"conda": "conda.yaml"}},
        # Where it was trained does not matter: of these two, MLflow uses the last part, or nothing.
        {"loader_module": "mlflow.pyfunc.loaders.code_model", "model_code_path": "/home/somebody/model.py"},
        {"artifacts": {"a": {"path": "artifacts/a.json", "uri": "/tmp/a.json"}}},
        {"loader_module": "mine.loader", "code": "code"},
        {"pickled_model": "model.pkl", "code": None},
        {"skops_trusted_types": ["a.Trusted"]},
    ],
)
def test_what_stays_inside_is_fine(settings: dict[str, Any]) -> None:
    assert complaints(settings) == []


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"code": "../elsewhere"}, "take code from '../elsewhere', outside"),
        ({"data": "/etc"}, "take data from '/etc', outside"),
        ({"artifacts": {"a": {"path": "../../x", "uri": "a"}}}, "take artifacts from '../../x', outside"),
        ({"env": {"conda": "/etc/x.yaml"}}, "take env from '/etc/x.yaml', outside"),
        ({"loader_module": "os"}, "loaded by os, which is neither MLflow's nor in its files"),
        ({"loader_module": "mlflowx.loader"}, "loaded by mlflowx.loader"),
        ({"loader_module": "other.loader", "code": "code"}, "loaded by other.loader"),
        ({"pickled_model": "other.pkl"}, "load other.pkl, a pickle that is not among its files"),
        ({"skops_trusted_types": ["os.system"]}, "trust the type os.system, which the policy does not"),
        ("text", "without settings"),
    ],
)
def test_what_leads_elsewhere_is_named(settings: Any, why: str) -> None:
    assert why in complaints(settings)[0]


@pytest.mark.parametrize("loaded", [None, [], {"flavors": None}, {"a": 1}])
def test_without_flavors_nobody_knows_what_is_loaded(loaded: Any) -> None:
    assert "names no flavors" in mlmodel.complaints(loaded, names=NAMES, trusted=())[0]
