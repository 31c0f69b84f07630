"""What becomes of what the scanners say, and of what they do not say."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from lifecycle.adapters import scanners
from lifecycle.adapters.scanners import Inspection, Scan
from lifecycle.artifacts import digest_of
from lifecycle.checks import artifact_scan
from lifecycle.checks.base import CheckCancelledError, Result, Subject
from lifecycle.domain.policy import Checks, Policy
from lifecycle.ports import VersionRef
from tests.support import artifacts

POLICY = Policy()
WITH_PICKLES = Policy(checks=replace(Checks(), formats=(*Checks().formats, "pkl", "pt")))
FILES = {"MLmodel": b"flavors: {}\n", "a.txt": b"a", "sub/b.py": b"b = 1\n"}
CLEAN = Scan("0.8.8")


def subject(directory: Path, policy: Policy = POLICY) -> Subject:
    return Subject(VersionRef("iris", 1), "iris", policy, None, directory)


@pytest.fixture
def scanned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Scan files while the two scanners say what the test wants them to say."""

    def scan(
        files: Mapping[str, bytes],
        *,
        found: Mapping[str, str] = MappingProxyType({}),
        broken: str = "",
        known: Scan | None = CLEAN,
        policy: Policy = POLICY,
    ) -> Result:
        def inspect(order: Mapping[str, Any], tick: scanners.Tick) -> Inspection:
            tick(0)
            said = {path: found.get(path, "") for path, _ in order["files"]}
            return Inspection({path: why for path, why in said.items() if why != "silence"}, broken)

        monkeypatch.setattr(scanners, "inspect", inspect)
        monkeypatch.setattr(scanners, "modelscan", lambda directory, tick: known)
        return artifact_scan.run(subject(artifacts.write(tmp_path, files), policy), lambda percent, phase: None)

    return scan


def why(result: Result, path: str) -> str:
    return next(row["why"] for row in result.measurements["files"] if row["path"] == path)


def test_nothing_found(scanned, tmp_path: Path) -> None:
    result = scanned(FILES)
    assert result.passed
    assert result.detail == "3 files, 19 bytes, nothing found."
    digest, manifest = digest_of(tmp_path)
    assert result.measurements["digest"] == digest
    assert result.measurements["manifest"] == manifest
    assert [(row["path"], row["verdict"]) for row in result.measurements["files"]] == [
        ("MLmodel", "passed"),
        ("a.txt", "passed"),
        ("sub/b.py", "code"),
    ]
    assert {each["name"] for each in result.measurements["scanners"]} == {"modelscan", "skops"}
    assert result.measurements["formats"] == list(POLICY.checks.formats)


def test_what_is_found_is_said_with_the_file_and_the_reason(scanned) -> None:
    result = scanned(FILES, found={"a.txt": "is a pickle"})
    assert not result.passed
    assert result.detail == "1 of 3 files can't be trusted: a.txt is a pickle."
    assert result.measurements["files"][0]["path"] == "a.txt"
    assert result.measurements["issues"] == [{"path": "a.txt", "why": "is a pickle"}]


def test_a_file_without_an_answer_is_failed(scanned) -> None:
    result = scanned(FILES, found={"a.txt": "silence"}, broken="it crashed")
    assert not result.passed
    assert why(result, "a.txt") == "was not looked into: it crashed"


def test_what_modelscan_knows_by_name_is_named(scanned) -> None:
    known = Scan("0.8.8", issues={"a.txt": ["posix.system"], "sub/b.py:inner": ["os.popen"]})
    result = scanned(FILES, known=known)
    assert why(result, "a.txt") == "would use posix.system, says modelscan"
    assert why(result, "sub/b.py") == "would use os.popen, says modelscan"


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (None, "which is not installed here"),
        (Scan("1", broken="it crashed"), "could not be looked into by modelscan: it crashed"),
        (Scan("1", scanned=frozenset({"m.pkl"}), errors={"m.pkl": ["unreadable"]}), "modelscan: unreadable"),
        (Scan("1", scanned=frozenset({"m.pkl"}), errors={"": ["no scanner"]}), "modelscan: no scanner"),
        (Scan("1", skipped=frozenset({"m.pkl"})), "was skipped by modelscan"),
        (Scan("1", scanned=frozenset({"m.pkl"}), skipped=frozenset({"m.pkl:inner"})), "was skipped by modelscan"),
        (Scan("1", scanned=frozenset({"m.pkl.txt"})), "was not looked into by modelscan"),
    ],
)
def test_a_pickle_is_fit_only_with_a_clean_word_of_modelscan(scanned, known: Scan | None, words: str) -> None:
    result = scanned({**FILES, "m.pkl": b""}, known=known, policy=WITH_PICKLES)
    assert not result.passed
    assert words in why(result, "m.pkl")


def test_a_pickle_that_both_find_harmless_is_fit(scanned) -> None:
    known = Scan("1", scanned=frozenset({"m.pkl", "w.pt:w/data.pkl"}), skipped=frozenset({"w.pt:w/data/0"}))
    assert scanned({**FILES, "m.pkl": b"", "w.pt": b""}, known=known, policy=WITH_PICKLES).passed


def test_a_scanner_that_cannot_finish_fails_the_whole(scanned) -> None:
    result = scanned(FILES, known=Scan("1", broken="it took longer than 300 seconds"))
    assert not result.passed
    assert result.detail == "modelscan could not look at it: it took longer than 300 seconds."


def test_without_files_or_mlmodel_nothing_is_known(scanned) -> None:
    assert scanned({}).detail == "It has no files."
    assert scanned({"a.txt": b""}).detail == "It has no MLmodel file, so nobody can tell what would be loaded."


def test_links_and_pipes_are_neither_followed_nor_read(scanned, tmp_path: Path) -> None:
    outside = tmp_path.parent / "outside"
    artifacts.write(outside, {"secret.txt": b"secret"})
    inside = tmp_path / "in"
    inside.mkdir()
    (inside / "link.txt").symlink_to(outside / "secret.txt")
    (tmp_path / "folder").symlink_to(outside)
    os.mkfifo(tmp_path / "pipe.txt")
    result = scanned(FILES)
    assert not result.passed
    assert why(result, "in/link.txt") == "is a link, and no file"
    assert why(result, "folder") == "is a link, and no file"
    assert why(result, "pipe.txt") == "is a device, a pipe or a socket, and no file"
    assert result.measurements["digest"] == ""
    assert not any("secret" in row["path"] for row in result.measurements["files"])


@pytest.mark.parametrize("name", ["a\nb.txt", "a\x1bb.txt", "a\\..\\b.txt", os.fsdecode(b"\xff.txt")])
def test_names_that_no_model_needs(scanned, name: str) -> None:
    result = scanned({**FILES, name: b""})
    assert not result.passed
    assert "has a name that no model needs" in result.detail
    assert result.detail.isprintable()


def test_thousands_of_files_are_counted_in_full_and_listed_in_part(scanned) -> None:
    files = {f"part/{number:04}.txt": b"x" for number in range(5000)}
    result = scanned({**FILES, **files}, found={"part/4999.txt": "is a pickle"})
    assert result.detail == "1 of 5,003 files can't be trusted: part/4999.txt is a pickle."
    assert result.measurements["total_files"] == 5003
    assert len(result.measurements["files"]) == len(result.measurements["manifest"]) == artifact_scan.LISTED
    assert result.measurements["files"][0]["path"] == "part/4999.txt"


def test_a_cancelled_check_stops_at_once(tmp_path: Path) -> None:
    def report(percent: int, phase: str) -> None:
        if percent >= artifact_scan.PERCENT_HASHED // 2:
            raise CheckCancelledError

    with pytest.raises(CheckCancelledError):
        artifact_scan.run(subject(artifacts.write(tmp_path, FILES)), report)
