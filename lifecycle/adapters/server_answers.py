"""The answers that a model server remembers, read with distrust: it runs code that we did not write."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from lifecycle.adapters.http import get
from lifecycle.ports import ServerAnswer, TemporaryError

# As much as a server remembers, however much it sends.
MAX_ANSWERS = 4096
MAX_ROWS = 20
MAX_TEXT = 100
PAGE = 2000

_KEY = re.compile(r"[0-9a-f]{32}")


def read_answers(url: str, after: int, timeout: float) -> tuple[ServerAnswer, ...]:
    """The answers with higher numbers than ``after`` that the server at ``url`` remembers, by number.

    A server that was started anew gives all that it has when its highest number is below ``after``. ``timeout`` in
    seconds bounds each page of PAGE answers. Raises TemporaryError, also for answers of another form.
    """
    found: list[ServerAnswer] = []
    while len(found) < MAX_ANSWERS:
        page = _page(url, after, timeout)
        if not page or (found and page[0].number <= after):
            break
        found.extend(page)
        after = page[-1].number
        if len(page) < PAGE:
            break
    return tuple(found[:MAX_ANSWERS])


def _page(url: str, after: int, timeout: float) -> list[ServerAnswer]:
    answer = get(f"{url}/answers?after={after}", timeout=timeout)
    if answer.status != 200:
        raise TemporaryError(f"{url} answers {answer.status} to /answers")
    try:
        raw = json.loads(answer.text)["answers"][:PAGE]
        return sorted((_answer(*each) for each in raw), key=lambda each: each.number)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise TemporaryError(f"{url} does not tell its answers in the form that they have") from error


def _answer(number: Any, key: Any, values: Any) -> ServerAnswer:
    """One answer. Raises ValueError or TypeError for what is none."""
    if type(number) is not int or not 0 < number < 2**63 or not _KEY.fullmatch(key) or not isinstance(values, list):
        raise ValueError("this is no answer")
    return ServerAnswer(number, key, tuple(_value(value) for value in values[:MAX_ROWS]))


def _value(value: Any) -> str | float:
    if isinstance(value, str):
        return value[:MAX_TEXT].replace("\0", "\N{REPLACEMENT CHARACTER}")
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError("this is no prediction")
    return float(value)
