"""Malformed requests for a signature, as hypothesis strategies: each breaks one rule, and only that.

What counts as malformed is what MLflow's scoring protocol and the signature forbid. Widening is allowed (7 for a
double), and so is null for an optional number: such requests are never made here. Types that anything fits, and those
that MLflow itself converts without a word (a number for the text beside a nested column), are left alone.
"""

from __future__ import annotations

import json
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, find, given, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.errors import NoSuchExample

from lifecycle.domain.signatures import List, Map, Object, Scalar, Tensor, Type
from lifecycle.rows import NUMBERS, REALS, Row, RowSource, affordable

JSON = "application/json"
OTHER_TYPES = (
    "text/plain",
    "application/xml",
    "application/x-www-form-urlencoded",
    "application/json; charset=latin-1",
)
ENVELOPES = frozenset({"dataframe_split", "dataframe_records", "instances", "inputs", "params"})
LLM_KEYS = frozenset({"messages", "prompt", "input"})
"""Keys of requests that MLflow reads as those of the providers of language models."""
ROWS = 12
LONG = (10_000, 100_000, 1_000_000)

REAL: tuple[Any, ...] = ("x", "1.5", "", True, False, [], [1.0], {}, {"value": 1})
WRONG: Mapping[str, tuple[Any, ...]] = {
    **dict.fromkeys(REALS, REAL),
    **dict.fromkeys(NUMBERS, (*REAL, 1.5, -0.25)),
    "boolean": (0, 1, "true", "", 1.5, [], {}),
    "string": (0, 1.5, True, [], ["x"], {}),
    "datetime": (3, 1.5, True, [], {}, "", "not a date"),
    "binary": (3, True, [], {}, "not base64!"),
}
"""Values that are of another type than a column's."""


@dataclass(frozen=True, slots=True)
class Raw:
    """A value that json cannot write, as it stands in the body."""

    text: str


NOT_FINITE = (Raw("NaN"), Raw("Infinity"), Raw("-Infinity"))
HUGE = (Raw("1e400"), Raw("-1e400"), 10**400)
TOO_LARGE: Mapping[str, tuple[Any, ...]] = {
    "double": HUGE,
    "float": (*HUGE, 1e39, -1e39),
    "long": (*HUGE, 2**63, -(2**63) - 1, 1e30),
    "integer": (*HUGE, 2**31, -(2**31) - 1, 2**63, 1e30),
}


@dataclass(frozen=True, slots=True)
class Case:
    """One malformed request."""

    body: bytes
    content_type: str = JSON


Strategy = st.SearchStrategy[Case]


def written(value: Any) -> bytes:
    """JSON, with every Raw as it is."""
    raws: list[str] = []
    # Nothing that a model calls its columns looks like this.
    mark = secrets.token_hex(16)

    def placeholder(raw: Any) -> str:
        raws.append(raw.text)
        return f"{mark}:{len(raws) - 1}:"

    text = json.dumps(value, default=placeholder)
    for number, raw in enumerate(raws):
        text = text.replace(f'"{mark}:{number}:"', raw)
    return text.encode()


def _choice(values: Sequence[Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


class Malformed:
    """Strategies for one signature, by class of mistake. A class that a signature does not allow is left out."""

    def __init__(self, source: RowSource) -> None:
        self._source = source
        self._rows = source.rows(ROWS, whole=True)
        self._types: dict[str, Type] = {name: column.type for name, column in source.named()}
        self._required = [name for name, column in source.named() if column.required]
        self._strict = (
            source.is_named
            and not source.type_hint
            and all(isinstance(kind, Scalar) and kind.name in WRONG for kind in self._types.values())
        )
        self._tensors = source.is_tensor and all(
            isinstance(kind, Tensor) and _scalar_of(kind.dtype) for kind in self._types.values()
        )

    def strategies(self) -> dict[str, Strategy]:
        made: dict[str, Callable[[], list[Strategy]]] = {
            "wrong type": self._wrong_type,
            "missing column": self._missing,
            "extra column": self._extra,
            "null or not finite": self._not_finite,
            "number too large": self._too_large,
            "long text": self._long_text,
            "wrong shape": self._wrong_shape,
            "wrong envelope": self._wrong_envelope,
            "not JSON": self._not_json,
            "no rows": self._no_rows,
        }
        found = {name: strategies for name, make in made.items() if (strategies := make())}
        return {name: st.one_of(strategies) for name, strategies in found.items()}

    # ------------------------------------------------------------ values

    def _wrong_type(self) -> list[Strategy]:
        return self._with_values({name: self._wrong(kind) for name, kind in self._types.items()})

    def _wrong(self, kind: Type) -> Sequence[Any]:
        if self._source.type_hint:
            return ()
        if isinstance(kind, Tensor):
            return _plain(WRONG[_scalar_of(kind.dtype)]) if self._tensors else ()
        if isinstance(kind, List):
            return ("x", 3) if isinstance(kind.items, Scalar) and kind.items.name in REALS else (3,)
        if isinstance(kind, Map | Object):
            return ("x", 3)
        if self._strict and isinstance(kind, Scalar):
            return WRONG[kind.name]
        return ("x",) if isinstance(kind, Scalar) and (kind.name in REALS or kind.name in NUMBERS) else ()

    def _not_finite(self) -> list[Strategy]:
        values: dict[str, Sequence[Any]] = {}
        for name, kind in self._types.items():
            scalar = _scalar_of(kind.dtype) if isinstance(kind, Tensor) else getattr(kind, "name", "")
            null = (None,) if (self._strict and name in self._required) or self._tensors else ()
            values[name] = (*null, *(NOT_FINITE if scalar in REALS or scalar in NUMBERS else ()))
        return self._with_values(values)

    def _too_large(self) -> list[Strategy]:
        if not self._strict and not self._tensors:
            return []
        return self._with_values({name: _too_large(kind) for name, kind in self._types.items()})

    def _long_text(self) -> list[Strategy]:
        """Where text is allowed at all, it may be long; so it stands where it is not."""
        # Where MLflow converts text it takes long numbers, so they are text only where nothing is converted.
        characters = "x9" if self._strict or self._tensors else "x"
        texts = [character * length for length in LONG for character in characters]
        wrong = {
            name: texts if any(each == "x" for each in self._wrong(kind) if isinstance(each, str)) else ()
            for name, kind in self._types.items()
        }
        return self._with_values(wrong)

    def _with_values(self, values: Mapping[str, Sequence[Any]]) -> list[Strategy]:
        """One value of one column (or one element of one tensor) of a valid row is replaced."""
        places = [(name, tuple(each)) for name, each in values.items() if each]
        if not places:
            return []

        @st.composite
        def requests(draw: st.DrawFn) -> Case:
            row, (name, wrong) = draw(_choice(self._rows)), draw(_choice(places))
            value = draw(_choice(wrong))
            if isinstance(self._types[name], Tensor):
                value = _with_leaf(row[name], value, draw)
            return self._case({**row, name: value}, records=draw(st.booleans()))

        return [requests()]

    def _case(self, row: Row, *, records: bool = False) -> Case:
        return Case(written(self._source.body(row, records=records)))

    # ------------------------------------------------------------ columns

    def _missing(self) -> list[Strategy]:
        if self._source.type_hint or (not self._source.is_named and len(self._types) < 2) or not self._required:
            return []
        # Columns without a name are counted, so it is the last that is missing.
        names = self._required if self._source.is_named else [list(self._types)[-1]]

        @st.composite
        def requests(draw: st.DrawFn) -> Case:
            row, name = draw(_choice(self._rows)), draw(_choice(names))
            left = {key: value for key, value in row.items() if key != name}
            # A table without any column is a table without rows, which is another mistake.
            return self._case(left or {f"not {name}": 1.0}, records=draw(st.booleans()))

        return [requests()]

    def _extra(self) -> list[Strategy]:
        if not self._strict and not (self._tensors and self._source.is_named):
            return []
        names = [name for name in ("unexpected", "", "index", "ä\n", "x" * 10_000) if name not in self._types]
        values: list[Any] = [1.0, "x", None, True, []]

        @st.composite
        def requests(draw: st.DrawFn) -> Case:
            row = draw(_choice(self._rows))
            extra = {draw(_choice(names)): draw(_choice(values))}
            return self._case({**row, **extra}, records=draw(st.booleans()))

        return [requests()]

    # ------------------------------------------------------------ shapes

    def _wrong_shape(self) -> list[Strategy]:
        if self._tensors:
            return [self._bent_tensors()]
        return [st.builds(self._bent_table, _choice(self._rows), _choice(self._bends()))] if self._strict else []

    def _bends(self) -> list[str]:
        """Ways to bend a table. One column beside none is no ragged table."""
        more = ["lengths differ"] if len(self._types) > 1 else []
        return [
            *("too short", "too long", "ragged", "flat", "nested", "object for rows", "text for columns"),
            *("record alone", "list for a record", "text for a record", "columns unnamed", "columns twice", *more),
        ]

    def _bent_table(self, row: Row, bend: str) -> Case:
        names, values = list(row), list(row.values())
        tables: dict[str, Any] = {
            "too short": {"columns": names, "data": [values[:-1]]},
            "too long": {"columns": names, "data": [[*values, 1.0]]},
            "ragged": {"columns": names, "data": [values, values[:-1], [*values, 1.0]]},
            "flat": {"columns": names, "data": values},
            "nested": {"columns": names, "data": [[[each] for each in values]]},
            "object for rows": {"columns": names, "data": row},
            "text for columns": {"columns": ",".join(names), "data": [values]},
            "columns unnamed": {"data": [values]},
            "columns twice": {"columns": [*names, names[0]], "data": [[*values, values[0]]]},
        }
        if bend in tables:
            return Case(written({"dataframe_split": tables[bend]}))
        others: dict[str, Any] = {
            "record alone": {"dataframe_records": row},
            "list for a record": {"dataframe_records": [row, values]},
            "text for a record": {"dataframe_records": ["x"]},
            "lengths differ": {"inputs": {**{name: [value] for name, value in row.items()}, names[0]: [values[0]] * 2}},
        }
        return Case(written(others[bend]))

    def _bent_tensors(self) -> Strategy:
        @st.composite
        def requests(draw: st.DrawFn) -> Case:
            row, name = draw(_choice(self._rows)), draw(_choice(list(self._types)))
            shape = self._types[name].shape  # type: ignore[union-attr]  # all of them are tensors
            bend = draw(_choice(_bends_of(shape)))
            return self._case({**row, name: bend(row[name])})

        return requests()

    def _no_rows(self) -> list[Strategy]:
        if self._strict:
            names = list(self._types)
            empty = [
                {"dataframe_split": {"columns": names, "data": []}},
                {"dataframe_records": []},
                {"inputs": {name: [] for name in names}},
                {"instances": []},
            ]
            return [_choice([Case(written(body)) for body in empty])]
        ranks = [len(kind.shape) for kind in self._types.values() if isinstance(kind, Tensor)]
        # No rows of a tensor with one dimension are a tensor of that shape.
        return [_choice([Case(written({"inputs": []}))])] if self._tensors and max(ranks) > 1 else []

    # ------------------------------------------------------------ envelopes

    def _wrong_envelope(self) -> list[Strategy]:
        rows = _choice(self._rows)
        fixed = (b"", b" \n", b"{}", b"[]", b"null", b"3", b'"text"', b"true")
        strategies = [
            _choice([Case(body) for body in fixed]),
            st.builds(self._under_another_key, rows, _choice(("rows", "data", "Inputs", "dataframe", "payload"))),
            st.builds(self._with_two_keys, rows),
            st.builds(lambda row: Case(written([self._source.body(row)])), rows),
            st.builds(lambda row: Case(written({**self._source.body(row), "params": [1]})), rows),
        ]
        if self._strict or self._tensors:
            strategies.append(st.builds(lambda row: Case(written({**self._source.body(row), "more": 1})), rows))
        if self._source.is_named and not (ENVELOPES | LLM_KEYS) & self._types.keys():
            strategies.append(st.builds(lambda row: Case(written(row)), rows))
        return strategies

    def _under_another_key(self, row: Row, key: str) -> Case:
        return Case(written({key: next(iter(self._source.body(row).values()))}))

    def _with_two_keys(self, row: Row) -> Case:
        body = self._source.body(row)
        other = "instances" if "inputs" in body else "inputs"
        return Case(written({**body, other: next(iter(body.values()))}))

    def _not_json(self) -> list[Strategy]:
        bodies = [written(self._source.body(row)) for row in self._rows]

        @st.composite
        def cut(draw: st.DrawFn) -> Case:
            body = draw(_choice(bodies))
            return Case(body[: draw(st.integers(1, len(body) - 1))])

        @st.composite
        def no_utf8(draw: st.DrawFn) -> Case:
            body = draw(_choice(bodies))
            at = draw(st.integers(1, len(body) - 1))
            return Case(body[:at] + draw(_choice((b"\xff", b"\xc3", b"\x80"))) + body[at:])

        shown = _choice(bodies)
        return [
            cut(),
            no_utf8(),
            st.builds(lambda body, more: Case(body + more), shown, _choice((b"}", b"]", b" x", b",", b"{}"))),
            st.builds(lambda body: Case(repr(json.loads(body)).encode()), shown),
            st.builds(lambda body: Case(body.decode().encode("utf-16")), shown),
            st.builds(Case, shown, _choice(("", *OTHER_TYPES))),
        ]


# ---------------------------------------------------------------- tensors


def _scalar_of(dtype: str) -> str:
    """The scalar type that allows what elements of a tensor allow; "" for one that is not known."""
    for start, name in (
        ("float", "double"),
        ("double", "double"),
        ("int", "long"),
        ("uint", "long"),
        ("bool", "boolean"),
    ):
        if dtype.startswith(start):
            return name
    return "string" if dtype.startswith("str") else ""


def _plain(values: Sequence[Any]) -> list[Any]:
    """Values that can be elements: a list in place of an element is another shape."""
    return [value for value in values if not isinstance(value, list)]


def _too_large(kind: Type) -> Sequence[Any]:
    if isinstance(kind, Scalar):
        return TOO_LARGE.get(kind.name, ())
    if not isinstance(kind, Tensor):
        return ()
    if kind.dtype == "float32":
        return TOO_LARGE["float"]
    scalar = _scalar_of(kind.dtype)
    if scalar != "long":
        return TOO_LARGE.get(scalar, ())
    bits = int(kind.dtype.lstrip("uint") or 64)
    ends = (2**bits, -1) if kind.dtype.startswith("u") else (2 ** (bits - 1), -(2 ** (bits - 1)) - 1)
    return (*HUGE, *ends)


def _with_leaf(value: Any, leaf: Any, draw: st.DrawFn) -> Any:
    """A tensor with one element replaced."""
    if not isinstance(value, list) or not value:
        return leaf
    at = draw(st.integers(0, len(value) - 1))
    return [*value[:at], _with_leaf(value[at], leaf, draw), *value[at + 1 :]]


def _bends_of(shape: tuple[int, ...]) -> list[Callable[[Any], Any]]:
    """Ways to bend a tensor: a dimension more or less; where a length is fixed, another length."""
    bends: list[Callable[[Any], Any]] = [lambda value: [value], lambda value: value[0] if value else 1]
    if shape and shape[0] != -1:
        bends.append(lambda value: [*value, value[0]])
    if len(shape) > 1:
        inner = _bends_of(shape[1:])
        bends.extend(lambda value, bend=bend: [bend(each) for each in value] for bend in inner)  # type: ignore[misc]
        bends.append(lambda value: [*value, [*value[0], value[0][0]]])
    return bends


# ---------------------------------------------------------------- generating


def cases(source: RowSource, count: int) -> list[tuple[str, Case]]:
    """Up to ``count`` different malformed requests with their class, class by class in turn; always the same ones."""
    strategies = Malformed(source).strategies()
    count = min(count, max(affordable(len(source.bodies(1)[0])), len(strategies)))
    # Twice the share of each: some classes have few different requests, and others take their place.
    share = 2 * count // len(strategies) + 5
    with _own_storage():
        made = [[(name, case) for case in _examples(each, share)] for name, each in strategies.items()]
    return [pair for pair in chain.from_iterable(zip_longest(*made)) if pair is not None][:count]


def smallest(source: RowSource, name: str, fails: Callable[[Case], bool], tries: int) -> Case | None:
    """The simplest request of a class that ``fails``, as far as ``tries`` calls show; None when none of them did.

    What ``fails`` raises ends the search.
    """
    known: dict[Case, bool] = {}
    raised: list[Exception] = []

    def tried(case: Case) -> bool:
        """hypothesis asks for the same request again, and has to hear the same; and it would try to simplify errors."""
        if case not in known and len(known) < tries and not raised:
            try:
                known[case] = fails(case)
            except Exception as error:
                raised.append(error)
        return known.get(case, False)

    try:
        with _own_storage():
            return find(Malformed(source).strategies()[name], tried, settings=_settings(tries, Phase.shrink))
    except NoSuchExample:
        return None
    finally:
        if raised:
            raise raised[0]


def _examples(strategy: Strategy, count: int) -> list[Case]:
    found: dict[Case, None] = {}

    @_settings(count)
    @given(strategy)
    def collect(case: Case) -> None:
        found[case] = None

    collect()
    return list(found)


def _settings(count: int, *phases: Phase) -> settings:
    """The same examples every time, nothing kept between runs, nothing printed."""
    return settings(
        max_examples=max(count, 1),
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate, *phases),
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
        print_blob=False,
    )


@contextmanager
def _own_storage() -> Iterator[None]:
    """hypothesis keeps notes about the program in a folder; a worker's current directory is no place for them."""
    with tempfile.TemporaryDirectory(prefix="stagegate-hypothesis-") as folder:
        set_hypothesis_home_dir(folder)
        try:
            yield
        finally:
            set_hypothesis_home_dir(None)
