"""One look at each file of a model: is it what its name says, and can it do harm? Nothing is loaded or executed.

It runs in a process of its own (``python -m lifecycle.checks.formats <order>``), with bounds on memory and time that
``lifecycle.adapters.scanners`` sets: a file that is made to exhaust whoever reads it exhausts only that process.
Imports neither Django nor a library that would run what it reads.
"""

from __future__ import annotations

import ast
import codecs
import io
import json
import pickletools
import re
import sys
import tomllib
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np
import yaml
from sklearn.utils import all_estimators
from skops.io import get_untrusted_types

from lifecycle.checks import mlmodel, onnx, pickles
from lifecycle.checks.names import PICKLES, TORCH, UnfitError, climbs, has_control_characters, is_torch_storage
from lifecycle.model_files import MLMODEL

MAX_TEXT = 256 * 2**20
MAX_PARSED = 16 * 2**20
MAX_YAML = 8 * 2**20
MAX_SCHEMA = 64 * 2**20
MAX_MEMBERS = 100_000
MAX_UNPACKED = 2 * 2**30
"""Bytes. A text longer than MAX_TEXT is not read; MAX_PARSED bounds what is parsed, MAX_YAML does for YAML, MAX_SCHEMA
for the description inside a skops file; MAX_MEMBERS and MAX_UNPACKED bound an archive."""
BOMB_RATIO, BOMB_BYTES = 200, 50 * 2**20
"""An archive that unpacks to more than BOMB_BYTES and to BOMB_RATIO times its size was made to exhaust its reader."""
MAX_SAFETENSORS_HEADER = 100 * 10**6
"""Bytes, as the format itself says."""
LISTED = 10
"""How many names a sentence lists."""


@dataclass(frozen=True, slots=True)
class Rules:
    """``trusted`` are the types that the policy trusts; ``names`` are the paths of all of the model's files."""

    trusted: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()


Reader = Callable[[Path, Rules], None]
"""Raises UnfitError, or whatever the file's content provokes, unless the file is fit."""

_MAGIC = (
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\x7fELF", "a program"),
    (b"\xcf\xfa\xed\xfe", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\x1f\x8b", "a gzip file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\x00", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a zstandard file"),
    (b"Rar!", "a rar archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"%PDF", "a PDF file"),
)
_OPCODES = {ord(each.code) for each in pickletools.opcodes}
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_YAML_TAGS = {
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "seq", "map", "timestamp")
}
_SVG_ACTS = re.compile(r"<script|<!entity|<foreignobject|javascript:|\son\w+\s*=", re.IGNORECASE)


def look(path: Path, kind: str, rules: Rules) -> str:
    """What is wrong with a file, in words that follow its name; "" when nothing is. ``kind`` is "" for a format that
    the policy does not allow: then it is told what the file is, as far as that is known."""
    try:
        reader = _reader(path, kind)
        _need_honest_start(path, kind)
        reader(path, rules)
    except UnfitError as error:
        return str(error)
    except UnicodeDecodeError:
        return "is not text in UTF-8"
    except (RecursionError, MemoryError):
        return "is nested too deeply, or too large, to be checked"
    except Exception as error:  # the readers' libraries raise anything for a file that was made to mislead them
        return f"cannot be read as {kind}: {type(error).__name__}: {error}"
    return ""


def _reader(path: Path, kind: str) -> Reader:
    if not kind:
        raise UnfitError(_unwanted(path))
    if kind == MLMODEL:
        return mlmodel_file
    if kind == path.name and "." not in kind:
        return text_file
    if kind.lower() not in _READERS:
        raise UnfitError(f"is a {kind} file, which Stagegate cannot look into")
    return _READERS[kind.lower()]


def _unwanted(path: Path) -> str:
    if path.suffix == ".pyc":
        return (
            "is compiled Python, which runs in place of the source that people read: "
            "log the model with PYTHONDONTWRITEBYTECODE=1, so that there is none"
        )
    with path.open("rb") as file:
        content = file.read(MAX_PARSED)
    found = _PICKLE if pickles.looks_like_pickle(content) else what_begins_with(content)
    return f"is {found}; the policy allows no such file" if found else "is of a format that the policy does not allow"


# ---------------------------------------------------------------- what a file begins with


def _need_honest_start(path: Path, kind: str) -> None:
    with path.open("rb") as file:
        found = what_begins_with(file.read(64))
    expected = (None,) if kind == path.name else _STARTS.get(kind.lower(), (None,))
    if found not in expected:
        raise UnfitError(
            f"is {found}, whatever its name says" if found else f"is no {kind} file: it begins differently"
        )


def what_begins_with(head: bytes) -> str | None:
    """What the first bytes of a file tell, None when they tell nothing."""
    if len(head) > 2 and head[0] == 0x80 and head[1] in range(2, 6) and head[2] in _OPCODES:
        return _PICKLE
    return next((what for magic, what in _MAGIC if head.startswith(magic)), None)


_PICKLE = "a pickle, which runs code when it is loaded"
_STARTS: Mapping[str, tuple[str | None, ...]] = {
    "png": ("a PNG image",),
    "skops": ("a zip archive",),
    "npz": ("a zip archive",),
    "npy": ("a NumPy array",),
    "keras": ("a zip archive",),
    "h5": ("an HDF5 file",),
    **dict.fromkeys(PICKLES, (_PICKLE, None)),
    **dict.fromkeys(TORCH, ("a zip archive",)),
}


# ---------------------------------------------------------------- text


def _text(path: Path, limit: int) -> str:
    size = path.stat().st_size
    if size > limit:
        raise UnfitError(f"has {size:,} bytes; more than {limit:,} are not checked")
    content = path.read_bytes()
    if pickles.looks_like_pickle(content):
        raise UnfitError(f"is {_PICKLE}")
    text = content.decode("utf-8")
    _need_plain(text)
    return text


def _need_plain(text: str) -> None:
    if _CONTROL.search(text):
        raise UnfitError("is not text: it has control characters")


def text_file(path: Path, rules: Rules) -> None:
    """UTF-8 without control characters. Long tables are read piece by piece."""
    if path.stat().st_size <= MAX_PARSED:
        _text(path, MAX_PARSED)
        return
    if path.stat().st_size > MAX_TEXT:
        raise UnfitError(f"has more than {MAX_TEXT:,} bytes, which are not checked")
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            _need_plain(decoder.decode(piece))
    decoder.decode(b"", final=True)


def json_file(path: Path, rules: Rules) -> None:
    json.loads(_text(path, MAX_PARSED))


def toml_file(path: Path, rules: Rules) -> None:
    tomllib.loads(_text(path, MAX_YAML))


def yaml_file(path: Path, rules: Rules) -> None:
    _untagged_yaml(path)


def _untagged_yaml(path: Path) -> str:
    """The text, once it is known to build nothing but plain values, and no more of them than it has characters."""
    text = _text(path, MAX_YAML)
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        tag = getattr(event, "tag", None)
        if tag is not None and tag not in _YAML_TAGS:
            raise UnfitError(f"has the YAML tag {tag[:200]}, by which a file makes its reader build things")
        if isinstance(event, yaml.ScalarEvent) and event.value == "<<":
            raise UnfitError("merges YAML mappings, by which a small file grows without bounds")
    return text


def mlmodel_file(path: Path, rules: Rules) -> None:
    loaded = yaml.load(_untagged_yaml(path), Loader=yaml.CSafeLoader)
    complaints = mlmodel.complaints(loaded, names=rules.names, trusted=rules.trusted)
    if complaints:
        raise UnfitError("; ".join(complaints[:LISTED]))


def python_file(path: Path, rules: Rules) -> None:
    ast.parse(_text(path, MAX_YAML), filename=path.name)


def svg_file(path: Path, rules: Rules) -> None:
    text = _text(path, MAX_PARSED)
    if "<svg" not in text.lower():
        raise UnfitError("is no SVG image")
    found = _SVG_ACTS.search(text)
    if found:
        raise UnfitError(f"is an image that does something when it is opened: it has {found[0].strip()!r}")


# ---------------------------------------------------------------- images and tensors


def png_file(path: Path, rules: Rules) -> None:
    """A chunk after the other up to the last one, and nothing behind it: an archive could hide there."""
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        place, kind = 8, b""
        while kind != b"IEND":
            file.seek(place)
            head = file.read(8)
            place += 12 + int.from_bytes(head[:4], "big")
            kind = head[4:]
            if len(head) < 8 or place > size:
                raise UnfitError("is a PNG image that is cut off")
    if place != size:
        raise UnfitError("has something else behind the image")


def numpy_file(path: Path, rules: Rules) -> None:
    with path.open("rb") as file:
        _need_plain_array(file)


def _need_plain_array(file: BinaryIO) -> None:
    """An array of numbers or texts: one of Python objects is stored as a pickle."""
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise UnfitError("has a NumPy array of an unknown version")
    _, _, dtype = read(file)
    if dtype.hasobject:
        raise UnfitError("has a NumPy array of Python objects, which is stored as a pickle")


def safetensors_file(path: Path, rules: Rules) -> None:
    """Length, JSON header, and tensors that fill the rest without gap or overlap."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(MAX_SAFETENSORS_HEADER, MAX_SCHEMA, size - 8):
            raise UnfitError("is no safetensors file: its header is longer than the file, or than allowed")
        header = json.loads(file.read(length).decode("utf-8"))
    header.pop("__metadata__", None)
    place = 0
    for begin, end in sorted(tensor["data_offsets"] for tensor in header.values()):
        if begin != place or end < begin:
            raise UnfitError("is a safetensors file whose tensors overlap or leave gaps")
        place = end
    if 8 + length + place != size:
        raise UnfitError("has something else behind its tensors")


def onnx_file(path: Path, rules: Rules) -> None:
    for location in onnx.external_files(path.read_bytes()):
        if climbs(location):
            raise UnfitError(f"takes tensors from {location[:200]!r}, outside of the model's directory")
        folder = path.parent.joinpath(location)
        if not folder.is_file():
            raise UnfitError(f"takes tensors from {location[:200]!r}, which is not there")


# ---------------------------------------------------------------- archives


def _archive(source: Path | BinaryIO, size: int) -> zipfile.ZipFile:
    """An opened zip archive that neither climbs, nor hides anything, nor unpacks without bounds."""
    archive = zipfile.ZipFile(source)
    members = archive.infolist()
    names = [member.filename for member in members]
    if len(names) > MAX_MEMBERS or len(set(names)) != len(names):
        raise UnfitError("is an archive with too many members, or with two of one name")
    if any(climbs(name) or has_control_characters(name) for name in names):
        raise UnfitError("is an archive with a member that would be unpacked outside of it")
    if any(member.flag_bits & 1 for member in members):
        raise UnfitError("is an archive with an encrypted member, which cannot be checked")
    unpacked = sum(member.file_size for member in members)
    if unpacked > MAX_UNPACKED or (unpacked > BOMB_BYTES and unpacked > BOMB_RATIO * size):
        raise UnfitError(f"is an archive of {size:,} bytes that unpacks to {unpacked:,}: it would exhaust its reader")
    return archive


def skops_file(path: Path, rules: Rules) -> None:
    """Members of the four kinds that skops writes, and no type that neither skops nor the policy trusts."""
    with _archive(path, path.stat().st_size) as archive:
        for member in archive.infolist():
            _skops_member(archive, member)
    unknown = sorted(set(get_untrusted_types(file=path)) - rules.trusted)
    if unknown:
        raise UnfitError(f"holds types that are not trusted: {_listed(unknown)}")


def _skops_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    ending = PurePosixPath(member.filename).suffix
    with archive.open(member) as file:
        head = file.read(64)
        if member.filename == "schema.json":
            if member.file_size > MAX_SCHEMA:
                raise UnfitError("is a skops file whose description is too long to be checked")
        elif ending == ".bin":
            _need_harmless_bytes(member, head + file.read(MAX_PARSED))
        elif ending == ".npy":
            _need_array_inside(member, head)
            file.seek(0)
            _need_plain_array(file)  # type: ignore[arg-type]
        elif ending == ".npz":
            file.seek(0)
            _need_plain_arrays(io.BytesIO(file.read()))
        else:
            raise UnfitError(f"has {member.filename[:200]!r} inside, which skops does not write")


def _need_harmless_bytes(member: zipfile.ZipInfo, content: bytes) -> None:
    found = _PICKLE if pickles.looks_like_pickle(content) else what_begins_with(content)
    if found:
        raise UnfitError(f"has {member.filename[:200]!r} inside, which is {found}")


def _need_array_inside(member: zipfile.ZipInfo, head: bytes) -> None:
    if not head.startswith(np.lib.format.MAGIC_PREFIX):
        found = what_begins_with(head) or "no NumPy array"
        raise UnfitError(f"has {member.filename[:200]!r} inside, which is {found}")


def npz_file(path: Path, rules: Rules) -> None:
    with path.open("rb") as file:
        _need_plain_arrays(file)


def _need_plain_arrays(source: BinaryIO) -> None:
    size = source.seek(0, io.SEEK_END)
    source.seek(0)
    with _archive(source, size) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                _need_array_inside(member, file.read(64))
                file.seek(0)
                _need_plain_array(file)  # type: ignore[arg-type]


# ---------------------------------------------------------------- formats that only an explicit policy allows


def pickle_file(path: Path, rules: Rules) -> None:
    """``lifecycle.adapters.scanners.modelscan`` looks at these as well: both have to find nothing."""
    estimators = {f"{found.__module__}.{found.__qualname__}" for _, found in all_estimators()}
    with path.open("rb") as file:
        _refuse(pickles.refusal(file, pickles.CORE | estimators | rules.trusted))


def torch_file(path: Path, rules: Rules) -> None:
    """Weights as PyTorch stores them since 1.6: one pickle that names tensors only, and raw numbers beside it."""
    with _archive(path, path.stat().st_size) as archive:
        for member in archive.infolist():
            below = member.filename.partition("/")[2]
            if below == "data.pkl":
                with archive.open(member) as file:
                    _refuse(pickles.refusal(file, pickles.TORCH | rules.trusted, persistent_ids=True))  # type: ignore[arg-type]
            elif not is_torch_storage(member.filename):
                raise UnfitError(f"has {member.filename[:200]!r} inside, which is more than weights")


def archive_file(path: Path, rules: Rules) -> None:
    _archive(path, path.stat().st_size).close()


def opaque_file(path: Path, rules: Rules) -> None:
    """A format that is left to modelscan."""


def _refuse(why: str) -> None:
    if why:
        raise UnfitError(why)


def _listed(names: list[str]) -> str:
    shown = ", ".join(name[:200] for name in names[:LISTED])
    return shown if len(names) <= LISTED else f"{shown} and {len(names) - LISTED} more"


_READERS: Mapping[str, Reader] = {
    "json": json_file,
    "toml": toml_file,
    "yaml": yaml_file,
    "yml": yaml_file,
    "py": python_file,
    "svg": svg_file,
    **dict.fromkeys(("csv", "md", "txt"), text_file),
    "png": png_file,
    "npy": numpy_file,
    "npz": npz_file,
    "onnx": onnx_file,
    "safetensors": safetensors_file,
    "skops": skops_file,
    **dict.fromkeys(PICKLES, pickle_file),
    **dict.fromkeys(TORCH, torch_file),
    "keras": archive_file,
    "h5": opaque_file,
    "pb": opaque_file,
}


def main(order: Path) -> None:
    """Look at the files of an order, and print one line of JSON for each, in the order's order."""
    wanted = json.loads(order.read_text(encoding="utf-8"))
    rules = Rules(frozenset(wanted["trusted"]), frozenset(wanted["names"]))
    warnings.simplefilter("ignore")
    for path, kind in wanted["files"]:
        why = look(Path(wanted["directory"], path), kind, rules)
        print(json.dumps({"path": path, "why": why[:2000]}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
