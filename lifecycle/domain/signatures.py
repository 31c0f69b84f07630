"""What a model takes and gives, read from MLflow's signature, and which bump a change of it requires."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from itertools import chain

MAX_COLUMNS = 10_000
MAX_DEPTH = 20
MAX_DIMENSIONS = 32
MAX_TEXT = 200
"""Characters of a name, type or default that are shown."""
SUMMARISED = 5
"""How many changes a sentence tells before it says how many more there are."""
HOW = "Log the model again with a signature of its inputs and outputs (mlflow.models.infer_signature makes one)."

ANY = "any"
SCALARS = frozenset(
    {"boolean", "integer", "long", "float", "double", "string", "binary", "datetime", ANY, "sparkml_vector"}
)
WIDENINGS = frozenset({("integer", "long"), ("integer", "double"), ("float", "double")})
"""(before, after) of an input: what MLflow converts whatever the value. A long may not fit into a double, so it is not
here, and an integer may not fit into a float."""
PARAMETER_WIDENINGS = WIDENINGS | {("integer", "float"), ("long", "float"), ("long", "double")}
"""Parameters are converted more freely: MLflow has a table of its own for them."""

_DTYPE = re.compile(r"[a-z]{1,20}[0-9]{0,4}(\[[0-9A-Za-z]{1,10}\])?", re.ASCII)


class Bump(IntEnum):
    """Which part of a semantic version grows; a greater one also covers what a smaller one would."""

    PATCH = 1
    MINOR = 2
    MAJOR = 3


class SignatureError(ValueError):
    """The signature cannot be read. ``str(error)`` says why, and what to do."""


class Part(StrEnum):
    INPUT = "input"
    OUTPUT = "output"
    PARAMETER = "parameter"


# ---------------------------------------------------------------- types


@dataclass(frozen=True, slots=True)
class Scalar:
    name: str

    @property
    def words(self) -> str:
        return "Spark ML vector" if self.name == "sparkml_vector" else self.name


@dataclass(frozen=True, slots=True)
class List:
    items: Type

    @property
    def words(self) -> str:
        return f"list of {self.items.words}"


@dataclass(frozen=True, slots=True)
class Map:
    """Any texts as keys, values of one type."""

    values: Type

    @property
    def words(self) -> str:
        return f"map of text to {self.values.words}"


@dataclass(frozen=True, slots=True)
class Property:
    name: str
    type: Type
    required: bool = True

    @property
    def words(self) -> str:
        return f"{self.name}: {_with_optional(self.type, self.required)}"


@dataclass(frozen=True, slots=True)
class Object:
    """``properties`` are in order of their names, so that two objects are equal whatever order they were written in."""

    properties: tuple[Property, ...]

    @property
    def words(self) -> str:
        return "object {" + "; ".join(each.words for each in self.properties) + "}"


@dataclass(frozen=True, slots=True)
class Tensor:
    """A dimension of -1 may have any length."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def words(self) -> str:
        lengths = ", ".join("any" if length == -1 else str(length) for length in self.shape)
        return f"tensor of {self.dtype}, shape ({lengths})"


Type = Scalar | List | Map | Object | Tensor


@dataclass(frozen=True, slots=True)
class Column:
    """One input, output or parameter. ``name`` is None for one that is known by its position alone.

    ``default`` is a parameter's default as JSON, None for a column.
    """

    name: str | None
    type: Type
    required: bool = True
    default: str | None = None

    @property
    def words(self) -> str:
        if self.default is None:
            return shown(_with_optional(self.type, self.required))
        return f"{shown(self.type.words)}, default {shown(self.default)}"


@dataclass(frozen=True, slots=True)
class Signature:
    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]
    params: tuple[Column, ...] = ()

    @property
    def words(self) -> str:
        """ "4 inputs, 1 output" and, where there are any, the number of parameters."""
        counts = [_counted(len(self.inputs), "input"), _counted(len(self.outputs), "output")]
        return ", ".join(counts + ([_counted(len(self.params), "parameter")] if self.params else []))


def shown(text: str, limit: int = MAX_TEXT) -> str:
    """Text from the registry, at most ``limit`` characters of it."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _with_optional(kind: Type, required: bool) -> str:
    return kind.words if required else f"{kind.words}, optional"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


# ---------------------------------------------------------------- reading


def read(signature: object) -> Signature:
    """MLflow's dictionary of ``inputs``, ``outputs`` and ``params`` as values; both of the first two are needed.

    Raises SignatureError for None and for whatever else is not of MLflow's form.
    """
    if signature is None:
        raise SignatureError(f"The model was logged without a signature. {HOW}")
    if not isinstance(signature, Mapping):
        raise SignatureError(f"The signature is not of MLflow's form. {HOW}")
    found = Signature(
        inputs=_columns(signature.get("inputs"), Part.INPUT),
        outputs=_columns(signature.get("outputs"), Part.OUTPUT),
        params=_columns(signature.get("params"), Part.PARAMETER),
    )
    if not found.inputs:
        raise SignatureError(f"The signature does not say what the model takes: it has no inputs. {HOW}")
    if not found.outputs:
        raise SignatureError(f"The signature does not say what the model gives: it has no outputs. {HOW}")
    return found


def _columns(written: object, part: Part) -> tuple[Column, ...]:
    if written is None:
        return ()
    if not isinstance(written, list):
        raise SignatureError(f"The signature's {part}s are not a list. {HOW}")
    if len(written) > MAX_COLUMNS:
        raise SignatureError(f"The signature has more than {MAX_COLUMNS:,} {part}s, too many to compare.")
    columns = tuple(_column(each, part, number) for number, each in enumerate(written, 1))
    _check_columns(columns, part)
    return columns


def _check_columns(columns: Sequence[Column], part: Part) -> None:
    """MLflow cannot load what is refused here either, but for a name that stands twice, which hides a column."""
    names = [column.name for column in columns if column.name is not None]
    if names and len(names) < len(columns):
        raise SignatureError(f"Some of the signature's {part}s have a name and some have none. {HOW}")
    name, count = Counter(names).most_common(1)[0] if names else ("", 1)
    if count > 1:
        raise SignatureError(f"The signature has the {part} “{shown(name)}” more than once. {HOW}")
    if not names and not all(column.required for column in columns):
        raise SignatureError(f"The signature has an optional {part} without a name. {HOW}")
    if len({isinstance(column.type, Tensor) for column in columns}) > 1:
        raise SignatureError(f"The signature's {part}s are partly tensors and partly columns. {HOW}")


def _column(written: object, part: Part, number: int) -> Column:
    if not isinstance(written, Mapping):
        raise SignatureError(f"The signature's {part} {number} is not of MLflow's form. {HOW}")
    name = _name(written.get("name"), part, number)
    where = f"{part} {number}" if name is None else f"{part} “{shown(name)}”"
    if part == Part.PARAMETER:
        return _parameter(written, name, where)
    if written.get("type") == "tensor":
        return Column(name, _tensor(written.get("tensor-spec"), where))
    return Column(name, _type(written, where), _is_required(written, where))


def _name(written: object, part: Part, number: int) -> str | None:
    """A table whose columns are numbered can have numbers as names."""
    if written is None and part != Part.PARAMETER:
        return None
    if isinstance(written, bool) or not isinstance(written, str | int):
        raise SignatureError(f"The name of the signature's {part} {number} is not text. {HOW}")
    try:
        return str(written)
    except ValueError as error:
        raise SignatureError(f"The name of the signature's {part} {number} is too long. {HOW}") from error


def _is_required(written: Mapping[str, object], where: str) -> bool:
    """What is not said to be optional is required. Old versions of MLflow wrote ``optional``, the opposite."""
    required, optional = written.get("required"), written.get("optional")
    if not isinstance(required, bool | None) or not isinstance(optional, bool | None):
        raise SignatureError(f"The signature does not say whether {where} is required. {HOW}")
    return required if required is not None else not optional


def _parameter(written: Mapping[str, object], name: str | None, where: str) -> Column:
    """A parameter can always be left out: MLflow then uses its default, which can be null."""
    if "default" not in written:
        raise SignatureError(f"The signature's {where} has no default. {HOW}")
    # Old versions of MLflow wrote ``dtype`` in place of ``type``.
    kind = _type({**written, "type": written.get("type") or written.get("dtype")}, where)
    if not isinstance(kind, Scalar | Object) or kind == Scalar(ANY):
        raise SignatureError(f"The signature's {where} is a {shown(kind.words)}, which no parameter can be. {HOW}")
    shape = written.get("shape")
    if shape not in (None, [-1], (-1,)):
        raise SignatureError(f"The signature's {where} is neither one value nor a list of them. {HOW}")
    return Column(name, kind if shape is None else List(kind), required=False, default=_json(written["default"], where))


def _json(value: object, where: str) -> str:
    try:
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise SignatureError(f"The default of the signature's {where} cannot be read. {HOW}") from error


def _type(written: Mapping[str, object], where: str, depth: int = 0) -> Type:
    kind = written.get("type")
    if depth > MAX_DEPTH:
        raise SignatureError(f"The type of the signature's {where} is nested too deeply to be read.")
    if not isinstance(kind, str):
        raise SignatureError(f"The signature's {where} has no type. {HOW}")
    if kind in SCALARS:
        return Scalar(kind)
    if kind == "array":
        return List(_inner(written.get("items"), where, depth))
    if kind == "map":
        return Map(_inner(written.get("values"), where, depth))
    if kind == "object":
        return _object(written.get("properties"), where, depth)
    raise SignatureError(f"The signature's {where} has the type “{shown(kind, 60)}”, which MLflow does not have. {HOW}")


def _inner(written: object, where: str, depth: int) -> Type:
    if not isinstance(written, Mapping):
        raise SignatureError(f"The type of the signature's {where} does not say what is in it. {HOW}")
    return _type(written, where, depth + 1)


def _object(written: object, where: str, depth: int) -> Object:
    if not isinstance(written, Mapping) or not written or len(written) > MAX_COLUMNS:
        raise SignatureError(f"The type of the signature's {where} does not say what its properties are. {HOW}")
    properties = [
        Property(str(name), _inner(each, where, depth), _is_required(each, where)) for name, each in written.items()
    ]
    return Object(tuple(sorted(properties, key=lambda each: each.name)))


def _tensor(written: object, where: str) -> Tensor:
    if not isinstance(written, Mapping):
        raise SignatureError(f"The signature's {where} is a tensor without a shape. {HOW}")
    dtype, shape = written.get("dtype"), written.get("shape")
    if not isinstance(dtype, str) or not _DTYPE.fullmatch(dtype):
        raise SignatureError(f"The signature's {where} is a tensor of no type that can be read. {HOW}")
    if not isinstance(shape, list | tuple) or len(shape) > MAX_DIMENSIONS or not all(map(_is_length, shape)):
        raise SignatureError(f"The signature's {where} is a tensor of no shape that can be read. {HOW}")
    return Tensor(dtype, tuple(shape))


def _is_length(length: object) -> bool:
    return type(length) is int and -1 <= length < 2**63


# ---------------------------------------------------------------- comparing


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one column. ``before`` and ``after`` are its types in words, "" where it was not there.

    ``what`` says what changed and what it means for whoever calls the model; ``bump`` is the least that it requires.
    """

    part: Part
    name: str
    before: str
    after: str
    what: str
    bump: Bump

    @property
    def words(self) -> str:
        """Part of a sentence."""
        where = f"the {self.part} “{shown(self.name, 60)}”"
        if not self.after:
            return f"{where} was removed"
        if not self.before:
            return f"{where} is new ({shown(self.after, 80)})"
        return f"{where} was {shown(self.before, 80)} and is {shown(self.after, 80)}"


@dataclass(frozen=True, slots=True)
class Difference:
    """All changes between two signatures, the gravest first. ``unchanged`` counts the columns that are as they were.

    ``problem`` says why the signatures cannot be compared, "" when they were.
    """

    changes: tuple[Change, ...] = ()
    unchanged: int = 0
    problem: str = ""

    @property
    def bump(self) -> Bump:
        """The least that is right. What cannot be compared counts as breaking: nobody can show that it is not."""
        if self.problem:
            return Bump.MAJOR
        return max((change.bump for change in self.changes), default=Bump.PATCH)

    @property
    def words(self) -> str:
        """One sentence: what changed, the gravest first."""
        if self.problem:
            return self.problem
        if not self.changes:
            return "The inputs, outputs and parameters are the same."
        told = [each.words for each in self.changes[:SUMMARISED]]
        more = len(self.changes) - len(told)
        return "What changed: " + "; ".join(told) + (f"; and {_counted(more, 'more change')}." if more else ".")


def compare_written(before: object, after: object) -> Difference:
    """Two signatures as MLflow writes them. One that cannot be read is a problem of the difference, not an error."""
    try:
        old = read(before)
    except SignatureError:
        return Difference(
            problem="The version before has no signature that can be read, so nobody can show that old requests still "
            "work."
        )
    try:
        return compare(old, read(after))
    except SignatureError as error:
        return Difference(problem=str(error))


def compare(before: Signature, after: Signature) -> Difference:
    """Column by column. Named columns are found by name, whatever their order; unnamed ones by their position."""
    pairs = (
        (Part.INPUT, before.inputs, after.inputs),
        (Part.OUTPUT, before.outputs, after.outputs),
        (Part.PARAMETER, before.params, after.params),
    )
    changes = list(chain.from_iterable(_changes(part, _by_key(old), _by_key(new)) for part, old, new in pairs))
    same = sum(len(_by_key(old).items() & _by_key(new).items()) for _, old, new in pairs)
    # Sorting is stable: within one bump they stay as the signature lists them.
    return Difference(tuple(sorted(changes, key=lambda change: -change.bump)), same)


Key = str | int
Columns = dict[Key, Column]


def _by_key(columns: Sequence[Column]) -> Columns:
    return {position if each.name is None else each.name: each for position, each in enumerate(columns)}


def _changes(part: Part, old: Columns, new: Columns) -> list[Change]:
    removed = {key: column for key, column in old.items() if key not in new}
    added = {key: column for key, column in new.items() if key not in old}
    renamed = _perhaps_renamed(removed, added)
    changes = [_removal(part, key, column, renamed.get(key)) for key, column in removed.items()]
    for key, column in new.items():
        if key in added:
            changes.append(_addition(part, key, column, renamed.get(key)))
        elif column != old[key]:
            changes.append(_alteration(part, key, old[key], column))
    return changes


def _perhaps_renamed(removed: Columns, added: Columns) -> dict[Key, Key]:
    """Each way: a name that went and the one that came, where they are the only ones of their type."""
    gone, come = _only_of_type(removed), _only_of_type(added)
    pairs = [(gone[kind], come[kind]) for kind in gone.keys() & come.keys()]
    either: dict[Key, Key] = {}
    for old, new in pairs:
        if isinstance(old, str) and isinstance(new, str):
            either |= {old: new, new: old}
    return either


def _only_of_type(columns: Columns) -> dict[Hashable, Key]:
    counts = Counter(column.type for column in columns.values())
    return {column.type: key for key, column in columns.items() if counts[column.type] == 1}


def _removal(part: Part, key: Key, column: Column, renamed: Key | None) -> Change:
    rename = f"Perhaps it is called “{shown(str(renamed), 60)}” now. " if renamed is not None else ""
    who = "reads it no longer finds it" if part == Part.OUTPUT else "sends it is refused"
    return Change(part, _title(key), column.words, "", f"Removed. {rename}Whoever {who}.", Bump.MAJOR)


def _addition(part: Part, key: Key, column: Column, renamed: Key | None) -> Change:
    rename = f" Perhaps it was called “{shown(str(renamed), 60)}” before." if renamed is not None else ""
    what, bump = _addition_means(part, column)
    return Change(part, _title(key), "", column.words, what + rename, bump)


def _addition_means(part: Part, column: Column) -> tuple[str, Bump]:
    if part == Part.OUTPUT:
        return "New: the answer has another form.", Bump.MAJOR
    if part == Part.PARAMETER:
        return "New, with a default: requests without it are answered.", Bump.MINOR
    if column.required:
        return "New and required: requests without it are refused.", Bump.MAJOR
    return "New and optional: requests without it are answered.", Bump.MINOR


def _alteration(part: Part, key: Key, old: Column, new: Column) -> Change:
    """All that changed about one column; the gravest of it decides."""
    means = [_output_means(old, new)] if part == Part.OUTPUT else _altered(part, old, new)
    what = " ".join(words for words, _ in means)
    return Change(part, _title(key), old.words, new.words, what, max(bump for _, bump in means))


def _output_means(old: Column, new: Column) -> tuple[str, Bump]:
    if old.type != new.type:
        return "Its type changed: the answer has another form.", Bump.MAJOR
    if new.required:
        return "It is always there now, where it could be missing: the answer has another form.", Bump.MAJOR
    return "It can be missing now: the answer has another form.", Bump.MAJOR


def _altered(part: Part, old: Column, new: Column) -> list[tuple[str, Bump]]:
    means = []
    if old.type != new.type:
        table = PARAMETER_WIDENINGS if part == Part.PARAMETER else WIDENINGS
        if accepts(new.type, old.type, table):
            means.append(("Its type is wider: what was sent before is still accepted.", Bump.MINOR))
        else:
            means.append(("Its type changed: what was sent before can be refused or mean something else.", Bump.MAJOR))
    if old.required and not new.required:
        means.append(("It can be left out now.", Bump.MINOR))
    if new.required and not old.required:
        means.append(("It has become required: requests without it are refused.", Bump.MAJOR))
    if old.default != new.default:
        means.append(("Its default changed: requests without it can get another answer.", Bump.MINOR))
    return means


def accepts(new: Type, old: Type, widenings: frozenset[tuple[str, str]] = WIDENINGS) -> bool:
    """Whether MLflow lets every value of the old type pass as one of the new type.

    Not so for tensors of another type or shape: a length that became free is accepted in an array, but not in a table.
    """
    if new == old:
        return True
    if isinstance(new, Scalar) and isinstance(old, Scalar):
        return new.name == ANY or (old.name, new.name) in widenings
    if isinstance(new, List) and isinstance(old, List):
        return accepts(new.items, old.items, widenings)
    if isinstance(new, Map) and isinstance(old, Map):
        return accepts(new.values, old.values, widenings)
    if isinstance(new, Object) and isinstance(old, Object):
        return _object_accepts(new, old)
    return new == Scalar(ANY) and not isinstance(old, Tensor)


def _object_accepts(new: Object, old: Object) -> bool:
    """Every old property is still there and no stricter, and none of the new ones is required."""
    known = {each.name: each for each in old.properties}
    found = {each.name for each in new.properties}
    return found >= known.keys() and all(_property_accepts(each, known.get(each.name)) for each in new.properties)


def _property_accepts(new: Property, old: Property | None) -> bool:
    if old is None:
        return not new.required
    return (not new.required or old.required) and accepts(new.type, old.type)


def _title(key: Key) -> str:
    return f"column {key + 1}" if isinstance(key, int) else shown(key)
