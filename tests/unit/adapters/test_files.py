"""Locks that bind processes and threads, and end with their holder."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lifecycle.adapters.files import file_errors, locked, manifest_of, write_atomically
from lifecycle.domain.digests import manifest_digest
from lifecycle.ports import PermanentError, TemporaryError

HOLD = """
import fcntl, sys
with open(sys.argv[1], "w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    print("held", flush=True)
    input()
"""


def test_a_held_lock_is_waited_for_but_not_for_ever(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    began = time.monotonic()
    with (
        locked(path, seconds=1, what="this"),
        pytest.raises(TemporaryError, match="another worker is busy with this"),
        locked(path, seconds=0.1, what="this"),
    ):
        pytest.fail("two holders of one lock")
    assert 0.1 <= time.monotonic() - began < 1
    with locked(path, seconds=0, what="this"):
        pass


def test_a_lock_ends_with_the_process_that_held_it(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(TemporaryError), locked(path, seconds=0, what="this"):
            pytest.fail("two holders of one lock")
    finally:
        holder.kill()
        holder.communicate()
    with locked(path, seconds=5, what="this"):
        pass


def test_an_error_inside_frees_the_lock(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with pytest.raises(ValueError, match="inside"), locked(path, seconds=0, what="this"):
        raise ValueError("inside")
    with locked(path, seconds=0, what="this"):
        pass


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (PermissionError(13, "Permission denied"), PermanentError),
        (FileNotFoundError(2, "No such file"), PermanentError),
        (OSError(28, "No space left on device"), TemporaryError),
        (OSError(5, "Input/output error"), TemporaryError),
    ],
)
def test_errors_are_translated(error: OSError, expected: type[Exception]) -> None:
    with pytest.raises(expected, match=f"^the file: {error.strerror}$") as caught, file_errors("the file"):
        raise error
    assert caught.value.__cause__ is error


def test_writing_replaces_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "a.conf"
    for text in ("first", "", "Ä\n"):
        write_atomically(path, text)
        assert path.read_text(encoding="utf-8") == text
    assert [each.name for each in tmp_path.iterdir()] == ["a.conf"]


def test_a_manifest_is_what_sha256sum_prints(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.txt").write_bytes(b"b" * 3_000_000)
    (tmp_path / "sub" / "a.txt").write_bytes(b"")
    printed = subprocess.run(["sha256sum", "b.txt", "sub/a.txt"], cwd=tmp_path, capture_output=True, check=True).stdout
    digest = subprocess.run(["sha256sum"], input=printed, capture_output=True, check=True).stdout.decode().split()[0]
    assert manifest_digest(manifest_of(tmp_path)) == digest


@pytest.mark.parametrize("name", ["a\nb", "a\x1bb", os.fsdecode(b"\xff")])
def test_a_name_that_would_forge_a_line_of_a_manifest_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(PermanentError, match="can't be written down"):
        manifest_of(tmp_path)


def test_links_and_pipes_are_refused_and_never_read(tmp_path: Path) -> None:
    for number, make in enumerate(
        (lambda path: path.symlink_to("/etc/passwd"), lambda path: path.symlink_to("/etc"), os.mkfifo)
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        make(folder / "name")
        with pytest.raises(PermanentError, match="link or a device"):
            manifest_of(folder)
    (tmp_path / "link").symlink_to(tmp_path / "0")
    with pytest.raises(PermanentError, match="is a link"):
        manifest_of(tmp_path / "link")
