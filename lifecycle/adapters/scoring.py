"""One scoring request to a model server. Whatever becomes of it is an answer: a check reports it, and goes on."""

from __future__ import annotations

from dataclasses import dataclass

from lifecycle.adapters.http import RefusedError, post
from lifecycle.ports import TemporaryError

PATH = "/invocations"
VERSION_HEADER = "X-Model-Version"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. ``status`` is None when nothing did; ``problem`` then says why, and ``hung`` that it took too
    long or was too much to wait for."""

    status: int | None
    text: str = ""
    version: str = ""
    problem: str = ""
    hung: bool = False


def score(server_url: str, body: bytes, content_type: str, *, timeout: float) -> Reply:
    """POST a body to the server. ``timeout`` in seconds bounds connecting, and again the answer. Never raises for what
    the server does; one connection a request."""
    headers = {"Content-Type": content_type} if content_type else {}
    try:
        answer = post(f"{server_url.rstrip('/')}{PATH}", body, headers=headers, timeout=timeout)
    except RefusedError:
        return Reply(None, problem="the connection was refused or closed before an answer came")
    except TemporaryError as error:
        return Reply(None, problem=str(error), hung=True)
    # No database keeps NUL in a text.
    text = answer.text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return Reply(answer.status, text, answer.headers.get(VERSION_HEADER, ""))
