"""Several short lists of different tables in one query."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from operator import attrgetter, itemgetter
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import (
    AutoField,
    BooleanField,
    CharField,
    DateTimeField,
    Field,
    FloatField,
    ForeignKey,
    IntegerField,
    JSONField,
    Model,
    QuerySet,
    TextField,
)

_ARRAY = {"sqlite": "json_array", "postgresql": "jsonb_build_array"}
_AS_THEY_ARE = (AutoField, CharField, ForeignKey, IntegerField, TextField)
"""What JSON has as Python does."""


@dataclass(frozen=True, slots=True)
class Part:
    """One list in SQL: ``rows`` is its query, None where it can find nothing, ``array`` each row of it as JSON.

    ``readers`` make the columns' values from JSON's. They go to the attributes ``own`` of a row of the table, and to
    ``annotated``; without a table, for what ``values_list`` asked for, they are a tuple. ``order`` is what gives each
    value that it is by, and whether downwards.
    """

    rows: str | None
    columns: str
    array: str
    params: tuple[Any, ...]
    readers: tuple[Callable[[Any], Any] | None, ...]
    table: type[Model] | None
    own: frozenset[str]
    annotated: tuple[str, ...]
    order: tuple[tuple[Callable[[Any], Any], bool], ...]

    def loaded(self, values: Sequence[Any]) -> Any:
        read = [
            value if reader is None or value is None else reader(value)
            for reader, value in zip(self.readers, values, strict=True)
        ]
        if self.table is None:
            return tuple(read)
        row = self.table.from_db(connection.alias, self.own, read[: len(self.own)])
        for name, value in zip(self.annotated, read[len(self.own) :], strict=True):
            setattr(row, name, value)
        return row

    def in_order(self, rows: list[Any]) -> list[Any]:
        """In the order of the query: a union has none."""
        for value_of, downwards in reversed(self.order):
            rows.sort(key=partial(_place, value_of), reverse=downwards)
        return rows


class Together:
    """Lists that are read in one query as soon as one of them is asked for: those that were added by then.

    Each is rows of one table, with what they are annotated with, in an order by columns. They come as JSON, without the
    rows that they point to. ``values_list`` of columns, those of the order among them, costs a fraction of rows.
    """

    def __init__(self, **wanted: QuerySet[Any] | Part) -> None:
        self._wanted: dict[str, Part] = {}
        self._found: dict[str, list[Any]] = {}
        self.add(**wanted)

    def add(self, **wanted: QuerySet[Any] | Part) -> None:
        self._wanted |= {name: rows if isinstance(rows, Part) else _part(rows) for name, rows in wanted.items()}

    def __getitem__(self, name: str) -> list[Any]:
        if name not in self._found:
            self._found |= _read({each: part for each, part in self._wanted.items() if each not in self._found})
        return self._found[name]

    def attach(self, row: Model, related: str, name: str) -> None:
        """Let ``row``'s own list of what is related be the one that was read, as ``prefetch_related`` does."""
        rows = getattr(row, related).all()
        rows._result_cache, rows._prefetch_done = self[name], True
        row.__dict__.setdefault("_prefetched_objects_cache", {})[related] = rows


# ---------------------------------------------------------------- SQL that is made once


class Prepared:
    """Lists that differ from one page to the next in nothing but keys, numbers, names and moments: Django makes the SQL
    once, which takes it several times as long as the database takes to answer.

    ``build`` gives the lists for such values, each of its own name. It looks at none of them but whether it is None:
    what it is called with stands in their place.
    """

    def __init__(self, build: Callable[..., Mapping[str, QuerySet[Any]]]) -> None:
        self._build = build
        self._made: dict[tuple[type, ...], dict[str, Part]] = {}

    def __call__(self, **values: int | str | datetime | None) -> dict[str, Part]:
        shape = tuple(type(value) for value in values.values())
        if shape not in self._made:
            given = {name: _stand_in(value, place) for place, (name, value) in enumerate(values.items())}
            self._made[shape] = {name: _part(rows) for name, rows in self._build(**given).items()}
        adapted = {
            _adapted(_stand_in(value, place)): _adapted(value)
            for place, value in enumerate(values.values())
            if value is not None
        }
        return {
            name: replace(part, params=tuple(_in_place(param, adapted) for param in part.params))
            for name, part in self._made[shape].items()
        }


def _stand_in(value: Any, place: int) -> Any:
    """A value of the same type that no query has of itself, another one for each place. Every column of numbers could
    hold it: Django leaves out a condition that none could meet."""
    if value is None:
        return None
    if isinstance(value, datetime):
        return datetime(2, 1, 1 + place, tzinfo=UTC)
    return 2_113_000_000 + place if isinstance(value, int) else f"\x01{place}\x01"


def _adapted(value: Any) -> Any:
    """As the database's driver takes it."""
    return connection.ops.adapt_datetimefield_value(value) if isinstance(value, datetime) else value


def _in_place(param: Any, adapted: Mapping[Any, Any]) -> Any:
    return adapted.get(param, param) if isinstance(param, int | str | datetime) else param


def _part(rows: QuerySet[Any]) -> Part:
    fields, annotated = _fields(rows), rows.query.annotation_select
    columns = [f"c{place}" for place in range(len(fields) + len(annotated))]
    kinds = [*fields, *(each.output_field for each in annotated.values())]
    exact = ", ".join(map(_exactly, columns, [*fields, *[None] * len(annotated)]))
    sql: str | None
    try:
        sql, params = rows.query.sql_with_params()
    except EmptyResultSet:
        sql, params = None, ()
    return Part(
        rows=sql,
        columns=", ".join(columns),
        array=f"{_ARRAY[connection.vendor]}({exact})",
        params=tuple(params),
        readers=tuple(map(_reader, kinds)),
        table=None if rows.query.values_select else rows.model,
        own=frozenset(field.attname for field in fields),
        annotated=tuple(annotated),
        order=tuple((_getter(rows, name.removeprefix("-")), name.startswith("-")) for name in _order(rows)),
    )


def _order(rows: QuerySet[Any]) -> list[str]:
    return list(map(str, rows.query.order_by or rows.model._meta.ordering or ()))


def _getter(rows: QuerySet[Any], name: str) -> Callable[[Any], Any]:
    values = rows.query.values_select
    return itemgetter(values.index(name)) if values else attrgetter(rows.model._meta.get_field(name).attname)


def _exactly(column: str, field: Field[Any, Any] | None) -> str:
    """SQLite writes a float with 15 digits into JSON, and it has 17."""
    if connection.vendor == "sqlite" and isinstance(field, FloatField):
        return f"iif({column} IS NULL, NULL, printf('%%!.17g', {column}))"
    return column


def _fields(rows: QuerySet[Any]) -> list[Field[Any, Any]]:
    """The columns that are read: all, or as ``defer``, ``only`` or ``values_list`` have it."""
    if rows.query.values_select:
        return [column.output_field for column in rows.query.select]
    names, deferred = rows.query.deferred_loading
    fields = rows.model._meta.concrete_fields
    return [field for field in fields if field.primary_key or (field.name in names) != deferred]


# ---------------------------------------------------------------- reading


def _read(wanted: Mapping[str, Part]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {name: [] for name in wanted}
    asked = {name: part for name, part in wanted.items() if part.rows is not None}
    if asked:
        parts = ", ".join(f"{name}_rows ({part.columns}) AS ({part.rows})" for name, part in asked.items())
        selects = (f"SELECT '{name}', {part.array} FROM {name}_rows" for name, part in asked.items())  # noqa: S608 - names of ours
        with connection.cursor() as cursor:
            sql = f"WITH {parts} {' UNION ALL '.join(selects)}"
            cursor.execute(sql, [param for part in asked.values() for param in part.params])
            for name, row in cursor.fetchall():
                found[name].append(wanted[name].loaded(json.loads(row)))
    return {name: wanted[name].in_order(rows) for name, rows in found.items()}


def _reader(field: Field[Any, Any]) -> Callable[[Any], Any] | None:
    """As the field has it: JSON knows no moments, and SQLite neither truth nor JSON within JSON."""
    if isinstance(field, JSONField):
        return _json
    if isinstance(field, DateTimeField):
        return _moment
    if isinstance(field, BooleanField):
        return bool
    return None if isinstance(field, _AS_THEY_ARE) else field.to_python


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _moment(value: str) -> datetime:
    found = datetime.fromisoformat(value)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _place(value_of: Callable[[Any], Any], row: Any) -> tuple[bool, Any]:
    value = value_of(row)
    return value is not None, value
