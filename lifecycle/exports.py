"""The record as a stream: a million entries take no more memory than a thousand.

Entries are read by windows of their numbers, which have no gaps. So every query is short, however long the export
takes: nothing is locked, no reader keeps SQLite from putting its log back into the database, and whoever stops reading
stops the queries. What a window holds never changes, so an export that was cut off goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Count, Max, Min, QuerySet
from django.db.models.functions import Coalesce

from lifecycle.domain import chain
from lifecycle.domain.exporting import COLUMNS, ExportFormat
from lifecycle.models import AuditEntry
from lifecycle.queries import RecordFilter, record_entries

WINDOW = 2000
"""Entries that are looked at together; of a filtered record fewer come out."""
KEPT = timedelta(days=1)
"""How long a finished file can be downloaded, and how long it may take to be written."""
TIMES = ("since", "until")
INDEXED = ("model", "actor", "action", "at", "transition")


@dataclass(frozen=True, slots=True)
class Scope:
    """``rows`` entries match, the first of them and the last with these numbers; 0 where none does."""

    rows: int
    first: int
    last: int


def scope(wanted: RecordFilter) -> Scope:
    """Counts, so it can take a second where a million entries have to be looked at."""
    found = record_entries(wanted).order_by().aggregate(rows=Count("pk"), first=Min("seq"), last=Max("seq"))
    return Scope(found["rows"], found["first"] or 0, found["last"] or 0)


def last_seq() -> int:
    """The number of the newest entry, 0 of an empty record."""
    return AuditEntry.objects.order_by("-seq").values_list("seq", flat=True).first() or 0


def stream(wanted: RecordFilter, form: ExportFormat) -> Iterator[bytes]:
    """The whole file, piece by piece, oldest entry first."""
    yield form.head
    for entries in windows(wanted, 1, last_seq() if wanted.last_seq is None else wanted.last_seq):
        yield form.lines(entries)


def windows(wanted: RecordFilter, first: int, last: int) -> Iterator[list[dict[str, Any]]]:
    """Matching entries from ``first`` to ``last``, both included, as values by ``COLUMNS``; never an empty list."""
    entries = _by_number(wanted).order_by("seq").values_list(*COLUMNS)
    for begin in range(first, last + 1, WINDOW):
        rows = list(entries.filter(seq__gte=begin, seq__lte=min(begin + WINDOW - 1, last)))
        if rows:
            yield [_values(row) for row in rows]


def seq_at(wanted: RecordFilter, position: int) -> int | None:
    """The number of the matching entry that has so many matching ones before it; None when there are not as many."""
    return _by_number(wanted).order_by("seq").values_list("seq", flat=True)[position : position + 1].first()


def _by_number(wanted: RecordFilter) -> QuerySet[AuditEntry]:
    """The filter in a form that no other index serves.

    SQLite would take the index of the model before that of the numbers, and go through all of a model's entries again
    for every window.
    """
    own = {f"own_{name}": Coalesce(name, name) for name in INDEXED}
    conditions = {
        f"own_{lookup}" if lookup.partition("__")[0] in INDEXED else lookup: value
        for lookup, value in wanted.conditions().items()
    }
    return AuditEntry.objects.alias(**own).filter(**conditions)


def _values(row: tuple[Any, ...]) -> dict[str, Any]:
    values = dict(zip(COLUMNS, row, strict=True))
    values["at"] = chain.timestamp(values["at"])
    return values


def place_of(name: str) -> Path:
    """Where the file of an export is that somebody asked for in the browser: on one machine, or in a shared folder."""
    return Path(settings.EXPORTS_DIR) / name


# ---------------------------------------------------------------- filters as JSON


def dump_filter(wanted: RecordFilter) -> dict[str, Any]:
    """What restricts, as the record and a job keep it: JSON values."""
    given = {name: value for name, value in asdict(wanted).items() if value not in ("", None)}
    return {name: chain.timestamp(value) if name in TIMES else value for name, value in given.items()}


def load_filter(values: Mapping[str, Any]) -> RecordFilter:
    times = {name: datetime.fromisoformat(values[name]) for name in TIMES if name in values}
    return RecordFilter(**{**values, **times})
