"""What a pickle would do, read from its instructions without carrying out a single one.

A pickle is a program. Scanners list what is known to be harmful and so miss what they have not heard of; here it is
the other way round: only what is needed to store numbers, tables and scikit-learn's estimators may be named.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from itertools import product
from typing import Any, BinaryIO

_NUMPY = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric")
_RANDOM = ("__randomstate_ctor", "__generator_ctor", "__bit_generator_ctor")
_SPARSE = ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")

CORE = frozenset(
    {
        *(f"builtins.{name}" for name in ("bytearray", "complex", "frozenset", "object", "range", "set", "slice")),
        *(f"builtins.{name}" for name in ("bool", "bytes", "dict", "float", "int", "list", "str", "tuple")),
        "copyreg._reconstructor",
        "collections.OrderedDict",
        "collections.defaultdict",
        *(f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta", "timezone")),
        *(f"{module}.{name}" for module, name in product(_NUMPY, ("dtype", "ndarray", "_reconstruct", "scalar"))),
        *(f"{module}._frombuffer" for module in _NUMPY),
        *(f"numpy.{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
        *(f"numpy.float{bits}" for bits in (16, 32, 64)),
        "numpy.bool_",
        "numpy.str_",
        *(f"numpy.random._pickle.{name}" for name in _RANDOM),
        "numpy.random._mt19937.MT19937",
        "numpy.random._pcg64.PCG64",
        *(f"scipy.sparse._{kind}.{kind}_{what}" for kind, what in product(_SPARSE, ("array", "matrix"))),
        *(f"pandas.{name}" for name in ("DataFrame", "Index", "MultiIndex", "RangeIndex", "Series")),
        "pandas.core.frame.DataFrame",
        "pandas.core.series.Series",
        "pandas.core.internals.managers.BlockManager",
        "pandas.core.internals.managers.SingleBlockManager",
        "pandas._libs.internals._unpickle_block",
        "pandas.core.indexes.base.Index",
        "pandas.core.indexes.base._new_Index",
        "pandas.core.indexes.multi.MultiIndex",
        "pandas.core.indexes.range.RangeIndex",
    }
)
"""What any pickle may name: called with whatever arguments, none of these reaches a file, a process or the network."""

TORCH = frozenset(
    {
        "collections.OrderedDict",
        *(f"torch.{name}Storage" for name in ("BFloat16", "Bool", "Byte", "Char", "Double", "Float", "Half")),
        *(f"torch.{name}Storage" for name in ("Int", "Long", "Short")),
        "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_tensor_v2",
    }
)
"""What the pickle inside a file of PyTorch weights may name."""

_STRINGS = frozenset({"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"})
_TO_MEMO = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_FROM_MEMO = frozenset({"GET", "BINGET", "LONG_BINGET"})
_NOTHING = frozenset({"FRAME", "PROTO"})
_ACTS = frozenset({"GLOBAL", "STACK_GLOBAL", "INST", "REDUCE", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD"})
_NEVER = {
    "EXT1": "a registered extension",
    "EXT2": "a registered extension",
    "EXT4": "a registered extension",
    "INST": "an old instruction that names and calls at once",
    "OBJ": "an old instruction that calls what is on the stack",
}
_PERSISTENT = frozenset({"PERSID", "BINPERSID"})

Instruction = tuple[Any, Any, int | None]


def looks_like_pickle(data: bytes) -> bool:
    """Whether the bytes begin with a whole pickle that names or calls something; text can be one too."""
    acts = False
    try:
        for instruction, _, _ in pickletools.genops(data):
            acts = acts or instruction.name in _ACTS
    except Exception:  # pickletools raises whatever the broken bytes provoke: such bytes are no pickle
        return False
    return acts


def refusal(stream: BinaryIO, allowed: frozenset[str], *, persistent_ids: bool = False) -> str:
    """Why a pickle must not be loaded, "" when everything it names is allowed.

    The stream has to hold one pickle and nothing after it. ``persistent_ids`` admits references to storages beside
    the pickle, as PyTorch writes them.
    """
    try:
        for name in _names(stream, persistent_ids=persistent_ids):
            if name not in allowed:
                return f"is a pickle that names {name[:200]}, which is not among what a pickle may name"
    except _UnreadableError as error:
        return f"is a pickle that {error}"
    except Exception as error:  # as above; for a pickle, what can't be read to the end is refused
        return f"is not a pickle that can be read to the end: {str(error)[:200]}"
    return "" if not stream.read(1) else "has more after the end of the pickle"


class _UnreadableError(Exception):
    """The pickle does something that makes it impossible to say what it names."""


def _names(stream: BinaryIO, *, persistent_ids: bool) -> Iterator[str]:
    """Every "module.name" that the pickle would import, in order."""
    memo: dict[int, str | None] = {}
    strings: list[str | None] = [None, None]
    for instruction, argument, _ in pickletools.genops(stream):
        name = instruction.name
        if name in _NEVER or (name in _PERSISTENT and not persistent_ids):
            raise _UnreadableError(f"uses {_NEVER.get(name, 'a reference to something outside of it')}")
        if name == "MEMOIZE":
            memo[len(memo)] = strings[-1]
            continue
        if name in _TO_MEMO:
            memo[int(argument or 0)] = strings[-1]
            continue
        if name in _NOTHING:
            continue
        if name == "GLOBAL":
            yield ".".join(str(argument).split(" ", 1))
        elif name == "STACK_GLOBAL":
            yield _joined(strings)
        strings = [strings[-1], _pushed(name, argument, memo)]


def _pushed(name: str, argument: Any, memo: dict[int, str | None]) -> str | None:
    """The text that an instruction puts on top of the stack, None when it puts anything else there, or nothing."""
    if name in _STRINGS:
        return str(argument)
    return memo.get(int(argument or 0)) if name in _FROM_MEMO else None


def _joined(strings: list[str | None]) -> str:
    """Module and name are the two topmost texts; anything cleverer than writing them down is refused."""
    module, name = strings
    if module is None or name is None:
        raise _UnreadableError("puts the name of what it imports together while it is loaded")
    return f"{module}.{name}"
