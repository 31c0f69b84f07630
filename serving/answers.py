"""The latest answers, so that those of two versions to the same request can be compared.

A request is known by a digest of its body: two servers that were sent the same bytes remember the same key.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Iterable
from hashlib import blake2b
from itertools import islice
from typing import Any

import numpy.typing as npt
import orjson

from serving.reference import Bins, Labels, category, prediction_vector

log = logging.getLogger(__name__)

MAX_ANSWERS = 4096
MAX_CHARACTERS = 4 * 2**20
MAX_ROWS = 20
MAX_TEXT = 100
PAGE = 2000
# The gateway copies no longer request to a shadow, so a longer one has no counterpart.
MAX_BODY = 256 * 1024

Values = tuple[str | float, ...]
"""One prediction a row, of the first MAX_ROWS rows: a class as text, or a number. What is not finite is text."""


class Told:
    """What a model answered to one table, row by row, as classes or as numbers.

    ``kind`` is how the training reference counts predictions; without one, only floating point numbers are numbers.
    ``vector`` is one value a row, None when the answer's shape does not say which.
    """

    def __init__(self, predictions: Any, kind: Bins | Labels | None) -> None:
        self.vector = _vector_of(predictions)
        self._numbers = self.vector is not None and _are_numbers(self.vector, kind)

    def rows(self, start: int = 0, end: int | None = None) -> Values:
        """The predictions of one request's rows, from ``start`` to before ``end``; empty without a vector."""
        if self.vector is None:
            return ()
        end = start + MAX_ROWS if end is None else min(end, start + MAX_ROWS)
        values = self.vector[start:end].tolist()
        try:
            return tuple(map(_number if self._numbers else _text, values))
        except Exception:
            # A class is any object of the model's, and naming it runs the model's code.
            log.debug("predictions can't be told apart", exc_info=True)
            return ()


def _vector_of(predictions: Any) -> npt.NDArray[Any] | None:
    try:
        return prediction_vector(predictions)
    except Exception:
        log.debug("predictions are no vector", exc_info=True)
        return None


def _are_numbers(vector: npt.NDArray[Any], kind: Bins | Labels | None) -> bool:
    if isinstance(kind, Labels):
        return False
    return vector.dtype.kind == "f" or (isinstance(kind, Bins) and vector.dtype.kind in "iu")


def _number(value: Any) -> str | float:
    number = float(value)
    return number if math.isfinite(number) else str(number)


def _text(value: Any) -> str:
    # JSON is UTF-8, in which there are no lone surrogates.
    return category(value)[:MAX_TEXT].encode("utf-8", "replace").decode()


class Answers:
    """Remembers the latest MAX_ANSWERS answers, numbered from 1, in MAX_CHARACTERS at most. For one thread."""

    def __init__(self) -> None:
        self._started = time.time()
        self._latest: deque[tuple[int, str, Values]] = deque()
        self._last = 0
        self._characters = 0

    def remember(self, body: bytes, values: Values) -> None:
        """Remember what was answered to a body. Does nothing with an answer that has no predictions by row."""
        if not values or len(body) > MAX_BODY:
            return
        self._last += 1
        self._latest.append((self._last, blake2b(body, digest_size=16).hexdigest(), values))
        self._characters += _size(values)
        while len(self._latest) > MAX_ANSWERS or self._characters > MAX_CHARACTERS:
            self._characters -= _size(self._latest.popleft()[2])

    def page(self, after: int) -> bytes:
        """JSON: ``{"started": UNIX time in seconds, "answers": [[number, key, [value, ...]], ...]}``.

        At most PAGE answers, by number, from the first one after ``after``. Who names a number that was never given
        asks an earlier process, and begins again.
        """
        answers: Iterable[tuple[int, str, Values]] = ()
        if self._latest:
            known = max(0, after + 1 - self._latest[0][0]) if after <= self._last else 0
            answers = islice(self._latest, known, known + PAGE)
        return orjson.dumps({"started": self._started, "answers": list(answers)})


def _size(values: Values) -> int:
    """About what an answer takes, in characters."""
    return 64 + sum(len(value) + 64 if isinstance(value, str) else 32 for value in values)
