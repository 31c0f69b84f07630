"""Micro-batching: while the model works on one table, the next requests gather and become the next one.

Nobody waits for company: a request that finds the model idle is scored at once, alone.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from serving.errors import RefusedError
from serving.payload import Query
from serving.response import Answer, failed

log = logging.getLogger(__name__)

MAX_ROWS = 256
MAX_WAITING = 1024

Waiting = tuple[Query, "asyncio.Future[Answer]"]


class Scores(Protocol):
    """What scores the queries, in another thread. ``row_wise`` says whether they may be joined."""

    row_wise: bool

    def score(self, queries: Sequence[Query]) -> list[Answer]: ...


class Batcher:
    """Hands queries to scoring threads, first come first served, joined where that is allowed.

    Create it inside the running event loop that will submit to it. The threads are daemons: a model that hangs must
    not keep the process from ending.
    """

    def __init__(
        self, scorer: Scores, *, threads: int = 1, max_rows: int = MAX_ROWS, max_waiting: int = MAX_WAITING
    ) -> None:
        self._scorer = scorer
        self._max_rows = max_rows
        self._max_waiting = max_waiting
        self._waiting: deque[Waiting] = deque()
        self._idle = threads
        self._work: queue.SimpleQueue[list[Waiting] | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._threads = [threading.Thread(target=self._run, name="scoring", daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    async def submit(self, query: Query) -> Answer:
        """The answer to a query. Raises RefusedError with 503 when too many are waiting already."""
        if len(self._waiting) >= self._max_waiting:
            raise RefusedError("too many requests are waiting for the model", status=503, code="OVERLOADED")
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting.append((query, future))
        self._dispatch()
        return await future

    def close(self) -> None:
        """Let the threads end when they have answered what they were given."""
        for _ in self._threads:
            self._work.put(None)

    def _dispatch(self) -> None:
        while self._idle and (batch := self._take()):
            self._idle -= 1
            self._work.put(batch)

    def _take(self) -> list[Waiting]:
        """The next query and, when it can be joined, those right behind it that fit. Empty when nobody waits."""
        batch: list[Waiting] = []
        rows = 0
        while self._waiting:
            query, future = self._waiting[0]
            if future.done():
                # Its caller was told that time is up.
                self._waiting.popleft()
                continue
            if batch and not self._joins(batch[0][0], query, rows):
                break
            rows += query.count
            batch.append(self._waiting.popleft())
        return batch

    def _joins(self, first: Query, query: Query, rows: int) -> bool:
        if not self._scorer.row_wise or first.key is None or first.key != query.key:
            return False
        return rows + query.count <= self._max_rows

    def _run(self) -> None:
        while (batch := self._work.get()) is not None:
            try:
                answers = self._scorer.score([query for query, _ in batch])
            except BaseException as error:
                # Model code may raise SystemExit and worse. Whatever it was, the callers get an answer.
                log.exception("a scoring thread caught what nobody expected")
                answers = [failed(500, "INTERNAL_ERROR", f"the model failed: {type(error).__name__}")] * len(batch)
            # The loop is closed when the server has stopped without waiting any longer for this answer.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._finish, batch, answers)

    def _finish(self, batch: list[Waiting], answers: list[Answer]) -> None:
        self._idle += 1
        # First the model gets its next table, then the callers their answers.
        self._dispatch()
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)
