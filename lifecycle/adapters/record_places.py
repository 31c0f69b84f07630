"""Where signed checkpoints go, so that they are outside of the database they speak of."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import obstore
from django.conf import settings
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import ObjectStore, from_url

from lifecycle.adapters import http
from lifecycle.adapters.files import file_errors, sync_directory
from lifecycle.ports import CheckpointPlace, PermanentError, TemporaryError

SECONDS = 10.0
"""How long one exchange with an object store or a webhook may take."""


def from_settings() -> tuple[CheckpointPlace, ...]:
    """Every place that the settings name."""
    places: list[CheckpointPlace] = []
    if settings.CHECKPOINT_FOLDER is not None:
        places.append(Folder(settings.CHECKPOINT_FOLDER))
    if settings.CHECKPOINT_STORE:
        places.append(Store(settings.CHECKPOINT_STORE, settings.CHECKPOINT_STORE_OPTIONS))
    if settings.CHECKPOINT_WEBHOOK:
        places.append(Webhook(settings.CHECKPOINT_WEBHOOK, settings.CHECKPOINT_WEBHOOK_TOKEN))
    return tuple(places)


def _need_same(place: str, file: str, content: bytes, kept: bytes) -> None:
    if kept != content:
        raise PermanentError(f"{place} has another {file} already, which is left as it is")


# ---------------------------------------------------------------- folder


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder, best one that this machine can add to but not change, or that is copied elsewhere."""

    path: Path
    keeps_files: bool = True

    @property
    def name(self) -> str:
        return "folder"

    def keep(self, file: str, content: bytes) -> None:
        with file_errors("the checkpoints' folder can't be written"):
            self.path.mkdir(parents=True, exist_ok=True)
            target = self.path / file
            if not target.exists():
                self._add(target, content)
            _need_same("the folder", file, content, target.read_bytes())

    def _add(self, target: Path, content: bytes) -> None:
        """A whole file or none, also after a crash; one that has come into being meanwhile is not replaced."""
        handle, temporary = tempfile.mkstemp(dir=self.path, prefix=f".{target.name}-")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            with suppress(FileExistsError):
                os.link(temporary, target)
        finally:
            os.unlink(temporary)
        sync_directory(self.path)


# ---------------------------------------------------------------- object store


@dataclass(frozen=True, slots=True)
class Store:
    """A bucket of S3, Google Cloud Storage or Azure, best one whose objects are locked against change.

    ``url`` such as s3://bucket/prefix; ``options`` are those that obstore has for it, such as endpoint and region.
    """

    url: str
    options: Mapping[str, str]
    keeps_files: bool = True

    @property
    def name(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def keep(self, file: str, content: bytes) -> None:
        store = self._opened()
        try:
            try:
                obstore.put(store, file, content, mode="create", use_multipart=False)
            except AlreadyExistsError:
                _need_same("the object store", file, content, bytes(obstore.get(store, file).bytes()))
        except (PermissionDeniedError, UnauthenticatedError, FileNotFoundError) as error:
            raise PermanentError(f"the object store refuses the checkpoint: {_first_line(error)}") from error
        except (BaseError, OSError, ValueError) as error:
            raise TemporaryError(f"the object store can't be written: {_first_line(error)}") from error

    def _opened(self) -> ObjectStore:
        config: Any = dict(self.options)
        client: Any = {
            "timeout": timedelta(seconds=SECONDS),
            "connect_timeout": timedelta(seconds=SECONDS / 2),
            "allow_http": self.options.get("endpoint", "").startswith("http://"),
        }
        retry: Any = {"max_retries": 1, "retry_timeout": timedelta(seconds=SECONDS)}
        try:
            return from_url(self.url, config=config, client_options=client, retry_config=retry)
        except (BaseError, ValueError) as error:
            raise PermanentError(f"STAGEGATE_CHECKPOINT_STORE can't be used: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    """What obstore says to people; it is followed by the error as its library prints it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


# ---------------------------------------------------------------- webhook


@dataclass(frozen=True, slots=True)
class Webhook:
    """Somebody's address that gets each checkpoint by POST. The checkpoint's own signature says whose it is."""

    url: str
    token: str = ""
    keeps_files: bool = False

    @property
    def name(self) -> str:
        return "webhook"

    def keep(self, file: str, content: bytes) -> None:
        headers = {"Content-Type": "application/json", "X-Stagegate-File": file}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            answer = http.post(self.url, content, headers=headers, timeout=SECONDS, outside=True)
        except TemporaryError as error:
            # The address may hold a secret, as those of chat services do; what went wrong may be shown.
            raise TemporaryError("the webhook does not answer") from error
        if answer.status in (408, 425, 429) or answer.status >= 500:
            raise TemporaryError(f"the webhook answers with status {answer.status}")
        if not 200 <= answer.status < 300:
            raise PermanentError(f"the webhook refuses the checkpoint with status {answer.status}")
