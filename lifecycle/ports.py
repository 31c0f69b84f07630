"""What the lifecycle needs of the world outside, as small protocols.

Every port has a real adapter in ``lifecycle.adapters`` and an in-memory twin for unit tests; both pass the
same contract tests. An adapter translates the errors of its library into the three classes below, so the
engine never has to know which library failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from lifecycle.domain.observations import Counts
from lifecycle.domain.policy import MetricQueries

Item = TypeVar("Item")


class PortError(Exception):
    """Something outside refused or failed. ``str(error)`` is fit to be shown to a person."""


class TemporaryError(PortError):
    """Trying again later can help: a time-out, a refused connection, a 429 or a 5xx."""


class PermanentError(PortError):
    """Trying again cannot help until somebody changes something."""


class NotFoundError(PermanentError):
    """The thing named does not exist (any more)."""


class FencedError(PermanentError):
    """A newer executor has already written; this one must stop without writing."""


@dataclass(frozen=True, slots=True, order=True)
class VersionRef:
    """One model version, as MLflow names it: a registered model and an integer version."""

    model: str
    version: int

    def __str__(self) -> str:
        return f"{self.model} version {self.version}"


# ---------------------------------------------------------------- registry


@dataclass(frozen=True, slots=True)
class RegistryModel:
    """A registered model as the registry has it. ``aliases`` maps alias to version."""

    name: str
    description: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    aliases: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RegistryVersion:
    """A model version as the registry has it. ``stage`` is MLflow's word: None, Staging, Production, Archived.

    Aliases are not here: MLflow lists them with the registered model.
    """

    ref: VersionRef
    stage: str
    description: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    source: str = ""
    run_id: str = ""
    status: str = "READY"
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VersionDetails:
    """What a version's run and model files say; it never changes once the run has finished.

    ``signature`` is MLflow's own dictionary of ``inputs``, ``outputs`` and ``params``, decoded from JSON, or
    None when the model has none.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    run_tags: Mapping[str, str] = field(default_factory=dict)
    run_name: str = ""
    experiment_id: str = ""
    signature: Mapping[str, Any] | None = None
    flavors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ArtifactFile:
    """A file of a model: its path below the model's directory, with ``/``, and its size in bytes."""

    path: str
    size: int


class Keeper(StrEnum):
    """Whose directory a file is in: that of the run that made a version, or that of the version's model."""

    RUN = "run"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class ArtifactEntry:
    """What is directly in a folder: its path below its keeper's directory, with ``/``, and the size of a file in
    bytes."""

    path: str
    size: int = 0
    is_folder: bool = False


@dataclass(frozen=True, slots=True)
class Dataset:
    """Data that a run was given. ``context`` is what for, such as "training", "" when nobody said."""

    name: str
    digest: str = ""
    source_type: str = ""
    context: str = ""


@dataclass(frozen=True, slots=True)
class RunOrigin:
    """Where a run comes from. ``parent_id`` is the run that it belongs to, "" for none."""

    parent_id: str = ""
    datasets: tuple[Dataset, ...] = ()


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of a listing. ``next_token`` is None on the last page."""

    items: tuple[Item, ...]
    next_token: str | None = None


class Registry(Protocol):
    """The model registry. Every call may raise TemporaryError, or NotFoundError for a missing name."""

    def models(self, *, limit: int, page_token: str | None = None) -> Page[RegistryModel]:
        """Registered models with tags and aliases, by name."""

    def versions(
        self, *, limit: int, page_token: str | None = None, newest_first: bool = False
    ) -> Page[RegistryVersion]:
        """Versions of all models: by name and version, or by last update, newest first."""

    def model(self, name: str) -> RegistryModel: ...

    def version(self, ref: VersionRef) -> RegistryVersion: ...

    def details(self, version: RegistryVersion) -> VersionDetails: ...

    def set_stage(self, ref: VersionRef, stage: str) -> None:
        """Put a version into a stage (MLflow's word), reading before and after; what is there is not written."""

    def set_alias(self, model: str, alias: str, version: int) -> None: ...

    def delete_alias(self, model: str, alias: str) -> None:
        """Remove an alias. Removing one that is not there does nothing."""

    def set_tags(self, ref: VersionRef, tags: Mapping[str, str]) -> None: ...

    def download(self, ref: VersionRef, destination: Path) -> None:
        """Copy the version's model files below ``destination``, which exists and is empty."""

    def files(self, source: str, run_id: str) -> tuple[ArtifactFile, ...]:
        """Names and sizes of all model files at a version's ``source``, by path; empty when there are none (any more).

        Works for a version that the registry has forgotten.
        """

    def location(self, ref: VersionRef) -> str:
        """The address of the version's files. For a copied version, whose source names another one, it is where the
        files of its original are, which may have been deleted since."""

    def folder(
        self, version: RegistryVersion, keeper: Keeper, path: str = "", *, seconds: float
    ) -> tuple[ArtifactEntry, ...]:
        """What is directly in a folder of the version's run, or of its model, by path; "" is the directory itself.

        Empty for what is not there. A model whose files are its run's has none of its own. ``seconds`` bounds the
        whole answer: somebody is waiting.
        """

    def content(self, version: RegistryVersion, keeper: Keeper, path: str, *, most: int, seconds: float) -> bytes:
        """A small file of the version's run, or of its model. Raises PermanentError for one of more than ``most``
        bytes, PortError for one that is not there."""

    def run_origin(self, run_id: str, *, seconds: float) -> RunOrigin:
        """Raises NotFoundError when there is no such run (any more)."""

    def delete_version(self, ref: VersionRef) -> None:
        """Remove the version from the registry; its files stay. Removing one that is not there does nothing."""

    def delete_files(self, source: str, run_id: str) -> None:
        """Delete the model files at a version's ``source``, and nothing else. What is not there is no error.

        Raises PermanentError when the store refuses, or when the source is not a place that holds one model's files.
        """


# ---------------------------------------------------------------- model servers


class Purpose(StrEnum):
    """What a server is for: those of CHECKS get no request of a user, so a check disturbs nobody."""

    USERS = "users"
    CHECKS = "checks"


class ServerState(StrEnum):
    ABSENT = "absent"
    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Server:
    """What is known of the servers of one version.

    ``url`` is the base address that the gateway sends requests to ("" when absent); ``in_flight`` is the number
    of requests being answered at this moment, None when it cannot be read; ``detail`` says in words why a server
    failed.
    """

    state: ServerState
    url: str = ""
    in_flight: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Scored:
    """What a model server answered to one request: the HTTP ``status``, and the body as text."""

    status: int
    text: str


class Serving(Protocol):
    """Keeps the servers of model versions running. A server loads its model at start and fails fast."""

    def ensure(self, ref: VersionRef, *, slug: str, digest: str = "", purpose: Purpose = Purpose.USERS) -> None:
        """Make sure that a server for this version exists; returns before it is ready.

        Idempotent. Fetches the model files first if they are not on this machine. A server that FAILED is
        started again. ``digest`` is the SHA-256 of the manifest of the files that were scanned: other files are
        never served; "" serves what the registry gives. Raises PermanentError when the files are not those.
        """

    def status(self, ref: VersionRef, *, slug: str, purpose: Purpose = Purpose.USERS) -> Server: ...

    def ask(self, ref: VersionRef, *, slug: str, body: bytes) -> Scored:
        """The answer of the version's server for users to one request of MLflow's scoring protocol, as JSON.

        It goes to the server itself, past the gateway. Raises TemporaryError when nothing came back, or the server is
        not ready.
        """

    def remove(self, ref: VersionRef, *, slug: str, purpose: Purpose = Purpose.USERS) -> None:
        """Stop the version's server; it finishes the requests in flight. Idempotent."""

    def files(self, ref: VersionRef, *, slug: str, digest: str = "") -> Path:
        """The directory with this machine's copy of the version's files, fetched first if it is not here."""

    def forget(self, ref: VersionRef, *, slug: str) -> None:
        """Remove this machine's copy of the version's files. Idempotent. The caller has removed its servers."""


# ---------------------------------------------------------------- gateway


@dataclass(frozen=True, slots=True)
class Backend:
    """One variant behind a route. ``weight`` is the percentage of requests it gets, 0 to 100."""

    version: int
    url: str
    weight: int


@dataclass(frozen=True, slots=True)
class StickyBy:
    """Requests of one user stay with one version while the weights stay as they are: by a cookie called ``cookie``, or
    by a header called ``header`` with a number from 0 to 99. The lowest numbers go to the highest version, so whoever
    has come to it stays with it while its weight grows. One of the names, or both, are "".
    """

    cookie: str = ""
    header: str = ""


class Traffic(Protocol):
    """The gateway. A route is named by a model's slug, and answers under ``/<slug>/``."""

    def apply(
        self,
        slug: str,
        backends: tuple[Backend, ...],
        *,
        fence: int,
        mirrors: Mapping[int, int] | None = None,
        sticky: StickyBy | None = None,
    ) -> None:
        """Make the route's backends, weights and mirrors exactly these. Weights sum to 100, or to 0 to serve nobody.

        ``mirrors`` maps a version among the backends, whose weight is 0, to the percentage of requests of which it
        gets a copy; its answers go nowhere, and neither its failure nor its slowness reaches a user.
        ``fence`` grows with every claim of the model: a write with a lower one than the last raises FencedError.
        """

    def weights(self, slug: str) -> Mapping[int, int] | None:
        """The weights that the gateway itself says are in force, {version: percent}; None when it has no such route.

        Versions with weight 0 are in the answer as long as the route names them.
        """

    def mirrors(self, slug: str) -> Mapping[int, int]:
        """The mirrors that the gateway itself says are in force, {version: percent of requests copied}."""


# ---------------------------------------------------------------- metrics


class Counter(StrEnum):
    """Who counted: the gateway knows every request and error, a model server what is inside them."""

    GATEWAY = "gateway"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Reading:
    """The cumulative counts of one version by one counter, at one moment.

    ``instance`` tells apart those that count the same version: replicas, gateways. ``epoch`` is when its counting
    began, as UNIX time in seconds, 0.0 when that is not known: a later one than before says that it began anew.
    A gateway fills in requests and errors, a server latency, prediction and features.
    """

    version: int
    counter: Counter
    instance: str
    counts: Counts
    epoch: float = 0.0


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """One answer of a model server: ``key`` is the digest of the request's body, ``values`` one prediction a row, each
    a class as text or a number."""

    number: int
    key: str
    values: tuple[str | float, ...]


class Metrics(Protocol):
    """Where the numbers of a rollout come from."""

    def read(self, slug: str, servers: Mapping[int, str], queries: MetricQueries) -> tuple[Reading, ...]:
        """What has been counted of each of these versions, by the address of its server.

        A version that nothing is known of is left out; so is a model server that does not answer. Raises TemporaryError
        when the gateway's counts cannot be read.
        """

    def answers(self, url: str, *, after: int) -> tuple[ServerAnswer, ...]:
        """The latest answers that the model server at ``url`` remembers, whose numbers are higher than ``after``, by
        number. A server that was started anew counts from 1 again: then all that it has are given when its highest is
        below ``after``. Raises TemporaryError.
        """


# ---------------------------------------------------------------- messages


class Tone(StrEnum):
    """How a chat room marks a message."""

    INFO = "info"
    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Message:
    """What to send. ``html`` is for e-mail, ``text`` for everything else; ``key`` is the same each time that the same
    message is sent, so that whoever gets it twice can tell."""

    subject: str
    text: str
    html: str
    key: str
    tone: Tone = Tone.INFO


class Messages(Protocol):
    """Mail servers and chat rooms. An address holds its secret, and no error repeats any of it."""

    def describe(self, address: str) -> str:
        """The part of an address that may be seen, such as "Slack" or "E-mail to ops@example.org".

        Raises PermanentError for one that cannot be used, or may not.
        """

    def send(self, address: str, message: Message, *, to: str = "") -> None:
        """``to`` is the recipient's e-mail address, where ``address`` is a mail server.

        Raises PermanentError for an address that cannot be used, TemporaryError when the message was not taken.
        """


# ---------------------------------------------------------------- checkpoints


class CheckpointPlace(Protocol):
    """A place outside of the database that keeps signed checkpoints of the record.

    ``name`` says which one, without credentials: it is shown to people. ``keeps_files`` is False for one that passes
    checkpoints on and has no use for a file with the public key beside them.
    """

    @property
    def name(self) -> str: ...

    @property
    def keeps_files(self) -> bool: ...

    def keep(self, file: str, content: bytes) -> None:
        """Keep ``content`` under the name ``file``; again with the same content changes nothing.

        Raises TemporaryError, and PermanentError when something else is kept under that name: it stays as it is.
        """
