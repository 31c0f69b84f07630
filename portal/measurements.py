"""What checks measured, read back from JSON as plain values. Whatever does not have the expected form is left out."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LONGEST_DUMP = 20_000
"""Characters of the measurements that a page shows as they are."""


def number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _rows(measured: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    value = measured.get(key)
    yield from (row for row in value if isinstance(row, Mapping)) if isinstance(value, list) else ()


def _numbers(value: Any) -> tuple[float, ...]:
    return tuple(number(each) or 0.0 for each in value) if isinstance(value, list) else ()


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()


def dump(measured: Mapping[str, Any]) -> str:
    """All of it, as JSON that people can read."""
    text = json.dumps(measured, ensure_ascii=False, indent=2)
    return text if len(text) <= LONGEST_DUMP else f"{text[:LONGEST_DUMP]}\n…"


# ---------------------------------------------------------------- load test


@dataclass(frozen=True, slots=True)
class Second:
    """One second of a load test. Latencies are in seconds, None when nothing was answered."""

    at: float
    answered: float
    failed: float
    p50: float | None
    p95: float | None
    users: float


def seconds_of(measured: Mapping[str, Any]) -> tuple[Second, ...]:
    series = measured.get("series")
    rows = [row for row in series if isinstance(row, list) and len(row) == 6] if isinstance(series, list) else []
    return tuple(
        Second(
            at=number(at) or 0.0,
            answered=(number(requests) or 0.0) - (number(failed) or 0.0),
            failed=number(failed) or 0.0,
            p50=number(p50),
            p95=number(p95),
            users=number(users) or 0.0,
        )
        for at, requests, failed, p50, p95, users in rows
    )


@dataclass(frozen=True, slots=True)
class Reason:
    """Why predictions failed, how often, and the beginning of one answer."""

    reason: str
    count: int
    example: str


def reasons_of(measured: Mapping[str, Any]) -> tuple[Reason, ...]:
    return tuple(
        Reason(str(row.get("reason", "")), int(number(row.get("count")) or 0), str(row.get("example", "")))
        for row in _rows(measured, "failures")
    )


# ---------------------------------------------------------------- malformed input


@dataclass(frozen=True, slots=True)
class InputClass:
    """One way of being malformed: how many such requests were sent, and how many of them refused with a reason."""

    name: str
    sent: int
    refused: int

    @property
    def missed(self) -> int:
        return self.sent - self.refused


def classes_of(measured: Mapping[str, Any]) -> tuple[InputClass, ...]:
    """The classes, those with the most that was not refused first."""
    by_class = measured.get("by_class")
    found = [
        InputClass(str(name), int(number(of.get("sent")) or 0), int(number(of.get("rejected")) or 0))
        for name, of in (by_class.items() if isinstance(by_class, Mapping) else ())
        if isinstance(of, Mapping)
    ]
    return tuple(sorted(found, key=lambda each: (-each.missed, each.name)))


@dataclass(frozen=True, slots=True)
class FailingInput:
    """A request that was not answered as it should be. ``status`` is "" when no answer came."""

    name: str
    body: str
    content_type: str
    status: str
    answer: str


def failing_of(measured: Mapping[str, Any]) -> tuple[FailingInput, ...]:
    return tuple(
        FailingInput(
            name=str(row.get("class", "")),
            body=str(row.get("body", "")),
            content_type=str(row.get("content_type", "")),
            status="" if row.get("status") is None else str(row["status"]),
            answer=str(row.get("answer", "")),
        )
        for row in _rows(measured, "failing")
    )


# ---------------------------------------------------------------- artifact scan


@dataclass(frozen=True, slots=True)
class ScannedFile:
    """One file of the model. ``verdict`` is passed, code or failed; ``why`` says what is wrong with it."""

    path: str
    size: int
    format: str
    verdict: str
    why: str
    sha256: str


def files_of(measured: Mapping[str, Any]) -> tuple[ScannedFile, ...]:
    manifest = measured.get("manifest")
    digests = manifest if isinstance(manifest, Mapping) else {}
    return tuple(
        ScannedFile(
            path=str(row.get("path", "")),
            size=int(number(row.get("size")) or 0),
            format=str(row.get("format", "")),
            verdict=str(row.get("verdict", "")),
            why=str(row.get("why", "")),
            sha256=str(digests.get(row.get("path"), "")),
        )
        for row in _rows(measured, "files")
    )


# ---------------------------------------------------------------- drift


@dataclass(frozen=True, slots=True)
class Bin:
    """The values of one bin, in percent of all."""

    name: str
    trained: float
    seen: float


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """How far a feature lies from the training data, and both distributions, as parts of 1, over the same bins."""

    name: str
    distance: float
    bins: tuple[str, ...]
    trained: tuple[float, ...]
    seen: tuple[float, ...]

    @property
    def table(self) -> tuple[Bin, ...]:
        """Empty when the two distributions do not have the same bins."""
        if not len(self.bins) == len(self.trained) == len(self.seen):
            return ()
        together = zip(self.bins, self.trained, self.seen, strict=True)
        return tuple(Bin(name, 100 * trained, 100 * seen) for name, trained, seen in together)


def features_of(measured: Mapping[str, Any]) -> tuple[FeatureDrift, ...]:
    """The features, the farthest first."""
    found = [
        FeatureDrift(
            name=str(row.get("feature", "")),
            distance=number(row.get("distance")) or 0.0,
            bins=_texts(row.get("categories")) or bins_between(_numbers(row.get("edges"))),
            trained=_numbers(row.get("reference")),
            seen=_numbers(row.get("seen")),
        )
        for row in _rows(measured, "distributions")
    ]
    return tuple(sorted(found, key=lambda each: -each.distance))


def bins_between(edges: Sequence[float]) -> tuple[str, ...]:
    """What lies between the edges, in words; the first and the last bin are open."""
    if not edges:
        return ()
    shown = [f"{edge:,.4g}" for edge in edges]
    between = [f"{left} to {right}" for left, right in itertools.pairwise(shown)]
    return (f"up to {shown[0]}", *between, f"over {shown[-1]}")
