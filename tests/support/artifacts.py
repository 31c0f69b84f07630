"""Model files as they should be and as they should not: every payload would leave a file behind if it ever ran."""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import skops.io
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression

MLMODEL = b"flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n    model_path: model.skops\n"


def linear() -> LinearRegression:
    return LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0])


def forest() -> RandomForestClassifier:
    return RandomForestClassifier(n_estimators=2, random_state=0).fit([[0.0], [1.0]], [0, 1])


def model_files() -> dict[str, bytes]:
    """A whole model that anybody may load."""
    return {
        "MLmodel": MLMODEL,
        "model.skops": skops.io.dumps(forest()),
        "conda.yaml": b"dependencies:\n- python=3.11\n",
        "requirements.txt": b"scikit-learn\n",
        "input_example.json": b'{"columns": ["a"], "data": [[1.0]]}',
    }


def write(directory: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return directory


class _Runs:
    """Pickled as a call of ``function`` with ``arguments``."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


def shell_pickle(proof: Path, protocol: int = 4) -> bytes:
    """Would create ``proof`` by a shell command; scanners know this one."""
    import_system = pickle.dumps(_Runs(__import__("os").system, f"touch {proof}"), protocol)
    return pickletools.optimize(import_system)


def missed_pickle(proof: Path) -> bytes:
    """Would create ``proof`` by importing a module that it wrote before; scanners find nothing in it."""
    return (
        b"\x80\x04"
        + _call("pathlib", "Path.touch", str(proof))
        + b"0"
        + _call("importlib", "import_module", "this")
        + b"."
    )


def _call(module: str, name: str, argument: str) -> bytes:
    return _text(module) + _text(name) + b"\x93" + _text(argument) + b"\x85R"


def _text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def zipped(members: Mapping[str, bytes], *, compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def with_member(archive: bytes, name: str, content: bytes) -> bytes:
    """The same archive with one member more."""
    buffer = io.BytesIO(archive)
    with zipfile.ZipFile(buffer, "a") as opened:
        opened.writestr(name, content)
    return buffer.getvalue()


def png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def safetensors(
    header: bytes = b'{"weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', data: bytes = b"\0\0\0\0"
) -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def onnx(location: str = "") -> bytes:
    """An ONNX model with one initializer, stored in another file when ``location`` says where."""
    entry = _field(1, b"location") + _field(2, location.encode())
    tensor = _field(8, b"weight") + (_field(13, entry) if location else b"")
    return b"\x08\x08" + _field(7, _field(2, b"graph") + _field(5, tensor))


def _field(number: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content
