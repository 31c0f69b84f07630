"""Programs that look into model files, each in a process of its own with bounds on memory and time.

What they read may have been made to mislead, exhaust or crash whoever reads it. So they get an empty directory to be
in, no settings and no secrets from our environment, and what they do not answer for counts as not looked at.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

INSPECTOR = "lifecycle.checks.formats"
MODELSCAN = "modelscan"
SECONDS = 300.0
MEMORY_BYTES = 3 * 2**30
OUTPUT_BYTES = 256 * 2**20
_POLL_SECONDS = 0.5
_GRACE_SECONDS = 5
# The limits are set by the process itself, before it reads anything: the address space it may use, the seconds of
# processor time, and how much it may write. macOS knows no limit of the address space.
_LAUNCH = """
import resource, runpy, sys
module, memory, seconds, output = sys.argv[1], *map(int, sys.argv[2:5])
sys.argv[:5] = [module]
if sys.platform != "darwin":
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
resource.setrlimit(resource.RLIMIT_FSIZE, (output, output))
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
_ROOT = Path(__file__).resolve().parents[2]

Tick = Callable[[int], None]
"""Called at least every second with the number of lines that a program has printed; whatever it raises ends it."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is wrong with each file that was looked at, "" for nothing. ``broken`` says why the rest was not."""

    found: Mapping[str, str]
    broken: str = ""


@dataclass(frozen=True, slots=True)
class Scan:
    """modelscan's word on a directory, by path below it; what is inside an archive is named "archive:member".

    ``broken`` says why there is no word, ``errors`` are by path, "" for those that concern none.
    """

    version: str = ""
    issues: Mapping[str, Sequence[str]] = field(default_factory=dict)
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    scanned: frozenset[str] = frozenset()
    skipped: frozenset[str] = frozenset()
    broken: str = ""


def version_of(package: str) -> str:
    """The installed version of a package, "" when it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def inspect(order: Mapping[str, Any], tick: Tick, *, seconds: float = SECONDS) -> Inspection:
    """Have the files of an order looked at, one line for each; ``lifecycle.checks.formats`` says what an order is."""
    with tempfile.TemporaryDirectory(prefix="stagegate-scan-") as scratch:
        paper = Path(scratch, "order.json")
        paper.write_text(json.dumps(order), encoding="utf-8")
        lines = Path(scratch, "lines")
        broken = _run(INSPECTOR, [str(paper)], lines, tick, seconds)
        found = [json.loads(line) for line in _whole_lines(lines)]
    return Inspection({each["path"]: each["why"] for each in found}, broken)


def modelscan(directory: Path, tick: Tick, *, seconds: float = SECONDS) -> Scan | None:
    """modelscan over a whole directory, which holds no links; None when it is not installed: it needs Python < 3.13."""
    version = version_of(MODELSCAN)
    if not version:
        return None
    with tempfile.TemporaryDirectory(prefix="stagegate-scan-") as scratch:
        report = Path(scratch, "report.json")
        arguments = ["--path", str(directory), "--reporting-format", "json", "--show-skipped", "--log", "CRITICAL"]
        broken = _run(
            f"{MODELSCAN}.cli", [*arguments, "--output-file", str(report)], Path(scratch, "lines"), tick, seconds
        )
        if not report.is_file():
            return Scan(version, broken=broken or "modelscan ended without a report")
        return _scan(version, json.loads(report.read_text(encoding="utf-8")))


def _scan(version: str, report: Mapping[str, Any]) -> Scan:
    summary = report["summary"]
    skipped = summary.get("skipped", {}).get("skipped_files", [])
    return Scan(
        version=version,
        issues=_by_source(report["issues"], lambda each: f"{each.get('module')}.{each.get('operator')}"),
        errors=_by_source(report["errors"], lambda each: str(each.get("description"))),
        scanned=frozenset(summary["scanned"].get("scanned_files", ())),
        skipped=frozenset(each["source"] for each in skipped),
    )


def _by_source(entries: Sequence[Mapping[str, Any]], words: Callable[[Mapping[str, Any]], str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for entry in entries:
        found.setdefault(str(entry.get("source", "")), []).append(words(entry))
    return found


def _run(module: str, arguments: Sequence[str], lines: Path, tick: Tick, seconds: float) -> str:
    """Run a module until it ends, with what it prints in ``lines``; why it did not end as it should, "" if it did.

    modelscan ends with 1, 2 or 3 when it found something, could not read something, or had nothing to read.
    """
    limits = [str(MEMORY_BYTES), str(int(seconds) + _GRACE_SECONDS), str(OUTPUT_BYTES)]
    command = [sys.executable, "-s", "-P", "-c", _LAUNCH, module, *limits, *arguments]
    deadline = time.monotonic() + seconds
    with (
        lines.open("wb") as out,
        subprocess.Popen(  # noqa: S603 - our own interpreter, arguments from us
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.DEVNULL,
            cwd=lines.parent,
            env=_bare(lines.parent),
        ) as process,
    ):
        try:
            while True:
                try:
                    code = process.wait(_POLL_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    tick(lines.read_bytes().count(b"\n"))
                if time.monotonic() > deadline:
                    return f"it took longer than {seconds:g} seconds"
        finally:
            process.kill()
    if code < 0:
        return "the program that looks at it crashed, or needed more than it may use"
    return (
        ""
        if code == 0 or (module != INSPECTOR and code in (1, 2, 3))
        else f"the program that looks at it ended with {code}"
    )


def _bare(scratch: Path) -> dict[str, str]:
    """The environment of a program that needs nothing of ours; one thread, since each costs address space."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ}
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    own = {"HOME": str(scratch), "TMPDIR": str(scratch), "PYTHONPATH": str(_ROOT), "PYTHONUTF8": "1"}
    return {**kept, **single, **own, "PYTHONDONTWRITEBYTECODE": "1"}


def _whole_lines(lines: Path) -> list[str]:
    """What was printed up to the last line break: a program that was killed may have left half a line."""
    return lines.read_text(encoding="utf-8").rpartition("\n")[0].splitlines()
