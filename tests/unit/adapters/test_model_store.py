"""Copies of model files: complete or absent, and nothing in them but files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lifecycle.adapters.files import manifest_of
from lifecycle.adapters.model_store import ModelStore
from lifecycle.domain.digests import manifest_digest
from lifecycle.ports import PermanentError, TemporaryError, VersionRef

REF = VersionRef("iris", 3)


def good(ref: VersionRef, directory: Path) -> None:
    (directory / "MLmodel").write_text(f"{ref}")
    (directory / "data").mkdir()
    (directory / "data" / "weights.bin").write_bytes(b"\x00\x01")


def test_files_are_fetched_once(tmp_path: Path) -> None:
    fetched: list[VersionRef] = []

    def fetch(ref: VersionRef, directory: Path) -> None:
        fetched.append(ref)
        assert list(directory.iterdir()) == []
        good(ref, directory)

    store = ModelStore(tmp_path / "models", fetch)
    for _ in range(2):
        directory = store.ensure(REF, slug="iris")
        assert directory == tmp_path / "models" / "iris" / "3"
        assert (directory / "data" / "weights.bin").read_bytes() == b"\x00\x01"
    assert fetched == [REF]
    assert [path.name for path in directory.parent.iterdir()] == ["3"]


def link_to_file(directory: Path) -> None:
    (directory / "MLmodel").symlink_to("/etc/passwd")


def link_to_directory(directory: Path) -> None:
    (directory / "MLmodel").write_text("x")
    (directory / "data").symlink_to("/etc")


def deep_link(directory: Path) -> None:
    (directory / "a" / "b").mkdir(parents=True)
    (directory / "a" / "b" / "link").symlink_to("../../../../other")


def pipe(directory: Path) -> None:
    os.mkfifo(directory / "MLmodel")


def nothing(directory: Path) -> None:
    (directory / "empty").mkdir()


def itself_a_link(directory: Path) -> None:
    directory.rmdir()
    directory.symlink_to("/etc")


@pytest.mark.parametrize("spoil", [link_to_file, link_to_directory, deep_link, pipe, nothing, itself_a_link])
def test_anything_but_plain_files_is_refused(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    store = ModelStore(tmp_path, lambda ref, directory: spoil(directory))
    with pytest.raises(PermanentError):
        store.ensure(REF, slug="iris")
    assert list((tmp_path / "iris").iterdir()) == []


def test_a_fetch_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    def fail(ref: VersionRef, directory: Path) -> None:
        good(ref, directory)
        raise TemporaryError("the registry is down")

    with pytest.raises(TemporaryError, match="the registry is down"):
        ModelStore(tmp_path, fail).ensure(REF, slug="iris")
    assert list((tmp_path / "iris").iterdir()) == []
    ModelStore(tmp_path, good).ensure(REF, slug="iris")


def test_what_a_killed_worker_left_is_cleared(tmp_path: Path) -> None:
    left = tmp_path / "iris" / ".3.partial"
    left.mkdir(parents=True)
    (left / "half").write_text("x")
    directory = ModelStore(tmp_path, good).ensure(REF, slug="iris")
    assert sorted(path.name for path in directory.iterdir()) == ["MLmodel", "data"]


def test_a_full_disk_is_temporary(tmp_path: Path) -> None:
    def full(ref: VersionRef, directory: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(TemporaryError, match="No space left"):
        ModelStore(tmp_path, full).ensure(REF, slug="iris")


def digest_of(directory: Path) -> str:
    return manifest_digest(manifest_of(directory))


def test_a_copy_that_is_what_was_scanned_is_kept(tmp_path: Path) -> None:
    store = ModelStore(tmp_path, good)
    digest = digest_of(store.ensure(REF, slug="iris"))
    assert store.ensure(REF, slug="iris", digest=digest) == tmp_path / "iris" / "3"


def test_a_copy_that_was_tampered_with_is_fetched_anew(tmp_path: Path) -> None:
    store = ModelStore(tmp_path, good)
    directory = store.ensure(REF, slug="iris")
    digest = digest_of(directory)
    (directory / "MLmodel").write_text("something else")
    store.ensure(REF, slug="iris", digest=digest)
    assert digest_of(directory) == digest


def test_other_files_than_those_that_were_scanned_are_refused_and_the_copy_stays(tmp_path: Path) -> None:
    store = ModelStore(tmp_path, good)
    before = digest_of(store.ensure(REF, slug="iris"))
    with pytest.raises(PermanentError, match="scan them again"):
        store.ensure(REF, slug="iris", digest="0" * 64)
    assert digest_of(tmp_path / "iris" / "3") == before
    assert [path.name for path in (tmp_path / "iris").iterdir()] == ["3"]


def test_what_is_forgotten_is_gone(tmp_path: Path) -> None:
    store = ModelStore(tmp_path, good)
    store.ensure(REF, slug="iris")
    for _ in range(2):
        store.forget(REF, slug="iris")
        assert list((tmp_path / "iris").iterdir()) == []


def test_what_a_cut_off_removal_left_is_cleared(tmp_path: Path) -> None:
    left = tmp_path / "iris" / ".3.leaving"
    left.mkdir(parents=True)
    (left / "half").write_text("x")
    ModelStore(tmp_path, good).forget(REF, slug="iris")
    assert list((tmp_path / "iris").iterdir()) == []
