"""Pictures that explain a version: found among what its run and its model logged, and fetched for whoever looks.

MLflow is asked while somebody waits, so what is asked is bounded in number and time, and its answers are kept.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from django.core.cache import cache, caches

from lifecycle import adapters, imaging
from lifecycle.domain.pictures import explains, is_explaining, title_of
from lifecycle.imaging import NotAPictureError, Shown
from lifecycle.models import ModelVersion
from lifecycle.ports import ArtifactEntry, Keeper, PortError, RegistryVersion, TemporaryError, VersionRef

logger = logging.getLogger(__name__)

MOST_PICTURES = 24
MOST_FOLDERS = 12
"""Folders that are looked into for one version: a model can be logged in thousands."""
DEEPEST = 3
SECONDS = 5.0
"""How long all that is asked of MLflow for one answer may take."""
KEPT_LIST = 300
"""Seconds for which it is remembered what there is: a run can be given more pictures while it goes on."""
_PICTURES = "pictures"


@dataclass(frozen=True, slots=True)
class Picture:
    """``key`` names it in addresses: a digest of where it is and how long."""

    key: str
    keeper: Keeper
    path: str
    size: int

    @property
    def title(self) -> str:
        return title_of(self.path)


@dataclass(frozen=True, slots=True)
class Gallery:
    """``whole`` is False when there may be more: not every folder was looked into."""

    pictures: tuple[Picture, ...]
    whole: bool = True


class NotFetchedError(Exception):
    """MLflow could not be asked. ``str(error)`` says why."""


def gallery(version: ModelVersion, *, afresh: bool = False) -> Gallery:
    """The pictures that explain a version, those of folders for it first. Raises NotFetchedError."""
    key = f"gallery:{_digest(version.pk, version.run_id, version.source)}"
    known = None if afresh else cache.get(key)
    if known is not None:
        return _load(*known)
    found = _search(version)
    pictures = [(each.key, each.keeper.value, each.path, each.size) for each in found.pictures]
    cache.set(key, (pictures, found.whole), KEPT_LIST)
    return found


def _load(pictures: list[tuple[str, str, str, int]], whole: bool) -> Gallery:
    return Gallery(tuple(Picture(key, Keeper(keeper), path, size) for key, keeper, path, size in pictures), whole)


def picture(version: ModelVersion, key: str) -> tuple[Picture, Shown]:
    """One of the gallery's pictures. Raises LookupError, NotAPictureError or NotFetchedError."""
    found = next((each for each in gallery(version).pictures if each.key == key), None)
    if found is None:
        raise LookupError(key)
    return found, _remembered(key) or _fetched(version, found)


# ---------------------------------------------------------------- what there is


def _search(version: ModelVersion) -> Gallery:
    """What was found before MLflow fell silent is shown; only nothing at all is an error."""
    deadline = time.monotonic() + SECONDS
    found: list[Picture] = []
    folders, looks = [(keeper, "") for keeper in _keepers(version)], 0
    while folders and looks < MOST_FOLDERS and len(found) <= MOST_PICTURES:
        (keeper, folder), looks = folders.pop(0), looks + 1
        try:
            entries = adapters.registry().folder(_named(version), keeper, folder, seconds=_left(deadline))
        except PortError as error:
            if not found:
                raise NotFetchedError(str(error)) from error
            return Gallery(tuple(found[:MOST_PICTURES]), whole=False)
        found += _pictures(version, keeper, entries)
        folders = sorted([*folders, *_worth_a_look(keeper, entries)], key=_by_promise)
    return Gallery(tuple(found[:MOST_PICTURES]), whole=not folders and len(found) <= MOST_PICTURES)


def _keepers(version: ModelVersion) -> tuple[Keeper, ...]:
    """A name that was cleaned could be another model's: then only the run, which has an id, is asked."""
    return tuple(Keeper) if version.model.exact_name else (Keeper.RUN,)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TemporaryError(f"MLflow did not answer within {SECONDS:g} seconds.")
    return left


def _worth_a_look(keeper: Keeper, entries: tuple[ArtifactEntry, ...]) -> Iterator[tuple[Keeper, str]]:
    return ((keeper, each.path) for each in entries if each.is_folder and each.path.count("/") < DEEPEST)


def _by_promise(place: tuple[Keeper, str]) -> tuple[bool, int, bool, str]:
    keeper, folder = place
    return not any(map(is_explaining, folder.split("/"))), folder.count("/"), keeper == Keeper.MODEL, folder


def _pictures(version: ModelVersion, keeper: Keeper, entries: tuple[ArtifactEntry, ...]) -> Iterator[Picture]:
    for each in entries:
        if not each.is_folder and explains(each.path):
            key = _digest(version.pk, version.run_id, version.source, keeper, each.path, each.size)
            yield Picture(key, keeper, each.path, each.size)


def _named(version: ModelVersion) -> RegistryVersion:
    ref = VersionRef(version.model.name, version.version)
    return RegistryVersion(ref, version.stage, source=version.source, run_id=version.run_id)


def _digest(*parts: object) -> str:
    return sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]


# ---------------------------------------------------------------- the pictures themselves


def _fetched(version: ModelVersion, found: Picture) -> Shown:
    if found.size > imaging.MOST_BYTES:
        raise NotAPictureError(f"It has {found.size:,} bytes; at most {imaging.MOST_BYTES:,} are shown.")
    try:
        file = adapters.registry().content(
            _named(version), found.keeper, found.path, most=imaging.MOST_BYTES, seconds=SECONDS
        )
    except PortError as error:
        raise NotFetchedError(str(error)) from error
    made = imaging.shown(file)
    _remember(found.key, made)
    return made


def _remembered(key: str) -> Shown | None:
    """A cache that cannot be read is one that knows nothing."""
    try:
        known = caches[_PICTURES].get(key)
    except OSError as error:
        logger.warning("the cache of pictures cannot be read: %s", error)
        return None
    return Shown(known, sha256(known).hexdigest()) if isinstance(known, bytes) else None


def _remember(key: str, made: Shown) -> None:
    try:
        caches[_PICTURES].set(key, made.content)
    except OSError as error:
        logger.warning("the cache of pictures cannot be written: %s", error)
