"""What the clean-up will do, as its page shows it: kept for a moment, and in a large installation for a while.

Every archived version has to be looked at for it. Where those are many, what was reckoned is kept in the cache until a
worker reckons anew, every few minutes, and the page says since when. A hold, a policy or a clean-up makes it forgotten
at once. The clean-up itself never uses it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, overload

from django.core.cache import cache

from lifecycle.domain.retention import Protection
from lifecycle.queries_retention import Outlook, outlook

MANY = 2000
"""Versions that go or are protected: more of them are not looked at again just because somebody opens the page."""
KEPT = timedelta(minutes=15)
"""Three times as long as a worker takes to come back to it."""
MOMENT = timedelta(seconds=5)
"""As long as a change in MLflow may take to be seen here anyway."""
CHUNK = 500
_KEY = "retention-outlook"


@dataclass(frozen=True, slots=True)
class Reckoned:
    """As ``Outlook``. ``at`` is when it was reckoned, None for a moment ago."""

    going: Sequence[tuple[datetime, int]]
    protected: Sequence[tuple[int, Protection]]
    due: int
    later: int
    at: datetime | None = None

    @property
    def soon(self) -> int:
        return len(self.going) - self.due


def lately(now: datetime) -> Reckoned:
    kept: tuple[str, int, int, int, int, datetime | None] | None = cache.get(_KEY)
    if kept is None:
        return refresh(now)
    stamp, going, protected, due, later, at = kept
    return Reckoned(_Kept(stamp, "going", going), _Kept(stamp, "protected", protected), due, later, at)


def refresh(now: datetime) -> Reckoned:
    """Reckon anew."""
    found = outlook(now)
    _keep(found, now, many=len(found.going) + len(found.protected) + found.later > MANY)
    return Reckoned(found.going, found.protected, found.due, found.later)


def forget() -> None:
    cache.delete(_KEY)


def _keep(found: Outlook, now: datetime, *, many: bool) -> None:
    """In chunks, so that a page reads one of them; the summary comes last."""
    stamp, seconds = now.isoformat(), (KEPT if many else MOMENT).total_seconds()
    chunks: dict[str, Any] = {}
    for name, rows in (("going", found.going), ("protected", found.protected)):
        for start in range(0, len(rows), CHUNK):
            chunks[f"{_KEY}:{stamp}:{name}:{start}"] = rows[start : start + CHUNK]
    cache.set_many(chunks, seconds)
    cache.set(
        _KEY, (stamp, len(found.going), len(found.protected), found.due, found.later, now if many else None), seconds
    )


class _Kept(Sequence[Any]):
    """One of the lists, read as far as it is asked for. A part that the cache has lost is reckoned again."""

    def __init__(self, stamp: str, name: str, length: int) -> None:
        self._stamp, self._name, self._length = stamp, name, length

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, place: int) -> Any: ...
    @overload
    def __getitem__(self, place: slice) -> list[Any]: ...
    def __getitem__(self, place: int | slice) -> Any:
        places = range(self._length)[place]
        if isinstance(places, int):
            return self[places : places + 1][0]
        return list(self._read(places))

    def _read(self, places: range) -> Iterator[Any]:
        starts = sorted({each - each % CHUNK for each in places})
        keys = {start: f"{_KEY}:{self._stamp}:{self._name}:{start}" for start in starts}
        chunks = cache.get_many(keys.values())
        if len(chunks) < len(keys):
            forget()
            rows = getattr(outlook(datetime.fromisoformat(self._stamp)), self._name)
            yield from (rows[each] for each in places if each < len(rows))
            return
        for each in places:
            start = each - each % CHUNK
            yield chunks[keys[start]][each - start]
