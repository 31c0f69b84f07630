"""An HTTP session whose answers have a deadline, not only a longest silence.

The read time-out of ``requests`` starts again with every byte, so a server that drips one byte a second is
never given up. Here the read time-out of a request bounds its whole answer, status line to last byte. Every
attempt is therefore over after at most connect + send + answer, each within the time-out.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from typing import Any, cast

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Retry
from urllib3.connection import HTTPConnection, HTTPSConnection

RETRIED_STATUSES = (429, 500, 502, 503, 504)


class _DeadlineReader(io.RawIOBase):
    """Reads a socket's file until the deadline (``time.monotonic()`` seconds), whatever trickles in."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, deadline: float) -> None:
        self._raw, self._sock, self._deadline = raw, sock, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer took too long")
        self._sock.settimeout(left)
        return cast("int | None", self._raw.readinto(buffer))

    def close(self) -> None:
        self._raw.close()
        super().close()


class _DeadlineResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        seconds = sock.gettimeout()
        if seconds is not None:
            self.fp = io.BufferedReader(_DeadlineReader(self.fp.detach(), sock, time.monotonic() + seconds))


class _DeadlineConnection(HTTPConnection):
    response_class = _DeadlineResponse


class _DeadlineTlsConnection(HTTPSConnection):
    response_class = _DeadlineResponse


class _DeadlinePool(HTTPConnectionPool):
    ConnectionCls = _DeadlineConnection


class _DeadlineTlsPool(HTTPSConnectionPool):
    ConnectionCls = _DeadlineTlsConnection


class DeadlineAdapter(HTTPAdapter):
    """A transport for ``requests`` with deadlines; mount it for http:// and https://."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _DeadlinePool, "https": _DeadlineTlsPool}


def deadline_session(*, retries: int) -> requests.Session:
    """A session that tries each request up to ``1 + retries`` times; callers pass ``timeout`` in seconds.

    A body that stops half-way is not asked for again: the caller sees the error. Retry-After is not obeyed,
    because a server must not be able to hold us; redirects are the caller's business.
    """
    retry = Retry(
        total=retries,
        status_forcelist=RETRIED_STATUSES,
        allowed_methods=None,
        backoff_factor=0.2,
        backoff_max=1.0,
        raise_on_status=False,
        respect_retry_after_header=False,
    )
    session = requests.Session()
    for prefix in ("http://", "https://"):
        session.mount(prefix, DeadlineAdapter(max_retries=retry))
    return session
