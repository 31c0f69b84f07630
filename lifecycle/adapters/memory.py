"""Twins of the ports that keep everything in memory, for tests of whatever uses a port.

Each passes the same contract tests as the real adapter. ``down`` makes every call raise TemporaryError;
``fail_next`` is raised by the next call, once. Further switches are attributes of each twin.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from lifecycle.adapters.artifact_places import STORE, Place, need_one_model, parse
from lifecycle.adapters.local_gateway import check_route
from lifecycle.domain.digests import manifest_digest
from lifecycle.domain.locations import original_of
from lifecycle.domain.observations import Counts, add
from lifecycle.domain.policy import MetricQueries
from lifecycle.domain.slugs import is_slug
from lifecycle.ports import (
    ArtifactEntry,
    ArtifactFile,
    Backend,
    FencedError,
    Keeper,
    NotFoundError,
    Page,
    PermanentError,
    PortError,
    Purpose,
    Reading,
    RegistryModel,
    RegistryVersion,
    RunOrigin,
    Scored,
    Server,
    ServerAnswer,
    ServerState,
    StickyBy,
    TemporaryError,
    VersionDetails,
    VersionRef,
)
from lifecycle.ports import Counter as CountedBy

Item = TypeVar("Item")

STAGES = frozenset({"None", "Staging", "Production", "Archived"})
BEGINNING = datetime(2024, 1, 1, tzinfo=UTC)


class _Twin:
    """The switches that every twin has, and a journal of the names of the calls that were let through."""

    def __init__(self) -> None:
        self.down = False
        self.fail_next: PortError | None = None
        self.calls: Counter[str] = Counter()

    def _reached(self, call: str) -> None:
        if self.down:
            raise TemporaryError(f"{type(self).__name__} is down")
        if self.fail_next is not None:
            failure, self.fail_next = self.fail_next, None
            raise failure
        self.calls[call] += 1


class MemoryRegistry(_Twin):
    """The ``Registry`` port. Like MLflow, only stages and descriptions move a version's time of update.

    ``add_model``, ``add_version``, ``delete_model`` and ``replace_files`` do what people do with MLflow directly.
    ``stored`` holds the files of each address, path to content; ``undeletable`` the error that deleting those at an
    address raises; ``origins`` where runs come from.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stored: dict[str, dict[str, bytes]] = {}
        self.undeletable: dict[str, PortError] = {}
        self.origins: dict[str, RunOrigin] = {}
        self._last_numbers: Counter[str] = Counter()
        self._sources: dict[VersionRef, str] = {}
        self._models: dict[str, RegistryModel] = {}
        self._versions: dict[VersionRef, RegistryVersion] = {}
        self._details: dict[VersionRef, VersionDetails] = {}
        self._now = BEGINNING

    # ------------------------------------------------------------ what people do

    def add_model(self, name: str, *, description: str = "", tags: Mapping[str, str] | None = None) -> RegistryModel:
        now = self._tick()
        model = RegistryModel(name, description, created_at=now, updated_at=now, tags=dict(tags or {}))
        self._models[name] = model
        return model

    def add_version(
        self,
        name: str,
        *,
        stage: str = "None",
        tags: Mapping[str, str] | None = None,
        details: VersionDetails | None = None,
        files: Mapping[str, bytes] | None = None,
        source: str = "",
    ) -> RegistryVersion:
        """Register the next version of a model, which is added too if it is not there.

        It has a run of its own, and its files are there, unless ``source`` says where they are.
        """
        if name not in self._models:
            self.add_model(name)
        self._last_numbers[name] += 1
        ref = VersionRef(name, self._last_numbers[name])
        run_id = sha256(str(ref).encode()).hexdigest()[:32]
        now = self._tick()
        version = RegistryVersion(
            ref,
            stage,
            created_at=now,
            updated_at=now,
            source=source or f"{STORE}:/0/{run_id}/artifacts/model",
            run_id=run_id,
            tags=dict(tags or {}),
        )
        self._versions[ref] = version
        self._sources[ref] = version.source
        self._details[ref] = details or VersionDetails()
        if not source or files is not None:
            self.replace_files(ref, files if files is not None else {"MLmodel": b"flavors: {}\n"})
        return version

    def add_run_files(self, ref: VersionRef, files: Mapping[str, bytes]) -> None:
        """Log files to the version's run, beside those of its model."""
        self.stored.setdefault(self._run_address(self._version(ref)), {}).update(files)

    def replace_files(self, ref: VersionRef, files: Mapping[str, bytes]) -> None:
        self.stored[self._place(self._version(ref).source).address] = dict(files)

    def delete_model(self, name: str) -> None:
        del self._models[name]
        del self._last_numbers[name]
        self._versions = {ref: version for ref, version in self._versions.items() if ref.model != name}

    # ------------------------------------------------------------ the port

    def models(self, *, limit: int, page_token: str | None = None) -> Page[RegistryModel]:
        self._reached("models")
        return _page((self._models[name] for name in sorted(self._models)), limit, page_token)

    def versions(
        self, *, limit: int, page_token: str | None = None, newest_first: bool = False
    ) -> Page[RegistryVersion]:
        self._reached("versions")
        if newest_first:
            newest = sorted(self._versions.values(), key=lambda each: each.updated_at or BEGINNING, reverse=True)
            return _page(newest, limit, page_token)
        return _page((self._versions[ref] for ref in sorted(self._versions)), limit, page_token)

    def model(self, name: str) -> RegistryModel:
        self._reached("model")
        return self._model(name)

    def version(self, ref: VersionRef) -> RegistryVersion:
        self._reached("version")
        return self._version(ref)

    def details(self, version: RegistryVersion) -> VersionDetails:
        self._reached("details")
        return self._details.get(version.ref, VersionDetails())

    def set_stage(self, ref: VersionRef, stage: str) -> None:
        self._reached("set_stage")
        version = self._version(ref)
        if version.stage == stage:
            return
        if stage not in STAGES:
            raise PermanentError(f"{stage!r} is not a stage")
        self._versions[ref] = replace(version, stage=stage, updated_at=self._tick())

    def set_alias(self, model: str, alias: str, version: int) -> None:
        self._reached("set_alias")
        self._version(VersionRef(model, version))
        known = self._model(model)
        self._models[model] = replace(known, aliases={**known.aliases, alias: version})

    def delete_alias(self, model: str, alias: str) -> None:
        self._reached("delete_alias")
        known = self._model(model)
        kept = {name: version for name, version in known.aliases.items() if name != alias}
        self._models[model] = replace(known, aliases=kept)

    def set_tags(self, ref: VersionRef, tags: Mapping[str, str]) -> None:
        self._reached("set_tags")
        version = self._version(ref)
        self._versions[ref] = replace(version, tags={**version.tags, **tags})

    def download(self, ref: VersionRef, destination: Path) -> None:
        self._reached("download")
        version = self._version(ref)
        for name, content in self.stored.get(self._place(version.source).address, {}).items():
            path = destination / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def delete_version(self, ref: VersionRef) -> None:
        """Delete a version, and with it the aliases that name it; its files stay."""
        self._reached("delete_version")
        if self._versions.pop(ref, None) is None:
            return
        model = self._models[ref.model]
        kept = {alias: version for alias, version in model.aliases.items() if version != ref.version}
        self._models[ref.model] = replace(model, aliases=kept)

    def location(self, ref: VersionRef) -> str:
        self._reached("location")
        return self._place(self._version(ref).source).address

    def files(self, source: str, run_id: str) -> tuple[ArtifactFile, ...]:
        self._reached("files")
        stored = self.stored.get(self._place(source).address, {})
        return tuple(ArtifactFile(path, len(content)) for path, content in sorted(stored.items()))

    def folder(
        self, version: RegistryVersion, keeper: Keeper, path: str = "", *, seconds: float
    ) -> tuple[ArtifactEntry, ...]:
        self._reached("folder")
        below = f"{path}/" if path else ""
        found: dict[str, ArtifactEntry] = {}
        for each, content in self._kept(version, keeper).items():
            if each.startswith(below):
                name, _, rest = each.removeprefix(below).partition("/")
                size = 0 if rest else len(content)
                found.setdefault(name, ArtifactEntry(f"{below}{name}", size, is_folder=bool(rest)))
        return tuple(found[name] for name in sorted(found))

    def content(self, version: RegistryVersion, keeper: Keeper, path: str, *, most: int, seconds: float) -> bytes:
        self._reached("content")
        kept = self._kept(version, keeper)
        if path not in kept:
            raise PermanentError(f"there is no file {path}")
        if len(kept[path]) > most:
            raise PermanentError(f"{path} is longer than {most} bytes")
        return kept[path]

    def run_origin(self, run_id: str, *, seconds: float) -> RunOrigin:
        self._reached("run_origin")
        if all(version.run_id != run_id for version in self._versions.values()):
            raise NotFoundError(f"there is no run {run_id}")
        return self.origins.get(run_id, RunOrigin())

    def _kept(self, version: RegistryVersion, keeper: Keeper) -> dict[str, bytes]:
        """All files of a run, its model's among them, or those of a model that has a directory of its own."""
        run = f"{self._run_address(version)}/" if version.run_id else ""
        if keeper == Keeper.MODEL:
            address = self._place(version.source).address
            return {} if run and address.startswith(run) else self.stored.get(address, {})
        return {
            f"{address}/{path}".removeprefix(run): content
            for address, files in self.stored.items()
            for path, content in files.items()
            if run and f"{address}/".startswith(run)
        }

    def _run_address(self, version: RegistryVersion) -> str:
        return f"{STORE}:/0/{version.run_id}/artifacts"

    def delete_files(self, source: str, run_id: str) -> None:
        self._reached("delete_files")
        if original_of(source) is not None:
            raise PermanentError(f"{source!r} names the files of another version")
        place = self._place(source)
        need_one_model(place, run_id)
        if place.address in self.undeletable:
            raise self.undeletable[place.address]
        self.stored.pop(place.address, None)

    def _place(self, source: str) -> Place:
        """A logged model's directory is where MLflow puts it; a copy's files are its original's, deleted or not."""
        original = original_of(source)
        if original is not None:
            return self._place(self._sources[VersionRef(*original)])
        model_id = source.removeprefix("models:/")
        return parse(source if model_id == source else f"{STORE}:/0/models/{model_id}/artifacts")

    def _model(self, name: str) -> RegistryModel:
        if name not in self._models:
            raise NotFoundError(f"the registry has no model {name}")
        return self._models[name]

    def _version(self, ref: VersionRef) -> RegistryVersion:
        if ref not in self._versions:
            raise NotFoundError(f"the registry has no {ref}")
        return self._versions[ref]

    def _tick(self) -> datetime:
        """A clock that moves a second with every change, so that an order by time is certain."""
        self._now += timedelta(seconds=1)
        return self._now


class MemoryServing(_Twin):
    """The ``Serving`` port. A server is ready at once, unless ``loads_at_once`` is False: then ``finish_loading``
    makes it ready. A server of a version in ``broken`` fails to load. ``in_flight`` holds the requests being
    answered, ``starts`` how often a server of each version was started. ``digests`` sets the
    digest of the files that the registry gives for a version. ``files`` answers with ``model_files`` for every
    version, and ``forgotten`` lists the versions whose copies were removed. ``answers`` is what each version answers to
    requests, which ``asked`` lists: without one, as many predictions as the request has rows."""

    def __init__(self, *, loads_at_once: bool = True, broken: Collection[VersionRef] = ()) -> None:
        super().__init__()
        self.digests: dict[VersionRef, str] = {}
        self.model_files = Path()
        self.forgotten: list[VersionRef] = []
        self.answers: dict[VersionRef, Scored | PortError] = {}
        self.asked: list[tuple[VersionRef, bytes]] = []
        self.loads_at_once = loads_at_once
        self.broken = set(broken)
        self.in_flight: dict[VersionRef, int] = {}
        self.starts: Counter[VersionRef] = Counter()
        self._servers: dict[VersionRef, Server] = {}
        self._checked: dict[VersionRef, Server] = {}
        self._next_port = 8200

    def ensure(self, ref: VersionRef, *, slug: str, digest: str = "", purpose: Purpose = Purpose.USERS) -> None:
        self._reached("ensure")
        _check_server(ref, slug)
        self._check_digest(ref, digest)
        if purpose == Purpose.CHECKS:
            self._ensure_for_checks(ref)
            return
        if self._servers.get(ref, Server(ServerState.ABSENT)).state in (ServerState.STARTING, ServerState.READY):
            return
        self.starts[ref] += 1
        self._servers[ref] = Server(ServerState.STARTING, url=f"http://127.0.0.1:{self._next_port}")
        self._next_port += 1
        if self.loads_at_once:
            self.finish_loading(ref)

    def finish_loading(self, ref: VersionRef) -> None:
        if ref in self.broken:
            self.crash(ref, "the model can't be loaded")
        else:
            self._servers[ref] = replace(self._servers[ref], state=ServerState.READY)

    def crash(self, ref: VersionRef, detail: str = "it ended") -> None:
        """The server fails, and stays so until it is ensured again."""
        self._servers[ref] = replace(self._servers[ref], state=ServerState.FAILED, detail=detail)

    def digest_of(self, ref: VersionRef) -> str:
        """The digest of the files that the registry gives; ``digests`` overrides it."""
        return self.digests.get(ref) or manifest_digest({"MLmodel": f"{ref}"})

    def _check_digest(self, ref: VersionRef, digest: str) -> None:
        if digest and digest != self.digest_of(ref):
            raise PermanentError(f"the files that the registry gives for {ref} are not those that were scanned")

    def _ensure_for_checks(self, ref: VersionRef) -> None:
        state = ServerState.FAILED if ref in self.broken else ServerState.READY
        detail = "the model can't be loaded" if ref in self.broken else ""
        self._checked.setdefault(ref, Server(state, url=f"http://127.0.0.1:{self._next_port}", detail=detail))
        self._next_port += 1

    def status(self, ref: VersionRef, *, slug: str, purpose: Purpose = Purpose.USERS) -> Server:
        self._reached("status")
        _check_server(ref, slug)
        servers = self._checked if purpose == Purpose.CHECKS else self._servers
        server = servers.get(ref, Server(ServerState.ABSENT))
        in_flight = self.in_flight.get(ref, 0) if server.state == ServerState.READY else None
        return replace(server, in_flight=in_flight)

    def remove(self, ref: VersionRef, *, slug: str, purpose: Purpose = Purpose.USERS) -> None:
        self._reached("remove")
        _check_server(ref, slug)
        (self._checked if purpose == Purpose.CHECKS else self._servers).pop(ref, None)

    def ask(self, ref: VersionRef, *, slug: str, body: bytes) -> Scored:
        self._reached("ask")
        _check_server(ref, slug)
        if self._servers.get(ref, Server(ServerState.ABSENT)).state != ServerState.READY:
            raise TemporaryError(f"the server of {ref} is not ready")
        self.asked.append((ref, body))
        answer = self.answers.get(ref) or Scored(200, json.dumps({"predictions": [0.0] * _rows(body)}))
        if isinstance(answer, PortError):
            raise answer
        return answer

    def files(self, ref: VersionRef, *, slug: str, digest: str = "") -> Path:
        self._reached("files")
        _check_server(ref, slug)
        self._check_digest(ref, digest)
        return self.model_files

    def forget(self, ref: VersionRef, *, slug: str) -> None:
        self._reached("forget")
        _check_server(ref, slug)
        self.forgotten.append(ref)


class MemoryTraffic(_Twin):
    """The ``Traffic`` port. With ``applies`` False it accepts every write but goes on as before, like a gateway that
    does not reload; ``catch_up`` then applies the last write of every route. ``send`` is what users do, each request
    another user's; ``sticky`` is by what each route keeps a user with one version, and ``counted`` what the gateway has
    counted since it started, by route and version."""

    def __init__(self) -> None:
        super().__init__()
        self.applies = True
        self.sticky: dict[str, StickyBy | None] = {}
        self._written: dict[str, _Route] = {}
        self._fences: dict[str, int] = {}
        self._in_force: dict[str, _Route] = {}
        self.counted: dict[str, dict[int, Counts]] = {}
        self._turns: dict[str, Counter[int]] = {}

    def apply(
        self,
        slug: str,
        backends: Sequence[Backend],
        *,
        fence: int,
        mirrors: Mapping[int, int] | None = None,
        sticky: StickyBy | None = None,
    ) -> None:
        self._reached("apply")
        check_route(slug, backends, mirrors, sticky)
        if fence < self._fences.get(slug, 0):
            raise FencedError(f"a newer executor has written the route {slug}")
        self._fences[slug] = fence
        self._written[slug] = _Route(tuple(backends), dict(mirrors or {}), sticky)
        if self.applies:
            self.catch_up()

    def catch_up(self) -> None:
        for slug, written in self._written.items():
            if self._in_force.get(slug) != written:
                self._in_force[slug] = written
                self._turns[slug] = Counter()
                self.sticky[slug] = written.sticky

    def set_by_hand(self, slug: str, weights: Mapping[int, int]) -> None:
        """Somebody edits the weights behind our back; no fence is asked."""
        before = self._in_force[slug]
        backends = tuple(replace(each, weight=weights[each.version]) for each in before.backends)
        self._in_force[slug] = self._written[slug] = replace(before, backends=backends)

    def weights(self, slug: str) -> Mapping[int, int] | None:
        self._reached("weights")
        _check_slug(slug)
        if slug not in self._in_force:
            return None
        return {backend.version: backend.weight for backend in self._in_force[slug].backends}

    def mirrors(self, slug: str) -> Mapping[int, int]:
        self._reached("mirrors")
        _check_slug(slug)
        return dict(self._in_force.get(slug, _Route()).mirrors)

    def send(self, slug: str, requests: int, *, failing: Collection[int] = ()) -> Counter[int]:
        """Users' requests, shared out in smooth weighted turns as Traefik does; how many each version got.

        Every request to a version in ``failing`` is an error. Copies for mirrors are counted, and given to nobody.
        """
        route = self._in_force.get(slug, _Route())
        weights = {each.version: each.weight for each in route.backends if each.weight}
        got: Counter[int] = Counter()
        turns = self._turns.setdefault(slug, Counter())
        before = turns.total()
        for _ in range(requests if weights else 0):
            version = min(weights, key=lambda each: ((turns[each] + 1) / weights[each], each))
            turns[version] += 1
            got[version] += 1
        for version, percent in route.mirrors.items():
            got_copies = _copied(turns.total(), percent) - _copied(before, percent)
            self._count(slug, Counter({version: got_copies}), failing)
        self._count(slug, got, failing)
        return got

    def _count(self, slug: str, got: Counter[int], failing: Collection[int]) -> None:
        counts = self.counted.setdefault(slug, {})
        for version, number in got.items():
            errors = number if version in failing else 0
            counts[version] = add(counts.get(version, Counts()), Counts(number, errors))

    def restart(self) -> None:
        """The gateway restarts: routes come back from what was written, counters begin at 0."""
        self.counted.clear()
        self._in_force.clear()
        self.catch_up()


def _copied(requests: int, percent: int) -> int:
    """How many of these requests were copied: the first one, then as often as needed to keep the percentage."""
    return -(-requests * percent // 100)


@dataclass(frozen=True, slots=True)
class _Route:
    """What was written of one route."""

    backends: tuple[Backend, ...] = ()
    mirrors: Mapping[int, int] = field(default_factory=dict)
    sticky: StickyBy | None = None


class MemoryMetrics(_Twin):
    """The ``Metrics`` port. The gateway's numbers are those of the ``MemoryTraffic`` that it is given; while that is
    down, they cannot be read. ``count`` and ``answer`` are what model servers do, by address. Those in ``silent`` say
    nothing. ``epochs`` says when the counting of the servers at these addresses began, ``gateway_epoch`` that of the
    gateway; 0.0 is not known.
    """

    def __init__(self, traffic: MemoryTraffic) -> None:
        super().__init__()
        self.silent: set[str] = set()
        self.epochs: dict[str, float] = {}
        self.gateway_epoch = 0.0
        self._traffic = traffic
        self._servers: dict[str, Counts] = {}
        self._answers: dict[str, list[ServerAnswer]] = {}

    def count(self, url: str, counts: Counts) -> None:
        """The server at ``url`` answers more of users' requests."""
        self._servers[url] = add(self._servers.get(url, Counts()), counts)

    def answer(self, url: str, key: str, *values: str | float) -> None:
        """The server at ``url`` answers a request with this digest, one value a row."""
        given = self._answers.setdefault(url, [])
        given.append(ServerAnswer(len(given) + 1, key, values))

    def restart_server(self, url: str, *, epoch: float = 0.0) -> None:
        """The server at ``url`` is started anew: it has counted nothing, and remembers no answer."""
        self._servers[url] = Counts()
        self._answers[url] = []
        self.epochs[url] = epoch

    def read(self, slug: str, servers: Mapping[int, str], queries: MetricQueries) -> tuple[Reading, ...]:
        self._reached("read")
        _check_slug(slug)
        if self._traffic.down:
            raise TemporaryError("the gateway is down")
        seen = self._traffic.counted.get(slug, {})
        gateway = [
            Reading(version, CountedBy.GATEWAY, "gateway", seen.get(version, Counts()), self.gateway_epoch)
            for version in servers
        ]
        asked = {version: url for version, url in servers.items() if url in self._servers and url not in self.silent}
        return (
            *gateway,
            *(
                Reading(version, CountedBy.SERVER, url, self._servers[url], self.epochs.get(url, 0.0))
                for version, url in asked.items()
            ),
        )

    def answers(self, url: str, *, after: int) -> tuple[ServerAnswer, ...]:
        self._reached("answers")
        if url in self.silent:
            raise TemporaryError(f"{url} does not answer")
        given = self._answers.get(url, [])
        return tuple(given[after:] if len(given) >= after else given)


def _rows(body: bytes) -> int:
    """How many rows a request has, in whichever form of the scoring protocol it is."""
    [rows] = json.loads(body).values()
    return len(rows["data"] if isinstance(rows, dict) and "data" in rows else rows)


def _page(items: Iterable[Item], limit: int, page_token: str | None) -> Page[Item]:
    """A page token is an offset, as in MLflow."""
    everything = tuple(items)
    start = int(page_token or 0)
    end = start + limit
    return Page(everything[start:end], str(end) if end < len(everything) else None)


def _check_slug(slug: str) -> None:
    if not is_slug(slug):
        raise PermanentError(f"{slug!r} is not a slug")


def _check_server(ref: VersionRef, slug: str) -> None:
    if not is_slug(slug) or ref.version < 0:
        raise PermanentError(f"{slug!r} version {ref.version} can't name a server")
