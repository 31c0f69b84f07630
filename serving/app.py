"""The server's endpoints, as an ASGI application without a framework: at these rates a framework is half the cost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from mlflow.version import VERSION as MLFLOW_VERSION
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from serving.answers import Answers
from serving.batching import Batcher, Scores
from serving.errors import RefusedError
from serving.metrics import CLIENT_ERROR, Metrics
from serving.payload import JSON, Reader
from serving.response import Answer, failed, refused

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

ROUTES = {
    "/invocations": "POST",
    "/ping": "GET",
    "/health": "GET",
    "/version": "GET",
    "/metrics": "GET",
    "/answers": "GET",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may cost: bytes of its body, and seconds from there to its answer."""

    body_bytes: int = 16 * 2**20
    seconds: float = 60.0


class ClientGoneError(Exception):
    """The client hung up before its request was complete."""


class App:
    """One model version behind MLflow's scoring protocol. Every answer names the version in X-Model-Version."""

    def __init__(
        self,
        reader: Reader,
        scorer: Scores,
        metrics: Metrics,
        *,
        version: str,
        threads: int = 1,
        limits: Limits = Limits(),
    ) -> None:
        self._reader = reader
        self._scorer = scorer
        self._metrics = metrics
        self._registry = metrics.registry()
        self._answers = Answers()
        self._version = version.encode("latin-1")
        self._threads = threads
        self._limits = limits
        self._batcher: Batcher | None = None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self._batcher = Batcher(self._scorer, threads=self._threads)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._batcher.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        allowed = ROUTES.get(path)
        if allowed is None:
            await self._send(send, failed(404, "ENDPOINT_NOT_FOUND", f"there is nothing at {path[:100]}"))
        elif method != allowed:
            refusal = failed(405, "METHOD_NOT_ALLOWED", f"{path} only answers {allowed}")
            await self._send(send, refusal, (b"allow", allowed.encode()))
        elif path == "/invocations":
            await self._invocations(scope, receive, send)
        elif path == "/metrics":
            content_type, body = _exposition(self._registry, header(scope, b"accept"))
            await self._send(send, Answer(200, body), content_type=content_type)
        elif path == "/answers":
            await self._send(send, Answer(200, self._answers.page(_after(scope["query_string"]))))
        else:
            # MLflow's own answers, to the byte.
            await self._send(send, Answer(200, MLFLOW_VERSION.encode() if path == "/version" else b"\n"))

    async def _invocations(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        self._metrics.in_flight += 1
        try:
            answer = await self._counted(scope, receive)
            # What is left of a body that is too long is not worth reading, so the connection cannot be used again.
            await self._send(send, answer, *([(b"connection", b"close")] if answer.status == 413 else []))
        except ClientGoneError:
            self._metrics.count_request(CLIENT_ERROR, 0.0)
        finally:
            self._metrics.in_flight -= 1

    async def _counted(self, scope: MutableMapping[str, Any], receive: Receive) -> Answer:
        started = time.perf_counter()
        try:
            body = await read_body(receive, declared_length(scope), self._limits.body_bytes)
            started = time.perf_counter()
            answer = await self._answer(body, header(scope, b"content-type"))
        except RefusedError as refusal:
            answer = refused(refusal)
        except ClientGoneError:
            raise
        except Exception:
            log.exception("a request could not be answered")
            answer = failed(500, "INTERNAL_ERROR", "the model server failed on this request")
        self._metrics.count_request(answer.outcome, time.perf_counter() - started)
        return answer

    async def _answer(self, body: bytes, content_type: str | None) -> Answer:
        query = self._reader.read(body, content_type)
        if self._batcher is None:
            raise RuntimeError("a request came before the server had started")
        try:
            async with asyncio.timeout(self._limits.seconds):
                answer = await self._batcher.submit(query)
        except TimeoutError:
            return failed(504, "TIMEOUT", f"the model did not answer within {self._limits.seconds:g} seconds")
        self._answers.remember(body, answer.values)
        return answer

    async def _send(self, send: Send, answer: Answer, *headers: tuple[bytes, bytes], content_type: str = JSON) -> None:
        head = [
            (b"content-type", content_type.encode()),
            (b"content-length", b"%d" % len(answer.body)),
            (b"x-model-version", self._version),
            *headers,
        ]
        await send({"type": "http.response.start", "status": answer.status, "headers": head})
        await send({"type": "http.response.body", "body": answer.body})


def _after(query: bytes) -> int:
    """The number in ``after=``; 0, which is before every answer, when there is none."""
    asked = parse_qs(query.decode("latin-1")).get("after", [""])[-1]
    return int(asked) if asked.isdecimal() and len(asked) < 20 else 0


def _exposition(registry: CollectorRegistry, accept: str | None) -> tuple[str, bytes]:
    encoder, content_type = choose_encoder(accept or "")
    return content_type, encoder(registry)


def header(scope: MutableMapping[str, Any], name: bytes) -> str | None:
    """The value of a header, whose name is given in lower case; None when it was not sent."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return None


def declared_length(scope: MutableMapping[str, Any]) -> int:
    """The length of the body as far as the client tells, else 0."""
    declared = header(scope, b"content-length") or ""
    return int(declared) if declared.isdecimal() else 0


async def read_body(receive: Receive, declared: int, limit: int) -> bytes:
    """The whole body. Raises RefusedError with 413 beyond the limit, in bytes, and ClientGoneError."""
    chunks: list[bytes] = []
    received = 0
    while max(declared, received) <= limit:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        chunks.append(message.get("body", b""))
        received += len(chunks[-1])
        if not message.get("more_body", False):
            break
    if max(declared, received) > limit:
        raise RefusedError(f"the body is larger than {limit} bytes", status=413, code="REQUEST_TOO_LARGE")
    return b"".join(chunks)
