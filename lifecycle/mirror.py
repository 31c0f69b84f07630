"""The mirror: the registry's models and versions, copied into tables.

MLflow tells of no change reliably: tags and aliases move no timestamp, webhooks get lost, deletions have no event.
So the registry is read in three ways, and each finds what the others miss:

- ``poll_newest``: new versions, stages and descriptions, within seconds; one page when nothing has changed.
- ``sweep_slice``: everything, also tags, aliases and deletions, a page at a time; its place is kept in a row.
- ``refresh_version`` and ``refresh_model``: the thing at hand, before anybody decides on it, and on a webhook's word.

Rows are compared by digest and written only when they differ. The stage is not part of that: the engine moves it
too, so it follows the registry one row at a time, by a conditional update, once it has been read afresh. A stage or
alias that moved without us is recorded. Nothing is ever deleted here: what is gone is marked. What the list of models
is searched by is refreshed with whatever it is made from.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, cast

from django.db import transaction
from django.db.models import F, Q

from lifecycle import model_index
from lifecycle.audit import record, recording
from lifecycle.domain.permissions import Actor
from lifecycle.domain.slugs import slug_of
from lifecycle.domain.stages import STAGE_ALIASES, Stage, from_mlflow, to_mlflow
from lifecycle.models import EXECUTING, Effect, MirrorState, ModelVersion, RegisteredModel
from lifecycle.ports import (
    NotFoundError,
    Page,
    PortError,
    Registry,
    RegistryModel,
    RegistryVersion,
    TemporaryError,
    VersionDetails,
    VersionRef,
)

logger = logging.getLogger(__name__)

MLFLOW = Actor(name="MLflow", signed_in_by="MLflow")
OUT_OF_BAND_REASON = "changed directly in MLflow"
NEWEST_PAGE = 100
MODELS_PAGE = 1000
PAGES_A_PASS = 10
SMALLEST_PAGE, LARGEST_PAGE = 200, 5000
FULL_PASS_PAGE = 500
FIRST_SLICES = 5
CONFIRMATIONS = 200
"""How many suspicions one slice may confirm, each by a direct read."""
DETAILS_BATCH = 50
INDEX_BATCH = 2000
"""How many models that the index lacks, as after an update, are added to it in one turn."""
DETAILS_RETRY = timedelta(minutes=5)
MODELS, VERSIONS, GONE = "models", "versions", "gone"
"""The phases of a pass."""


def run_once(registry: Registry, now: datetime) -> None:
    """What is due every few seconds: the newest, one slice of the sweep, some details. After the first start, until
    everything has been seen once, it is several large slices instead. After an update it completes the index.

    A registry that cannot be read is noted in the state; the next call tries again.
    """
    model_index.fill_missing(INDEX_BATCH)
    state = _state()
    try:
        if state.last_full_pass_at is None:
            _first_slices(registry, now)
        else:
            poll_newest(registry, now)
            sweep_slice(registry, now)
        fill_details(registry, DETAILS_BATCH, now)
    except PortError as error:
        logger.warning("the registry cannot be mirrored: %s", error)
        MirrorState.objects.update(last_error=clean(str(error)), last_error_at=now)
        return
    MirrorState.objects.update(last_success_at=now, last_error="")


def _first_slices(registry: Registry, now: datetime) -> None:
    for _ in range(FIRST_SLICES):
        sweep_slice(registry, now, LARGEST_PAGE)
        if _state().last_full_pass_at is not None:
            return


# ---------------------------------------------------------------- polling and sweeping


def poll_newest(registry: Registry, now: datetime) -> int:
    """Read versions, last changed first, until a page holds nothing new; return how many rows changed.

    Pages grow, because MLflow sorts the whole registry for each of them.
    """
    pass_number = _state().pass_number
    changed, token, limit = 0, None, NEWEST_PAGE
    while True:
        page = registry.versions(limit=limit, page_token=token, newest_first=True)
        on_page = _apply_versions(registry, page.items, pass_number, now, touch=False)
        changed += on_page
        if not on_page or page.next_token is None:
            return changed
        token, limit = page.next_token, min(limit * 2, LARGEST_PAGE)


def sweep_slice(registry: Registry, now: datetime, page_size: int | None = None) -> int:
    """Take the rolling pass one page further; return how many rows changed.

    1. Models with their tags and aliases, 2. versions, 3. whatever the pass did not see, which is asked for by name.
    The place is written after the page, so a kill repeats a page and skips none; whoever was overtaken by another
    worker leaves the place alone. ``page_size`` is for versions, and grows with the registry when it is None.
    """
    state = _state()
    return _take(registry, state, _read(registry, state.phase, state.page_token, page_size), now)


def full_pass(registry: Registry, now: datetime, page_size: int = FULL_PASS_PAGE) -> int:
    """Slices until the pass that is under way is complete; return how many rows changed.

    The next page is asked for while this one is written down: two pages are held, never the registry.
    """
    state = _state()
    pass_number, changed = state.pass_number, 0
    ahead: dict[tuple[str, str | None], Future[_AnyPage]] = {}
    with ThreadPoolExecutor(1) as reader:
        while state.pass_number == pass_number:
            asked = ahead.pop((state.phase, state.page_token), None)
            page = asked.result() if asked else _read(registry, state.phase, state.page_token, page_size)
            ahead.clear()
            if state.phase != GONE:
                place = _place_after(state.phase, page.next_token)
                ahead[place] = reader.submit(_read, registry, *place, page_size)
            changed += _take(registry, state, page, now)
            state = _state()
    return changed


_AnyPage = Page[RegistryModel] | Page[RegistryVersion]


def _read(registry: Registry, phase: str, token: str | None, page_size: int | None) -> _AnyPage:
    """The page at a place of the pass; an empty one where there is nothing to list."""
    if phase == MODELS:
        return registry.models(limit=MODELS_PAGE, page_token=token)
    if phase == VERSIONS:
        return registry.versions(limit=page_size or _page_size(), page_token=token)
    return Page(())


def _take(registry: Registry, state: MirrorState, page: _AnyPage, now: datetime) -> int:
    """Write one page down, and then the place of the next."""
    if state.pass_started_at is None:
        _where(state).update(pass_started_at=now)
    if state.phase == MODELS:
        changed = _apply_models(registry, cast("Page[RegistryModel]", page).items, state.pass_number, now)
    elif state.phase == VERSIONS:
        versions = cast("Page[RegistryVersion]", page).items
        changed = _apply_versions(registry, versions, state.pass_number, now, touch=True)
    else:
        changed = _confirm_gone(registry, state.pass_number, now)
    _move_on(state, page.next_token, now)
    return changed


def _state() -> MirrorState:
    return MirrorState.objects.get_or_create(pk=1)[0]


def _page_size() -> int:
    """A pass takes about ``PAGES_A_PASS`` slices for versions, whatever the size of the registry."""
    known = ModelVersion.objects.filter(removed_at=None).count()
    return min(max(math.ceil(known / PAGES_A_PASS), SMALLEST_PAGE), LARGEST_PAGE)


def _place_after(phase: str, next_token: str | None) -> tuple[str, str | None]:
    """The phase and page token of the next slice."""
    if next_token is not None:
        return phase, next_token
    return {MODELS: VERSIONS, VERSIONS: GONE, GONE: MODELS}[phase], None


def _move_on(state: MirrorState, next_token: str | None, now: datetime) -> None:
    phase, token = _place_after(state.phase, next_token)
    finished = {"pass_number": state.pass_number + 1, "pass_started_at": None, "last_full_pass_at": now}
    _where(state).update(phase=phase, page_token=token, **(finished if state.phase == GONE else {}))


def _where(state: MirrorState) -> Any:
    return MirrorState.objects.filter(
        pk=state.pk, pass_number=state.pass_number, phase=state.phase, page_token=state.page_token
    )


def _confirm_gone(registry: Registry, pass_number: int, now: datetime) -> int:
    """Ask by name for what the pass did not see: a page token is an offset, so deletions hide rows from a pass.

    What is there after all is copied; what is not is marked. The rest of a great many waits for the next pass.
    """
    changed = 0
    unseen_models = RegisteredModel.objects.filter(removed_at=None, seen_pass__lt=pass_number, exact_name=True)
    for model in unseen_models.order_by("pk")[:CONFIRMATIONS]:
        changed += _gone(partial(refresh_model, registry, model.name, now))
    unseen = ModelVersion.objects.filter(
        removed_at=None, seen_pass__lt=pass_number, model__removed_at=None, model__exact_name=True
    )
    for version in unseen.select_related("model").order_by("pk")[:CONFIRMATIONS]:
        ref = VersionRef(version.model.name, version.version)
        changed += _gone(partial(_refresh_row, registry, ref, now))
    return changed + _mark_inexact(pass_number, now)


def _gone(refresh: Callable[[], object]) -> int:
    """1 when the thing is gone, which ``refresh`` has written down, else 0."""
    try:
        refresh()
    except NotFoundError:
        return 1
    return 0


def _mark_inexact(pass_number: int, now: datetime) -> int:
    """Models whose true names the tables cannot hold can't be asked for: unseen for a whole pass is gone."""
    unseen = Q(removed_at=None, seen_pass__lt=pass_number)
    with transaction.atomic():
        versions = ModelVersion.objects.filter(unseen, model__exact_name=False)
        models = RegisteredModel.objects.filter(unseen, exact_name=False)
        concerned = {*versions.values_list("model", flat=True), *models.values_list("pk", flat=True)}
        marked = versions.update(removed_at=now) + models.update(removed_at=now)
        model_index.refresh(concerned)
    return marked


# ---------------------------------------------------------------- fresh reads


def refresh_model(registry: Registry, name: str, now: datetime) -> None:
    """Read one model, its tags and aliases afresh.

    Raises NotFoundError, having marked the model and its versions as removed, when it is gone.
    """
    try:
        model = registry.model(name)
    except NotFoundError:
        _mark_gone([row.pk for row in _known_models([name]).values()], now)
        raise
    _apply_models(registry, [model], _state().pass_number, now)


def _mark_gone(models: Sequence[int], now: datetime) -> None:
    with transaction.atomic():
        ModelVersion.objects.filter(model__in=models, removed_at=None).update(removed_at=now)
        RegisteredModel.objects.filter(pk__in=models, removed_at=None).update(removed_at=now)
        model_index.refresh(models)


def refresh_version(registry: Registry, ref: VersionRef, now: datetime) -> None:
    """Read one version afresh, with its model's aliases and its details.

    Raises NotFoundError, having marked the version as removed, when it is gone. Details that cannot be read are no
    error: the version's row says why.
    """
    refresh_model(registry, ref.model, now)
    found = _refresh_row(registry, ref, now)
    row = ModelVersion.objects.get(model__name=ref.model, model__exact_name=True, version=ref.version)
    _read_details(registry, row, found, now)


def _refresh_row(registry: Registry, ref: VersionRef, now: datetime) -> RegistryVersion:
    try:
        found = registry.version(ref)
    except NotFoundError:
        _mark_version_gone(ref, now)
        raise
    _apply_versions(registry, [found], _state().pass_number, now, touch=True)
    return found


def _mark_version_gone(ref: VersionRef, now: datetime) -> None:
    rows = ModelVersion.objects.filter(model__name=ref.model, model__exact_name=True, version=ref.version)
    with transaction.atomic():
        rows.filter(removed_at=None).update(removed_at=now)
        model_index.refresh(rows.values_list("model", flat=True))


# ---------------------------------------------------------------- details


def fill_details(registry: Registry, limit: int, now: datetime) -> int:
    """Read metrics, parameters and signature of up to ``limit`` versions that lack them, newest first.

    A version that fails is tried again after five minutes, so it cannot stand in the way of others. Returns how
    many were read; stops at the first temporary error, because the next would most likely fail too.
    """
    due = Q(details_tried_at=None) | Q(details_tried_at__lt=now - DETAILS_RETRY)
    rows = ModelVersion.objects.filter(due, details_at=None, removed_at=None, model__exact_name=True)
    read = 0
    for row in rows.select_related("model").order_by("-created_at", "-pk")[:limit]:
        found = RegistryVersion(VersionRef(row.model.name, row.version), stage=row.stage, run_id=row.run_id)
        error = _read_details(registry, row, found, now)
        if isinstance(error, TemporaryError):
            return read
        read += error is None
    return read


def _read_details(registry: Registry, row: ModelVersion, found: RegistryVersion, now: datetime) -> PortError | None:
    """Write the details down, or the reason why they can't be read, which is also returned."""
    try:
        details = registry.details(found)
    except PortError as error:
        ModelVersion.objects.filter(pk=row.pk).update(details_tried_at=now, details_error=clean(str(error)))
        logger.warning("no details of %r: %s", found.ref, error)
        return error
    values = {**_details_values(details), "details_at": now, "details_tried_at": now, "details_error": ""}
    with transaction.atomic():
        ModelVersion.objects.filter(pk=row.pk).update(**values)
        model_index.refresh([row.model_id])
    return None


def _details_values(details: VersionDetails) -> dict[str, Any]:
    values = {
        "metrics": dict(details.metrics),
        "params": dict(details.params),
        "run_tags": dict(details.run_tags),
        "run_name": details.run_name,
        "experiment_id": details.experiment_id[:64],
        "signature": None if details.signature is None else dict(details.signature),
        "flavors": list(details.flavors),
    }
    return {name: clean(value) for name, value in values.items()}


# ---------------------------------------------------------------- models into rows


def _apply_models(registry: Registry, items: Sequence[RegistryModel], pass_number: int, now: datetime) -> int:
    """Write down what differs, and that all of them were seen; return how many differed."""
    rows = _known_models([item.name for item in items])
    pairs = [_settled(registry, rows[item.name], item) for item in items if item.name in rows]
    new = [item for item in items if item.name not in rows]
    with recording():
        added = _insert_models(new, pass_number)
        changed = [row.pk for row, item in pairs if _update_model(row, item, now)]
        seen = RegisteredModel.objects.filter(pk__in=[row.pk for row, _ in pairs])
        seen.exclude(seen_pass=pass_number).update(seen_pass=pass_number)
        model_index.refresh([*added, *changed])
    return len(new) + len(changed)


def _model_values(item: RegistryModel) -> dict[str, Any]:
    values = {
        "description": clean(item.description),
        "tags": clean(dict(item.tags)),
        "aliases": clean(dict(item.aliases)),
        "created_at": item.created_at,
        "updated_at": item.updated_at,
    }
    return values | {"digest": _digest(values)}


def _settled(registry: Registry, row: RegisteredModel, item: RegistryModel) -> tuple[RegisteredModel, RegistryModel]:
    """The pair to compare. A page can be older than the row, which the engine writes too: where an alias of a stage
    has moved without us, the row is read again, and after it the registry."""
    if not _moved_aliases(row, item) or not row.exact_name:
        return row, item
    row = RegisteredModel.objects.get(pk=row.pk)
    try:
        return row, registry.model(item.name)
    except NotFoundError:
        return row, item


def _moved_aliases(row: RegisteredModel, item: RegistryModel) -> list[dict[str, Any]]:
    """The aliases of stages that somebody else has moved, as details for the record."""
    moves = [(alias, row.aliases.get(alias), item.aliases.get(alias)) for alias in STAGE_ALIASES.values()]
    return [
        {"alias": alias, "from_version": before, "to_version": after}
        for alias, before, after in moves
        if before != after and after not in expected_alias(row, alias)
    ]


def _update_model(row: RegisteredModel, item: RegistryModel, now: datetime) -> int:
    """1 when the row differed and was written; the digest makes sure that only one worker records a change."""
    values = _model_values(item)
    came_back = row.removed_at is not None and row.removed_at < now
    if values["digest"] == row.digest and row.aliases == values["aliases"] and not came_back:
        return 0
    surprises = _moved_aliases(row, item)
    same = RegisteredModel.objects.filter(pk=row.pk, digest=row.digest)
    if same.update(**values, removed_at=None if came_back else row.removed_at) != 1:
        return 0
    for details in surprises:
        record("out_of_band_alias_change", actor=MLFLOW, now=now, model=row, reason=OUT_OF_BAND_REASON, details=details)
    return 1


def _known_models(names: Sequence[str]) -> dict[str, RegisteredModel]:
    """Rows by the registry's own names. A name that the tables can't hold is known by the hash in its slug."""
    exact = [name for name in names if clean(name) == name]
    rows = {row.name: row for row in RegisteredModel.objects.filter(name__in=exact, exact_name=True)}
    for name in names:
        if clean(name) != name:
            row = RegisteredModel.objects.filter(slug=slug_of(name), name=clean(name), exact_name=False).first()
            rows |= {name: row} if row else {}
    return rows


def _insert_models(items: Sequence[RegistryModel], pass_number: int) -> list[int]:
    """Insert many at once, and return their keys. Whatever meets a taken slug, or another worker's row, is looked at on
    its own."""
    rows = [_model_row(item, slug_of(item.name), pass_number) for item in items]
    RegisteredModel.objects.bulk_create(rows, ignore_conflicts=True, batch_size=500)
    known = _known_models([item.name for item in items])
    alone = [_insert_model(item, pass_number) for item in items if item.name not in known]
    return [*(row.pk for row in known.values()), *alone]


def _insert_model(item: RegistryModel, pass_number: int) -> int:
    """Take the first slug that is free; one that is this very model's own row is not taken again. Returns its key."""
    taken: set[str] = set()
    while True:
        slug = slug_of(item.name, taken)
        holder = RegisteredModel.objects.filter(slug=slug).first()
        if holder is None:
            row = _model_row(item, slug, pass_number)
            row.save(force_insert=True)
            return row.pk
        if not holder.exact_name and holder.name == clean(item.name):
            return holder.pk
        taken.add(slug)


def _model_row(item: RegistryModel, slug: str, pass_number: int) -> RegisteredModel:
    cleaned = clean(item.name)
    return RegisteredModel(
        name=cleaned, slug=slug, exact_name=cleaned == item.name, seen_pass=pass_number, **_model_values(item)
    )


# ---------------------------------------------------------------- versions into rows


@dataclass(frozen=True, slots=True)
class _Known:
    """What a comparison needs of a version's row."""

    pk: int
    digest: str
    stage: str
    removed_at: datetime | None
    run: tuple[str, datetime | None]


def _apply_versions(
    registry: Registry, items: Sequence[RegistryVersion], pass_number: int, now: datetime, *, touch: bool
) -> int:
    """Write down what differs; return how many differed.

    With ``touch`` the unchanged are marked as seen, in one update. Changed and new rows are written in one statement,
    without the stage of those that were known.
    """
    models = _models_of(registry, items, pass_number, now)
    known = _known_versions(models, items)
    writes: list[ModelVersion] = []
    same: list[int] = []
    moved: list[tuple[int, RegistryVersion]] = []
    for item in items:
        if item.ref.model not in models:
            continue
        model = models[item.ref.model]
        values = _version_values(item)
        before = known.get((model.pk, item.ref.version))
        removed_at = _removed_at(before, now)
        if before is not None and (before.digest, before.removed_at) == (values["digest"], removed_at):
            same.append(before.pk)
        else:
            writes.append(_version_row(model, item, values, removed_at, pass_number))
        if before is not None and before.stage != item.stage:
            moved.append((before.pk, item))
    _write(writes, known)
    if touch and same:
        ModelVersion.objects.filter(pk__in=same).exclude(seen_pass=pass_number).update(seen_pass=pass_number)
    for pk, item in moved[:CONFIRMATIONS]:
        _follow_stage(registry, pk, item, now)
    return len(writes) + len(moved)


def _models_of(
    registry: Registry, items: Sequence[RegistryVersion], pass_number: int, now: datetime
) -> dict[str, RegisteredModel]:
    """The models' rows, reading those that are new; a model deleted meanwhile is missing from the answer."""
    names = list(dict.fromkeys(item.ref.model for item in items))
    rows = _known_models(names)
    for name in names:
        if name in rows:
            continue
        try:
            model = registry.model(name)
        except NotFoundError:
            continue
        _apply_models(registry, [model], pass_number, now)
        rows |= _known_models([name])
    return rows


def _known_versions(
    models: Mapping[str, RegisteredModel], items: Sequence[RegistryVersion]
) -> dict[tuple[int, int], _Known]:
    wanted = ModelVersion.objects.filter(
        model__in=[model.pk for model in models.values()], version__in={item.ref.version for item in items}
    )
    fields = ("model_id", "version", "pk", "digest", "stage", "removed_at", "run_id", "created_at")
    return {
        (model, version): _Known(pk, digest, stage, removed_at, (run_id, created_at))
        for model, version, pk, digest, stage, removed_at, run_id, created_at in wanted.values_list(*fields)
    }


def _version_values(item: RegistryVersion) -> dict[str, Any]:
    """What a listing says of a version, but for its stage, and the digest of it."""
    values = {
        "description": clean(item.description),
        "tags": clean(dict(item.tags)),
        "status": clean(item.status)[:32],
        "source": clean(item.source),
        "run_id": clean(item.run_id)[:64],
        "created_at": item.created_at,
        "updated_at": item.updated_at,
    }
    return values | {"digest": _digest(values)}


def _version_row(
    model: RegisteredModel,
    item: RegistryVersion,
    values: Mapping[str, Any],
    removed_at: datetime | None,
    pass_number: int,
) -> ModelVersion:
    return ModelVersion(
        model=model,
        version=item.ref.version,
        stage=item.stage,
        stage_since=item.updated_at,
        removed_at=removed_at,
        seen_pass=pass_number,
        **values,
    )


_CONTENT = (
    "description",
    "tags",
    "status",
    "source",
    "run_id",
    "created_at",
    "updated_at",
    "digest",
    "removed_at",
    "seen_pass",
)
_NO_DETAILS: dict[str, Any] = {
    "metrics": {},
    "params": {},
    "run_tags": {},
    "run_name": "",
    "experiment_id": "",
    "signature": None,
    "flavors": [],
    "details_at": None,
    "details_tried_at": None,
    "details_error": "",
    "artifact_digest": "",
    "artifact_listing": "",
    "artifact_read_at": None,
}


def _removed_at(before: _Known | None, now: datetime) -> datetime | None:
    """None: the version is there. A row marked since the page was asked for stays marked."""
    if before is None or before.removed_at is None or before.removed_at < now:
        return None
    return before.removed_at


def _write(rows: Sequence[ModelVersion], known: Mapping[tuple[int, int], _Known]) -> None:
    """Insert or update; a number that was given to another version since then loses the old one's details, and the time
    that the old one had in its stage."""
    if not rows:
        return
    replaced = [
        before.pk
        for row in rows
        if (before := known.get((row.model_id, row.version))) and before.run != (row.run_id, row.created_at)
    ]
    with transaction.atomic():
        ModelVersion.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=("model", "version"), update_fields=_CONTENT, batch_size=500
        )
        if replaced:
            ModelVersion.objects.filter(pk__in=replaced).update(**_NO_DETAILS, stage_since=F("updated_at"))
        model_index.refresh({row.model_id for row in rows})


def _follow_stage(registry: Registry, pk: int, item: RegistryVersion, now: datetime) -> None:
    """Let the row follow the registry's stage, and record the change unless it is ours.

    The page may be older than the row, which the engine writes too. So the row is read, then the registry again;
    the update holds only if the row has not moved meanwhile.
    """
    row = ModelVersion.objects.select_related("model").get(pk=pk)
    try:
        stage = registry.version(item.ref).stage if row.model.exact_name else item.stage
    except NotFoundError:
        return
    if stage == row.stage:
        return
    with recording():
        if ModelVersion.objects.filter(pk=pk, stage=row.stage).update(stage=stage, stage_since=now) != 1:
            return
        if stage not in expected_stages(row):
            record(
                "out_of_band_stage_change",
                actor=MLFLOW,
                now=now,
                version=row,
                from_stage=from_mlflow(row.stage),
                to_stage=from_mlflow(stage),
                reason=OUT_OF_BAND_REASON,
            )
        model_index.refresh([row.model_id])


def claim_tags(row: ModelVersion, tags: Mapping[str, str]) -> bool:
    """Show the tags that are about to be written to the registry; False when the row is no longer as it was read.

    Forgetting the digest makes the next read put the registry's own tags back, should the write never happen.
    """
    same = ModelVersion.objects.filter(pk=row.pk, digest=row.digest, removed_at=None)
    return same.update(tags=dict(tags), digest="") == 1


# ---------------------------------------------------------------- what the engine is about to do


def expected_stages(version: ModelVersion) -> frozenset[str]:
    """The stages (MLflow's words) that the engine is bringing the version to: seeing one of them is no surprise."""
    payloads = _intents(version.model_id, "stage")
    return frozenset(
        to_mlflow(Stage(payload["stage"])) for payload in payloads if payload["version"] == version.version
    )


def expected_alias(model: RegisteredModel, alias: str) -> frozenset[int | None]:
    """The versions that the engine is giving the alias to; None when it is taking the alias away."""
    return frozenset(payload["version"] for payload in _intents(model.pk, "alias") if payload["alias"] == alias)


def _intents(model_id: int, kind: str) -> list[dict[str, Any]]:
    """A dropped intent may have been carried out all the same, its reply lost: it counts while its transition runs."""
    unconfirmed = (Effect.Outcome.OPEN, Effect.Outcome.DROPPED)
    return list(
        Effect.objects.filter(
            kind=kind, outcome__in=unconfirmed, transition__model=model_id, transition__status__in=EXECUTING
        ).values_list("payload", flat=True)
    )


# ---------------------------------------------------------------- text


def clean(value: Any) -> Any:
    """The value with everything replaced that a database or JSON cannot hold: U+FFFD for NUL and lone surrogates,
    the words NaN, Infinity and -Infinity for such numbers. Goes through dictionaries and lists."""
    if isinstance(value, str):
        return _clean_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {_clean_text(str(key)): clean(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [clean(each) for each in value]
    return value


def _clean_text(text: str) -> str:
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()
