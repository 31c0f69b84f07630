from __future__ import annotations

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from lifecycle import queries
from lifecycle.domain.permissions import Action, require
from portal.access import actor_of
from portal.filters import RecordForm

PAGE_SIZE = 100


def record(request: HttpRequest) -> HttpResponse:
    """The record, newest first."""
    require(actor_of(request), Action.READ_RECORD)
    form = RecordForm(request.GET)
    form.is_valid()
    entries = queries.record_entries(form.wanted())
    page = Paginator(entries, PAGE_SIZE).get_page(request.GET.get("page"))
    return render(request, "record/record.html", {"page": page, "form": form, "actions": queries.recorded_actions()})
