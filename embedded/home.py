"""The folder that holds everything an installation keeps, and its secrets."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

MARKER = "stagegate-home"
UNWRITABLE = ("%", '"', "\n", " ;", " #")
FOLDERS = ("cache", "gateway/routes", "log", "mlflow/artifacts", "models", "run", "secrets", "servers", "valkey")


class HomeError(Exception):
    """The folder cannot be used as it is. The text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """Texts that the services share; generated once and kept."""

    django_key: str
    supervisor_password: str
    valkey_password: str
    webhook_encryption_key: str
    webhook_secret: str


def _fernet_key() -> str:
    """What MLflow's webhook encryption wants: 32 bytes in URL-safe base64."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode("ascii")


GENERATORS: dict[str, Callable[[], str]] = {
    "django_key": lambda: secrets.token_urlsafe(50),
    "supervisor_password": lambda: secrets.token_urlsafe(24),
    "valkey_password": lambda: secrets.token_urlsafe(24),
    "webhook_encryption_key": _fernet_key,
    "webhook_secret": lambda: secrets.token_urlsafe(32),
}


@dataclass(frozen=True, slots=True)
class Home:
    """Paths below the data folder. Only its owner can read it."""

    path: Path

    @classmethod
    def at(cls, path: Path) -> Home:
        return cls(path.expanduser().resolve())

    def create(self) -> None:
        """Make the folder and what it holds; raise HomeError for a folder that holds something else."""
        if any(bad in str(self.path) for bad in UNWRITABLE):
            raise HomeError(
                f"{self.path} has a %, a double quote, ' ;' or ' #' in it, which supervisord cannot be given."
            )
        if self.path.exists() and not self.is_ours() and any(self.path.iterdir()):
            raise HomeError(
                f"{self.path} holds files that Stagegate did not make. Set STAGEGATE_HOME to an empty folder."
            )
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.path / MARKER).touch()
        for name in FOLDERS:
            (self.path / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.path / "secrets").chmod(0o700)

    def is_ours(self) -> bool:
        return (self.path / MARKER).is_file()

    def remove(self) -> None:
        """Delete the folder; refuses one that Stagegate did not make."""
        if self.path.exists() and not self.is_ours():
            raise HomeError(f"{self.path} was not made by Stagegate; it is left as it is.")
        shutil.rmtree(self.path, ignore_errors=False) if self.path.exists() else None

    def secrets(self) -> Secrets:
        """Read the secrets, generating those that do not exist yet. Files have mode 0600."""
        return Secrets(**{name: self._secret(name, generate) for name, generate in GENERATORS.items()})

    def _secret(self, name: str, generate: Callable[[], str]) -> str:
        file = self.path / "secrets" / name
        if not file.exists():
            write_private(file, generate())
        return file.read_text(encoding="ascii").strip()

    def make_checkpoint_key(self) -> None:
        """The private key that signs checkpoints of the record, made once. It is a file and nobody's environment."""
        file = self.path / "secrets" / "checkpoint_key.pem"
        if not file.exists():
            pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            write_private(file, pem.decode("ascii"))

    def demo_people(self) -> list[dict[str, str]]:
        """People of the demonstration as ``seed_demo`` wrote them: username, name, role, password."""
        file = self.path / "secrets" / "demo_people.json"
        people: list[dict[str, str]] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
        return people

    def log(self, program: str) -> Path:
        return self.path / "log" / f"{program}.log"

    @property
    def config(self) -> Path:
        return self.path / "supervisord.conf"

    @property
    def lock(self) -> Path:
        return self.path / "run" / "up.lock"

    def running_pid(self) -> int | None:
        """The process that holds the lock, or None when nothing does."""
        if not self.lock.exists():
            return None
        with self.lock.open("r+") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(handle.read().strip() or 0)
        return None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder and hold it for this process: two installations in one folder would write over each other.

        The kernel lets go of the lock when the process ends, however it ends.
        """
        self.create()
        with self.lock.open("a+") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise HomeError(
                    f"Stagegate already runs from {self.path} (process {self.running_pid()}). "
                    "Stop it with Ctrl-C where it runs, or with: make stop"
                ) from None
            handle.truncate(0)
            handle.write(str(os.getpid()))
            handle.flush()
            yield


def write_private(file: Path, text: str) -> None:
    """Write a whole file that only its owner can read: readers see the old text or the new one, never half."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
    os.replace(name, file)
