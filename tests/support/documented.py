"""Holds what the API answers against its documentation, field by field."""

from __future__ import annotations

import copy
import json
import re
from functools import cache
from typing import Any

import jsonschema
from django.test import Client
from django.urls import resolve

from portal.api.schema import document

MEDIA_TYPES = ("application/json", "application/problem+json")


@cache
def strict() -> dict[str, Any]:
    """The document, in which no object may have a field that it does not name."""
    made = copy.deepcopy(dict(document()))
    _close(made["components"]["schemas"])
    return made


def _close(part: Any) -> None:
    if isinstance(part, dict):
        if part.get("properties") and "additionalProperties" not in part:
            part["additionalProperties"] = False
        for each in part.values():
            _close(each)
    elif isinstance(part, list):
        for each in part:
            _close(each)


@cache
def _by_address() -> dict[tuple[str, str], dict[str, Any]]:
    """Each documented operation, by the name of its address and its method."""
    return {
        (resolve(re.sub(r"\{\w+\}", "1", path)).url_name, method.upper()): operation
        for path, item in strict()["paths"].items()
        for method, operation in item.items()
    }


@cache
def _validator(name: str, method: str, status: str, media_type: str) -> jsonschema.Draft202012Validator:
    said = _said(name, method, status)
    assert said is not None, f"{method} {name} answers {status}, which is not documented"
    assert media_type in said["content"], f"{method} {name} answers {media_type}"
    schema = said["content"][media_type]["schema"]
    return jsonschema.Draft202012Validator({**schema, "components": strict()["components"]})


def _said(name: str, method: str, status: str) -> dict[str, Any] | None:
    said = _by_address()[name, method]["responses"].get(status)
    return strict()["components"]["responses"][said["$ref"].rpartition("/")[2]] if said and "$ref" in said else said


def check(response: Any) -> None:
    """Fails when the status, the media type or a field is not as the documentation has it."""
    request = response.wsgi_request
    if request.resolver_match is None:
        assert response.status_code in (400, 404), "there is no such address, or it cannot be read"
        return
    name = request.resolver_match.url_name
    if (name, request.method) not in _by_address():
        assert response.status_code in (404, 405), f"{request.method} {name} is not documented"
        return
    media_type = response.headers["Content-Type"].partition(";")[0]
    validator = _validator(name, request.method, str(response.status_code), media_type)
    if media_type in MEDIA_TYPES:
        validator.validate(json.loads(response.content))


class DocumentedClient(Client):
    """A browser for which an answer of the API that is not documented is a failure."""

    def request(self, **request: Any) -> Any:
        response = super().request(**request)
        path = response.wsgi_request.path
        if path.startswith("/api/v1/") and not response.streaming and response.status_code < 500:
            check(response)
        return response
