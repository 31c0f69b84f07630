"""Pictures that explain a version: found among what its run and its model logged, and fetched for whoever looks.

MLflow is asked while somebody waits, so what is asked is bounded in number and time, and its answers are kept.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
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
RECENT_SECONDS = 300
"""For so long nobody looks again by themselves: a run can be given more pictures while it goes on."""
KEPT_SECONDS = 86_400
"""For so long it is known what there was, for whoever asks for the pictures of a panel that is open."""
AGAIN_SECONDS = 10
"""People who ask to look again do so once in this time, whoever they are: each look asks for up to MOST_FOLDERS."""
_SEARCH_SECONDS = int(3 * SECONDS)
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
    """``whole`` is False when there may be more: not every folder was looked into.

    ``generation`` is another one after what there is has changed, or somebody asked to look again: a file that was
    logged anew can have the name and the length of the one before.
    """

    pictures: tuple[Picture, ...]
    whole: bool = True
    generation: str = ""


class NotFetchedError(Exception):
    """MLflow could not be asked. ``str(error)`` says why."""


def gallery(version: ModelVersion, *, afresh: bool = False) -> Gallery:
    """The pictures that explain a version, those of folders for it first. Raises NotFetchedError.

    Of all who ask for the same version at once, one asks MLflow.
    """
    place = _place(version)
    known = _known(place)
    if known is not None and not _is_worth_a_look(place, afresh=afresh):
        return known
    if not cache.add(f"pictures-searched:{place}", True, _SEARCH_SECONDS):
        if known is None:
            raise NotFetchedError("They are being looked for at this moment.")
        return known
    try:
        found = _search(version)
        return _keep(place, replace(found, generation=_generation(found, None if afresh else known)))
    finally:
        cache.delete(f"pictures-searched:{place}")


def picture(version: ModelVersion, key: str) -> tuple[Picture, Shown]:
    """One of the gallery's pictures. Raises LookupError, NotAPictureError, imaging.BusyError or NotFetchedError.

    What the panel found is what there is, however long ago that was.
    """
    known = _known(_place(version)) or gallery(version)
    found = next((each for each in known.pictures if each.key == key), None)
    if found is None:
        raise LookupError(key)
    kept_as = f"{key}-{known.generation}"
    return found, _remembered(kept_as) or _fetched(version, found, kept_as)


def _is_worth_a_look(place: str, *, afresh: bool) -> bool:
    if cache.get(f"pictures-recent:{place}") is None:
        return True
    return afresh and cache.add(f"pictures-again:{place}", True, AGAIN_SECONDS)


def _generation(found: Gallery, known: Gallery | None) -> str:
    is_same = known is not None and known.pictures == found.pictures
    return known.generation if known and is_same else secrets.token_hex(4)


def _place(version: ModelVersion) -> str:
    return _digest(version.pk, version.run_id, version.source)


def _known(place: str) -> Gallery | None:
    kept = cache.get(f"pictures-found:{place}")
    if kept is None:
        return None
    pictures, whole, generation = kept
    found = tuple(Picture(key, Keeper(keeper), path, size) for key, keeper, path, size in pictures)
    return Gallery(found, whole, generation)


def _keep(place: str, found: Gallery) -> Gallery:
    pictures = [(each.key, each.keeper.value, each.path, each.size) for each in found.pictures]
    cache.set(f"pictures-found:{place}", (pictures, found.whole, found.generation), KEPT_SECONDS)
    cache.set(f"pictures-recent:{place}", True, RECENT_SECONDS)
    return found


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


def _fetched(version: ModelVersion, found: Picture, kept_as: str) -> Shown:
    if found.size > imaging.MOST_BYTES:
        raise NotAPictureError(f"It has {found.size:,} bytes; at most {imaging.MOST_BYTES:,} are shown.")
    try:
        file = adapters.registry().content(
            _named(version), found.keeper, found.path, most=imaging.MOST_BYTES, seconds=SECONDS
        )
    except PortError as error:
        raise NotFetchedError(str(error)) from error
    try:
        made = imaging.shown(file)
    except NotAPictureError as error:
        _remember(kept_as, str(error))
        raise
    _remember(kept_as, made.content)
    return made


def _remembered(kept_as: str) -> Shown | None:
    """A cache that cannot be read is one that knows nothing. Raises NotAPictureError for what was refused before."""
    try:
        known = caches[_PICTURES].get(kept_as)
    except OSError as error:
        logger.warning("the cache of pictures cannot be read: %s", error)
        return None
    if isinstance(known, str):
        raise NotAPictureError(known)
    return Shown(known, sha256(known).hexdigest()) if isinstance(known, bytes) else None


def _remember(kept_as: str, made: bytes | str) -> None:
    """The picture, or the words that say why there is none: a broken file is fetched and tried once as well."""
    try:
        caches[_PICTURES].set(kept_as, made)
    except OSError as error:
        logger.warning("the cache of pictures cannot be written: %s", error)
