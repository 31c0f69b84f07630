"""Telling whether two versions share files, from what the registry says of where they are."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_MODEL_ID = re.compile(r"m-[0-9a-f]{32}")
_RUN_ID = re.compile(r"[0-9a-f]{32}")

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Location:
    """Where files are, in every spelling that counts: two locations overlap when, in one spelling, a path of one is at,
    above or below a path of the other."""

    paths: tuple[Path, ...]

    def prefixes(self) -> Iterator[Path]:
        """Every path of the location and every one above it."""
        for path in self.paths:
            yield from (path[:length] for length in range(2, len(path) + 1))


def location_of(source: str, run_id: str = "") -> Location:
    """Where a version's files are. ``source`` is as the registry has it; a copy's has to be that of its original.

    MLflow has several names for one place: a logged model is ``models:/<id>`` and ``.../models/<id>/artifacts``, what a
    run logged is ``runs:/<run id>/<name>`` and ``.../<run id>/artifacts/<name>``. Since MLflow 3 the former can also
    mean a logged model of that run, any of them: the name does not say which.
    """
    split = urllib.parse.urlsplit(source)
    parts = tuple(part for part in split.path.split("/") if part)
    written = (split.scheme, split.netloc, *parts)
    model = next((part for part in parts if _MODEL_ID.fullmatch(part)), "")
    if model:
        by_run = (("models of", run_id, model),) if run_id else ()
        return Location((("model", model), written, *by_run))
    if split.scheme == "runs" and parts:
        return Location((("run", *parts), ("models of", parts[0])))
    for position, part in enumerate(parts[:-1]):
        if _RUN_ID.fullmatch(part) and parts[position + 1] == "artifacts":
            return Location((("run", part, *parts[position + 2 :]), written))
    return Location((written,))


def original_of(source: str) -> tuple[str, int] | None:
    """The model and version that a copied version was made of; None for a version that is no copy."""
    name, slash, number = source.removeprefix("models:/").rpartition("/")
    if not source.startswith("models:/") or not slash or not number.isdecimal():
        return None
    return name, int(number)


class Overlaps:
    """Finds, among many locations, those that overlap one at hand: a few look-ups, however many there are."""

    def __init__(self, wanted: Iterable[tuple[int, Location]]) -> None:
        self._at: dict[Path, set[int]] = {}
        self._at_or_above: dict[Path, set[int]] = {}
        for key, location in wanted:
            for path in location.paths:
                self._at.setdefault(path, set()).add(key)
            for path in location.prefixes():
                self._at_or_above.setdefault(path, set()).add(key)

    def with_(self, location: Location) -> set[int]:
        """The keys of the locations that overlap this one."""
        found: set[int] = set()
        for path in location.paths:
            found |= self._at_or_above.get(path, set())
        for path in location.prefixes():
            found |= self._at.get(path, set())
        return found
