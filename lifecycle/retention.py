"""The clean-up: versions that outlived their policy leave the registry, and then their files leave the store.

A deletion is a row that is written before anything is deleted, and each of its steps can be done twice:

1. PLANNED: the version was read afresh and nothing protects it. It leaves the registry.
2. UNREGISTERED: its files go, unless another version that still exists shares them.
3. DONE, or STUCK: then the next clean-up tries again, until the files are gone.

So whoever is cut off leaves rows that say where to go on. A clean-up works in slices, so that no task runs for long;
its lease makes sure that one worker has it at a time, and hands it on when that worker dies.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Greatest

from lifecycle import adapters, mirror, model_index, retention_outlook
from lifecycle.audit import record, recording
from lifecycle.dispatch import wake_clean_up
from lifecycle.domain.locations import Overlaps, location_of, original_of
from lifecycle.domain.permissions import STAGEGATE
from lifecycle.domain.retention import Candidate, Delete, Flag, judge
from lifecycle.domain.stages import Stage
from lifecycle.models import Deletion, DeletionStatus, ModelVersion, RetentionRun, StagingFlag
from lifecycle.ports import (
    NotFoundError,
    PermanentError,
    PortError,
    RegistryVersion,
    TemporaryError,
    VersionRef,
)
from lifecycle.protections import Retentions, protections
from lifecycle.queries_retention import BATCH, batches, expired, in_stage, next_clean_up
from lifecycle.retention_queue import begin

logger = logging.getLogger(__name__)

SLICE_SECONDS = 60.0
"""After this long a worker hands the rest to the next task."""
LEASE = timedelta(minutes=15)
"""Longer than the slowest step: listing and deleting the files of one version."""
FAILURES_IN_A_ROW = 20
"""After so many the store is taken to be down, and the clean-up ends."""

Clock = Callable[[], datetime]


class LostRunError(Exception):
    """Another worker has the clean-up now; this one must stop."""


# ---------------------------------------------------------------- starting and going on


def start_due(*, now: datetime) -> None:
    """Start the daily clean-up when it is due, or go on with one whose worker is gone. Calling it often is harmless."""
    running = RetentionRun.objects.filter(running=True).first()
    if running is not None:
        if _is_free(running, now):
            wake_clean_up(running.pk)
        return
    if next_clean_up(now) is None:
        begin(requested_by=STAGEGATE, now=now)


def _is_free(row: RetentionRun, now: datetime) -> bool:
    return row.lease_until is None or row.lease_until < now


def run(run_id: int, *, clock: Clock, slice_seconds: float = SLICE_SECONDS) -> None:
    """Work on a clean-up for one slice, and ask for the next one when something is left.

    1. Deletions that an earlier clean-up left unfinished.
    2. Stays in Staging that have lasted too long are flagged.
    3. Versions whose time in Archived is over, in batches.

    Does nothing when another worker has the clean-up, or when it has ended.
    """
    worker = _claim(run_id, clock, slice_seconds)
    if worker is None:
        return
    try:
        finished = all(step(worker) for step in (_count, _resume, _flag_stays, _delete_expired))
    except LostRunError:
        logger.warning("clean-up %s was taken over by another worker", run_id)
    except PortError as error:
        worker.finish(mirror.clean(str(error)))
    except Exception as error:
        worker.finish(f"It broke off: {error!r}")
        raise
    else:
        worker.finish() if finished else worker.hand_on()


@dataclass
class _Worker:
    """Whoever has the clean-up. ``lease_until`` is the token that every write of progress has to match."""

    run_id: int
    clock: Clock
    lease_until: datetime
    started_at: datetime
    requested_by: str
    deadline: float
    retentions: Retentions
    failures: int = 0
    skipped: int = 0
    trouble: str = ""
    locations: dict[VersionRef, str] = field(default_factory=dict)

    def out_of_time(self) -> bool:
        return time.monotonic() > self.deadline

    def progress(self, **growth: int) -> None:
        """Add to the counters, and renew the lease. Raises LostRunError."""
        lease_until = self.clock() + LEASE
        self._write(lease_until=lease_until, **{name: F(name) + number for name, number in growth.items()})
        self.lease_until = lease_until

    def finish(self, error: str = "") -> None:
        now = self.clock()
        if self.skipped and not error:
            error = f"{self.skipped} versions could not be looked at; the last error was: {self.trouble}"
        with recording():
            self._write(running=False, finished_at=now, lease_until=None, error=error)
            transaction.on_commit(retention_outlook.forget)
            row = RetentionRun.objects.get(pk=self.run_id)
            counters = {name: getattr(row, name) for name in ("deleted", "stuck", "flagged", "freed_bytes")}
            details = {"clean_up": row.pk, **counters, **({"error": error} if error else {})}
            record("clean_up_finished", actor=STAGEGATE, now=now, details=details)

    def hand_on(self) -> None:
        with recording():
            self._write(lease_until=None)
            wake_clean_up(self.run_id)

    def failed(self, error: PortError) -> None:
        """Count a failure. One version that cannot be deleted must not keep the others, but too many in a row end the
        clean-up."""
        self.failures += 1
        if self.failures >= FAILURES_IN_A_ROW:
            raise TemporaryError(f"{self.failures} deletions failed in a row, the last one with: {error}")

    def skip(self, ref: VersionRef, error: PortError) -> None:
        """Leave out a version that the registry cannot be asked about."""
        logger.warning("%s is left out of the clean-up: %s", ref, error)
        self.skipped += 1
        self.trouble = mirror.clean(str(error))
        self.failed(error)

    def _write(self, **values: Any) -> None:
        mine = RetentionRun.objects.filter(pk=self.run_id, running=True, lease_until=self.lease_until)
        if mine.update(**values) != 1:
            raise LostRunError


def _claim(run_id: int, clock: Clock, slice_seconds: float) -> _Worker | None:
    now = clock()
    free = RetentionRun.objects.filter(Q(lease_until=None) | Q(lease_until__lt=now), pk=run_id, running=True)
    if free.update(lease_until=now + LEASE) != 1:
        return None
    row = RetentionRun.objects.get(pk=run_id)
    return _Worker(
        run_id=run_id,
        clock=clock,
        lease_until=now + LEASE,
        started_at=row.started_at,
        requested_by=row.requested_by_name,
        deadline=time.monotonic() + slice_seconds,
        retentions=Retentions(),
    )


# ---------------------------------------------------------------- what is due


def _unfinished(worker: _Worker) -> Any:
    """Deletions that were begun, but those that have failed in this clean-up already."""
    not_tried = Q(attempted_at=None) | Q(attempted_at__lt=worker.started_at)
    return Deletion.objects.filter(not_tried).exclude(status=DeletionStatus.DONE)


def _count(worker: _Worker) -> bool:
    """Write down, in the first slice, how many deletions there are to do."""
    row = RetentionRun.objects.get(pk=worker.run_id)
    if not row.planned:
        due = sum(map(len, expired(worker.retentions, protections(), worker.clock())))
        worker.progress(planned=due + _unfinished(worker).exclude(status=DeletionStatus.PLANNED).count())
    return True


def _resume(worker: _Worker) -> bool:
    while batch := list(_unfinished(worker).select_related("version__model").order_by("pk")[:BATCH]):
        for deletion in batch:
            if deletion.status == DeletionStatus.PLANNED:
                _unregister(deletion.version, worker)
        _free([row for row in batch if row.status != DeletionStatus.PLANNED], worker)
        if worker.out_of_time() or worker.skipped:
            return not worker.out_of_time()
    return True


def _flag_stays(worker: _Worker) -> bool:
    protected = protections()
    for batch in batches(in_stage(Stage.STAGING)):
        for row in batch:
            verdict = judge(protected.candidate(row), worker.retentions.of(row.model), worker.clock())
            if isinstance(verdict, Flag) and _flag(row, verdict.since, worker.clock()):
                worker.progress(flagged=1)
    return True


def _flag(version: ModelVersion, since: datetime, now: datetime) -> bool:
    """Flag a stay in Staging once; whether it was not flagged before."""
    with recording():
        _, first = StagingFlag.objects.get_or_create(version=version, stage_since=since, defaults={"flagged_at": now})
        if first:
            details = {"in_staging_since": since.isoformat()}
            record("retention_flagged", actor=STAGEGATE, now=now, version=version, details=details)
    return first


def _delete_expired(worker: _Worker) -> bool:
    for batch in expired(worker.retentions, protections(), worker.clock()):
        _free(list(_unregistered(batch, worker)), worker)
        if worker.out_of_time():
            return False
    return True


def _unregistered(batch: Iterable[ModelVersion], worker: _Worker) -> Iterator[Deletion]:
    """The deletions of a batch, as far as there is time."""
    for version in batch:
        deletion = _unregister(version, worker)
        if deletion is not None:
            yield deletion
        if worker.out_of_time():
            return


# ---------------------------------------------------------------- out of the registry


def _unregister(version: ModelVersion, worker: _Worker) -> Deletion | None:
    """Take a version out of the registry; None when it stays, for now or for good."""
    ref = _ref(version)
    try:
        seen = _look(ref)
    except PortError as error:
        worker.skip(ref, error)
        return None
    deletion = _plan(version, seen, worker)
    if deletion is None:
        return None
    try:
        adapters.registry().delete_version(ref)
    except PortError as error:
        _note_failure(deletion, error, worker)
        worker.failed(error)
        return None
    worker.failures = 0
    with recording():
        planned = Deletion.objects.filter(pk=deletion.pk, status=DeletionStatus.PLANNED)
        planned.update(status=DeletionStatus.UNREGISTERED)
        ModelVersion.objects.filter(pk=version.pk).update(removed_at=worker.clock())
        worker.progress()
        model_index.refresh([version.model_id])
    deletion.refresh_from_db()
    return deletion


def _ref(version: ModelVersion) -> VersionRef:
    return VersionRef(version.model.name, version.version)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A version as the registry has it now, where its files are, and whether an alias names it."""

    version: RegistryVersion
    place: str
    aliased: bool


def _look(ref: VersionRef) -> _Seen | None:
    """None when the registry has it no more."""
    registry = adapters.registry()
    try:
        version = registry.version(ref)
        place = registry.location(ref) if original_of(version.source) else version.source
        return _Seen(version, place, ref.version in registry.model(ref.model).aliases.values())
    except NotFoundError:
        return None


def _plan(version: ModelVersion, seen: _Seen | None, worker: _Worker) -> Deletion | None:
    """Write the deletion down, if the rules allow it at this moment; None when the version stays, or is gone.

    The row is locked, as it is by whoever asks for a transition or places a hold: one of the two comes first, and the
    other sees it.
    """
    now = worker.clock()
    with recording():
        row = ModelVersion.objects.select_for_update(of=("self",)).select_related("model").get(pk=version.pk)
        existing = Deletion.objects.filter(version=row).first()
        planned = existing is not None and existing.status == DeletionStatus.PLANNED
        if seen is None:
            ModelVersion.objects.filter(pk=row.pk, removed_at=None).update(removed_at=now)
            model_index.refresh([row.model_id])
            return existing if planned else None
        verdict = judge(_as_seen(row, seen), worker.retentions.of(row.model), now)
        if not isinstance(verdict, Delete) or not _is_same(row, seen.version):
            if planned:
                _drop(existing, now)
            return None
        values = {
            "status": DeletionStatus.PLANNED,
            "source": mirror.clean(seen.place),
            "run_id": row.run_id,
            "policy": worker.retentions.number(row.model),
            "archived_since": row.stage_since,
            "planned_at": existing.planned_at if planned and existing else now,
            "attempts": existing.attempts if planned and existing else 0,
            "files": 0,
            "freed_bytes": 0,
            "kept_because": "",
            "finished_at": None,
        }
        return Deletion.objects.update_or_create(version=row, defaults=values)[0]


def _as_seen(row: ModelVersion, seen: _Seen) -> Candidate:
    row.stage = seen.version.stage
    return replace(protections(row.model).candidate(row), aliased=seen.aliased)


def _is_same(row: ModelVersion, seen: RegistryVersion) -> bool:
    """Whether the registry's version is the one that the row is about: a number can be given again."""
    now = (mirror.clean(seen.source), mirror.clean(seen.run_id)[:64], seen.created_at)
    return (row.source, row.run_id, row.created_at) == now


def _drop(deletion: Deletion | None, now: datetime) -> None:
    """Forget a plan whose version stays after all."""
    if deletion is not None:
        record("deletion_dropped", actor=STAGEGATE, now=now, version=deletion.version)
        deletion.delete()


# ---------------------------------------------------------------- out of the store


def _free(deletions: Sequence[Deletion], worker: _Worker) -> None:
    """Delete the files of versions that the registry has forgotten.

    The mirror takes the newest versions in first, so that one which was registered on the same files a moment ago is
    seen.
    """
    if not deletions:
        return
    mirror.poll_newest(adapters.registry(), worker.clock())
    shared = _shared(deletions, worker)
    for deletion in deletions:
        try:
            _free_one(deletion, shared.get(deletion.pk, ""), worker)
        except PortError as error:
            _note_failure(deletion, error, worker)
            worker.failed(error)
        else:
            worker.failures = 0
        if worker.out_of_time():
            return


def _shared(deletions: Iterable[Deletion], worker: _Worker) -> dict[int, str]:
    """By deletion, one version that still exists and whose files overlap those that are to go."""
    overlaps = Overlaps((row.pk, location_of(row.source, row.run_id)) for row in deletions)
    rows = ModelVersion.objects.filter(removed_at=None).order_by("pk")
    found: dict[int, str] = {}
    for name, number, source, run_id in rows.values_list("model__name", "version", "source", "run_id").iterator():
        ref = VersionRef(name, number)
        place = _location_of_copy(ref, worker) if original_of(source) else source
        for key in overlaps.with_(location_of(place, run_id)):
            found.setdefault(key, str(ref))
    return found


def _location_of_copy(ref: VersionRef, worker: _Worker) -> str:
    if ref not in worker.locations:
        try:
            worker.locations[ref] = adapters.registry().location(ref)
        except NotFoundError:
            return ""
    return worker.locations[ref]


def _free_one(deletion: Deletion, sharer: str, worker: _Worker) -> None:
    """Delete one version's files, what was found being written down first, and record it. Raises PortError."""
    version = deletion.version
    adapters.serving().forget(_ref(version), slug=version.model.slug)
    kept_because = f"{sharer} uses the same files." if sharer else ""
    if not deletion.source:
        kept_because = "MLflow did not say where they are."
    if not kept_because and _find(deletion):
        adapters.registry().delete_files(deletion.source, deletion.run_id)
    _finish(deletion, kept_because, worker)


def _find(deletion: Deletion) -> bool:
    """Write down which files there are; whether this or an earlier attempt found any.

    An attempt that was cut off has deleted some of them: what the first one found is what is freed.
    """
    found = adapters.registry().files(deletion.source, deletion.run_id)
    Deletion.objects.filter(pk=deletion.pk).update(
        files=Greatest("files", len(found)), freed_bytes=Greatest("freed_bytes", sum(file.size for file in found))
    )
    deletion.refresh_from_db()
    return deletion.files > 0


def _finish(deletion: Deletion, kept_because: str, worker: _Worker) -> None:
    now = worker.clock()
    with recording():
        unfinished = Deletion.objects.filter(pk=deletion.pk).exclude(status=DeletionStatus.DONE)
        done = {"status": DeletionStatus.DONE, "finished_at": now, "kept_because": kept_because, "last_error": ""}
        if unfinished.update(**done, attempts=F("attempts") + 1) != 1:
            return
        deletion.refresh_from_db()
        details = {
            "files": deletion.files,
            "freed_bytes": deletion.freed_bytes,
            "source": deletion.source,
            "archived_since": deletion.archived_since.isoformat() if deletion.archived_since else None,
            "policy": deletion.policy,
            "requested_by": worker.requested_by,
            **({"files_kept": kept_because} if kept_because else {}),
        }
        record(
            "version_deleted",
            actor=STAGEGATE,
            now=now,
            version=deletion.version,
            from_stage=Stage.ARCHIVED,
            details=details,
        )
        worker.progress(deleted=1, freed_bytes=deletion.freed_bytes)


def _note_failure(deletion: Deletion, error: PortError, worker: _Worker) -> None:
    """Keep the error where people see it, and record it unless it is the same as before."""
    now, words = worker.clock(), mirror.clean(str(error))[:2000]
    with recording():
        before = Deletion.objects.get(pk=deletion.pk).last_error
        registered = deletion.status == DeletionStatus.PLANNED
        values: dict[str, Any] = {} if registered else {"status": DeletionStatus.STUCK}
        Deletion.objects.filter(pk=deletion.pk).update(
            **values, last_error=words, attempted_at=now, attempts=F("attempts") + 1
        )
        if words != before:
            details = {"error": words, "source": deletion.source, "permanent": isinstance(error, PermanentError)}
            record("deletion_stuck", actor=STAGEGATE, now=now, version=deletion.version, details=details)
        worker.progress(stuck=1)
