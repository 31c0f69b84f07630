"""What the record's pages show: a page of entries, one entry, and how far a checkpoint proves the record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import connection
from django.db.models import Q, QuerySet

from lifecycle import audit, checkpoints
from lifecycle.checkpoints import State
from lifecycle.domain import chain
from lifecycle.models import AuditEntry, Checkpoint
from lifecycle.queries import RecordFilter, record_entries

Entries = QuerySet[AuditEntry]
PAGE_SIZE = 50
COUNTED = 1000
"""More matching entries than these are not counted for a page: that would mean to look at all of them."""
NAMES = 20
"""So many people whose names match are looked up one by one, each by the index; more of them are found by going back
through the record, where there is soon an entry of one of them."""


@dataclass(frozen=True, slots=True)
class Counted:
    """``number`` entries match; or more than these, unless it is ``exact``."""

    number: int
    exact: bool


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Entries, newest first, and how many match in all. The next pages begin at the sides of the entries ``newer`` and
    ``older``, None where there is none."""

    entries: tuple[AuditEntry, ...]
    newer: int | None
    older: int | None
    counted: Counted


def record_page(wanted: RecordFilter, last: int, *, before: int | None = None, after: int | None = None) -> RecordPage:
    """The newest entries; with ``before`` or ``after``, those next to the entry with that number. ``last`` is the
    number of the newest entry of all."""
    parts = _parts(wanted)
    counted = _count(parts) if wanted.conditions() else Counted(last, exact=True)
    place, newer = (before, False) if after is None else (after, True)
    rows = _next_to(parts, place, newer=newer, by_time=wanted.since is not None or wanted.until is not None)
    more = len(rows) > PAGE_SIZE
    entries = tuple(rows[:PAGE_SIZE][::-1] if newer else rows[:PAGE_SIZE])
    if not entries:
        return RecordPage((), None, None, counted)
    more_newer, more_older = (more, True) if newer else (place is not None, more)
    return RecordPage(entries, entries[0].seq if more_newer else None, entries[-1].seq if more_older else None, counted)


def _next_to(parts: Sequence[Entries], place: int | None, *, newer: bool, by_time: bool) -> list[AuditEntry]:
    """A page and one more, away from the entry ``place``.

    Between two moments entries are in the order of their times, which is that of their numbers but for clocks that
    disagree: so the index of the times leads to the first one at once.
    """
    names = ("at", "seq") if by_time else ("seq",)
    order = [name if newer else f"-{name}" for name in names]
    beside = _beside(place, by_time=by_time, newer=newer) if place is not None else Q()
    nearest = [part.filter(beside).order_by(*order)[: PAGE_SIZE + 1] for part in parts]
    if len(nearest) > 1:
        together = _together([AuditEntry.objects.filter(pk__in=each.values("pk")) for each in nearest])
        nearest = [AuditEntry.objects.filter(pk__in=together).order_by(*order)[: PAGE_SIZE + 1]]
    return [row for each in nearest for row in each]


def _together(parts: Sequence[Entries]) -> QuerySet[AuditEntry, Any]:
    """The keys of all."""
    first, *rest = (part.order_by().values("pk") for part in parts)
    return first.union(*rest, all=True) if rest else first


def _count(parts: Sequence[Entries]) -> Counted:
    found = _together(parts)[: COUNTED + 1].count() if parts else 0
    return Counted(min(found, COUNTED), exact=found <= COUNTED)


def _beside(place: int, *, by_time: bool, newer: bool) -> Q:
    side = Q(seq__gt=place) if newer else Q(seq__lt=place)
    at = AuditEntry.objects.filter(seq=place).values_list("at", flat=True).first() if by_time else None
    if at is None:
        return side
    return Q(at__gte=at) & (Q(at__gt=at) | side) if newer else Q(at__lte=at) & (Q(at__lt=at) | side)


def _parts(wanted: RecordFilter) -> list[Entries]:
    """What matches, as queries that have no entry in common and each find their newest by an index."""
    names = _actors(wanted.actor) if wanted.actor else []
    if not wanted.actor or len(names) > NAMES:
        return [record_entries(wanted)]
    rest = record_entries(replace(wanted, actor=""))
    return [rest.filter(actor=name) for name in names]


def _actors(part: str) -> list[str]:
    """The names in the record that have this part, in upper or lower case."""
    like = f"%{connection.ops.prep_for_like_query(chain.text(part))}%"
    return _distinct("actor", "UPPER(value) LIKE UPPER(%s) ESCAPE '\\'", like)


def recorded_actions() -> list[str]:
    """Every action that there is in the record, in the order of the alphabet."""
    return _distinct("action", "TRUE")


def _distinct(column: str, condition: str, *values: str) -> list[str]:
    """What a column holds, by its index: from each value straight to the next one, however many rows have it."""
    table = AuditEntry._meta.db_table
    statement = f"""
        WITH RECURSIVE found(value) AS (
            SELECT MIN({column}) FROM {table}
            UNION ALL
            SELECT (SELECT MIN({column}) FROM {table} WHERE {column} > found.value) FROM found WHERE value IS NOT NULL
        )
        SELECT value FROM found WHERE value IS NOT NULL AND {condition}"""  # noqa: S608 - made of names of our own
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return [row[0] for row in cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class EntryPage:
    """``canonical`` is what the hash is computed over; ``fits`` says whether it gives the hash, and ``follows`` whether
    the entry before has the hash that this one holds. ``checkpoint`` is the first one that covers the entry."""

    entry: AuditEntry
    canonical: str
    fits: bool
    follows: bool
    has_next: bool
    checkpoint: Checkpoint | None


def entry_page(seq: int) -> EntryPage | None:
    """None when the record has no such entry."""
    near = {row.seq: row for row in AuditEntry.objects.filter(seq__gte=seq - 1, seq__lte=seq + 1)}
    entry = near.get(seq)
    if entry is None:
        return None
    before = near[seq - 1].hash if seq - 1 in near else chain.FIRST
    canonical, digest = _canonical(audit.body(entry))
    return EntryPage(
        entry=entry,
        canonical=canonical,
        fits=digest == entry.hash,
        follows=entry.previous_hash == before,
        has_next=seq + 1 in near,
        checkpoint=_kept().filter(seq__gte=seq).order_by("seq").first(),
    )


def _canonical(body: dict[str, Any]) -> tuple[str, str]:
    """The canonical form and its hash; what has none was not written by Stagegate."""
    try:
        return chain.canonical(body).decode(), chain.entry_hash(body)
    except ValueError:
        return str(body), ""


@dataclass(frozen=True, slots=True)
class Proof:
    """``checkpoint`` is the newest one that is kept outside of the database, and ``fits`` says whether the record has
    what it says; ``last`` is the number of the newest entry, and ``open`` entries came after the checkpoint. ``state``
    says what waits, what is wrong, and who signs."""

    checkpoint: Checkpoint | None
    fits: bool
    last: int
    open: int
    state: State


def proof() -> Proof:
    state = checkpoints.state()
    newest = state.newest if state.newest and state.newest.delivered else _kept().order_by("-seq").first()
    numbers = [newest.seq] if newest else []
    ends = AuditEntry.objects.filter(Q(seq__in=numbers) | Q(seq=_last().values("seq")[:1])).order_by("seq")
    hashes = dict(ends.values_list("seq", "hash"))
    last = max(hashes, default=0)
    if newest is None:
        return Proof(None, False, last, last, state)
    return Proof(newest, hashes.get(newest.seq) == newest.hash, last, max(last - newest.seq, 0), state)


def _last() -> QuerySet[AuditEntry]:
    return AuditEntry.objects.order_by("-seq")


def _kept() -> QuerySet[Checkpoint]:
    """Checkpoints that are in a place outside of the database, if not in each of them."""
    return Checkpoint.objects.exclude(delivered=[])
