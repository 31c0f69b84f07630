"""One exchange of small texts with a neighbour: the gateway, or a model server.

A model server runs code that we did not write, so its answer is bounded in time, headers and body included, and
in size. Every call opens a connection of its own: a worker that forks never shares one, and a server that was
replaced is never asked over an old one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import requests
import urllib3.exceptions
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from lifecycle.adapters.deadline import deadline_session
from lifecycle.ports import TemporaryError

MAX_BYTES = 16 * 1024 * 1024


class RefusedError(TemporaryError):
    """Nothing listens at the address, or the connection broke before an answer came."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of any status. Header names are matched without regard to case."""

    status: int
    headers: Mapping[str, str]
    text: str


def get(url: str, *, timeout: float) -> Answer:
    """The answer to a GET of ``url``, whatever its status; redirects are not followed.

    ``timeout`` in seconds bounds connecting, and again the whole answer. Raises RefusedError, or TemporaryError
    when the answer takes too long or has more than MAX_BYTES.
    """
    return _exchange("GET", url, timeout)


def post(url: str, body: bytes, *, headers: Mapping[str, str], timeout: float, outside: bool = False) -> Answer:
    """The answer to a POST of ``body`` as it is, with these headers; as ``get`` otherwise.

    ``outside``: not a neighbour, so the environment's proxies and certificates count.
    """
    return _exchange("POST", url, timeout, body, headers, outside=outside)


def _exchange(
    method: str,
    url: str,
    timeout: float,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    outside: bool = False,
) -> Answer:
    try:
        with deadline_session(retries=0) as session:
            # Proxies named in the environment are for the world outside, never for a neighbour.
            session.trust_env = outside
            session.headers.update({"Accept-Encoding": "identity", **(headers or {})})
            with session.request(
                method, url, data=body, timeout=timeout, allow_redirects=False, stream=True
            ) as response:
                content = response.raw.read(MAX_BYTES + 1)
                answer = Answer(response.status_code, response.headers, content.decode("utf-8", "replace"))
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        if _is_timeout(error):
            raise TemporaryError(f"{url} did not answer within {timeout:g} s") from error
        raise RefusedError(f"{url} can't be reached") from error
    if len(content) > MAX_BYTES:
        raise TemporaryError(f"{url} answers with more than {MAX_BYTES} bytes")
    return answer


def _is_timeout(error: BaseException | None) -> bool:
    """Whether a deadline is behind the error: requests reports one as a broken connection, depending on the phase."""
    while error is not None:
        if isinstance(error, (TimeoutError, requests.Timeout)):
            return True
        error = error.__context__
    return False


def samples(text: str, name: str) -> Iterator[Sample]:
    """The samples called ``name`` in a text of Prometheus metrics. Raises TemporaryError for text that is none.

    Only lines of that name are parsed: a gateway's metrics have thousands of others.
    """
    lines = (line for line in text.splitlines() if line.startswith((f"{name}{{", f"{name} ")))
    try:
        for family in text_string_to_metric_families("\n".join(lines) + "\n"):
            yield from family.samples
    except ValueError as error:
        raise TemporaryError(f"the metrics are not in Prometheus' format: {error}") from error
