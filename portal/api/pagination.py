"""Lists come in pages, each with a cursor that names where the next one begins: it stays right while rows are added."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import CharField, Field, Model
from rest_framework.exceptions import APIException, NotFound
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request

from lifecycle.queries_models import Sort, with_place
from portal.filters import sort_named

LONGEST_CURSOR = 1000


class BadPageError(APIException):
    status_code = 400
    default_code = "page"


class Newest(CursorPagination):
    """Newest first. ``limit`` rows a page, and a cursor that only an answer's ``next`` and ``previous`` give."""

    ordering: Any = "-id"
    page_size = 50
    page_size_query_param = "limit"
    page_size_query_description = "How many rows a page has."
    max_page_size = 500
    cursor_query_description = "Where the page begins. Follow `next` and `previous` of an answer; do not make one up."

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        self.model: type[Model] = queryset.model
        return super().paginate_queryset(queryset, request, view)

    def get_page_size(self, request: Request) -> int:
        wanted = request.query_params.get(self.page_size_query_param)
        if wanted is None:
            return self.page_size
        size = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) <= 9 else 0
        if not 1 <= size <= self.max_page_size:
            raise BadPageError(f"limit is a whole number from 1 to {self.max_page_size}.")
        return size

    def decode_cursor(self, request: Request) -> Cursor | None:
        """The framework answers 404 to a cursor that it cannot read, and 500 to one that the database cannot."""
        try:
            if len(request.query_params.get(self.cursor_query_param, "")) > LONGEST_CURSOR:
                raise ValueError
            cursor = super().decode_cursor(request)
            if cursor is not None and cursor.position is not None:
                if "\0" in str(cursor.position):
                    raise ValueError
                self._field().run_validators(self._field().to_python(cursor.position))
        except (NotFound, ValidationError, ValueError, OverflowError):
            raise BadPageError(
                "This cursor cannot be read. Begin without one, and follow next and previous of the answers."
            ) from None
        return cursor

    def _field(self) -> Field[Any, Any]:
        name = (self.ordering if isinstance(self.ordering, str) else self.ordering[0]).removeprefix("-")
        try:
            field = self.model._meta.get_field(name)
        except FieldDoesNotExist:
            raise ValueError(name) from None
        assert isinstance(field, Field)
        return field

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": ["string", "null"], "format": "uri", "example": None}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {
                "next": {**link, "description": "The next page; null at the end."},
                "previous": {**link, "description": "The page before; null at the beginning."},
                "results": schema,
            },
        }


class ByName(Newest):
    ordering = "slug"


class BySort(Newest):
    """Models, as ``sort`` asks: by name, or by a text that no two of them share."""

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any] | None:
        sort = sort_named(request.query_params.get("sort"))
        name = "slug" if sort in (Sort.NAME, Sort.NAME_DOWN) else "place"
        self.ordering = f"-{name}" if sort.is_down else name
        found = queryset if name == "slug" else with_place(queryset, sort)
        return super().paginate_queryset(found, request, view)

    def _field(self) -> Field[Any, Any]:
        return CharField()
