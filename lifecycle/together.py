"""Several short lists of different tables in one query."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import Field, FloatField, JSONField, Model, QuerySet

_ARRAY = {"sqlite": "json_array", "postgresql": "jsonb_build_array"}


class Together:
    """Lists that are read in one query as soon as one of them is asked for: those that were added by then.

    Each is rows of one table, with what they are annotated with, in an order by columns. They come as JSON, without the
    rows that they point to.
    """

    def __init__(self, **wanted: QuerySet[Any]) -> None:
        self._wanted = wanted
        self._found: dict[str, list[Any]] = {}

    def add(self, **wanted: QuerySet[Any]) -> None:
        self._wanted.update(wanted)

    def __getitem__(self, name: str) -> list[Any]:
        if name not in self._found:
            self._found |= _read({each: rows for each, rows in self._wanted.items() if each not in self._found})
        return self._found[name]

    def attach(self, row: Model, related: str, name: str) -> None:
        """Let ``row``'s own list of what is related be the one that was read, as ``prefetch_related`` does."""
        rows = getattr(row, related).all()
        rows._result_cache, rows._prefetch_done = self[name], True
        row.__dict__.setdefault("_prefetched_objects_cache", {})[related] = rows


def _read(wanted: dict[str, QuerySet[Any]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {name: [] for name in wanted}
    parts, selects = [], []
    params: list[Any] = []
    for name, rows in wanted.items():
        try:
            sql, given = rows.query.sql_with_params()
        except EmptyResultSet:
            continue
        columns = [f"c{place}" for place in range(len(_fields(rows)) + len(rows.query.annotation_select))]
        parts.append(f"{name}_rows ({', '.join(columns)}) AS ({sql})")
        exact = ", ".join(map(_exactly, columns, _fields(rows) + [None] * len(rows.query.annotation_select)))
        selects.append(f"SELECT '{name}', {_ARRAY[connection.vendor]}({exact}) FROM {name}_rows")  # noqa: S608 - names of ours
        params += given
    if parts:
        with connection.cursor() as cursor:
            cursor.execute(f"WITH {', '.join(parts)} {' UNION ALL '.join(selects)}", params)
            for name, row in cursor.fetchall():
                found[name].append(_loaded(wanted[name], json.loads(row)))
    return {name: _sorted(rows, wanted[name]) for name, rows in found.items()}


def _exactly(column: str, field: Field[Any, Any] | None) -> str:
    """SQLite writes a float with 15 digits into JSON, and it has 17."""
    if connection.vendor == "sqlite" and isinstance(field, FloatField):
        return f"iif({column} IS NULL, NULL, printf('%%!.17g', {column}))"
    return column


def _fields(rows: QuerySet[Any]) -> list[Field[Any, Any]]:
    """The columns that are read: all, or as ``defer`` or ``only`` have it."""
    names, deferred = rows.query.deferred_loading
    fields = rows.model._meta.concrete_fields
    return [field for field in fields if field.primary_key or (field.name in names) != deferred]


def _loaded(rows: QuerySet[Any], values: Sequence[Any]) -> Model:
    fields, model = _fields(rows), rows.model
    loaded = [_value(field, value) for field, value in zip(fields, values, strict=False)]
    row: Model = model.from_db(connection.alias, [field.attname for field in fields], loaded)
    annotated = rows.query.annotation_select.items()
    for (name, expression), value in zip(annotated, values[len(fields) :], strict=True):
        setattr(row, name, _value(expression.output_field, value))
    return row


def _value(field: Field[Any, Any], value: Any) -> Any:
    """As the field has it: JSON knows no moments, and SQLite neither truth nor JSON within JSON."""
    if isinstance(field, JSONField):
        return json.loads(value) if isinstance(value, str) else value
    value = field.to_python(value)
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value


def _sorted(rows: Iterable[Any], wanted: QuerySet[Any]) -> list[Any]:
    """In the order of the query: a union has none."""
    found = list(rows)
    for name in map(str, reversed(wanted.query.order_by or wanted.model._meta.ordering or ())):
        column = wanted.model._meta.get_field(name.removeprefix("-")).attname
        found.sort(key=partial(_place, column), reverse=name.startswith("-"))
    return found


def _place(column: str, row: Any) -> tuple[bool, Any]:
    value = getattr(row, column)
    return value is not None, value
