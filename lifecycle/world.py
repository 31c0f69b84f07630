"""The engine's eyes and hands: what it sees through the ports, and how it carries an effect out."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

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
from lifecycle.domain.policy import Rollout
from lifecycle.domain.signatures import shown
from lifecycle.domain.stages import Stage, from_mlflow, to_mlflow
from lifecycle.domain.strategies import Sticky
from lifecycle.models import ModelVersion, RegisteredModel, Variant
from lifecycle.ports import (
    Backend,
    NotFoundError,
    PermanentError,
    PortError,
    Scored,
    StickyBy,
    TemporaryError,
    VersionRef,
)
from lifecycle.rows import NoRowsError, smoke_request

SMOKE_TRIES = 3
"""How often the smoke request is sent before no answer counts as a wrong one."""
SMOKE_PAUSE = 0.5
"""Seconds between two tries."""
BUSY = frozenset({429, 502, 503, 504})
SHOWN_ANSWER = 500


def observe(model: RegisteredModel, plan: Plan, progress: Progress) -> Observed:
    """Look at the servers that are needed and at the gateway; the registry is looked at only where it matters."""
    servers = {version: _server(model, version) for version in needed(plan, progress)}
    weights, mirrors, gateway_error = _route(model, plan) if split(plan, progress) is not None else (None, None, "")
    return Observed(servers=servers, weights=weights, mirrors=mirrors, gateway_error=gateway_error)


def look_at_registry(model: RegisteredModel, plan: Plan, observed: Observed) -> Observed:
    """What was observed, with the registry's part of it."""
    seen, registry_error = _registry(model.name, registry_goal(plan).versions)
    return replace(observed, registry=seen, registry_error=registry_error)


def _server(model: RegisteredModel, version: int) -> ServerSeen:
    known = Variant.objects.filter(model=model, version__version=version).first()
    if known is not None and known.retiring:
        return ServerSeen(ServerPhase.STARTING, "its former server is being stopped")
    try:
        server = adapters.serving().status(VersionRef(model.name, version), slug=model.slug)
    except PortError as error:
        return ServerSeen(ServerPhase.UNKNOWN, str(error), known.url if known is not None else "")
    return ServerSeen(ServerPhase(server.state.value), server.detail, server.url)


def _route(model: RegisteredModel, plan: Plan) -> tuple[Split | None, Split | None, str]:
    """Weights, mirrors and why they cannot be read. Only a plan that knows of mirrors pays for looking at them."""
    try:
        weights = adapters.traffic().weights(model.slug)
        return weights, adapters.traffic().mirrors(model.slug) if plan.may_mirror else None, ""
    except PortError as error:
        return None, None, str(error)


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


def carry_out(
    model: RegisteredModel, effect: Effect, *, fence: int, scanned: str = "", rollout: Rollout | None = None
) -> None:
    """Change the world. Raises PortError; FencedError when a newer executor has written already.

    ``scanned`` is the digest of the files that a server may be started with; "" asks for none. ``rollout`` says by what
    users stay with one of several versions; None: by nothing.
    """
    name = model.name
    if isinstance(effect, StartServer):
        adapters.serving().ensure(VersionRef(name, effect.version), slug=model.slug, digest=scanned)
    elif isinstance(effect, ShiftTraffic):
        _share_out(model, effect, fence, rollout)
    elif isinstance(effect, SetStage):
        adapters.registry().set_stage(VersionRef(name, effect.version), to_mlflow(effect.stage))
    elif isinstance(effect, SetTags):
        adapters.registry().set_tags(VersionRef(name, effect.version), effect.tags)
    elif effect.version is None:
        adapters.registry().delete_alias(name, effect.alias)
    else:
        adapters.registry().set_alias(name, effect.alias, effect.version)


def _share_out(model: RegisteredModel, effect: ShiftTraffic, fence: int, rollout: Rollout | None) -> None:
    adapters.traffic().apply(
        model.slug,
        _backends(model, effect),
        fence=fence,
        mirrors=effect.mirrors,
        sticky=_sticky(rollout) if rollout is not None and len(effect.weights) > 1 else None,
    )


def _sticky(rollout: Rollout) -> StickyBy | None:
    if rollout.sticky == Sticky.COOKIE:
        return StickyBy(cookie=rollout.sticky_name)
    return StickyBy(header=rollout.sticky_name) if rollout.sticky == Sticky.HEADER else None


def _backends(model: RegisteredModel, effect: ShiftTraffic) -> tuple[Backend, ...]:
    """The route's variants: those with a weight, and those kept ready without one: going back moves only weights.

    Addresses come from the tables: asking a server that misbehaves could hold up the rollback that takes it out.
    """
    rows = Variant.objects.filter(model=model, retiring=False).exclude(url="")
    urls = dict(rows.values_list("version__version", "url"))
    missing = sorted({*effect.weights, *effect.mirrors} - set(urls))
    if missing:
        raise PermanentError(f"version {missing[0]} has no server to send requests to")
    return tuple(
        Backend(version=version, url=url, weight=effect.weights.get(version, 0))
        for version, url in sorted(urls.items())
    )


# ---------------------------------------------------------------- the smoke request


@dataclass(frozen=True, slots=True)
class Smoked:
    """What came of the smoke request. ``problem`` is what was wrong with the answer, "" when nothing was; ``unasked``
    says why nothing could be asked, so that a server that is ready counts alone."""

    problem: str = ""
    unasked: str = ""


def smoke(version: ModelVersion, *, scanned: str = "") -> Smoked:
    """Ask a version whose server is ready for one answer, as a user would, a few times where none comes.

    Raises PortError when its files, which say what to ask, cannot be read.
    """
    ref, slug = VersionRef(version.model.name, version.version), version.model.slug
    try:
        body = smoke_request(version.signature, adapters.serving().files(ref, slug=slug, digest=scanned))
    except NoRowsError as error:
        return Smoked(unasked=str(error))
    answer = _ask(ref, slug, body)
    for _ in range(SMOKE_TRIES - 1):
        if isinstance(answer, Scored) and answer.status not in BUSY:
            break
        time.sleep(SMOKE_PAUSE)
        answer = _ask(ref, slug, body)
    return Smoked(_wrong(answer, body) if isinstance(answer, Scored) else answer)


def _ask(ref: VersionRef, slug: str, body: bytes) -> Scored | str:
    """The answer, or why there is none."""
    try:
        return adapters.serving().ask(ref, slug=slug, body=body)
    except TemporaryError as error:
        return f"no answer came: {error}"


def _wrong(answer: Scored, body: bytes) -> str:
    """What is wrong with an answer, in the server's words where it has some."""
    if answer.status != 200:
        return f"status {answer.status}: {shown(answer.text, SHOWN_ANSWER)}"
    try:
        predictions = json.loads(answer.text)["predictions"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return f"an answer without predictions: {shown(answer.text, SHOWN_ANSWER)}"
    rows = _rows(json.loads(body))
    if predictions is None or (isinstance(predictions, list) and rows is not None and len(predictions) != rows):
        return f"an answer that does not fit {rows or 'any'} rows: {shown(answer.text, SHOWN_ANSWER)}"
    return ""


def _rows(request: Mapping[str, Any]) -> int | None:
    """How many predictions a table asks for; None where that is the model's to say."""
    table = request.get("dataframe_split")
    rows = table.get("data") if isinstance(table, Mapping) else request.get("dataframe_records")
    return len(rows) if isinstance(rows, list) else None
