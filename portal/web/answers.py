"""How a page answers when something was refused or failed: what happened, whether anything was done, what to do now."""

from __future__ import annotations

import logging
import sys
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent
from django.db import InterfaceError, OperationalError
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import Resolver404, resolve

from lifecycle.domain.permissions import NotAllowedError
from lifecycle.operations import RefusedError
from lifecycle.ports import PortError
from portal.accounts.people import administrators
from portal.addresses import holds_nul
from portal.permissions import PAGES, PUBLIC

logger = logging.getLogger(__name__)
TOO_LARGE = (RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent)
RETRY_SECONDS = 10
"""When a page is worth another try whose database, registry or server did not answer."""
DATABASE_DOWN = (OperationalError, InterfaceError)
THROTTLED_SECONDS = 60
SESSION_ENDED = (
    "Your session has ended, so nothing was done. Sign in again: then you are back on the page, and what you typed is "
    "kept in this tab."
)


def wants_part(request: HttpRequest) -> bool:
    """Whether htmx asks for the moving part of a page alone."""
    return request.headers.get("HX-Request") == "true"


def refused(request: HttpRequest, error: RefusedError, *, back: str, **where: Any) -> HttpResponse:
    messages.error(request, str(error))
    return redirect(back, **where)


def invalid(request: HttpRequest, form: Form, *, back: str, **where: Any) -> HttpResponse:
    for problems in form.errors.values():
        for problem in problems:
            messages.error(request, str(problem))
    return redirect(back, **where)


# ---------------------------------------------------------------- where to go on


def came_from(request: HttpRequest) -> str:
    """The page whose form was sent: the one that the browser names, else the nearest page above the address."""
    try:
        named = urlsplit(request.headers.get("Referer", ""))
    except ValueError:
        return page_above(request.path)
    if named.netloc == request.get_host() and _opens(named.path):
        return f"{named.path}?{named.query}" if named.query else named.path
    return page_above(request.path)


def page_above(path: str) -> str:
    """ "/transitions/5/" for "/transitions/5/approve/", "/" where there is none."""
    parts = path.partition("\0")[0].strip("/").split("/")[:-1]
    while parts and not _opens(f"/{'/'.join(parts)}/"):
        parts.pop()
    return f"/{'/'.join(parts)}/" if parts else "/"


def _opens(path: str) -> bool:
    """Whether a page for people who are signed in is there: nobody goes back to the sign-in, or to the API."""
    try:
        name = resolve(path).view_name
    except Resolver404:
        return False
    return PAGES.get(name, {}).get("GET", PUBLIC) != PUBLIC


# ---------------------------------------------------------------- the pages


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Also for a form that is too large, which is a 413."""
    too_large = isinstance(exception, TOO_LARGE) and request.method == "POST"
    status = 413 if too_large else 400
    context = {
        "code": status,
        "too_large": too_large,
        "holds_nul": holds_nul(request),
        "back": page_above(request.path),
    }
    return render(request, "errors/400.html", context, status=status)


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    context = {"why": str(exception or ""), "administrators": administrators()}
    return render(request, "errors/403.html", context, status=403)


def not_the_same_session(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Instead of Django's page for a form without the right token: the session has ended, or began anew elsewhere."""
    logger.warning("a form for %s was refused: %s", request.path, reason)
    return render(request, "errors/session.html", {"back": came_from(request)}, status=403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    why = exception.args[0] if exception.args and isinstance(exception.args[0], str) else ""
    match = request.resolver_match
    looked_for = match.kwargs.get("slug", "") if match and match.route.startswith("models/") else ""
    return render(request, "errors/404.html", {"why": why, "looked_for": looked_for}, status=404)


def not_allowed(request: HttpRequest, allowed: list[str]) -> HttpResponse:
    """An address that only takes forms was opened as a page: by a reload, or by a link to it."""
    response = render(request, "errors/405.html", {"back": page_above(request.path)}, status=405)
    response["Allow"] = ", ".join(allowed)
    return response


def too_many(request: HttpRequest) -> HttpResponse:
    response = render(request, "errors/429.html", {"seconds": THROTTLED_SECONDS}, status=429)
    response["Retry-After"] = str(THROTTLED_SECONDS)
    return response


def refused_page(request: HttpRequest, error: RefusedError) -> HttpResponse:
    """For a refusal that no page shows where the person was."""
    context = {"code": error.status, "why": str(error), "back": page_above(request.path)}
    return render(request, "errors/409.html", context, status=error.status)


def failed(request: HttpRequest) -> HttpResponse:
    """Also before any view was reached, or after: a database that is down fails in the first query."""
    if isinstance(sys.exc_info()[1], DATABASE_DOWN):
        return database_down(request)
    return _without_database(request, "errors/500.html", 500)


def database_down(request: HttpRequest) -> HttpResponse:
    response = _without_database(request, "errors/503.html", 503)
    response["Retry-After"] = str(RETRY_SECONDS)
    return response


def unreachable(request: HttpRequest, error: PortError) -> HttpResponse:
    """MLflow, the gateway or a model server did not answer, or refused."""
    context = {"why": str(error), "again": request.get_full_path() if request.method == "GET" else ""}
    response = render(request, "errors/502.html", context, status=502)
    response["Retry-After"] = str(RETRY_SECONDS)
    return response


def _without_database(request: HttpRequest, template: str, status: int) -> HttpResponse:
    """The frame without who is signed in: what that needs from the database may be what has failed."""
    frame = {"csp_nonce": getattr(request, "csp_nonce", ""), "demo": settings.DEMO}
    again = request.get_full_path() if request.method == "GET" else ""
    return HttpResponse(render_to_string(template, {**frame, "again": again}), status=status)


class RefusalPages:
    """Middleware: what went wrong in a view and no page says is a page that says what to do.

    An address that nobody can read reaches no view.
    """

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response: HttpResponse = bad_request(request) if holds_nul(request) else self.get_response(request)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if isinstance(exception, NotAllowedError):
            return forbidden(request, exception)
        if isinstance(exception, RefusedError):
            return refused_page(request, exception)
        if isinstance(exception, PortError):
            logger.warning("%s could not be answered: %s", request.path, exception)
            return unreachable(request, exception)
        if isinstance(exception, DATABASE_DOWN):
            logger.error("the database did not answer %s", request.path, exc_info=exception)
            return database_down(request)
        return None
