"""Exports of the record: asking for one, its progress, and its file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from lifecycle import exports as record_files
from lifecycle import operations
from lifecycle.domain.exporting import ExportFormat
from lifecycle.domain.permissions import Action, may, require
from lifecycle.models import UNFINISHED_EXPORTS, ExportJob, ExportStatus
from portal.access import actor_of, export_for
from portal.filters import ExportForm, RecordForm
from portal.web.answers import invalid, refused, wants_part

SHOWN = 20
LABELS = {
    "model": "Model",
    "version": "Version",
    "actor": "Who",
    "action": "What",
    "refused": "Refused",
    "since": "Since",
    "until": "Until",
    "transition": "Transition",
}


@dataclass(frozen=True, slots=True)
class Line:
    """An export in the list. ``filters`` are its filters, each with its label; ``again`` leads to the same entries."""

    job: ExportJob
    filters: tuple[tuple[str, Any], ...]
    again: str

    @property
    def running(self) -> bool:
        return self.job.status in UNFINISHED_EXPORTS

    @property
    def words(self) -> str:
        """The progress bar in words; the number of rows is known once a worker has counted them."""
        if self.job.status == ExportStatus.WAITING:
            return "Waiting for a worker"
        return f"{self.job.rows:,} of {self.job.total:,} entries" if self.job.file else "Counting the entries"


def exports(request: HttpRequest) -> HttpResponse:
    """One's own exports, newest first; POST asks for another one. htmx asks for the list alone."""
    if request.method == "POST":
        return _ask(request)
    actor = actor_of(request)
    jobs = ExportJob.objects.filter(person_id=actor.user_id)[:SHOWN]
    lines = [_line(job) for job in jobs]
    context = {
        "lines": lines,
        "running": any(line.running for line in lines),
        "may_export": may(actor, Action.EXPORT_RECORD),
    }
    return render(request, "record/_exports.html" if wants_part(request) else "record/exports.html", context)


def _line(job: ExportJob) -> Line:
    given = {name: job.filters[name] for name in LABELS if name in job.filters}
    filters = tuple((LABELS[name], value) for name, value in given.items())
    return Line(job, filters, urlencode({name: _as_asked(value) for name, value in given.items()}))


def _as_asked(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _ask(request: HttpRequest) -> HttpResponse:
    wanted, asked = RecordForm(request.POST), ExportForm(request.POST)
    for form in (wanted, asked):
        if not form.is_valid():
            return invalid(request, form, back="record")
    try:
        operations.request_export(
            wanted=wanted.wanted(),
            form=ExportFormat(asked.cleaned_data["format"]),
            reason=asked.cleaned_data["reason"],
            actor=actor_of(request),
            now=timezone.now(),
        )
    except operations.RefusedError as error:
        return refused(request, error, back="exports")
    return redirect("exports")


@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    try:
        operations.cancel_export(job=export_for(request, pk), actor=actor_of(request), now=timezone.now())
    except operations.RefusedError as error:
        return refused(request, error, back="exports")
    return redirect("exports")


@never_cache
def download(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The file, for whoever asked for it while they may still have it."""
    job = export_for(request, pk)
    require(actor_of(request), Action.EXPORT_RECORD)
    form = ExportFormat(job.format)
    if job.status != ExportStatus.FINISHED or not job.file:
        raise Http404("This export has no file: it is not written yet, or was removed after a day.")
    try:
        file = record_files.place_of(job.file).open("rb")
    except FileNotFoundError:
        raise Http404("The file is gone from the folder of exports. Ask for the export again.") from None
    name = f"stagegate-record-{job.pk}-to-{job.last_seq}.{form}"
    return FileResponse(file, as_attachment=True, filename=name, content_type=form.media_type)
