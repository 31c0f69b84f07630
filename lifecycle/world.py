"""The engine's eyes and hands: what it sees through the ports, and how it carries an effect out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lifecycle import adapters
from lifecycle.domain.effects import (
    Effect,
    Observed,
    RegistrySeen,
    ServerPhase,
    ServerSeen,
    SetStage,
    SetTags,
    ShiftTraffic,
    StartServer,
)
from lifecycle.domain.plan import Plan, Progress, Split, needed, registry_goal, split
from lifecycle.domain.stages import Stage, from_mlflow, to_mlflow
from lifecycle.models import RegisteredModel, Variant
from lifecycle.ports import Backend, NotFoundError, PermanentError, PortError, VersionRef


def observe(model: RegisteredModel, plan: Plan, progress: Progress, *, with_registry: bool) -> Observed:
    """Look at the servers that are needed and at the gateway, and at the registry only when asked to."""
    servers = {version: _server(model, version) for version in needed(plan, progress)}
    weights, gateway_error = _weights(model) if split(plan, progress) is not None else (None, "")
    if not with_registry:
        return Observed(servers=servers, weights=weights, gateway_error=gateway_error)
    seen, registry_error = _registry(model.name, registry_goal(plan).stages)
    return Observed(servers, weights, gateway_error, seen, registry_error)


def _server(model: RegisteredModel, version: int) -> ServerSeen:
    if Variant.objects.filter(model=model, version__version=version, retiring=True).exists():
        return ServerSeen(ServerPhase.STARTING, "its former server is being stopped")
    try:
        server = adapters.serving().status(VersionRef(model.name, version), slug=model.slug)
    except PortError as error:
        return ServerSeen(ServerPhase.UNKNOWN, str(error))
    return ServerSeen(ServerPhase(server.state.value), server.detail, server.url)


def _weights(model: RegisteredModel) -> tuple[Split | None, str]:
    try:
        return adapters.traffic().weights(model.slug), ""
    except PortError as error:
        return None, str(error)


def _registry(name: str, versions: Iterable[int]) -> tuple[RegistrySeen | None, str]:
    """Stages, aliases and tags; a version that MLflow has deleted is missing from the answer."""
    stages: dict[int, Stage] = {}
    tags: dict[int, Mapping[str, str]] = {}
    try:
        aliases = adapters.registry().model(name).aliases
        for version in versions:
            try:
                seen = adapters.registry().version(VersionRef(name, version))
            except NotFoundError:
                continue
            stages[version] = from_mlflow(seen.stage)
            tags[version] = seen.tags
    except NotFoundError:
        return RegistrySeen(stages={}, aliases={}), ""
    except PortError as error:
        return None, str(error)
    return RegistrySeen(stages=stages, aliases=aliases, tags=tags), ""


def carry_out(model: RegisteredModel, effect: Effect, *, fence: int, scanned: str = "") -> None:
    """Change the world. Raises PortError; FencedError when a newer executor has written already.

    ``scanned`` is the digest of the files that a server may be started with; "" asks for none.
    """
    name = model.name
    if isinstance(effect, StartServer):
        adapters.serving().ensure(VersionRef(name, effect.version), slug=model.slug, digest=scanned)
    elif isinstance(effect, ShiftTraffic):
        adapters.traffic().apply(model.slug, _backends(model, effect.weights), fence=fence)
    elif isinstance(effect, SetStage):
        adapters.registry().set_stage(VersionRef(name, effect.version), to_mlflow(effect.stage))
    elif isinstance(effect, SetTags):
        adapters.registry().set_tags(VersionRef(name, effect.version), effect.tags)
    elif effect.version is None:
        adapters.registry().delete_alias(name, effect.alias)
    else:
        adapters.registry().set_alias(name, effect.alias, effect.version)


def _backends(model: RegisteredModel, weights: Split) -> tuple[Backend, ...]:
    """The route's variants: those with a weight, and those kept ready without one: going back moves only weights.

    Addresses come from the tables: asking a server that misbehaves could hold up the rollback that takes it out.
    """
    rows = Variant.objects.filter(model=model, retiring=False).exclude(url="")
    urls = dict(rows.values_list("version__version", "url"))
    missing = sorted(set(weights) - set(urls))
    if missing:
        raise PermanentError(f"version {missing[0]} has no server to send requests to")
    return tuple(
        Backend(version=version, url=url, weight=weights.get(version, 0)) for version, url in sorted(urls.items())
    )
