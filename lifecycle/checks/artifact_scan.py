"""Artifact scan: could any of a version's files do harm to whoever loads them?

The files are never unpickled, imported or executed, neither here nor in the processes that look into them. A file is
fit only when its format is one that the policy allows, its content is what its name says, and whoever knows that
format found nothing; what is skipped or can't be looked at is failed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lifecycle.adapters import scanners
from lifecycle.adapters.files import file_errors, sha256_of
from lifecycle.adapters.scanners import Inspection, Scan
from lifecycle.checks.base import Report, Result, Subject
from lifecycle.checks.names import NEED_MODELSCAN, has_control_characters, is_torch_storage, kind_of, spoken
from lifecycle.domain.digests import manifest_digest
from lifecycle.domain.policy import Checks
from lifecycle.model_files import MLMODEL

MAX_FILES = 100_000
MAX_PATH = 1000
"""Characters."""
LISTED = 2000
"""How many files the evidence lists; those that failed come first. Counts and digest always cover all of them."""
ISSUES = 200
PERCENT_HASHED, PERCENT_INSPECTED = 30, 85


@dataclass(frozen=True, slots=True)
class File:
    """A name below the model's directory. ``why`` says what is wrong with it, "" while nothing is known to be."""

    path: str
    size: int
    why: str = ""
    format: str = ""
    sha256: str = ""

    @property
    def verdict(self) -> str:
        if self.why:
            return "failed"
        return "code" if self.format == "py" else "passed"

    def failed(self, why: str) -> File:
        return self if not why else replace(self, why=f"{self.why}; {why}" if self.why else why)


def run(subject: Subject, report: Report) -> Result:
    """Scan a copy of the version's files.

    1. Names: links, devices and unprintable names fail, and so does every format that the policy does not list.
    2. Bytes: the SHA-256 of every file, and so the digest that the evidence belongs to.
    3. Contents, in a process of its own, and modelscan over all of it.
    """
    report(0, "looking at the names of its files")
    rules = subject.policy.checks
    with file_errors("the model's files can't be read"):
        files = sorted(_walk(subject.files, rules.formats), key=lambda file: file.path)
        if len(files) > MAX_FILES:
            return Result(False, f"It has more than {MAX_FILES:,} files, which are not scanned.", _policy(rules))
        files = list(_hashed(subject.files, files, report))
    inspection = _inspect(subject.files, files, rules, report)
    scan = _modelscan(subject.files, files, report)
    judged = [_judge(file, inspection, scan) for file in files]
    general = _general(judged, scan)
    measurements = {**_measurements(judged, general), **_policy(rules), "scanners": _versions()}
    return Result(not general and not any(file.why for file in judged), _detail(judged, general), measurements)


# ---------------------------------------------------------------- names and bytes


def _walk(directory: Path, formats: Collection[str]) -> Iterator[File]:
    """Everything below a directory but the directories. A link to one is a name like any other: it is not followed."""
    for folder, folders, names in os.walk(directory, onerror=_stop):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for name in (*links, *names):
            path = Path(folder, name)
            yield _named(path.relative_to(directory).as_posix(), path.lstat(), formats)


def _stop(error: OSError) -> None:
    raise error


def _named(path: str, found: os.stat_result, formats: Collection[str]) -> File:
    kind = kind_of(path, formats)
    if not stat.S_ISREG(found.st_mode):
        what = "a link" if stat.S_ISLNK(found.st_mode) else "a device, a pipe or a socket"
        return File(path, 0, f"is {what}, and no file")
    if has_control_characters(path) or "\\" in path or len(path) > MAX_PATH:
        return File(path, found.st_size, "has a name that no model needs: control characters, a backslash, or too long")
    return File(path, found.st_size, format=kind or "")


def _hashed(directory: Path, files: Sequence[File], report: Report) -> Iterator[File]:
    # A report is a write to the database, so of thousands of files only every hundredth part is one.
    every = max(len(files) // 100, 1)
    for number, file in enumerate(files):
        if number % every == 0:
            report(PERCENT_HASHED * number // len(files), f"reading file {number + 1} of {len(files)}")
        yield file if file.why else replace(file, sha256=sha256_of(directory / file.path))


# ---------------------------------------------------------------- contents


def _inspect(directory: Path, files: Sequence[File], rules: Checks, report: Report) -> Inspection:
    plain = [file for file in files if not file.why]
    order = {
        "directory": str(directory),
        "files": [[file.path, file.format] for file in plain],
        "names": [file.path for file in plain],
        "trusted": rules.trusted_types,
    }

    def tick(done: int) -> None:
        percent = PERCENT_HASHED + (PERCENT_INSPECTED - PERCENT_HASHED) * done // max(len(plain), 1)
        report(percent, f"looking into file {min(done + 1, len(plain))} of {len(plain)}")

    return scanners.inspect(order, tick) if plain else Inspection({})


def _modelscan(directory: Path, files: Sequence[File], report: Report) -> Scan | None:
    """modelscan follows links, so it gets no directory that has any."""
    if any(file.why for file in files):
        return Scan(broken="there is a name among its files that must not be followed")
    report(PERCENT_INSPECTED, "modelscan looks at all files")
    return scanners.modelscan(directory, lambda _: report(PERCENT_INSPECTED, "modelscan looks at all files"))


def _judge(file: File, inspection: Inspection, scan: Scan | None) -> File:
    if not file.why:
        broken = inspection.broken or "the program that looks into files ended early"
        file = file.failed(inspection.found.get(file.path, f"was not looked into: {broken}"))
    known = _about(file.path, scan.issues) if scan else []
    if known:
        file = file.failed(f"would use {', '.join(known)}, says modelscan")
    return file.failed(_not_scanned(file.path, scan)) if file.format.lower() in NEED_MODELSCAN else file


def _not_scanned(path: str, scan: Scan | None) -> str:
    """Why modelscan's silence about a file says nothing, "" when it does say that it found nothing."""
    if scan is None:
        return "is of a format that only modelscan can look into, which is not installed here"
    errors = [*_about(path, scan.errors), *scan.errors.get("", ())]
    if scan.broken or errors:
        return f"could not be looked into by modelscan: {scan.broken or errors[0]}"
    skipped = (source for source in scan.skipped if _concerns(source, path))
    if any(not is_torch_storage(source.partition(":")[2]) for source in skipped):
        return "was skipped by modelscan"
    return "" if any(_concerns(source, path) for source in scan.scanned) else "was not looked into by modelscan"


def _about(path: str, by_source: Mapping[str, Sequence[str]]) -> list[str]:
    return [words for source, said in by_source.items() if _concerns(source, path) for words in said]


def _concerns(source: str, path: str) -> bool:
    return source == path or source.startswith(f"{path}:")


# ---------------------------------------------------------------- what came out


def _general(files: Sequence[File], scan: Scan | None) -> list[str]:
    """What is wrong with the model as a whole, in sentences."""
    if not files:
        return ["It has no files."]
    found = []
    if not any(file.path == MLMODEL for file in files):
        found.append("It has no MLmodel file, so nobody can tell what would be loaded.")
    if scan and scan.broken:
        found.append(f"modelscan could not look at it: {scan.broken}.")
    return found


def _detail(files: Sequence[File], general: Sequence[str]) -> str:
    total = f"{len(files):,} file{'' if len(files) == 1 else 's'}"
    failed = [file for file in files if file.why]
    if not failed and not general:
        return f"{total}, {_amount(sum(file.size for file in files))}, nothing found."
    if not failed:
        return " ".join(general)
    named = "; ".join(f"{spoken(file.path)} {spoken(file.why)}" for file in failed[:3])
    more = f"; and {len(failed) - 3:,} more" if len(failed) > 3 else ""
    return f"{len(failed):,} of {total} can't be trusted: {named}{more}."


def _amount(size: int) -> str:
    for unit in ("bytes", "KB", "MB"):
        if size < 1000:
            return f"{size} {unit}"
        size = round(size / 1000)
    return f"{size:,} GB"


def _measurements(files: Sequence[File], general: Sequence[str]) -> dict[str, Any]:
    listed = sorted(files, key=lambda file: not file.why)[:LISTED]
    manifest = {file.path: file.sha256 for file in files if file.sha256}
    issues = [{"path": "", "why": why} for why in general]
    issues += [{"path": spoken(file.path), "why": spoken(file.why)} for file in listed if file.why]
    return {
        "total_files": len(files),
        "total_bytes": sum(file.size for file in files),
        "failed_files": sum(bool(file.why) for file in files),
        "digest": manifest_digest(manifest) if manifest and len(manifest) == len(files) else "",
        "manifest": dict(list(manifest.items())[:LISTED]),
        "files": [_row(file) for file in listed],
        "issues": issues[:ISSUES],
    }


def _row(file: File) -> dict[str, Any]:
    return {
        "path": spoken(file.path),
        "size": file.size,
        "format": file.format,
        "verdict": file.verdict,
        "why": spoken(file.why),
    }


def _policy(rules: Checks) -> dict[str, Any]:
    return {"formats": list(rules.formats), "trusted_types": list(rules.trusted_types)}


def _versions() -> list[dict[str, str]]:
    return [{"name": name, "version": scanners.version_of(name)} for name in ("modelscan", "skops")]
