"""Copies of model files on this machine, one directory a version."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from lifecycle.adapters.files import file_errors, manifest_of, sync_directory
from lifecycle.domain.digests import manifest_digest
from lifecycle.ports import PermanentError, VersionRef

Fetch = Callable[[VersionRef, Path], None]


class ModelStore:
    """Keeps ``<root>/<slug>/<version>/``. ``fetch`` copies a version's files into an empty directory.

    A directory of that name is complete: files are fetched beside it, checked, brought to the disk and only then
    given the name. The caller holds a lock for the version.
    """

    def __init__(self, root: Path, fetch: Fetch) -> None:
        self._root = root
        self._fetch = fetch

    def ensure(self, ref: VersionRef, *, slug: str, digest: str = "") -> Path:
        """The version's directory, fetched first if it is not there, or if its files are not those of ``digest``.

        Raises PermanentError when what was fetched is empty, has links or anything else but plain files, or is not
        what ``digest`` says; a copy that was here before then stays as it was.
        """
        directory = self._root / slug / str(ref.version)
        if directory.is_dir() and (not digest or _digest(directory) == digest):
            return directory
        partial = directory.with_name(f".{ref.version}.partial")
        with file_errors(f"the files of {ref} can't be kept"):
            _clear(partial)
            partial.mkdir(parents=True)
            try:
                self._fetch(ref, partial)
                _settle(ref, partial)
                _check_digest(ref, partial, digest)
                _clear(directory)
                partial.rename(directory)
            finally:
                _clear(partial)
            sync_directory(directory.parent)
        return directory

    def forget(self, ref: VersionRef, *, slug: str) -> None:
        """Remove the version's directory, if there is one. It loses its name first: half a copy is never found."""
        directory = self._root / slug / str(ref.version)
        leaving = directory.with_name(f".{ref.version}.leaving")
        with file_errors(f"the files of {ref} can't be removed"):
            _clear(leaving)
            if directory.is_dir():
                directory.rename(leaving)
                _clear(leaving)


def _digest(directory: Path) -> str:
    return manifest_digest(manifest_of(directory))


def _check_digest(ref: VersionRef, directory: Path, digest: str) -> None:
    if digest and _digest(directory) != digest:
        raise PermanentError(
            f"the files that the registry gives for {ref} are not those that were scanned; scan them again"
        )


def _clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _settle(ref: VersionRef, top: Path) -> None:
    """Check every name below ``top``, and bring every file to the disk.

    A link could lead the model server, or whoever reads the copy later, to files outside of it.
    """
    if top.is_symlink():
        raise PermanentError(f"the files of {ref} are a link")
    count = 0
    for folder, folders, names in os.walk(top, onerror=_stop):
        for name in (*folders, *names):
            _check(ref, Path(folder, name))
        for name in names:
            _sync_file(Path(folder, name))
            count += 1
        sync_directory(Path(folder))
    if count == 0:
        raise PermanentError(f"{ref} has no model files")


def _check(ref: VersionRef, path: Path) -> None:
    mode = path.lstat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise PermanentError(f"the files of {ref} contain a link or a device: {path.name!r}")


def _stop(error: OSError) -> None:
    raise error


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
