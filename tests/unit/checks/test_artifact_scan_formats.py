"""Every format with a file that is fit, and with files that only look like it. Nothing is loaded or executed."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import skops.io
from scipy.sparse import csr_matrix

from lifecycle.checks.formats import Rules, look
from lifecycle.checks.names import climbs, kind_of
from tests.support import artifacts

TREE = Rules(trusted=frozenset({"sklearn.tree._tree.Tree", "scipy.sparse._csr.csr_matrix"}))
PICKLED = pickle.dumps({"a": [1, 2]})


def array(values: object, **options: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array(values, **options))
    return buffer.getvalue()


GOOD = {
    "table.csv": b"a,b\n1,\xc3\xa9\n",
    "empty.txt": b"",
    "LICENSE": b"Do as you like.\n",
    "notes.md": b"# Notes\n",
    "values.json": b'{"a": [1, 2.5, null]}',
    "conda.yaml": b"name: env\nsame: &x [1]\nagain: *x\n",
    "env.yml": b"'a': !!str 1\n",
    "project.toml": b'[a]\nb = "c"\n',
    "code.py": b"import os\nos.system('true')\n",
    "plot.svg": b'<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0"/></svg>',
    "plot.png": artifacts.png(),
    "weights.npy": array([[1.0, 2.0]]),
    "weights.npz": artifacts.zipped({"a.npy": array([1]), "b.npy": array(["x"])}),
    "model.safetensors": artifacts.safetensors(),
    "long_header.safetensors": artifacts.safetensors(
        b" " * 580 + b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    ),
    "model.onnx": artifacts.onnx(),
    "model.skops": skops.io.dumps(artifacts.linear()),
    "forest.skops": skops.io.dumps(artifacts.forest()),
    "sparse.skops": skops.io.dumps({"matrix": csr_matrix([[0, 1]])}),
    "MLmodel": artifacts.MLMODEL,
}


@pytest.mark.parametrize("name", GOOD)
def test_a_file_that_is_what_its_name_says_is_fit(tmp_path: Path, name: str) -> None:
    path = artifacts.write(tmp_path, {name: GOOD[name]}) / name
    assert look(path, kind_of(name, (*ENDINGS, "LICENSE", "MLmodel")) or "", TREE) == ""


ENDINGS = (
    "csv",
    "json",
    "md",
    "npy",
    "npz",
    "onnx",
    "png",
    "py",
    "safetensors",
    "skops",
    "svg",
    "toml",
    "txt",
    "yaml",
    "yml",
)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(PICKLED, id="pickle 4"),
        pytest.param(pickle.dumps(ValueError(), 0), id="pickle 0, a text"),
        pytest.param(artifacts.zipped({"data.pkl": PICKLED}), id="zip"),
        pytest.param(b"\x7fELF\x02\x01\x01" + bytes(60), id="program"),
        pytest.param(b"\x89HDF\r\n\x1a\n" + bytes(60), id="HDF5"),
        pytest.param(b"\x1f\x8b\x08\x00" + bytes(60), id="gzip"),
        pytest.param(b"plain \x00 text", id="NUL"),
        pytest.param(b"\xff\xfe\x00", id="no UTF-8"),
    ],
)
def test_no_ending_hides_what_a_file_is(tmp_path: Path, ending: str, content: bytes) -> None:
    path = artifacts.write(tmp_path, {f"file.{ending}": content}) / f"file.{ending}"
    assert look(path, ending, TREE)


BAD = {
    "deep.json": (b"[" * 100_000, "nested too deeply"),
    "half.json": (b'{"a": 1', "cannot be read as json"),
    "long.json": (b"[" + b"1," * 9_000_000 + b"1]", "more than 16,777,216 are not checked"),
    "object.yaml": (b"a: !!python/object/apply:os.system ['true']\n", "has the YAML tag tag:yaml.org,2002:python"),
    "tagged.yml": (b"a: !mine 1\n", "has the YAML tag !mine"),
    "growing.yaml": (b"a: &a {x: 1}\nb: {<<: [*a, *a]}\n", "merges YAML mappings"),
    "broken.yaml": (b"a: [1\n", "cannot be read as yaml"),
    "broken.toml": (b"a = \n", "cannot be read as toml"),
    "broken.py": (b"def f(:\n", "cannot be read as py"),
    "deep.py": (b"(" * 5000 + b")" * 5000, "cannot be read as py"),
    "acting.svg": (b"<svg><script>alert(1)</script></svg>", "does something when it is opened"),
    "clicked.svg": (b"<svg onload='alert(1)'/>", "does something when it is opened"),
    "other.svg": (b"<html></html>", "is no SVG image"),
    "cut.png": (artifacts.png()[:-6], "is cut off"),
    "longer.png": (artifacts.png() + PICKLED, "something else behind the image"),
    "objects.npy": (array([{}], dtype=object), "NumPy array of Python objects"),
    "objects.npz": (artifacts.zipped({"a.npy": array([{}], dtype=object)}), "NumPy array of Python objects"),
    "pickled.npz": (artifacts.zipped({"a.npy": PICKLED}), "a pickle"),
    "long.safetensors": ((2**40).to_bytes(8, "little") + b"{}", "header is longer"),
    "gap.safetensors": (artifacts.safetensors(data=b"\0" * 8), "something else behind its tensors"),
    "overlap.safetensors": (
        artifacts.safetensors(b'{"a":{"data_offsets":[0,4]},"b":{"data_offsets":[2,4]}}'),
        "overlap or leave gaps",
    ),
    "climbing.onnx": (artifacts.onnx("../../etc/passwd"), "outside of the model's directory"),
    "absolute.onnx": (artifacts.onnx("/etc/passwd"), "outside of the model's directory"),
    "elsewhere.onnx": (artifacts.onnx("weights.data"), "which is not there"),
    "empty.onnx": (b"\x08\x08", "has no graph"),
    "text.onnx": (b"not a model", "is no ONNX model"),
    "archive.bz2": (b"BZh9", "which Stagegate cannot look into"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_is_not_fit_is_told_why(tmp_path: Path, name: str) -> None:
    content, why = BAD[name]
    path = artifacts.write(tmp_path, {name: content}) / name
    assert why in look(path, path.suffix[1:], TREE)


def test_a_format_that_the_policy_does_not_allow_is_named_where_it_is_known(tmp_path: Path) -> None:
    artifacts.write(
        tmp_path, {"a.pkl": PICKLED, "b.xyz": b"?", "c.pyc": b"\xa7\r\r\n", "d.pkl": pickle.dumps(ValueError(), 0)}
    )
    assert "is a pickle" not in look(tmp_path / "b.xyz", "", TREE)
    assert look(tmp_path / "b.xyz", "", TREE) == "is of a format that the policy does not allow"
    assert look(tmp_path / "a.pkl", "", TREE).startswith("is a pickle, which runs code when it is loaded")
    assert look(tmp_path / "d.pkl", "", TREE).startswith("is a pickle")
    assert "runs in place of the source" in look(tmp_path / "c.pyc", "", TREE)


# ---------------------------------------------------------------- skops


def skops_of(state: object, **members: bytes) -> bytes:
    schema = {"protocol": 2, "_skops_version": "0.16", "__loader__": "ObjectNode", "__id__": 1, **state}  # type: ignore[dict-item]
    return artifacts.zipped({"schema.json": json.dumps(schema).encode(), **members})


def test_a_type_is_trusted_by_skops_or_by_the_policy_or_not_at_all(tmp_path: Path) -> None:
    path = artifacts.write(tmp_path, {"m.skops": skops.io.dumps(artifacts.forest())}) / "m.skops"
    assert look(path, "skops", Rules()) == "holds types that are not trusted: sklearn.tree._tree.Tree"
    assert look(path, "skops", TREE) == ""


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (skops_of({"__class__": "system", "__module__": "os", "content": None}), "not trusted: os.system"),
        (
            skops_of({"__class__": "import_module", "__module__": "importlib", "__loader__": "FunctionNode"}),
            "not trusted: importlib.import_module",
        ),
        (artifacts.with_member(skops.io.dumps([1]), "data.pkl", PICKLED), "'data.pkl' inside"),
        (artifacts.with_member(skops.io.dumps([1]), "1.npy", PICKLED), "which is a pickle"),
        (artifacts.with_member(skops.io.dumps([1]), "1.bin", PICKLED), "which is a pickle"),
        (artifacts.with_member(skops.io.dumps([1]), "../1.npy", array([1])), "unpacked outside of it"),
        (artifacts.with_member(skops.io.dumps([1]), "1.npy", array([{}], dtype=object)), "of Python objects"),
        (artifacts.zipped({"schema.json": b"[" * 100_000}), "nested too deeply"),
        (artifacts.zipped({"other.json": b"{}"}), "skops does not write"),
        (
            artifacts.with_member(
                artifacts.zipped({"1.npy": bytes(80 * 2**20)}, compression=zipfile.ZIP_DEFLATED), "schema.json", b"{}"
            ),
            "it would exhaust its reader",
        ),
        (skops.io.dumps([1])[:-30], "cannot be read as skops"),
    ],
)
def test_a_skops_file_that_is_not_fit(tmp_path: Path, content: bytes, why: str) -> None:
    path = artifacts.write(tmp_path, {"m.skops": content}) / "m.skops"
    assert why in look(path, "skops", TREE)


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "..", "C:/x", "\\\\host\\x", "a\\..\\x"])
def test_paths_that_climb(path: str) -> None:
    assert climbs(path)


@pytest.mark.parametrize("path", ["x", "a/b.skops", "a..b", "./a", ""])
def test_paths_that_stay(path: str) -> None:
    assert not climbs(path)
