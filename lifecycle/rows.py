"""Valid rows for a signature, as bodies of MLflow's scoring protocol.

Values look like those of training, where the model says what that was like (``serving.reference``); they are drawn
column by column, so that rows also have combinations that training did not have. Always the same ones for a seed.
"""

from __future__ import annotations

import base64
import json
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from lifecycle.domain.signatures import Column, List, Map, Object, Scalar, SignatureError, Tensor, Type, read

SEED = 20_240_115
REFERENCE_KEY = "stagegate_reference"
FORMS = ("dataframe_split", "dataframe_records", "inputs", "instances")
"""The names under which MLflow's scoring protocol takes rows."""
EXAMPLES = ("serving_input_example.json", "input_example.json")
NOT_VALUES = ("missing", "other")
"""Categories of a training reference that stand for no value, or for any."""
LARGEST_FILE = 8 * 2**20
MOST_BYTES = 32 * 2**20
"""How much all requests together may weigh: images are large, and 500 of them need not be different."""
MOST_ELEMENTS = 2_000_000
"""The largest tensor that is made up; the model server takes no larger request anyway."""
LEFT_OUT = 0.25
"""The share of rows that do without an optional column."""
NUMBERS = {"integer": (-(2**31), 2**31 - 1), "long": (-(2**63), 2**63 - 1)}
REALS = frozenset({"float", "double"})
WORDS = ("alpha", "beta", "gamma", "delta")

Row = dict[str, Any]


class NoRowsError(Exception):
    """It is not known what a valid row is; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Known:
    """What came with the model: the training reference by column, values of the input example by column, the whole
    example as a body, and whether the signature was read from a type hint of ``predict``."""

    reference: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    values: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    tensors: Any = None
    body: bytes = b""
    type_hint: bool = False


def known_of(files: Path) -> Known:
    """What the model's files tell. They are the model's author's: what is not of the right form is left aside."""
    document = _yaml(files / "MLmodel")
    metadata = document.get("metadata")
    reference = metadata.get(REFERENCE_KEY) if isinstance(metadata, dict) else None
    features = reference.get("features") if isinstance(reference, dict) else None
    distributions = {
        str(name): each for name, each in (features if isinstance(features, dict) else {}).items() if _is_counted(each)
    }
    example = next((found for name in EXAMPLES if (found := _json(files / name)) is not None), None)
    return Known(
        reference=distributions,
        values=_by_column(example),
        tensors=example.get("inputs") if isinstance(example, dict) else None,
        body=json.dumps(example).encode() if isinstance(example, dict) else b"",
        type_hint=bool(document.get("is_signature_from_type_hint")),
    )


def _yaml(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST_FILE:
            return {}
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506 - a safe loader
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


# libyaml's safe loader, where PyYAML was built with it, is ten times as fast.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes()) if path.stat().st_size <= LARGEST_FILE else None
    except (OSError, ValueError, RecursionError):
        return None


def _is_counted(distribution: Any) -> bool:
    """Whether it has the form that ``serving.reference`` describes."""
    if not isinstance(distribution, dict) or not isinstance(distribution.get("counts"), list):
        return False
    edges, names, counts = distribution.get("edges"), distribution.get("categories"), distribution["counts"]
    if not all(isinstance(count, int | float) and 0 <= count < math.inf for count in counts) or not sum(counts):
        return False
    if isinstance(edges, list):
        return len(counts) == len(edges) + 1 and all(isinstance(e, int | float) and math.isfinite(e) for e in edges)
    return isinstance(names, list) and len(names) == len(counts)


def _by_column(example: Any) -> dict[str, list[Any]]:
    """The values of an input example, column by column."""
    if not isinstance(example, dict):
        return {}
    table = example.get("dataframe_split", example)
    if isinstance(table, dict) and isinstance(table.get("columns"), list) and isinstance(table.get("data"), list):
        rows = [row for row in table["data"] if isinstance(row, list) and len(row) == len(table["columns"])]
        return {str(name): [row[at] for row in rows] for at, name in enumerate(table["columns"])}
    records = example.get("dataframe_records", example.get("inputs"))
    if isinstance(records, list) and all(isinstance(record, dict) for record in records):
        names = {str(name) for record in records for name in record}
        return {name: [record[name] for record in records if name in record] for name in names}
    return {}


class RowSource:
    """Draws valid rows.

    A row maps the name of an input to its value; inputs without a name are named by their number, from "0" on.
    Raises NoRowsError when the signature does not say what a row is.
    """

    def __init__(self, signature: Mapping[str, Any] | None, known: Known | None = None, seed: int = SEED) -> None:
        try:
            self.columns: tuple[Column, ...] = read(signature).inputs
        except SignatureError as error:
            raise NoRowsError(str(error)) from error
        self._known = known or Known()
        self._seed = seed
        self._random = random.Random(seed)  # noqa: S311 - rows to ask with are no secret

    @property
    def is_tensor(self) -> bool:
        return isinstance(self.columns[0].type, Tensor)

    @property
    def is_named(self) -> bool:
        return self.columns[0].name is not None

    @property
    def type_hint(self) -> bool:
        return self._known.type_hint

    def rows(self, count: int, *, whole: bool = False) -> list[Row]:
        """The first ``count`` rows; optional columns are left out now and then, unless ``whole`` asks for all."""
        self._random.seed(self._seed)
        return [self._row(whole) for _ in range(count)]

    def _row(self, whole: bool) -> Row:
        wanted = [
            (name, column)
            for name, column in self.named()
            if whole or column.required or self._random.random() >= LEFT_OUT
        ]
        return {name: self._draw(name, column.type) for name, column in wanted}

    def named(self) -> Iterator[tuple[str, Column]]:
        for number, column in enumerate(self.columns):
            yield (str(number) if column.name is None else column.name), column

    def body(self, row: Row, *, records: bool = False) -> dict[str, Any]:
        """The request with this one row; ``records`` asks for dataframe_records where there is a choice."""
        if self.is_tensor:
            return {"inputs": row if self.is_named else row["0"]}
        if self.type_hint:
            return {"inputs": [row if self.is_named else row["0"]]}
        if records and self.is_named:
            return {"dataframe_records": [row]}
        names: list[Any] = list(row) if self.is_named else list(range(len(row)))
        return {"dataframe_split": {"columns": names, "data": [list(row.values())]}}

    def bodies(self, count: int) -> list[bytes]:
        """Up to ``count`` requests of one row each, in the forms that clients use; fewer where they are large."""
        first = len(json.dumps(self.body(self.rows(1, whole=True)[0])))
        rows = enumerate(self.rows(min(count, affordable(first))))
        return [json.dumps(self.body(row, records=number % 2 == 1)).encode() for number, row in rows]

    # ------------------------------------------------------------ values

    def _draw(self, name: str, kind: Type) -> Any:
        if isinstance(kind, Tensor):
            return self._tensor(name, kind)
        if isinstance(kind, Scalar):
            return self._scalar(kind.name, self._known.reference.get(name), self._known.values.get(name, ()))
        examples = [value for value in self._known.values.get(name, ()) if value]
        return self._random.choice(examples) if examples else self._nested(kind)

    def _nested(self, kind: Type) -> Any:
        if isinstance(kind, List):
            return [self._nested(kind.items) for _ in range(2)]
        if isinstance(kind, Map):
            return {word: self._nested(kind.values) for word in WORDS[:2]}
        if isinstance(kind, Object):
            return {each.name: self._nested(each.type) for each in kind.properties}
        return self._scalar(kind.name if isinstance(kind, Scalar) else "double", None, ())

    def _scalar(self, kind: str, reference: Mapping[str, Any] | None, examples: Sequence[Any]) -> Any:
        if kind in NUMBERS or kind in REALS:
            return self._number(kind, reference, [each for each in examples if _is_number(each)])
        if kind == "boolean":
            return self._random.random() < 0.5
        if kind == "datetime":
            moment = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=self._random.randrange(500_000))
            return moment.replace(tzinfo=None).isoformat()
        if kind == "binary":
            return base64.b64encode(self._random.randbytes(12)).decode()
        return self._text(reference, [each for each in examples if isinstance(each, str)])

    def _number(self, kind: str, reference: Mapping[str, Any] | None, examples: Sequence[float]) -> float | int:
        low, high = self._span(reference, examples)
        value = self._random.uniform(low, high)
        if kind in REALS:
            return value
        smallest, largest = NUMBERS[kind]
        # Rounding must not lead out of the bin where whole numbers lie in it.
        whole = min(max(round(value), math.ceil(low)), math.floor(high)) if math.ceil(low) <= high else round(value)
        return min(max(whole, smallest), largest)

    def _span(self, reference: Mapping[str, Any] | None, examples: Sequence[float]) -> tuple[float, float]:
        """A range to draw from: a bin of training, as often as training had it; else around the examples."""
        if reference and reference.get("edges"):
            edges, counts = reference["edges"], reference["counts"]
            return _bin(edges, self._random.choices(range(len(counts)), counts)[0])
        if examples:
            low, high = min(examples), max(examples)
            return (low, high) if low < high else (low - abs(low) / 10, high + abs(high) / 10)
        return -3.0, 3.0

    def _text(self, reference: Mapping[str, Any] | None, examples: Sequence[str]) -> str:
        if reference and "categories" in reference:
            pairs = [
                (str(name), count)
                for name, count in zip(reference["categories"], reference["counts"], strict=True)
                if count and name not in NOT_VALUES
            ]
            if pairs:
                names, counts = zip(*pairs, strict=True)
                return str(self._random.choices(names, counts)[0])
        return self._random.choice(examples or WORDS)

    def _tensor(self, name: str, kind: Tensor) -> Any:
        """One row of a tensor: lengths that are free are 1 in front, and those of the example after that."""
        example = self._known.tensors.get(name) if isinstance(self._known.tensors, dict) else self._known.tensors
        lengths = _shape(example)
        shape = [
            (1 if at == 0 else lengths[at] if at < len(lengths) else 2) if length == -1 else length
            for at, length in enumerate(kind.shape)
        ]
        if math.prod(shape) > MOST_ELEMENTS:
            raise NoRowsError(f"A tensor of {math.prod(shape):,} elements is too large to be made up.")
        leaves = [each for each in _leaves(example) if _is_number(each)]
        return self._filled(kind.dtype, shape, (min(leaves), max(leaves)) if leaves else (0.0, 1.0))

    def _filled(self, dtype: str, shape: Sequence[int], span: tuple[float, float]) -> Any:
        if shape:
            return [self._filled(dtype, shape[1:], span) for _ in range(shape[0])]
        if dtype == "bool":
            return self._random.random() < 0.5
        if dtype.startswith(("float", "double")):
            return round(self._random.uniform(*span), 6)
        if dtype.startswith(("int", "uint")):
            return self._random.randint(math.ceil(span[0]), max(math.floor(span[1]), math.ceil(span[0])))
        return self._random.choice(WORDS)


def affordable(size: int) -> int:
    """How many requests of ``size`` bytes may be kept at a time, at least 1."""
    return max(MOST_BYTES // max(size, 1), 1)


def _bin(edges: Sequence[float], number: int) -> tuple[float, float]:
    """The range of a bin; one of the two open ones is as wide as its neighbour."""
    width = [right - left for left, right in pairwise(edges)] or [abs(edges[0]) / 10 or 1.0]
    low = edges[number - 1] if number > 0 else edges[0] - width[0]
    high = edges[number] if number < len(edges) else edges[-1] + width[-1]
    return float(low), float(high)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _shape(value: Any) -> list[int]:
    """The lengths of nested lists, by their first elements."""
    lengths = []
    while isinstance(value, list) and value:
        lengths.append(len(value))
        value = value[0]
    return lengths


def _leaves(value: Any) -> Iterator[Any]:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting.extend(each)
        else:
            yield each


def source_of(signature: Mapping[str, Any] | None, files: Path) -> RowSource:
    """Raises NoRowsError."""
    return RowSource(signature, known_of(files))


def bodies_of(signature: Mapping[str, Any] | None, files: Path, count: int) -> list[bytes]:
    """Up to ``count`` valid requests: rows for the signature, or, without one, the model's input example.

    Raises NoRowsError when the model has neither.
    """
    known = known_of(files)
    try:
        return RowSource(signature, known).bodies(count)
    except NoRowsError:
        if not known.body:
            raise
        return [known.body]


def smoke_request(signature: Mapping[str, Any] | None, files: Path) -> bytes:
    """The request by which a version shows that it answers: its input example, or else a row drawn for its signature.

    Raises NoRowsError when there is neither.
    """
    known = known_of(files)
    return _example_body(known.body) or RowSource(signature, known).bodies(1)[0]


def _example_body(body: bytes) -> bytes:
    """An input example as a request, b"" where it is none: MLflow writes tables down without their name."""
    example = json.loads(body) if body else {}
    if any(form in example for form in FORMS):
        return body
    if isinstance(example.get("columns"), list) and isinstance(example.get("data"), list):
        return json.dumps({"dataframe_split": example}).encode()
    return b""
