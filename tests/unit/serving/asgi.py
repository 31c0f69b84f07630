"""Calls an ASGI application without a socket."""

from __future__ import annotations

import asyncio
import atexit
import json
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

Result = TypeVar("Result")

# Made when tests are collected: a loop wakes itself through a socket pair, and tests may not open any.
LOOP = asyncio.new_event_loop()
atexit.register(LOOP.close)


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def run(awaitable: Awaitable[Result], seconds: float = 20) -> Result:
    async def bounded() -> Result:
        return await asyncio.wait_for(awaitable, seconds)

    return LOOP.run_until_complete(bounded())


class Client:
    """Sends requests to an application that has started."""

    def __init__(self, app):
        self._app = app

    def post(self, payload, content_type="application/json", path="/invocations", **options) -> Reply:
        return run(self.send("POST", path, payload, content_type, **options))

    def get(self, path: str) -> Reply:
        return run(self.send("GET", path))

    def post_all(self, payloads: Sequence[Any]) -> list[Reply]:
        async def together() -> list[Reply]:
            return await asyncio.gather(*(self.send("POST", "/invocations", payload) for payload in payloads))

        return run(together())

    async def send(self, method, path, payload=b"", content_type="application/json", chunks=None, headers=()):
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        parts = list(chunks if chunks is not None else [body])
        sent: list[dict[str, Any]] = []

        async def receive():
            if not parts:
                return {"type": "http.disconnect"}
            part = parts.pop(0)
            return {"type": "http.request", "body": part or b"", "more_body": part is None or bool(parts)}

        async def collect(message):
            sent.append(message)

        head = [(b"content-type", content_type.encode())] if content_type is not None else []
        path, _, query = path.partition("?")
        scope = {"type": "http", "method": method, "path": path, "query_string": query.encode()}
        scope["headers"] = [*head, *headers]
        await self._app(scope, receive, collect)
        if not sent:
            return Reply(0, {}, b"")
        received = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Reply(sent[0]["status"], received, b"".join(message.get("body", b"") for message in sent[1:]))


@contextmanager
def started(app) -> Iterator[Client]:
    """A client of the application between its start and its shutdown, as a server's lifespan goes."""
    messages: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    answers: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    lifespan = LOOP.create_task(app({"type": "lifespan"}, messages.get, answers.put))
    messages.put_nowait({"type": "lifespan.startup"})
    assert run(answers.get())["type"] == "lifespan.startup.complete"
    try:
        yield Client(app)
    finally:
        messages.put_nowait({"type": "lifespan.shutdown"})
        run(lifespan)
