"""What the engine may do to the world, and what it sees of the world, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from lifecycle.domain.plan import Judged, Split
from lifecycle.domain.stages import Stage


class ServerPhase(StrEnum):
    ABSENT = "absent"
    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ServerSeen:
    phase: ServerPhase
    detail: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class RegistrySeen:
    """Stages by version (a removed version is missing), the model's aliases, and lifecycle tags by version."""

    stages: Mapping[int, Stage]
    aliases: Mapping[str, int]
    tags: Mapping[int, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observed:
    """The world at one moment. None means not looked at; ``*_error`` says why something could not be read.

    ``mirrors`` are looked at only where there may be some, ``judged`` only where it matters.
    """

    servers: Mapping[int, ServerSeen] = field(default_factory=dict)
    weights: Split | None = None
    mirrors: Split | None = None
    gateway_error: str = ""
    registry: RegistrySeen | None = None
    registry_error: str = ""
    judged: Judged | None = None


# ---------------------------------------------------------------- effects


@dataclass(frozen=True, slots=True)
class StartServer:
    """A server for this version exists; whether it is ready is seen later.

    ``after`` is the error with which the server before it ended, "" for the first one.
    """

    version: int
    after: str = ""

    @property
    def key(self) -> str:
        return f"server:{self.version}"


@dataclass(frozen=True, slots=True)
class ShiftTraffic:
    """Weights and mirrors are exactly these; nobody else gets a request, or a copy of one."""

    weights: Split
    mirrors: Split = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"weights:{_shares(self.weights)}" + (f";mirrors:{_shares(self.mirrors)}" if self.mirrors else "")


def _shares(split: Split) -> str:
    return ",".join(f"{version}={share}" for version, share in sorted(split.items()))


@dataclass(frozen=True, slots=True)
class SetStage:
    version: int
    stage: Stage

    @property
    def key(self) -> str:
        return f"stage:{self.version}={self.stage}"


@dataclass(frozen=True, slots=True)
class SetAlias:
    """``version`` None: no version has the alias."""

    alias: str
    version: int | None

    @property
    def key(self) -> str:
        return f"alias:{self.alias}={self.version or ''}"


@dataclass(frozen=True, slots=True)
class SetTags:
    version: int
    tags: Mapping[str, str]

    @property
    def key(self) -> str:
        return f"tags:{self.version}:" + ",".join(f"{name}={value}" for name, value in sorted(self.tags.items()))


Effect = StartServer | ShiftTraffic | SetStage | SetAlias | SetTags

TRAFFIC = "traffic"
SERVER = "server"
_KINDS: dict[str, type[Any]] = {
    SERVER: StartServer,
    TRAFFIC: ShiftTraffic,
    "stage": SetStage,
    "alias": SetAlias,
    "tags": SetTags,
}
_NAMES = {effect: name for name, effect in _KINDS.items()}


def kind_of(effect: Effect) -> str:
    """The effect's word in the journal: server, traffic, stage, alias or tags."""
    return _NAMES[type(effect)]


def dump(effect: Effect) -> dict[str, Any]:
    """The effect as JSON values."""
    return asdict(effect)


def load(kind: str, payload: Mapping[str, Any]) -> Effect:
    """The effect that ``dump`` wrote. JSON has made texts of the versions that are keys of weights and mirrors."""
    values = dict(payload)
    if kind == TRAFFIC:
        values = {name: {int(version): share for version, share in each.items()} for name, each in values.items()}
    if kind == "stage":
        values["stage"] = Stage(values["stage"])
    effect: Effect = _KINDS[kind](**values)
    return effect


def serving(weights: Split | None) -> dict[int, int]:
    """The versions that get requests; a version that a route names with weight 0 gets none."""
    return {version: share for version, share in (weights or {}).items() if share}


def satisfied(effect: Effect, observed: Observed) -> bool:
    """Whether the world, as far as it was looked at, is as the effect wants it."""
    if isinstance(effect, StartServer):
        seen = observed.servers.get(effect.version)
        return seen is not None and seen.phase in (ServerPhase.STARTING, ServerPhase.READY)
    if isinstance(effect, ShiftTraffic):
        return observed.weights is not None and routed(effect, observed)
    return observed.registry is not None and _registered(effect, observed.registry)


def routed(effect: ShiftTraffic, observed: Observed) -> bool:
    """Whether the gateway shares requests out like this. Mirrors that were not looked at are none."""
    return (
        not observed.gateway_error
        and serving(observed.weights) == dict(effect.weights)
        and serving(observed.mirrors) == dict(effect.mirrors)
    )


def _registered(effect: SetStage | SetAlias | SetTags, seen: RegistrySeen) -> bool:
    if isinstance(effect, SetStage):
        return seen.stages.get(effect.version) == effect.stage
    if isinstance(effect, SetAlias):
        return seen.aliases.get(effect.alias) == effect.version
    have = seen.tags.get(effect.version, {})
    return all(have.get(name) == value for name, value in effect.tags.items())
