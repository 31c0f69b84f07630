"""When a service is ready: conditions that ask the service itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import redis
from celery import Celery
from celery.exceptions import CeleryError
from kombu.exceptions import KombuError

from embedded.installation import Installation
from embedded.programs import CHECKS_NODE, GENERAL_NODE, OBSERVATIONS_NODE, ROLLBACK_NODE

ASK_SECONDS = 2.0
Condition = Callable[[], bool]
# What a service that is still starting makes of a question.
NOT_YET = (OSError, httpx.HTTPError, redis.RedisError, CeleryError, KombuError)


def conditions(installation: Installation) -> dict[str, Condition]:
    """One condition a program. It is true, false, or raises one of ``NOT_YET``."""
    beat_schedule = installation.home.path / "run"
    return {
        "valkey": lambda: answers_ping(installation.redis_url),
        "mlflow": lambda: answers_http(
            f"{installation.mlflow_url}/api/2.0/mlflow/registered-models/search?max_results=1"
        ),
        "gateway": lambda: answers_http(f"{installation.gateway_api_url}/ping"),
        "portal": lambda: answers_http(f"{installation.portal_url}/healthz"),
        "worker": lambda: answers_celery(installation.redis_url, GENERAL_NODE),
        "rollbacks": lambda: answers_celery(installation.redis_url, ROLLBACK_NODE),
        "checks": lambda: answers_celery(installation.redis_url, CHECKS_NODE),
        "observations": lambda: answers_celery(installation.redis_url, OBSERVATIONS_NODE),
        "beat": written_since_now(beat_schedule, "beat-schedule*"),
        "traffic": lambda: True,
    }


def answers_ping(url: str) -> bool:
    with redis.Redis.from_url(url, socket_timeout=ASK_SECONDS) as client:
        return bool(client.ping())


def answers_http(url: str) -> bool:
    return httpx.get(url, timeout=ASK_SECONDS, trust_env=False).status_code == httpx.codes.OK


def answers_celery(url: str, node: str) -> bool:
    """Whether the worker itself answers over the broker."""
    with Celery(broker=url, set_as_current=False) as app:
        return bool(app.control.ping(destination=[node], timeout=0.5))


def written_since_now(folder: Path, pattern: str) -> Condition:
    """True once a file of this name is newer than it was at this call. Beat writes its schedule when it has started."""

    def newest() -> int:
        return max((file.stat().st_mtime_ns for file in folder.glob(pattern)), default=0)

    before = newest()
    return lambda: newest() > before
