"""What the record's pages show: a page of entries, one entry, and how far a checkpoint proves the record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from lifecycle import audit, checkpoints
from lifecycle.checkpoints import State
from lifecycle.domain import chain
from lifecycle.exports import last_seq
from lifecycle.models import AuditEntry, Checkpoint
from lifecycle.queries import RecordFilter, record_entries

PAGE_SIZE = 100
COUNTED = 10_000
"""More matching entries than these are not counted for a page: that would mean to look at all of them."""


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Entries, newest first. The next pages begin at the sides of the entries ``newer`` and ``older``, None where there
    is none."""

    entries: tuple[AuditEntry, ...]
    newer: int | None
    older: int | None


def record_page(wanted: RecordFilter, *, before: int | None = None, after: int | None = None) -> RecordPage:
    """The newest entries; with ``before`` or ``after``, those next to the entry with that number."""
    found = record_entries(wanted)
    if after is not None:
        rows = list(found.filter(seq__gt=after).order_by("seq")[: PAGE_SIZE + 1])
        entries, more_newer, more_older = rows[:PAGE_SIZE][::-1], len(rows) > PAGE_SIZE, True
    else:
        rows = list((found.filter(seq__lt=before) if before is not None else found).order_by("-seq")[: PAGE_SIZE + 1])
        entries, more_newer, more_older = rows[:PAGE_SIZE], before is not None, len(rows) > PAGE_SIZE
    if not entries:
        return RecordPage((), None, None)
    return RecordPage(tuple(entries), entries[0].seq if more_newer else None, entries[-1].seq if more_older else None)


@dataclass(frozen=True, slots=True)
class Counted:
    """``number`` entries match; or more than these, unless it is ``exact``."""

    number: int
    exact: bool


def count(wanted: RecordFilter) -> Counted:
    if not wanted.conditions():
        return Counted(last_seq(), exact=True)
    found = record_entries(wanted).order_by()[: COUNTED + 1].count()
    return Counted(min(found, COUNTED), exact=found <= COUNTED)


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
    what it says; ``open`` entries came after it. ``state`` says what waits, what is wrong, and who signs."""

    checkpoint: Checkpoint | None
    fits: bool
    open: int
    state: State


def proof() -> Proof:
    newest, last = _kept().order_by("-seq").first(), last_seq()
    state = checkpoints.state()
    if newest is None:
        return Proof(None, False, last, state)
    fits = AuditEntry.objects.filter(seq=newest.seq, hash=newest.hash).exists()
    return Proof(newest, fits, max(last - newest.seq, 0), state)


def _kept() -> QuerySet[Checkpoint]:
    """Checkpoints that are in a place outside of the database, if not in each of them."""
    return Checkpoint.objects.exclude(delivered=[])
