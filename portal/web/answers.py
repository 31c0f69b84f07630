"""How a page answers when something was refused: the reason is shown where the person was."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string

from lifecycle.domain.permissions import NotAllowedError
from lifecycle.operations import RefusedError


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


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return render(request, "errors/403.html", {"why": str(exception or "")}, status=403)


def too_many(request: HttpRequest) -> HttpResponse:
    response = render(request, "errors/429.html", status=429)
    response["Retry-After"] = "60"
    return response


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    why = exception.args[0] if exception.args and isinstance(exception.args[0], str) else ""
    return render(request, "errors/404.html", {"why": why}, status=404)


def failed(request: HttpRequest) -> HttpResponse:
    """Without the frame: what it needs from the database may be what has failed."""
    return HttpResponse(render_to_string("errors/500.html"), status=500)


class NotAllowedToForbidden:
    """Middleware: a role that is missing is a 403 page that says which role it takes."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response: HttpResponse = self.get_response(request)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return forbidden(request, exception) if isinstance(exception, NotAllowedError) else None
