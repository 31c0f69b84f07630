"""Pickles are read, never loaded; they may name what stores numbers, tables and estimators, and nothing else."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lifecycle.checks.formats import Rules, look
from lifecycle.checks.pickles import CORE, looks_like_pickle, refusal
from tests.support import artifacts

TREE = Rules(trusted=frozenset({"sklearn.tree._tree.Tree"}))


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize(
    "value",
    [
        {"a": [1, "b", None, 2.5, {3}]},
        np.arange(6.0).reshape(2, 3),
        np.float64(1),
        np.random.RandomState(1),
        OrderedDict(a=1),
        datetime(2026, 1, 1, tzinfo=UTC),
        csr_matrix([[0, 1]]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_plain_values_are_fit(value: Any, protocol: int) -> None:
    assert refusal(io.BytesIO(pickle.dumps(value, protocol)), CORE) == ""


def test_estimators_and_tables_are_fit(tmp_path: Path) -> None:
    pipeline = make_pipeline(StandardScaler(), artifacts.forest())
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(pipeline))
    (tmp_path / "t.pickle").write_bytes(pickle.dumps(pd.DataFrame([[1.0, 2.0]])))
    assert look(tmp_path / "m.pkl", "pkl", TREE) == ""
    assert look(tmp_path / "t.pickle", "pickle", Rules()) == ""


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (artifacts.shell_pickle(Path("/nowhere/proof")), "names posix.system"),
        (artifacts.shell_pickle(Path("/nowhere/proof"), 0), "names posix.system"),
        (b"\x80\x04\x8c\x09importlib\x8c\x0dimport_module\x93\x8c\x02os\x85R.", "names importlib.import_module"),
        (b"cbuiltins\ngetattr\n.", "names builtins.getattr"),
        (b"\x80\x04\x8c\x05numpy\x8c\x09os.system\x93.", "names numpy.os.system"),
        (b"\x80\x02\x82\x01.", "a registered extension"),
        (b"(S'true'\nios\nsystem\n.", "names and calls at once"),
        (b"Pid\n.", "a reference to something outside"),
        # The name is on the stack, but under something else, or taken from a place that was written twice.
        (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x8c\x03set0\x93.", "puts the name of what it imports together"),
        (b"\x80\x04\x8c\x03set\x94\x8c\x04evalq\x000\x8c\x08builtinsh\x00\x93.", "names builtins.eval"),
        (b"\x80\x04\x8c\x08builtins(\x8c\x04evall\x93.", "puts the name of what it imports together"),
        (pickle.dumps(1) + b".", "more after the end"),
        (pickle.dumps([1])[:-1], "not a pickle that can be read to the end"),
        (b"\xff", "not a pickle that can be read to the end"),
    ],
)
def test_what_a_pickle_must_not_do(content: bytes, why: str) -> None:
    assert why in refusal(io.BytesIO(content), CORE)


def test_raw_numbers_between_the_instructions_cannot_be_checked(tmp_path: Path) -> None:
    joblib.dump(np.arange(3.0), tmp_path / "m.joblib")
    assert "is a pickle that" in look(tmp_path / "m.joblib", "joblib", TREE)


def test_weights_of_pytorch(tmp_path: Path) -> None:
    names = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(X\x07\x00\x00\x00storageQctorch\nFloatStorage\ntR."
    weights = {"archive/data.pkl": names, "archive/data/0": bytes(8), "archive/version": b"3\n"}
    files = {
        "good.pt": artifacts.zipped(weights),
        "evil.pt": artifacts.zipped({**weights, "archive/data.pkl": artifacts.shell_pickle(Path("/nowhere"), 2)}),
        "script.pt": artifacts.zipped({**weights, "archive/code/__torch__.py": b"import os"}),
        "old.pt": artifacts.shell_pickle(Path("/nowhere"), 2),
    }
    found = {name: look(artifacts.write(tmp_path, files) / name, "pt", Rules()) for name in files}
    assert found["good.pt"] == ""
    assert "names posix.system" in found["evil.pt"]
    assert "more than weights" in found["script.pt"]
    assert "a pickle" in found["old.pt"]


def test_only_a_whole_pickle_that_acts_looks_like_one() -> None:
    assert looks_like_pickle(b"cos\nsystem\n(S'true'\ntR.")
    assert not looks_like_pickle(b".")
    assert not looks_like_pickle(b"Nothing. At all.")
    assert not looks_like_pickle(b"a,b\n1,2\n")
