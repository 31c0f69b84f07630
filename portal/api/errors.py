"""Refusals as RFC 9457 problem details."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler

from lifecycle.domain.permissions import NotAllowedError
from lifecycle.gating import dump_finding
from lifecycle.operations import PolicyRefusedError, RefusedError
from lifecycle.policy_files import FileProblem

MEDIA_TYPE = "application/problem+json"


def problem(error: Exception, context: dict[str, Any]) -> Response | None:
    """The answer for an exception in an API view; None leaves an unexpected one to Django's 500."""
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
    """The members that every problem has."""
    return {"type": f"urn:stagegate:{rule}", "title": rule.replace("_", " "), "status": status, "detail": detail}


def _answer(status: int, rule: str, detail: str, extra: dict[str, Any] | None = None) -> Response:
    return Response({**details(status, rule, detail), **(extra or {})}, status=status, content_type=MEDIA_TYPE)
