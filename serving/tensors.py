"""What a signature of tensors allows, element by element.

Stricter than MLflow, which turns true and "1.5" into numbers, 5.7 into 5 and null into NaN without a word, and drops
tensors that the signature does not name. Shapes are left to MLflow, which checks them.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np
from mlflow.types import DataType, Schema, TensorSpec

from serving.columns import Problem, Sound, real_checks, type_checks, whole_checks
from serving.errors import RefusedError, listed, quoted

Checks = tuple[Sound, Problem]

_KINDS = {"b": DataType.boolean, "U": DataType.string}


def tensor_checks(schema: Schema | None) -> dict[str | None, Checks | None] | None:
    """How to check the elements of each tensor by its name, None for those of which any element is one; None when the
    signature is not one of tensors."""
    if schema is None or not schema.is_tensor_spec():
        return None
    return {spec.name: _checks(spec.type) for spec in schema.inputs if isinstance(spec, TensorSpec)}


def _checks(dtype: np.dtype[Any]) -> Checks | None:
    if dtype.kind == "f":
        return real_checks(float(np.finfo(dtype).max))
    if dtype.kind in "iu":
        return whole_checks(int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    kind = _KINDS.get(dtype.kind)
    return None if kind is None else type_checks(kind)


def check_tensors(checks: Mapping[str | None, Checks | None], tensors: Any) -> None:
    """Check the value of ``inputs`` or ``instances``. Raises RefusedError."""
    if None in checks:
        _check(None, checks[None], tensors)
    elif isinstance(tensors, Mapping):
        _check_named(checks, tensors)
    elif isinstance(tensors, list) and all(isinstance(row, Mapping) for row in tensors):
        for row in tensors:
            _check_named(checks, row)


def _check_named(checks: Mapping[str | None, Checks | None], tensors: Mapping[str, Any]) -> None:
    extra = sorted(tensors.keys() - checks.keys())
    if extra:
        raise RefusedError(f"the model has no such inputs: {listed(extra)}")
    for name, values in tensors.items():
        _check(name, checks[name], values)


def _check(name: str | None, checks: Checks | None, values: Any) -> None:
    if checks is None:
        return
    sound, problem = checks
    elements = _elements(values)
    if elements and not sound(elements):
        reason = next((found for element in elements if (found := problem(element)) is not None), None)
        if reason is not None:
            raise RefusedError(f"{'the input' if name is None else f'input {quoted(name)}'}: {reason}")


def _elements(values: Any) -> list[Any]:
    """The elements of nested lists. An object, or a list beside an element, is an element that no type allows."""
    level: list[Any] = values if isinstance(values, list) else [values]
    while level and all(isinstance(each, list) for each in level):
        level = list(chain.from_iterable(level))
    return level
