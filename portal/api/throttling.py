"""How often one caller may ask. Counted in the shared cache, so that it holds over all processes.

A caller is a token, or a person in a browser; of those who are not signed in, an address. While the cache's server
cannot be reached, ``portal.cache`` has each process count for itself, and nobody is refused for that.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from portal.accounts.models import ApiToken
from portal.addresses import client_address

if TYPE_CHECKING:  # the framework's views import their throttles
    from rest_framework.views import APIView

WINDOW = 60
"""Seconds."""
TOO_OFTEN = "Too many requests within a minute. Wait as long as the header Retry-After says."


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a window of ``WINDOW`` seconds, which ends in ``reset`` seconds."""

    limit: int
    used: int
    reset: int

    @property
    def exceeded(self) -> bool:
        return self.used > self.limit

    def headers(self) -> dict[str, str]:
        """As the IETF's draft has them: the policy, and what remains of it."""
        remaining = max(0, self.limit - self.used)
        return {
            "RateLimit-Policy": f'"requests";q={self.limit};w={WINDOW}',
            "RateLimit": f'"requests";r={remaining};t={self.reset}',
        }


def count(what: str, limit: int, now: float) -> Allowance:
    """One more of ``what``; ``now`` in seconds since 1970."""
    window, within = divmod(now, WINDOW)
    return Allowance(limit, _increase(f"requests:{what}:{window:.0f}"), math.ceil(WINDOW - within))


def _increase(key: str) -> int:
    if cache.add(key, 1, timeout=2 * WINDOW):
        return 1
    try:
        return cache.incr(key)
    except ValueError:  # it was thrown away between the two
        return 1


def caller_of(request: Request) -> str:
    """Who has a rate and idempotency keys of their own: a token, or a person in a browser."""
    return f"token:{request.auth.pk}" if isinstance(request.auth, ApiToken) else f"user:{request.user.pk}"


def count_stranger(request: HttpRequest | Request) -> Allowance:
    """One more request of an address from which nobody is signed in."""
    return count(f"address:{client_address(request)}", settings.API_STRANGERS_A_MINUTE, time.time())


class PerCaller(BaseThrottle):
    allowance: Allowance | None = None

    def allow_request(self, request: Request, view: APIView) -> bool:
        if not request.user or not request.user.is_authenticated:
            return True
        self.allowance = count(caller_of(request), settings.API_REQUESTS_A_MINUTE, time.time())
        request._request.allowance = self.allowance  # type: ignore[attr-defined]  # its headers go out with the answer
        return not self.allowance.exceeded

    def wait(self) -> float | None:
        return self.allowance.reset if self.allowance else None
