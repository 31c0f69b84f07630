"""What one column of a signature allows, value by value.

Stricter than MLflow, which turns true into 1.0, 5.7 into 5 and a missing boolean into false without a word.
Whatever passes here becomes exactly what MLflow would have made of it.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from mlflow.types import DataType

from serving.errors import RefusedError, quoted

LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
WHOLE_RANGES = {DataType.integer: (-(2**31), 2**31 - 1), DataType.long: (-(2**63), 2**63 - 1)}
REAL_LIMITS = {DataType.float: LARGEST_FLOAT32, DataType.double: float(np.finfo(np.float64).max)}
# JSON has no way to write these: they arrive as text, and MLflow converts it.
TEXT_CODED = frozenset({DataType.datetime, DataType.binary})
# numpy has no missing value for these types.
NEVER_NULL = frozenset({DataType.boolean, *WHOLE_RANGES})

Problem = Callable[[Any], str | None]
Sound = Callable[[list[Any]], bool]


@dataclass(frozen=True, slots=True)
class Column:
    """One named column of a signature, of a scalar type."""

    name: str
    type: DataType
    required: bool

    def clean(self, values: list[Any]) -> list[Any]:
        """The values, one a row, checked. Raises RefusedError with the column and the first bad row."""
        if None in values:
            self._check_nulls(values)
            present = [value for value in values if value is not None]
        else:
            present = values
        if not _SOUND[self.type](present):
            self._check_each(values)
        if self.type in WHOLE_RANGES:
            return [int(value) for value in values]
        return values

    def array(self, values: list[Any]) -> Any:
        """Cleaned values as MLflow would hand them to the model; pandas infers how it keeps text."""
        return values if self.type is DataType.string else np.array(values, dtype=self.type.to_numpy())

    def refuse(self, row: int, reason: str) -> RefusedError:
        return RefusedError(f"column {quoted(self.name)}, row {row}: {reason}")

    def _check_nulls(self, values: list[Any]) -> None:
        if self.required:
            raise self.refuse(values.index(None), "a value is required, got null")
        if self.type in NEVER_NULL:
            raise self.refuse(values.index(None), f"{self.type.name} has no missing values, got null; omit the column")

    def _check_each(self, values: Iterable[Any]) -> None:
        problem = _PROBLEM[self.type]
        for row, value in enumerate(values):
            reason = None if value is None else problem(value)
            if reason is not None:
                raise self.refuse(row, reason)


def _expected(what: str, value: Any) -> str:
    return f"expected {what}, got {_kind(value)} {quoted(value)}"


def _kind(value: Any) -> str:
    names = {bool: "boolean", str: "text", list: "list", dict: "object", int: "number", float: "number"}
    return names.get(type(value), type(value).__name__)


def _real_problem(limit: float) -> Problem:
    def problem(value: Any) -> str | None:
        if type(value) not in (int, float):
            return _expected("a number", value)
        if not math.isfinite(value):
            return f"expected a finite number, got {value}"
        return None if abs(value) <= limit else f"{quoted(value)} is too large for the column's type"

    return problem


def _real_sound(limit: float) -> Sound:
    def sound(values: list[Any]) -> bool:
        if not set(map(type, values)) <= {int, float}:
            return False
        return all(map(math.isfinite, values)) and (not values or max(map(abs, values)) <= limit)

    return sound


def _whole_problem(low: int, high: int) -> Problem:
    def problem(value: Any) -> str | None:
        # 5.0 is how a client without integers writes 5.
        if type(value) is not int and not (type(value) is float and value.is_integer()):
            return _expected("a whole number", value)
        return None if low <= value <= high else f"{quoted(value)} is outside {low} to {high}"

    return problem


def _whole_sound(low: int, high: int) -> Sound:
    def sound(values: list[Any]) -> bool:
        return set(map(type, values)) == {int} and low <= min(values) and max(values) <= high

    return sound


def _type_problem(kind: type, what: str) -> Problem:
    def problem(value: Any) -> str | None:
        return None if type(value) is kind else _expected(what, value)

    return problem


def _type_sound(kind: type) -> Sound:
    def sound(values: list[Any]) -> bool:
        return set(map(type, values)) <= {kind}

    return sound


def _date_problem(value: Any) -> str | None:
    if type(value) is not str:
        return _expected("text", value)
    # pandas reads these as no date at all.
    return _expected("a date", value) if value.strip().lower() in ("", "nat", "nan", "none", "null", "<na>") else None


def _bytes_problem(value: Any) -> str | None:
    if type(value) is not str:
        return _expected("text", value)
    try:
        # Python's own encoder breaks lines.
        base64.b64decode("".join(value.split()), validate=True)
    except ValueError:
        return _expected("base64", value)
    return None


def _every(problem: Problem) -> Sound:
    return lambda values: all(problem(value) is None for value in values)


def real_checks(limit: float) -> tuple[Sound, Problem]:
    """For finite numbers of at most ``limit``, either way."""
    return _real_sound(limit), _real_problem(limit)


def whole_checks(low: int, high: int) -> tuple[Sound, Problem]:
    """For whole numbers from ``low`` to ``high``."""
    return _whole_sound(low, high), _whole_problem(low, high)


def type_checks(kind: DataType) -> tuple[Sound, Problem]:
    """For values of a column's type."""
    return _SOUND[kind], _PROBLEM[kind]


# A sound list needs no second look; one that is not is searched value by value, which alone decides.
_SOUND: dict[DataType, Sound] = {
    **{kind: _real_sound(limit) for kind, limit in REAL_LIMITS.items()},
    **{kind: _whole_sound(low, high) for kind, (low, high) in WHOLE_RANGES.items()},
    DataType.boolean: _type_sound(bool),
    DataType.string: _type_sound(str),
    DataType.datetime: _every(_date_problem),
    DataType.binary: _every(_bytes_problem),
}
_PROBLEM: dict[DataType, Problem] = {
    **{kind: _real_problem(limit) for kind, limit in REAL_LIMITS.items()},
    **{kind: _whole_problem(low, high) for kind, (low, high) in WHOLE_RANGES.items()},
    DataType.boolean: _type_problem(bool, "true or false"),
    DataType.string: _type_problem(str, "text"),
    DataType.datetime: _date_problem,
    DataType.binary: _bytes_problem,
}
