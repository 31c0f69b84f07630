"""Searching the mirror for model versions, with the filters of MLflow's ``search_model_versions``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import and_, or_
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import BooleanField, F, Func, IntegerField, OuterRef, Q, QuerySet, Subquery, TextField, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast
from django.db.models.sql.compiler import SQLCompiler

from lifecycle.domain import chain
from lifecycle.domain.stages import Stage, to_mlflow
from lifecycle.domain.version_filter import TAG, Condition, parse
from lifecycle.models import AuditEntry, ModelVersion

Sql = tuple[str, tuple[str | int, ...]]

EXAMPLES: tuple[tuple[str, str], ...] = (
    ("Tagged as made for production", "tags.environment = 'production'"),
    ("What has the stage Production", "stage = 'Production'"),
    ("What serves under the alias production", "alias = 'production'"),
    ("What waits in Staging", "stage = 'Staging'"),
    ("Trained with scikit-learn", "tags.framework = 'sklearn'"),
    ("Of models whose name begins with iris", "name LIKE 'iris%'"),
)
"""Filters to begin with, each with what it finds."""
MOST_FOUND = 1000
"""More versions than these are not looked for: a narrower filter finds them."""
MOST_ENTRIES = 5000
"""How many entries of the record are read to say who brought the versions of one page where they are."""
_LARGE = (
    *("description", "metrics", "params", "run_tags", "signature", "flavors"),
    *("model__description", "model__tags", "model__suspicions"),
)


# ---------------------------------------------------------------- the filter as conditions of the database


class _Member(Func):
    """The text of one member of a JSON object, NULL where there is none. Keys are never read as numbers or paths."""

    output_field = TextField()

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_: Any) -> Sql:
        (column, column_values), (key, key_values) = map(compiler.compile, self.source_expressions)
        sql = f'(SELECT each."value" FROM json_each({column}) each WHERE each."key" = {key})'  # noqa: S608 - both compiled
        return sql, (*column_values, *key_values)

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_: Any) -> Sql:
        (column, column_values), (key, key_values) = map(compiler.compile, self.source_expressions)
        return f"({column} ->> {key}::text)", (*column_values, *key_values)


class _Compare(Func):
    """``left comparator right``; NULL, which is not true, where the left side is NULL, as in MLflow.

    LIKE minds the case and ILIKE does not, % and _ are the only wildcards, and nothing escapes them.
    """

    output_field = BooleanField()
    comparator = "="

    def __init__(self, comparator: str, left: Combinable, right: str | int) -> None:
        self.comparator = comparator
        value = Value(right, output_field=IntegerField() if isinstance(right, int) else TextField())
        super().__init__(left, value)

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_: Any) -> Sql:
        """SQLite's LIKE does not mind the case of ASCII, its GLOB does."""
        (left, left_values), (right, right_values) = map(compiler.compile, self.source_expressions)
        if self.comparator == "LIKE":
            return f"({left} GLOB {right})", (*left_values, *(_as_glob(str(each)) for each in right_values))
        comparator = "LIKE" if self.comparator == "ILIKE" else self.comparator
        return f"({left} {comparator} {right})", (*left_values, *right_values)

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_: Any) -> Sql:
        (left, left_values), (right, right_values) = map(compiler.compile, self.source_expressions)
        escape = " ESCAPE ''" if self.comparator.endswith("LIKE") else ""
        return f"({left} {self.comparator} {right}{escape})", (*left_values, *right_values)


class _Mentions(Func):
    """Whether the text of a JSON object has another text in it, as JSON writes it: for SQLite, which finds that out in
    half of the time that it takes to read the object."""

    output_field = BooleanField()

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_: Any) -> Sql:
        (column, column_values), (text, text_values) = map(compiler.compile, self.source_expressions)
        return f"(instr({column}, {text}) > 0)", (*column_values, *text_values)

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_: Any) -> Sql:
        return "true", ()


_GLOB = str.maketrans({"*": "[*]", "?": "[?]", "[": "[[]", "%": "*", "_": "?"})


def _as_glob(pattern: str) -> str:
    return pattern.translate(_GLOB)


_COLUMNS: dict[str, Combinable] = {
    "name": F("model__name"),
    "version_number": F("version"),
    "run_id": F("run_id"),
    "source_path": F("source"),
    "stage": F("stage"),
}


def matching(text: str) -> QuerySet[ModelVersion]:
    """The versions that MLflow still has and that the filter matches: the models in the order in which they came, of
    each the newest version first, which is the order of an index. Raises FilterError."""
    found = ModelVersion.objects.filter(removed_at=None).select_related("model")
    for condition in parse(text):
        found = found.filter(_restriction(condition))
    return found.order_by("model_id", "-version")


def first_matching(text: str) -> list[int]:
    """The keys of the first MOST_FOUND versions that match, and one more where there are more. Raises FilterError."""
    return list(matching(text).select_related(None).values_list("pk", flat=True)[: MOST_FOUND + 1])


def loaded(keys: Sequence[int]) -> list[ModelVersion]:
    """These versions in this order, without what no list shows and what is large."""
    rows = ModelVersion.objects.select_related("model").defer(*_LARGE).in_bulk(keys)
    return [rows[key] for key in keys if key in rows]


def _restriction(condition: Condition) -> Q:
    if condition.key == "alias":
        return _has_alias(str(condition.values[0]))
    column = _Member(F("tags"), Value(chain.text(condition.tag))) if condition.key == TAG else _COLUMNS[condition.key]
    values = [_stored(condition.key, value) for value in condition.values]
    if condition.comparator in ("=", "IN"):
        return reduce(or_, (_is(condition, column, value) for value in values))
    if condition.comparator == "NOT IN":
        return reduce(and_, (Q(_Compare("!=", column, value)) for value in values))
    return Q(_Compare(condition.comparator, column, values[0]))


def _is(condition: Condition, column: Combinable, value: str | int) -> Q:
    equal = Q(_Compare("=", column, value))
    return Q(_Mentions(F("tags"), Value(json.dumps(value)[1:-1]))) & equal if condition.key == TAG else equal


def _stored(key: str, value: str | int) -> str | int:
    """The value as the mirror would keep it: in MLflow's words, and without what a database cannot keep."""
    if isinstance(value, int):
        return value
    return to_mlflow(Stage(value)) if key == "stage" else chain.text(value)


def _has_alias(alias: str) -> Q:
    holder = _Member(F("model__aliases"), Value(chain.text(alias)))
    return Q(_Equal(Cast(holder, IntegerField()), F("version")))


class _Equal(Func):
    output_field = BooleanField()
    template = "(%(expressions)s)"
    arg_joiner = " = "


# ---------------------------------------------------------------- who brought them where they are


@dataclass(frozen=True, slots=True)
class Brought:
    """How a version came to where it is, by the record: ``by`` whom it was asked for, and who said yes.

    ``by`` is "MLflow" where its stage was changed there, past Stagegate.
    """

    seq: int
    at: datetime
    by: str
    to_stage: str
    approved_by: tuple[str, ...] = ()
    transition: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """One result: the version, its aliases, and how it came to its stage (None: the record does not say)."""

    version: ModelVersion
    aliases: tuple[str, ...]
    brought: Brought | None


_ASKED = ("transition_requested", "rollback_requested")
_CAME = ("transition_finished", "transition_rolled_back", "out_of_band_stage_change")


def described(versions: Sequence[ModelVersion]) -> list[Found]:
    """What a page of results shows of each version, in three queries, each by an index of the record."""
    arrivals = _arrivals(versions)
    people = _people({entry.transition for entry in arrivals.values() if entry.transition is not None})
    return [
        Found(
            version=version,
            aliases=tuple(
                sorted(alias for alias, number in version.model.aliases.items() if number == version.version)
            ),
            brought=_brought(arrivals.get((chain.text(version.model.name), version.version)), people),
        )
        for version in versions
    ]


def _arrivals(versions: Sequence[ModelVersion]) -> dict[tuple[str, int], AuditEntry]:
    """By name and number, the last entry that says that the version has come to a stage."""
    arrived = AuditEntry.objects.filter(
        model=OuterRef("model__name"), version=OuterRef("version"), action__in=_CAME, refused=False
    )
    latest = Subquery(arrived.order_by("-seq").values("seq")[:1])
    rows = ModelVersion.objects.filter(pk__in=[version.pk for version in versions]).order_by()
    numbers = rows.annotate(latest=latest).values_list("latest", flat=True)
    entries = AuditEntry.objects.filter(seq__in=[number for number in numbers if number is not None])
    return {(entry.model, entry.version or 0): entry for entry in entries.defer("details", "actor_roles", "reason")}


def _people(transitions: Iterable[int]) -> dict[int, list[Any]]:
    """By transition, the entries of whoever asked for it and said yes to it, in the order of the record."""
    rows = AuditEntry.objects.filter(transition__in=list(transitions)).order_by("transition", "seq")
    spoken = (*_ASKED, "transition_approved")
    kept = rows.values_list("transition", "action", "actor", "refused", named=True)[:MOST_ENTRIES]
    found: dict[int, list[Any]] = {}
    for entry in (each for each in kept if not each.refused and each.action in spoken):
        found.setdefault(entry.transition or 0, []).append(entry)
    return found


def _brought(entry: AuditEntry | None, people: dict[int, list[Any]]) -> Brought | None:
    if entry is None:
        return None
    theirs = people.get(entry.transition or 0, [])
    return Brought(
        seq=entry.seq,
        at=entry.at,
        by=next((each.actor for each in theirs if each.action in _ASKED), entry.actor),
        to_stage=_stage_after(entry),
        approved_by=tuple(dict.fromkeys(each.actor for each in theirs if each.action == "transition_approved")),
        transition=entry.transition,
    )


def _stage_after(entry: AuditEntry) -> str:
    """A change that was rolled back ended where it began."""
    return entry.from_stage if entry.action == "transition_rolled_back" else entry.to_stage
