"""Files that another program reads while we write them."""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lifecycle.ports import PermanentError, TemporaryError

_LOOK_AGAIN_SECONDS = 0.02


@contextmanager
def file_errors(what: str) -> Iterator[None]:
    """Turn the operating system's errors into those of the ports; ``what`` begins the message."""
    try:
        yield
    except (PermissionError, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise PermanentError(f"{what}: {error.strerror}") from error
    except OSError as error:
        raise TemporaryError(f"{what}: {error.strerror or error}") from error


def write_atomically(path: Path, text: str) -> None:
    """Replace ``path`` by a file with this text. Whoever reads sees the old text or the new one, also after a crash.

    The caller holds a lock for ``path``. The temporary file is in the same directory, so that the rename stays on
    one file system; its name begins with a dot and ends in .tmp, which neither Traefik nor supervisord read.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path, *, seconds: float, what: str) -> Iterator[None]:
    """Hold the lock file ``path``, against other processes and other threads of this one.

    Waits up to ``seconds`` for it, then raises TemporaryError. The kernel frees the lock when its holder dies. The
    file stays: removing it would let two holders lock two files of one name.
    """
    with file_errors(f"the lock for {what} can't be opened"):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor, time.monotonic() + seconds, what)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, deadline: float, what: str) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise TemporaryError(f"another worker is busy with {what}") from None
            time.sleep(_LOOK_AGAIN_SECONDS)
        else:
            return


def manifest_of(directory: Path) -> dict[str, str]:
    """The hexadecimal SHA-256 of every file below a directory, by its path there, with "/". Reads block by block.

    Raises PermanentError when the directory holds a link or anything else that is neither file nor directory, or a
    name that has no place in a manifest: one that is not UTF-8, or has control characters, such as a line break.
    """
    with file_errors("the files can't be read"):
        return {path: sha256_of(directory / path) for path in plain_files(directory)}


def plain_files(directory: Path) -> Iterator[str]:
    """The paths of all files below a directory, with "/", in no certain order. Raises as ``manifest_of`` does."""
    if not stat.S_ISDIR(directory.lstat().st_mode):
        raise PermanentError(f"{directory.name!r} is a link, or no directory")
    for folder, folders, names in os.walk(directory, onerror=_stop):
        for name in (*folders, *names):
            _need_plain(Path(folder, name))
        yield from (Path(folder, name).relative_to(directory).as_posix() for name in names)


def is_writable_name(name: str) -> bool:
    """Whether a name can stand in a manifest: it is UTF-8 and has no control characters."""
    return name.isprintable() or not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name)


def _need_plain(path: Path) -> None:
    mode = path.lstat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise PermanentError(f"the files contain a link or a device: {path.name!r}")
    if not is_writable_name(path.name):
        raise PermanentError(f"the files contain a name that can't be written down: {path.name!r}")


def sha256_of(path: Path) -> str:
    """The hexadecimal SHA-256 of a file, read block by block. Raises OSError, also for a link."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stop(error: OSError) -> None:
    raise error
