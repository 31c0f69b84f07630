"""Steady load on the gateway: real requests, and who answered each."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass(frozen=True, slots=True)
class Answer:
    """``at`` is when the answer was complete (monotonic seconds); ``version`` is None when nobody answered."""

    at: float
    status: int
    version: int | None
    error: str = ""


@dataclass
class Load:
    """Requests at a steady rate until stopped, from a thread with an event loop of its own.

    A request starts when its turn comes, whether or not earlier ones have been answered.
    """

    url: str
    payload: Any
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
                number += 1
                group.create_task(self._ask(client))
                await asyncio.sleep(max(0.0, start + number / self.rate - time.monotonic()))

    async def _ask(self, client: httpx.AsyncClient) -> None:
        try:
            response = await client.post(self.url, json=self.payload)
        except httpx.HTTPError as error:
            self.answers.append(Answer(time.monotonic(), 0, None, repr(error)))
            return
        version = response.headers.get("X-Model-Version")
        error = "" if response.status_code == 200 else response.text[:300]
        self.answers.append(Answer(time.monotonic(), response.status_code, int(version) if version else None, error))
