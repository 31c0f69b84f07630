"""Steady load on the gateway: real requests, and who answered each."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from demo.data import IRIS_COLUMNS, SEED, iris


def flowers() -> list[dict[str, Any]]:
    """Requests for the iris model: every flower of the data set once, shuffled, so that they look like its training."""
    rows = iris()[list(IRIS_COLUMNS)].sample(frac=1, random_state=SEED).to_dict("records")
    return [{"dataframe_records": [row]} for row in rows]


@dataclass(frozen=True, slots=True)
class Answer:
    """``at`` is when the answer was complete (monotonic seconds), ``seconds`` how long it took, 0 without an answer;
    ``version`` is None when nobody answered."""

    at: float
    status: int
    version: int | None
    error: str = ""
    seconds: float = 0.0


@dataclass
class Load:
    """Requests at a steady rate until stopped, from a thread with an event loop of its own.

    ``bodies`` are sent one after another, again and again. A request starts when its turn comes, whether or not
    earlier ones have been answered.
    """

    url: str
    bodies: Sequence[Any]
    rate: float
    answers: list[Answer] = field(default_factory=list)

    def __enter__(self) -> Load:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=30)

    @property
    def failures(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.status != 200]

    def by_version(self, since: float = 0.0) -> Counter[int | None]:
        return Counter(answer.version for answer in self.answers if answer.at >= since)

    async def _run(self) -> None:
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
        async with (
            httpx.AsyncClient(timeout=30, limits=limits, trust_env=False) as client,
            asyncio.TaskGroup() as group,
        ):
            start, number = time.monotonic(), 0
            while not self._stop.is_set():
                group.create_task(self._ask(client, self.bodies[number % len(self.bodies)]))
                number += 1
                await asyncio.sleep(max(0.0, start + number / self.rate - time.monotonic()))

    async def _ask(self, client: httpx.AsyncClient, body: Any) -> None:
        began = time.monotonic()
        try:
            response = await client.post(self.url, json=body)
        except httpx.HTTPError as failure:
            self.answers.append(Answer(time.monotonic(), 0, None, repr(failure)))
            return
        now = time.monotonic()
        version = response.headers.get("X-Model-Version")
        error = "" if response.status_code == 200 else response.text[:300]
        answered = int(version) if version else None
        self.answers.append(Answer(now, response.status_code, answered, error, now - began))
