"""Exports that a person asked for in the browser: a worker writes a file, slice by slice.

The number of rows that are written says where to go on, for entries never change and stand in one order: whoever goes
on writes the same bytes to the same place as whoever was there before. So a worker that was believed dead, and is not,
does no harm. The lease sees to it that one worker at a time has the job, and hands it on when that worker dies.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, BinaryIO

from django.db.models import Q

from lifecycle import exports
from lifecycle.dispatch import wake_export
from lifecycle.domain.exporting import ExportFormat
from lifecycle.models import UNFINISHED_EXPORTS, ExportJob, ExportStatus
from lifecycle.queries import RecordFilter

logger = logging.getLogger(__name__)

SLICE_SECONDS = 5.0
"""After this long the worker turns to what else is waiting, before it goes on."""
PROGRESS_SECONDS = 0.5
LEASE = timedelta(minutes=2)
"""Longer than it takes to count a large record."""
FORGOTTEN = timedelta(days=30)
"""For as long the page says of an export that there was one. The record says so for ever."""

Clock = Callable[[], datetime]


class LostExportError(Exception):
    """The job was cancelled, or another worker has it now."""


@dataclass
class _Worker:
    """Whoever has the job. ``lease_until`` is the token that every write of progress has to match."""

    job: ExportJob
    clock: Clock
    lease_until: datetime
    wanted: RecordFilter
    form: ExportFormat

    def progress(self, **values: Any) -> None:
        """Raises LostExportError."""
        lease_until = self.clock() + LEASE
        self._write(lease_until=lease_until, **values)
        self.lease_until = lease_until

    def end(self, status: ExportStatus, **values: Any) -> None:
        now = self.clock()
        self._write(status=status, finished_at=now, expires_at=now + exports.KEPT, lease_until=None, **values)

    def hand_on(self) -> None:
        self._write(lease_until=None)
        wake_export(self.job.pk)

    def _write(self, **values: Any) -> None:
        mine = ExportJob.objects.filter(pk=self.job.pk, status=ExportStatus.RUNNING, lease_until=self.lease_until)
        if mine.update(**values) != 1:
            raise LostExportError
        for name, value in values.items():
            setattr(self.job, name, value)


def run(job_id: int, *, clock: Clock, slice_seconds: float = SLICE_SECONDS) -> None:
    """Write for one slice, and ask for the next one when something is left.

    Does nothing when another worker has the job, or when it has ended.
    """
    worker = _claim(job_id, clock)
    if worker is None:
        return
    try:
        _write_slice(worker, slice_seconds)
    except LostExportError:
        logger.info("export %s was cancelled, or taken over by another worker", job_id)
        _tidy(worker)
    except OSError as error:
        _fail(worker, f"The file could not be written: {error.strerror or error}. Ask an administrator to look at it.")
    except Exception:
        _fail(worker, "It broke off, and the worker's log says why. Ask for it again, or tell an administrator.")
        raise


def _claim(job_id: int, clock: Clock) -> _Worker | None:
    now = clock()
    lease_until = now + LEASE
    if _free(now).filter(pk=job_id).update(status=ExportStatus.RUNNING, lease_until=lease_until) != 1:
        return None
    job = ExportJob.objects.get(pk=job_id)
    return _Worker(job, clock, lease_until, exports.load_filter(job.filters), ExportFormat(job.format))


def _free(now: datetime) -> Any:
    """Jobs that nobody works on."""
    return ExportJob.objects.filter(Q(lease_until=None) | Q(lease_until__lt=now), status__in=UNFINISHED_EXPORTS)


def _write_slice(worker: _Worker, slice_seconds: float) -> None:
    if not worker.job.file:
        _begin(worker)
    with _opened(worker) as file:
        if _copy(worker, file, time.monotonic() + slice_seconds):
            file.truncate(worker.job.bytes)
            worker.end(ExportStatus.FINISHED)
            return
    worker.hand_on()


def _begin(worker: _Worker) -> None:
    """The name cannot be guessed, and is nobody else's."""
    found = exports.scope(worker.wanted)
    name = f"export-{worker.job.pk}-{secrets.token_hex(16)}.{worker.form}"
    worker.progress(file=name, total=found.rows, rows=0, bytes=0)


def _opened(worker: _Worker) -> BinaryIO:
    """The file, at the end of what is known to be written. Where less is there, it begins anew: it is another machine's
    or another disk's."""
    place = exports.place_of(worker.job.file)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.fdopen(os.open(place, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
    if file.seek(0, os.SEEK_END) < worker.job.bytes:
        worker.progress(rows=0, bytes=0)
    file.seek(worker.job.bytes)
    return file


def _copy(worker: _Worker, file: BinaryIO, deadline: float) -> bool:
    """Whether all of it is written now."""
    job, told = worker.job, time.monotonic()
    rows = job.rows
    if not job.bytes:
        file.write(worker.form.head)
    first = exports.seq_at(worker.wanted, rows) if rows < job.total else None
    for entries in exports.windows(worker.wanted, first, job.last_seq) if first is not None else ():
        file.write(worker.form.lines(entries))
        rows += len(entries)
        if time.monotonic() - told > PROGRESS_SECONDS or time.monotonic() > deadline:
            _save(worker, file, rows)
            told = time.monotonic()
            if told > deadline and rows < job.total:
                return False
    _save(worker, file, rows)
    return True


def _save(worker: _Worker, file: BinaryIO, rows: int) -> None:
    """What the row says is written has reached the disk."""
    file.flush()
    os.fsync(file.fileno())
    worker.progress(rows=rows, bytes=file.tell())


def _fail(worker: _Worker, why: str) -> None:
    try:
        worker.end(ExportStatus.FAILED, error=why)
    except LostExportError:
        logger.warning("export %s failed after it was lost: %s", worker.job.pk, why)
    _tidy(worker)


def _tidy(worker: _Worker) -> None:
    """Remove the file of a job that has ended without one."""
    without = (ExportStatus.CANCELLED, ExportStatus.FAILED)
    if worker.job.file and not ExportJob.objects.filter(pk=worker.job.pk).exclude(status__in=without).exists():
        _remove(worker.job)


def _remove(job: ExportJob) -> None:
    exports.place_of(job.file).unlink(missing_ok=True)
    ExportJob.objects.filter(pk=job.pk).update(file="")


# ---------------------------------------------------------------- the sweep


def sweep(*, now: datetime) -> None:
    """Wake workers for exports that nobody works on, and remove what is over. Calling it often is harmless."""
    _give_up(now)
    for job_id in _free(now).filter(created_at__lt=now - timedelta(seconds=2)).values_list("pk", flat=True):
        wake_export(job_id)
    over = Q(status=ExportStatus.FINISHED, expires_at__lt=now) | Q(
        status__in=(ExportStatus.CANCELLED, ExportStatus.FAILED)
    )
    for job in ExportJob.objects.filter(over).exclude(file=""):
        _remove(job)
    ExportJob.objects.filter(expires_at__lt=now - FORGOTTEN, file="").delete()
    _remove_nobodys(now)


def _give_up(now: datetime) -> None:
    """Of what no worker got done in a day, nobody waits for the end."""
    why = "No worker has finished it within a day. Ask an administrator whether the workers run, and ask for it again."
    _free(now).filter(expires_at__lt=now).update(
        status=ExportStatus.FAILED, error=why, finished_at=now, lease_until=None
    )


def _remove_nobodys(now: datetime) -> None:
    """Files whose rows are gone, as with the person who asked."""
    known = set(ExportJob.objects.exclude(file="").values_list("file", flat=True))
    folder = exports.place_of("")
    for place in folder.glob("export-*") if folder.is_dir() else ():
        if place.name not in known and place.stat().st_mtime < (now - exports.KEPT).timestamp():
            place.unlink(missing_ok=True)
