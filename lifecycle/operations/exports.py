"""Taking the record out: what somebody exports is recorded before they get any of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from lifecycle.audit import record
from lifecycle.dispatch import wake_export
from lifecycle.domain.exporting import ExportFormat
from lifecycle.domain.permissions import Action, Actor
from lifecycle.exports import KEPT, dump_filter, last_seq
from lifecycle.models import UNFINISHED_EXPORTS, ExportJob, ExportStatus
from lifecycle.operations.common import need_reason, recorded
from lifecycle.queries import RecordFilter
from lifecycle.transitions import RefusedError


def export_record(
    *, wanted: RecordFilter, form: ExportFormat, reason: str, actor: Actor, now: datetime
) -> RecordFilter:
    """Record that somebody takes these entries out, and give the filter that says which they may have.

    They are those before the entry that is recorded here, so that everything that is handed out has been there before.
    Raises RefusedError.
    """
    with recorded(Action.EXPORT_RECORD, actor, now, reason=reason) as actor:
        return _exported(wanted, form, need_reason(reason), actor, now, {})


def _exported(
    wanted: RecordFilter, form: ExportFormat, reason: str, actor: Actor, now: datetime, more: dict[str, int]
) -> RecordFilter:
    newest = last_seq()
    bounded = replace(wanted, last_seq=newest)
    filters = dump_filter(replace(wanted, last_seq=None))
    details = {"format": str(form), "filters": filters, "last_entry": newest, **more}
    record("record_exported", actor=actor, now=now, reason=reason, details=details)
    return bounded


def request_export(*, wanted: RecordFilter, form: ExportFormat, reason: str, actor: Actor, now: datetime) -> ExportJob:
    """Have a worker write a file for this person, of the entries that ``export_record`` would give them.

    Raises RefusedError, also while their last one has not ended.
    """
    with recorded(Action.EXPORT_RECORD, actor, now, reason=reason) as actor:
        cleaned, person = need_reason(reason), actor.user_id
        if person is None:
            raise RefusedError(
                "A file is written for a person, and nobody has signed in. Sign in first.", rule="person", status=403
            )
        if ExportJob.objects.filter(person_id=person, status__in=UNFINISHED_EXPORTS).exists():
            raise RefusedError(
                "Your last export has not ended yet. Wait until it is written, or cancel it.", rule="export_under_way"
            )
        job = ExportJob.objects.create(person_id=person, format=form, last_seq=0, created_at=now, expires_at=now + KEPT)
        bounded = _exported(wanted, form, cleaned, actor, now, {"export": job.pk})
        job.filters, job.last_seq = dump_filter(bounded), bounded.last_seq or 0
        job.save(update_fields=["filters", "last_seq"])
        wake_export(job.pk)
        return job


def cancel_export(*, job: ExportJob, actor: Actor, now: datetime) -> ExportJob:
    """End an export that is not written yet; its worker notices at once, and removes the file. Raises RefusedError."""
    with recorded(Action.EXPORT_RECORD, actor, now) as actor:
        ended = {"status": ExportStatus.CANCELLED, "finished_at": now, "lease_until": None}
        if ExportJob.objects.filter(pk=job.pk, status__in=UNFINISHED_EXPORTS).update(**ended) != 1:
            raise RefusedError(
                "This export has ended already. Ask for another one if you need it.", rule="already_ended"
            )
        record("export_cancelled", actor=actor, now=now, details={"export": job.pk})
        job.refresh_from_db()
        return job
