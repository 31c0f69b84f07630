"""Reads the body of a scoring request into a query, or says what is wrong with it.

A signature of named columns with scalar types is compiled once into a strict reader. Every other signature (tensors,
nested types, none at all) is read by MLflow's own scoring server code, which is all that its users can expect there.
Rows are counted from 0 in every message.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

import numpy as np
import orjson
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel, scoring_server
from mlflow.pyfunc.utils.serving_data_parser import is_unified_llm_input
from mlflow.types import DataType, Schema

from serving.columns import TEXT_CODED, Column
from serving.errors import RefusedError, listed, quoted, shortened
from serving.tensors import check_tensors, tensor_checks

JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"
MEDIA_TYPES = (JSON, CSV, PARQUET)
TENSOR_FORMS = ("instances", "inputs")
FORMS = ("dataframe_split", "dataframe_records", *TENSOR_FORMS)
PARAMS = "params"

# MLflow leaves most of its functions without types.
_server: Any = scoring_server


@dataclass(frozen=True, slots=True)
class Rows:
    """Checked rows, column by column: ``values[i]`` are those of column ``names[i]``, ``count`` of them."""

    names: tuple[str, ...]
    values: tuple[list[Any], ...]
    count: int
    index: list[Any] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """One scoring request, read.

    ``data`` is either Rows or whatever MLflow made of the body. ``unwrapped`` asks for an answer without the
    "predictions" key, as MLflow gives to requests in the form of the LLM providers.
    """

    data: Any
    params: dict[str, Any] | None = None
    unwrapped: bool = False
    joinable: bool = False

    @property
    def key(self) -> tuple[str, ...] | None:
        """Queries with equal keys can be scored as one table; None means alone."""
        return self.data.names if self.joinable else None

    @property
    def count(self) -> int:
        """Rows, as far as joining needs to know."""
        return self.data.count if isinstance(self.data, Rows) else 1


class Reader(Protocol):
    """Turns a body into a query. Raises RefusedError."""

    def read(self, body: bytes, content_type: str | None) -> Query: ...


def reader_for(model: PyFuncModel) -> Reader:
    """The strictest reader that the model's signature allows."""
    lenient = MlflowReader(model)
    columns = strict_columns(model)
    return StrictReader(columns, model, lenient) if columns else lenient


def strict_columns(model: PyFuncModel) -> tuple[Column, ...]:
    """The signature's inputs when all are named columns of scalar types, else nothing."""
    metadata: Any = model.metadata
    schema = metadata.get_input_schema()
    if schema is None or schema.is_tensor_spec() or not schema.has_input_names():
        return ()
    if metadata._is_signature_from_type_hint() or metadata._is_type_hint_from_example():
        return ()
    if not all(isinstance(spec.type, DataType) for spec in schema.inputs):
        return ()
    return tuple(Column(str(spec.name), spec.type, bool(spec.required)) for spec in schema.inputs)


def media_type(content_type: str | None) -> str:
    """The media type of a Content-Type header; only UTF-8 and MLflow's three types are known (else 415)."""
    media, *parameters = (part.strip() for part in (content_type or "").lower().split(";"))
    for parameter in filter(None, parameters):
        name, _, value = parameter.partition("=")
        if name.strip() != "charset" or value.strip(' "') != "utf-8":
            raise _unsupported(f"Content-Type parameter {quoted(parameter)} is not supported, only charset=utf-8")
    if media not in MEDIA_TYPES:
        raise _unsupported(f"Content-Type must be one of {', '.join(MEDIA_TYPES)}, got {quoted(media)}")
    return media


def _unsupported(message: str) -> RefusedError:
    return RefusedError(message, status=415, code="UNSUPPORTED_MEDIA_TYPE")


def decode_json(body: bytes, *, constants: bool = False) -> dict[str, Any]:
    """The JSON object of a body. ``constants`` lets NaN and Infinity, which are no JSON, past here, for a reader that
    refuses them by column and row."""
    if not body.strip():
        raise RefusedError("the body is empty")
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if not constants:
            raise _no_json(error) from error
        payload = _decode_with_constants(body, error)
    if not isinstance(payload, dict):
        raise RefusedError(f"the body must be a JSON object with one of {', '.join(FORMS)}, got {quoted(payload)}")
    return payload


def _decode_with_constants(body: bytes, refusal: orjson.JSONDecodeError) -> Any:
    if b"NaN" in body or b"Infinity" in body:
        try:
            # Like orjson, read a number that no machine integer holds as a float.
            return json.loads(body, parse_int=lambda text: int(text) if len(text) < 19 else float(text))
        except (ValueError, RecursionError):
            pass
    raise _no_json(refusal) from refusal


def _no_json(refusal: orjson.JSONDecodeError) -> RefusedError:
    return RefusedError(f"the body is not valid JSON: {refusal}")


def form_of(payload: dict[str, Any]) -> str:
    """The one of FORMS that a payload has. Raises RefusedError for several, for none, and for unknown fields."""
    forms = [form for form in FORMS if form in payload]
    if len(forms) != 1:
        raise RefusedError(f"the body must have exactly one of {', '.join(FORMS)}, got {listed(forms) or 'none'}")
    unknown = sorted(payload.keys() - {forms[0], PARAMS})
    if unknown:
        raise RefusedError(f"the body has unknown fields: {listed(unknown)}")
    return forms[0]


def is_llm_request(payload: dict[str, Any]) -> bool:
    """Whether it is in the form of the LLM providers, and in no other."""
    return is_unified_llm_input(payload) and not any(form in payload for form in FORMS)


class MlflowReader:
    """Reads bodies with the code of ``mlflow models serve``."""

    def __init__(self, model: PyFuncModel) -> None:
        metadata: Any = model.metadata
        self._metadata = metadata
        self._schema = metadata.get_input_schema()
        self._tensors = tensor_checks(self._schema)

    def read(self, body: bytes, content_type: str | None) -> Query:
        media = media_type(content_type)
        if not body.strip():
            raise RefusedError("the body is empty")
        if media != JSON:
            return Query(read_table(body, media, self._schema))
        payload = decode_json(body)
        if not is_llm_request(payload):
            form = form_of(payload)
            if self._tensors is not None and form in TENSOR_FORMS:
                check_tensors(self._tensors, payload[form])
        return self.parse(payload)

    def parse(self, payload: dict[str, Any]) -> Query:
        try:
            parsed = _server._parse_json_data(payload, self._metadata, self._schema)
        except MlflowException as error:
            raise RefusedError(shortened(error.message)) from error
        except Exception as error:
            # MLflow's converters let the errors of numpy and pandas through; what they could not convert is input.
            raise RefusedError(shortened(f"the input cannot be read: {error}")) from error
        return Query(parsed.data, _params_object(parsed.params), parsed.is_unified_llm_input)


def read_table(body: bytes, media: str, schema: Schema | None) -> pd.DataFrame:
    """The data frame in a CSV or Parquet body, as MLflow reads it. Raises RefusedError."""
    try:
        if media == PARQUET:
            return _server.parse_parquet_input(io.BytesIO(body))
        return _server.parse_csv_input(io.StringIO(body.decode()), schema)
    except UnicodeDecodeError as error:
        raise RefusedError(f"the body is not UTF-8: {error.reason} at byte {error.start}") from error
    except MlflowException as error:
        raise RefusedError(shortened(error.message)) from error


def _params_object(params: Any) -> dict[str, Any] | None:
    if params is not None and not isinstance(params, dict):
        raise RefusedError(f"'params' must be an object, got {quoted(params)}")
    return params


class StrictReader:
    """Reads bodies for a signature of named scalar columns; what does not fit the signature exactly is refused."""

    def __init__(self, columns: tuple[Column, ...], model: PyFuncModel, lenient: MlflowReader) -> None:
        self._columns = columns
        self._lenient = lenient
        metadata: Any = model.metadata
        self._schema = metadata.get_input_schema()
        self._known = frozenset(column.name for column in columns)
        self._required = tuple(column.name for column in columns if column.required)
        self._required_set = frozenset(self._required)
        self._optional_texts = [c for c in columns if c.type is DataType.string and not c.required]
        self._text_coded = any(column.type in TEXT_CODED for column in columns)
        params = metadata.get_params_schema()
        self._params = frozenset(spec.name for spec in params.params) if params else frozenset()
        self._forms = {
            "dataframe_split": self._from_split,
            "dataframe_records": self._from_records,
            "instances": self._from_tensors,
            "inputs": self._from_tensors,
        }

    def read(self, body: bytes, content_type: str | None) -> Query:
        media = media_type(content_type)
        if media != JSON:
            return Query(self._read_table(body, media))
        payload = decode_json(body, constants=True)
        if is_llm_request(payload):
            return self._lenient.parse(payload)
        form = form_of(payload)
        params = self._checked_params(payload.get(PARAMS))
        rows = self._forms[form](payload[form])
        if self._text_coded:
            return Query(self._lenient.parse({form: payload[form]}).data, params)
        return Query(rows, params, joinable=not params and not self._has_null_text(rows))

    def _checked_params(self, params: Any) -> dict[str, Any] | None:
        unknown = sorted((_params_object(params) or {}).keys() - self._params)
        if unknown:
            raise RefusedError(f"the model has no such params: {listed(unknown)}")
        return params or None

    def _from_split(self, table: Any) -> Rows:
        if not isinstance(table, dict):
            raise RefusedError(f"dataframe_split must be an object with 'columns' and 'data', got {quoted(table)}")
        unknown = sorted(table.keys() - {"columns", "data", "index"})
        if unknown:
            raise RefusedError(f"dataframe_split has unknown fields: {listed(unknown)}")
        names: Any = table.get("columns")
        data: Any = table.get("data")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise RefusedError("dataframe_split needs 'columns', a list of column names")
        if len(set(names)) != len(names):
            raise RefusedError(f"columns are named twice: {listed(sorted({n for n in names if names.count(n) > 1}))}")
        self._check_names(names)
        _check_rows(data, list, "dataframe_split 'data'")
        for row, values in enumerate(data):
            if len(values) != len(names):
                raise RefusedError(f"row {row}: expected {len(names)} values, one a column, got {len(values)}")
        columns = dict(zip(names, map(list, zip(*data, strict=True)), strict=True))
        return self._rows(columns, len(data), _checked_index(table, len(data)))

    def _from_records(self, records: Any) -> Rows:
        _check_rows(records, dict, "the list of records")
        for row, record in enumerate(records):
            # A row that has just the required columns is by far the most common, and needs no set arithmetic.
            if record.keys() != self._required_set:
                self._check_names(record, f"row {row}: ")
        present = set(chain.from_iterable(records))
        table = {name: [record.get(name) for record in records] for name in present}
        return self._rows(table, len(records))

    def _from_tensors(self, tensors: Any) -> Rows:
        """``instances`` and ``inputs``: records, or one list a column, or one value a column for a single row."""
        if isinstance(tensors, list) and any(isinstance(item, dict) for item in tensors):
            rows = self._from_records(tensors)
            self._check_null_texts({name: [record.get(name, "") for record in tensors] for name in rows.names})
            return rows
        if isinstance(tensors, list) and len(self._columns) == 1:
            tensors = {self._columns[0].name: tensors}
        if not isinstance(tensors, dict):
            raise RefusedError(f"expected a list of records or an object of columns, got {quoted(tensors)}")
        self._check_names(tensors)
        lists = [values for values in tensors.values() if isinstance(values, list)]
        if not lists:
            tensors = {name: [value] for name, value in tensors.items()}
            lists = list(tensors.values())
        count = len(lists[0])
        for name, values in tensors.items():
            if not isinstance(values, list) or len(values) != count:
                raise RefusedError(f"column {quoted(name)}: every column must be a list of the same length")
        if not count:
            raise RefusedError("there are no rows to score")
        self._check_null_texts(tensors)
        return self._rows(tensors, count)

    def _check_names(self, names: Iterable[str], where: str = "") -> None:
        given = set(names)
        missing = [name for name in self._required if name not in given]
        if missing:
            raise RefusedError(f"{where}required columns are missing: {listed(missing)}")
        extra = sorted(given - self._known)
        if extra:
            raise RefusedError(f"{where}the model has no such columns: {listed(extra)}")

    def _rows(self, table: dict[str, list[Any]], count: int, index: list[Any] | None = None) -> Rows:
        present = [column for column in self._columns if column.name in table]
        values = tuple(column.clean(table[column.name]) for column in present)
        return Rows(tuple(column.name for column in present), values, count, index)

    def _check_null_texts(self, tensors: dict[str, list[Any]]) -> None:
        """MLflow turns a null in a text tensor into the text "None", which nobody can have meant."""
        for column in self._optional_texts:
            values = tensors.get(column.name, [])
            if None in values:
                reason = "null text cannot be sent in this form; use dataframe_records, or omit the column"
                raise column.refuse(values.index(None), reason)

    def _has_null_text(self, rows: Rows) -> bool:
        """How pandas keeps a column of text depends on its nulls, so such rows must not be mixed with others."""
        names = {column.name for column in self._optional_texts}
        return any(name in names and None in values for name, values in zip(rows.names, rows.values, strict=True))

    def _read_table(self, body: bytes, media: str) -> pd.DataFrame:
        if not body.strip():
            raise RefusedError("the body is empty")
        frame = read_table(body, media, self._schema)
        if media == CSV:
            if not isinstance(frame.index, pd.RangeIndex):
                raise RefusedError("rows have more values than the header has columns")
            self._check_booleans(body)
        self._check_names(map(str, frame.columns))
        if frame.empty:
            raise RefusedError("there are no rows to score")
        for column in self._columns:
            if column.name in frame:
                self._check_series(column, frame[column.name])
        return frame

    def _check_series(self, column: Column, series: pd.Series) -> None:
        if column.required and series.isna().any():
            raise column.refuse(int(series.isna().to_numpy().argmax()), "a value is required, got none")
        if series.dtype.kind == "f":
            infinite = np.isinf(series.to_numpy())
            if infinite.any():
                raise column.refuse(int(infinite.argmax()), "expected a finite number that fits the column's type")

    def _check_booleans(self, body: bytes) -> None:
        """pandas reads True as 1.0 in a column of numbers, and 1 as True in a column of booleans."""
        texts = pd.read_csv(io.BytesIO(body), dtype=str, keep_default_na=False)
        for column in self._columns:
            if column.name not in texts or column.type in (DataType.string, *TEXT_CODED):
                continue
            boolean = column.type is DataType.boolean
            wrong = texts[column.name].str.strip().str.lower().isin(["true", "false"]).to_numpy() != boolean
            if wrong.any():
                value = texts[column.name].iloc[int(wrong.argmax())]
                what = "true or false" if boolean else "a number"
                raise column.refuse(int(wrong.argmax()), f"expected {what}, got {quoted(value)}")


def _check_rows(rows: Any, kind: type[Any], what: str) -> None:
    if not isinstance(rows, list):
        raise RefusedError(f"{what} must be a list with one {_WORDS[kind]} a row, got {quoted(rows)}")
    if not rows:
        raise RefusedError("there are no rows to score")
    for row, values in enumerate(rows):
        if not isinstance(values, kind):
            raise RefusedError(f"row {row}: expected {_WORDS[kind]}, got {quoted(values)}")


_WORDS: dict[type[Any], str] = {list: "a list of values", dict: "an object of columns"}


def _checked_index(table: dict[str, Any], count: int) -> list[Any] | None:
    index = table.get("index")
    if index is None:
        return None
    if not isinstance(index, list) or len(index) != count:
        raise RefusedError(f"dataframe_split 'index' must be a list with one label a row ({count})")
    if not all(isinstance(label, str | int | float) for label in index):
        raise RefusedError("dataframe_split 'index' must hold numbers or texts only")
    return index


class FrameBuilder:
    """Puts checked rows into the data frame that MLflow would have made of them."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = {column.name: column for column in columns}

    def alone(self, rows: Rows) -> pd.DataFrame:
        return self._frame(rows.names, rows.values, rows.index)

    def joined(self, tables: Sequence[Rows]) -> pd.DataFrame:
        """Tables with equal names, one below the other. Their indexes are left behind."""
        columns = zip(*(rows.values for rows in tables), strict=True)
        values = tuple(list(chain.from_iterable(column)) for column in columns)
        return self._frame(tables[0].names, values, None)

    def _frame(self, names: tuple[str, ...], values: Sequence[list[Any]], index: list[Any] | None) -> pd.DataFrame:
        arrays = {name: self._columns[name].array(column) for name, column in zip(names, values, strict=True)}
        return pd.DataFrame(arrays, index=index)
