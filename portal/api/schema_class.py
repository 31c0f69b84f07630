"""How one operation is described: by the table of operations, and by the serializers that it names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from django.urls import resolve
from drf_spectacular import openapi
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiExample

from portal.api.idempotency import REPLAYED_HEADER

READING = ("GET", "HEAD", "OPTIONS")
READS_REFUSED = (400, 401, 403, 404, 406, 429)
WRITES_REFUSED = (*READS_REFUSED, 409, 413, 415, 422)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one address.

    ``answers`` maps a status, or a status and a media type, to the serializer of its body. ``refuses`` are the statuses
    of problems beyond those that every operation of the kind has. ``example`` is a body to send, ``answer`` one that
    comes back.
    """

    id: str
    tag: str
    summary: str
    answers: Mapping[Any, Any]
    description: str = ""
    takes: Any = None
    query: tuple[Any, ...] = ()
    refuses: tuple[int, ...] = ()
    example: Any = None
    answer: Any = None


class BearerScheme(OpenApiAuthenticationExtension):
    target_class = "portal.api.authentication.BearerToken"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "description": "An API token, `sg_…`, from the page API tokens."}


class AutoSchema(openapi.AutoSchema):
    """Says what the table of operations says; the framework's own guesses are left for the fields of serializers."""

    operations: ClassVar[Mapping[tuple[str, str], Operation]] = {}
    """``schema_operations``, which cannot be imported here: it imports the views, and they are made with this class."""

    @property
    def known(self) -> Operation:
        return self.operations[self._called()]

    def _called(self) -> tuple[str, str]:
        return resolve(re.sub(r"\{\w+\}", "1", self.path)).url_name or "", self.method

    def is_excluded(self) -> bool:
        """A test sees to it that nothing is missing from the table; what is missing does not take the rest with it."""
        return self._called() not in self.operations

    def get_operation_id(self) -> str:
        return self.known.id

    def get_tags(self) -> list[str]:
        return [self.known.tag]

    def get_summary(self) -> str:
        return self.known.summary

    def get_description(self) -> str:  # type: ignore[override]  # as drf-spectacular has it
        return self.known.description

    def get_override_parameters(self) -> list[Any]:
        return list(self.known.query)

    def get_request_serializer(self) -> Any:
        return self.known.takes

    def get_response_serializers(self) -> Any:
        return dict(self.known.answers)

    def get_examples(self) -> list[OpenApiExample]:
        known, found = self.known, []
        if known.example is not None:
            found.append(OpenApiExample("Sent", value=known.example, request_only=True))
        if known.answer is not None:
            statuses = [str(status) for status in known.answers if isinstance(status, int)]
            found.append(OpenApiExample("Answered", value=known.answer, response_only=True, status_codes=statuses))
        return found

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        operation = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        changes = self.method not in READING
        if changes:
            operation.setdefault("parameters", []).append({"$ref": "#/components/parameters/IdempotencyKey"})
            for answer in operation["responses"].values():
                answer["headers"] = {REPLAYED_HEADER: {"$ref": "#/components/headers/IdempotencyReplayed"}}
        for status in sorted({*(WRITES_REFUSED if changes else READS_REFUSED), *self.known.refuses}):
            operation["responses"][str(status)] = {"$ref": f"#/components/responses/Problem{status}"}
        return dict(operation)
