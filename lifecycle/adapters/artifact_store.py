"""Lists or empties one place of an artifact store by MLflow's SDK. A program of its own, so that it can be stopped:

``python -P artifact_store.py list <address> <most>`` prints [[path, bytes], ...] as JSON;
``python -P artifact_store.py delete <address>`` deletes everything below the address.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

TOO_MANY = 3
"""The exit code when a place has more files than asked for."""


def listed(repository: ArtifactRepository, most: int) -> list[tuple[str, int]] | None:
    """Path and size in bytes of every file; None when there are more files and folders than ``most``."""
    folders: list[str | None] = [None]
    seen, found = 0, []
    while folders:
        for each in repository.list_artifacts(folders.pop()):
            seen += 1
            if each.is_dir:
                folders.append(each.path)
            else:
                found.append((each.path, int(each.file_size or 0)))
        if seen > most:
            return None
    return found


def main(arguments: Sequence[str]) -> int:
    command, address, *rest = arguments
    repository = get_artifact_repository(address)
    if command == "delete":
        repository.delete_artifacts()  # type: ignore[no-untyped-call]  # the SDK's own
        return 0
    found = listed(repository, int(rest[0]))
    if found is None:
        return TOO_MANY
    json.dump(found, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
