"""What a version was trained on, as its files say: read once, remembered, and never waited for long."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any

from lifecycle import adapters
from lifecycle.model_files import described_features
from lifecycle.models import ModelVersion
from lifecycle.ports import PermanentError, PortError, Serving, TemporaryError, VersionRef

Reference = Mapping[str, Any]
Key = tuple[int, str]

PATIENCE = 1.0
"""Seconds. Files that are on this machine take some milliseconds; a download goes on, and is asked for next time."""
REMEMBERED = 500
THREADS = 2

_readings: dict[Key, Future[Reference]] = {}


def reference_of(version: ModelVersion) -> Reference:
    """The features as the version's files describe them, by name; empty when they do not, or cannot be read.

    Call it outside of any transaction. Raises TemporaryError while the files cannot be had.
    """
    key = (version.pk, version.artifact_digest)
    reading = _readings.get(key)
    waits = 0.0
    if reading is None:
        reading, waits = _begin(key, version), PATIENCE
    try:
        return reading.result(timeout=waits)
    except TimeoutError:
        raise TemporaryError("the model's files are still being fetched") from None
    except PermanentError:
        return {}
    except PortError:
        _readings.pop(key, None)
        raise


def forget() -> None:
    """Read anew at the next use: for tests, whose versions are others under the same keys."""
    _readings.clear()


def _begin(key: Key, version: ModelVersion) -> Future[Reference]:
    while len(_readings) >= REMEMBERED:
        _readings.pop(next(iter(_readings)))
    ref, slug = VersionRef(version.model.name, version.version), version.model.slug
    _readings[key] = _readers().submit(_read, adapters.serving(), ref, slug)
    return _readings[key]


@cache
def _readers() -> ThreadPoolExecutor:
    """Made at first use: a process that was forked has no thread of its parent."""
    return ThreadPoolExecutor(THREADS, thread_name_prefix="references")


def _read(serving: Serving, ref: VersionRef, slug: str) -> Reference:
    """From the copy that its server was started from, where there is one."""
    return described_features(serving.files(ref, slug=slug))
