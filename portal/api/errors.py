"""Refusals as RFC 9457 problem details."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.encoding import escape_uri_path
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import exception_handler

from lifecycle.domain.permissions import NotAllowedError
from lifecycle.gating import dump_finding
from lifecycle.operations import PolicyRefusedError, RefusedError
from lifecycle.policy_files import FileProblem
from portal.addresses import holds_nul

MEDIA_TYPE = "application/problem+json"
BELOW = "/api/"
PAGES = "/api/docs/"
WORDS = {
    400: ("bad_request", "This request cannot be read."),
    403: ("forbidden", "This is not allowed."),
    404: ("not_found", "There is nothing at this address. /api/docs/ lists those that there are."),
    405: ("method_not_allowed", "This address does not answer this method; the header Allow lists those that it does."),
    413: ("too_large", "This request is too large."),
    429: ("throttled", "Too many requests. Wait for as many seconds as the header Retry-After says, then try again."),
    502: ("unreachable", "MLflow or another service behind Stagegate does not answer. Try again in a few seconds."),
    503: ("busy", "The database does not answer just now. Look whether it was done, then try again."),
    500: ("failed", "Stagegate failed to answer. Nothing is known to be wrong with the request; try it again."),
}
"""The rule and the sentence for what went wrong before or outside of a view of the API."""


def problem(error: Exception, context: dict[str, Any]) -> Response | None:
    """The answer for an exception in an API view; None leaves an unexpected one to ``AsProblems``."""
    answer = _problem(error, context)
    if answer is not None:
        answer.data["instance"] = instance_of(context["request"])
    return answer


def _problem(error: Exception, context: dict[str, Any]) -> Response | None:
    if isinstance(error, PolicyRefusedError):
        problems = [policy_problem(each) for each in error.problems]
        return _answer(error.status, error.rule, str(error), {"problems": problems})
    if isinstance(error, RefusedError):
        closed_by = [dump_finding(finding) for finding in error.findings]
        return _answer(error.status, error.rule, str(error), {"closed_by": closed_by} if closed_by else {})
    if isinstance(error, NotAllowedError):
        return _answer(403, "role", str(error))
    if isinstance(error, Http404):
        return _answer(404, "not_found", str(error) or "There is nothing here.")
    response = exception_handler(error, context)
    if response is None:
        return None
    invalid = isinstance(error, exceptions.ValidationError)
    detail = "Some values are not valid." if invalid else str(getattr(error, "detail", error))
    answer = _answer(response.status_code, _rule(error), detail, {"errors": response.data} if invalid else {})
    for name in ("WWW-Authenticate", "Retry-After"):
        if name in response.headers:
            answer.headers[name] = response.headers[name]
    return answer


def policy_problem(problem: FileProblem) -> dict[str, Any]:
    """What is wrong in a policy; line and column are null where there was no file."""
    return {
        "line": problem.line or None,
        "column": problem.column or None,
        "path": list(problem.path),
        "message": problem.message,
    }


def _rule(error: Exception) -> str:
    if isinstance(error, exceptions.ValidationError):
        return "invalid"
    return str(getattr(error, "default_code", "error"))


def details(status: int, rule: str, detail: str) -> dict[str, Any]:
    """The members that every problem has, but for its ``instance``."""
    title = rule.replace("_", " ")
    return {"type": f"urn:stagegate:{rule}", "title": title, "status": status, "detail": detail, "rule": rule}


def instance_of(request: HttpRequest | Request) -> str:
    """The address that was asked, as a URI reference without its query."""
    return escape_uri_path(request.path)


def plain_problem(request: HttpRequest, status: int, rule: str, detail: str) -> JsonResponse:
    """A problem from outside of the framework's views."""
    body = {**details(status, rule, detail), "instance": instance_of(request)}
    return JsonResponse(body, status=status, content_type=MEDIA_TYPE)


def _answer(status: int, rule: str, detail: str, extra: dict[str, Any] | None = None) -> Response:
    return Response({**details(status, rule, detail), **(extra or {})}, status=status, content_type=MEDIA_TYPE)


class AsProblems:
    """Middleware: whatever goes wrong below /api/ is told as a problem, also where no view was reached."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith(BELOW) or request.path.startswith(PAGES):
            return self.get_response(request)
        response = _unreadable(request) or self.get_response(request)
        if response.status_code < 400 or response.headers.get("Content-Type") == MEDIA_TYPE:
            return response
        rule, detail = WORDS.get(response.status_code, WORDS[400])
        told = plain_problem(request, response.status_code, rule, detail)
        for name in ("Allow", "Retry-After"):
            if name in response.headers:
                told.headers[name] = response.headers[name]
        return told


def _unreadable(request: HttpRequest) -> HttpResponse | None:
    """A name with the character NUL is a name of nothing."""
    if "\0" in request.path:
        return plain_problem(request, 404, "not_found", "No name holds the character NUL.")
    if holds_nul(request):
        return plain_problem(request, 400, "bad_request", "The query holds the character NUL, which no value does.")
    return None
