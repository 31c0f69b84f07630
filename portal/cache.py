"""The cache: shared by all processes where Valkey or Redis answers, each process's own while it does not."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from redis.exceptions import RedisError

PAUSE = 10.0
"""Seconds for which a server that failed is left alone: asking it again at once would hold up every sign-in."""
logger = logging.getLogger(__name__)


class SharedOrLocal(BaseCache):
    """Limits are counted here, and nobody may be kept from signing in because a broker is down.

    While the server fails, each process counts for itself: a limit is then a few times as wide, but it is there.
    """

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(params)
        self._shared = RedisCache(server, params)
        self._local = LocMemCache(server, {**params, "OPTIONS": {}})
        self._silent_until = 0.0

    def _do(self, name: str, *args: Any, **kwargs: Any) -> Any:
        if time.monotonic() >= self._silent_until:
            try:
                return getattr(self._shared, name)(*args, **kwargs)
            except (RedisError, OSError) as error:
                self._silent_until = time.monotonic() + PAUSE
                logger.warning("The shared cache cannot be reached, so each process uses its own: %s", error)
        return getattr(self._local, name)(*args, **kwargs)


def _passed_on(name: str) -> Callable[..., Any]:
    def method(self: SharedOrLocal, *args: Any, **kwargs: Any) -> Any:
        return self._do(name, *args, **kwargs)

    method.__name__ = name
    return method


_METHODS = ("add", "get", "set", "touch", "delete", "incr", "has_key", "clear", "get_many", "set_many", "delete_many")
for _name in _METHODS:
    setattr(SharedOrLocal, _name, _passed_on(_name))
