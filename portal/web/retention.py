"""What the clean-up will delete and has deleted, what keeps versions, and the buttons for holds and the clean-up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.paginator import Page, Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from lifecycle import operations, retention_outlook
from lifecycle import queries_retention as queries
from lifecycle.domain.permissions import Action, may, require
from lifecycle.retention_outlook import Reckoned
from portal.access import actor_of, version_for
from portal.web.answers import refused, wants_part
from portal.web.forms import ReasonForm

PAGE_SIZE = 25


@dataclass(frozen=True, slots=True)
class Tab:
    """One of the page's lists. ``count`` is how many lines it has in all."""

    name: str
    label: str
    count: int


def retention(request: HttpRequest) -> HttpResponse:
    """What goes next, by default; ``show`` names another list. htmx asks for the progress alone."""
    actor = actor_of(request)
    require(actor, Action.VIEW)
    now = timezone.now()
    running, last = queries.latest_runs()
    if wants_part(request):
        return render(request, "retention/_progress.html", {"running": running})
    outlook = retention_outlook.lately(now)
    lists = _lists(outlook)
    counts = queries.counts() | {"next": len(outlook.going), "protected": len(outlook.protected)}
    show = request.GET.get("show", "")
    shown = show if show in lists else "next"
    page = _Counted(lists[shown][1], counts[shown]).get_page(request.GET.get("page"))
    context = {
        "outlook": outlook,
        "running": running,
        "last": last,
        "next_clean_up": queries.next_after(last, now),
        "tabs": [Tab(name, label, counts[name]) for name, (label, _) in lists.items()],
        "show": shown,
        "page": page,
        "rows": _rows(shown, page, now),
        "may_run": may(actor, Action.RUN_CLEAN_UP),
    }
    return render(request, "retention/retention.html", context)


class _Counted(Paginator):
    """The pages of a list whose lines were counted together with those of the others."""

    def __init__(self, rows: Any, count: int) -> None:
        super().__init__(rows, PAGE_SIZE)
        self.__dict__["count"] = count


def _lists(outlook: Reckoned) -> dict[str, tuple[str, Any]]:
    """By name: the words for a list, and its lines, which are read when they are shown."""
    return {
        "next": ("Going next", outlook.going),
        "stuck": ("Stuck", queries.stuck()),
        "protected": ("Protected", outlook.protected),
        "holds": ("Holds", queries.holds_in_force()),
        "staging": ("Long in Staging", queries.flagged_stays()),
        "deleted": ("Deleted", queries.deleted()),
        "runs": ("Clean-ups", queries.runs()),
    }


def _rows(shown: str, page: Page[Any], now: datetime) -> list[Any]:
    if shown == "next":
        return queries.going(list(page), now)
    return queries.protected(list(page)) if shown == "protected" else list(page)


@require_POST
def run(request: HttpRequest) -> HttpResponse:
    try:
        operations.start_clean_up(reason=_reason(request), actor=actor_of(request), now=timezone.now())
    except operations.RefusedError as error:
        return refused(request, error, back="retention")
    return redirect("retention")


@require_POST
def hold(request: HttpRequest, slug: str, version: int) -> HttpResponse:
    return _change(request, slug, version, operations.place_hold)


@require_POST
def release(request: HttpRequest, slug: str, version: int) -> HttpResponse:
    return _change(request, slug, version, operations.release_hold)


def _change(request: HttpRequest, slug: str, version: int, operation: Callable[..., Any]) -> HttpResponse:
    found = version_for(request, slug, version)
    where: dict[str, Any] = {"slug": found.model.slug, "version": found.version}
    try:
        operation(version=found, reason=_reason(request), actor=actor_of(request), now=timezone.now())
    except operations.RefusedError as error:
        return refused(request, error, back="version", **where)
    return redirect("version", **where)


def _reason(request: HttpRequest) -> str:
    """What cannot be a reason counts as none, which the operation refuses."""
    form = ReasonForm(request.POST)
    return str(form.cleaned_data["reason"]) if form.is_valid() else ""
