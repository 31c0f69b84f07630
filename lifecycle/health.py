"""Whether the parts that Stagegate stands on answer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import redis
from django.conf import settings
from django.db import DatabaseError, connection

from lifecycle import adapters
from lifecycle.ports import PortError


@dataclass(frozen=True, slots=True)
class Part:
    """One part; ``needed`` says that pages cannot be served without it; ``error`` is "" while it answers."""

    name: str
    needed: bool
    error: str = ""


def check() -> tuple[Part, ...]:
    """Ask every part once, each with a short time-out.

    Only the database is needed to answer requests: a rollback has to be possible while MLflow or the broker is down.
    """
    return (
        Part("database", needed=True, error=_error(_database)),
        Part("broker", needed=False, error=_error(_broker)),
        Part("registry", needed=False, error=_error(lambda: adapters.registry().models(limit=1))),
        Part("gateway", needed=False, error=_error(lambda: adapters.traffic().weights("no-such-route"))),
    )


def _error(ask: Callable[[], object]) -> str:
    try:
        ask()
    except (PortError, DatabaseError, redis.RedisError) as error:
        return str(error) or type(error).__name__
    return ""


def _database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _broker() -> None:
    client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)
    with contextlib.closing(client):
        client.ping()
