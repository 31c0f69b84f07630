"""Locks that bind processes and threads, and end with their holder."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from lifecycle.adapters.files import file_errors, locked, write_atomically
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
