"""The artifact scan with its real scanners, on files that would leave a proof behind if anything ever ran them."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skops.io

from lifecycle.adapters import scanners
from lifecycle.checks import artifact_scan
from lifecycle.checks.base import CheckCancelledError, Result, Subject
from lifecycle.domain.policy import Checks, Policy
from lifecycle.ports import VersionRef
from tests.support import artifacts

POLICY = Policy()
WITH_PICKLES = Policy(checks=replace(Checks(), formats=(*Checks().formats, "pkl", "pt")))


def scan(directory: Path, policy: Policy = POLICY) -> Result:
    subject = Subject(VersionRef("iris", 1), "iris", policy, None, directory)
    return artifact_scan.run(subject, lambda percent, phase: None)


def reasons(result: Result) -> Mapping[str, str]:
    return {row["path"]: row["why"] for row in result.measurements["files"]}


def test_a_model_that_anybody_may_load(tmp_path: Path) -> None:
    phases: list[tuple[int, str]] = []
    directory = artifacts.write(tmp_path, artifacts.model_files())
    subject = Subject(VersionRef("iris", 1), "iris", POLICY, None, directory)
    result = artifact_scan.run(subject, lambda percent, phase: phases.append((percent, phase)))
    assert result.passed, result.detail
    assert result.detail.startswith("5 files, ")
    assert result.measurements["scanners"] == [
        {"name": "modelscan", "version": "0.8.8"},
        {"name": "skops", "version": scanners.version_of("skops")},
    ]
    assert [percent for percent, _ in phases] == sorted(percent for percent, _ in phases)
    json.dumps(result.measurements)


def test_harmful_files_fail_whatever_they_are_called_and_nothing_runs(tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    shell, missed = artifacts.shell_pickle(proof), artifacts.missed_pickle(proof)
    bad = {
        "payload": shell,
        "model.pkl": missed,
        "values.json": missed,
        "notes.txt": artifacts.shell_pickle(proof, 0),
        "weights.safetensors": shell,
        "plot.png": missed,
        "code.py": artifacts.zipped({"data.pkl": shell}),
        "hidden.skops": artifacts.with_member(skops.io.dumps([1]), "data.pkl", missed),
        "torch.pt": artifacts.zipped({"archive/data.pkl": shell}),
    }
    directory = artifacts.write(tmp_path / "model", {**artifacts.model_files(), **bad})
    result = scan(directory)
    found = reasons(result)
    assert not result.passed
    assert {path for path, why in found.items() if why} == set(bad)
    assert "the policy allows no such file" in found["payload"]
    assert "is a pickle, which runs code when it is loaded" in found["values.json"]
    assert "says modelscan" in found["torch.pt"]
    assert not proof.exists()
    # The payloads are real: the same bytes, loaded, do leave the proof.
    pickle.loads(missed)
    assert proof.exists()


def test_an_allowed_pickle_is_judged_by_its_instructions_as_well(tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    pickles = {
        "good.pkl": pickle.dumps({"a": np.arange(3.0), "model": artifacts.forest()}),
        "shell.pkl": artifacts.shell_pickle(proof),
        "missed.pkl": artifacts.missed_pickle(proof),
        "renamed.pkl": b'{"a": 1}',
    }
    directory = artifacts.write(tmp_path / "model", {**artifacts.model_files(), **pickles})
    found = reasons(scan(directory, WITH_PICKLES))
    assert found["good.pkl"] == ""
    assert "names posix.system" in found["shell.pkl"]
    assert "would use posix.system, says modelscan" in found["shell.pkl"]
    assert "names pathlib.Path.touch" in found["missed.pkl"]
    assert "modelscan" not in found["missed.pkl"]
    assert "not a pickle that can be read" in found["renamed.pkl"]
    assert not proof.exists()


def test_a_file_made_to_exhaust_its_reader_exhausts_only_that_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A description that takes the same array, 64 MB, fifty times, each time anew."""
    monkeypatch.setattr(scanners, "MEMORY_BYTES", 2**30)
    node = {
        "__class__": "ndarray",
        "__module__": "numpy",
        "__loader__": "NdArrayNode",
        "type": "numpy",
        "file": "1.npy",
    }
    schema = {
        "protocol": 2,
        "__class__": "list",
        "__module__": "builtins",
        "__loader__": "ListNode",
        "content": [node] * 50,
    }
    np.save(tmp_path / "array.npy", np.zeros(8 * 2**20))
    members = {"schema.json": json.dumps(schema).encode(), "1.npy": (tmp_path / "array.npy").read_bytes()}
    files = {**artifacts.model_files(), "greedy.skops": artifacts.zipped(members)}
    found = reasons(scan(artifacts.write(tmp_path / "model", files)))
    assert found["greedy.skops"] == "is nested too deeply, or too large, to be checked"
    assert found["model.skops"] == ""


def test_a_scanner_is_stopped_when_its_time_is_up_or_the_check_is_cancelled(tmp_path: Path) -> None:
    order = {"directory": str(tmp_path), "files": [["a.txt", "txt"]], "names": [], "trusted": []}
    late = scanners.inspect(order, lambda done: None, seconds=0)
    assert late.found == {}
    assert late.broken == "it took longer than 0 seconds"

    def cancel(done: int) -> None:
        raise CheckCancelledError

    with pytest.raises(CheckCancelledError):
        scanners.inspect(order, cancel)
