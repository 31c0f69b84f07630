"""The record: what was done, and how to check that this is all of it."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from lifecycle import queries_record
from lifecycle.domain.exporting import ExportFormat
from lifecycle.domain.permissions import Action, may
from portal.access import actor_of
from portal.filters import RecordForm, position

FILTERS = ("model", "version", "actor", "action", "refused", "since", "until", "transition")


def record(request: HttpRequest) -> HttpResponse:
    """The record, newest first. ``before`` and ``after`` are the numbers of entries, at whose side the page begins."""
    form = RecordForm(request.GET)
    form.is_valid()
    wanted = form.wanted()
    before, after = position(request.GET.get("before")), position(request.GET.get("after"))
    proof = queries_record.proof()
    page = queries_record.record_page(wanted, proof.last, before=before, after=after)
    context = {
        "page": page,
        "counted": page.counted,
        "proof": proof,
        "form": form,
        "given": {name: request.GET[name] for name in FILTERS if request.GET.get(name)},
        "actions": queries_record.recorded_actions(),
        "formats": list(ExportFormat),
        "may_export": may(actor_of(request), Action.EXPORT_RECORD),
    }
    return render(request, "record/record.html", context)


def entry(request: HttpRequest, seq: int) -> HttpResponse:
    found = queries_record.entry_page(seq)
    if found is None:
        raise Http404(f"The record has no entry {seq}.")
    return render(request, "record/entry.html", {"page": found, "entry": found.entry})
