"""Whether the parts that Stagegate stands on answer.

``check`` asks them for a machine that probes. ``look`` asks them all at once, with a short deadline, for people: every
10 seconds by a worker, and by the portal itself where no worker has done so. What was found is kept in the cache, so
that no page has to wait for a part that hangs.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import redis
from django.conf import settings
from django.core.cache import cache
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DatabaseError, connection

from lifecycle import adapters
from lifecycle.dispatch import QUEUES
from lifecycle.domain.system import Answer, Look, ServerTrouble
from lifecycle.models import Variant, VariantRole
from lifecycle.ports import PortError, ServerState, VersionRef

logger = logging.getLogger(__name__)

DEADLINE_SECONDS = 2.0
"""How long anybody waits for the parts outside; one that has not answered by then counts as silent."""
KEPT_SECONDS = 3600
FRESH = timedelta(seconds=12)
"""A look that is older is done again: a worker does it every 10 seconds."""
KEY = "system-look"
NO_ANSWER = f"no answer within {DEADLINE_SECONDS:g} s"


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


# ---------------------------------------------------------------- a look at everything outside


def latest(now: datetime, *, within: timedelta = FRESH) -> Look | None:
    """What was found last, None when nobody has looked since then."""
    found = _kept()
    return found if found is not None and now - found.at <= within else None


def look(now: datetime) -> Look:
    """Ask the broker, the registry, the gateway and the model servers at once, and keep what they say.

    It takes DEADLINE_SECONDS at most. A part that still has not answered the question before is not asked another one.
    """
    needed = _needed_servers()
    questions: dict[str, Callable[[], Any]] = {
        "broker": _queue_lengths,
        "registry": lambda: adapters.registry().models(limit=1),
        "gateway": lambda: adapters.traffic().weights("no-such-route"),
        "servers": lambda: _servers(needed),
    }
    answers, said = _asked(questions, _kept(), now)
    asked, failing = said.get("servers", (0, ()))
    found = Look(now, answers, said.get("broker", {}), len(needed), asked, failing)
    cache.set(KEY, json.dumps(asdict(found), cls=DjangoJSONEncoder), KEPT_SECONDS)
    return found


def _kept() -> Look | None:
    text = cache.get(KEY)
    if not isinstance(text, str):
        return None
    try:
        return _load(json.loads(text))
    except (ValueError, KeyError, TypeError):
        return None


def _load(kept: Mapping[str, Any]) -> Look:
    return Look(
        at=datetime.fromisoformat(kept["at"]),
        answers={name: _load_answer(each) for name, each in kept["answers"].items()},
        waiting=kept["waiting"],
        needed=kept["needed"],
        asked=kept["asked"],
        failing=tuple(ServerTrouble(**each) for each in kept["failing"]),
    )


def _load_answer(kept: Mapping[str, Any]) -> Answer:
    since = kept["since"]
    return Answer(kept["error"], kept["seconds"], datetime.fromisoformat(since) if since else None)


# ---------------------------------------------------------------- asking, with a deadline

_POOL = ThreadPoolExecutor(max_workers=8, thread_name_prefix="look")
_unanswered: dict[str, Future[tuple[float, Any]]] = {}
_lock = threading.Lock()


def _asked(
    questions: Mapping[str, Callable[[], Any]], before: Look | None, now: datetime
) -> tuple[dict[str, Answer], dict[str, Any]]:
    """How each part answered, and what those said that did."""
    futures = {name: _submitted(name, ask) for name, ask in questions.items()}
    wait(futures.values(), timeout=DEADLINE_SECONDS)
    answers = {
        name: _answer(name, future, before.answers.get(name) if before else None, now)
        for name, future in futures.items()
    }
    return answers, {name: futures[name].result()[1] for name, each in answers.items() if not each.error}


def _submitted(name: str, ask: Callable[[], Any]) -> Future[tuple[float, Any]]:
    """One question of a kind at a time: a part that hangs costs one thread, however many people look."""
    with _lock:
        open_one = _unanswered.get(name)
        if open_one is not None and not open_one.done():
            return open_one
        _unanswered[name] = future = _POOL.submit(_timed, ask)
        return future


def _timed(ask: Callable[[], Any]) -> tuple[float, Any]:
    began = time.monotonic()
    said = ask()
    return time.monotonic() - began, said


def _answer(name: str, future: Future[tuple[float, Any]], before: Answer | None, now: datetime) -> Answer:
    """Whoever did not answer the last time either has been silent since then."""
    since = before.since if before is not None and before.error else now
    if not future.done():
        return Answer(NO_ANSWER, since=since)
    error = future.exception()
    if error is None:
        return Answer(seconds=future.result()[0])
    if not isinstance(error, (PortError, redis.RedisError)):
        logger.error("the %s could not be looked at", name, exc_info=error)
    return Answer(str(error) or type(error).__name__, since=since)


def _queue_lengths() -> dict[str, int]:
    """How many messages wait in each queue."""
    client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)
    with contextlib.closing(client), client.pipeline(transaction=False) as pipe:
        for queue in QUEUES:
            pipe.llen(queue)
        return dict(zip(QUEUES, pipe.execute(), strict=True))


def _needed_servers() -> Sequence[Variant]:
    """The servers that somebody counts on."""
    rows = Variant.objects.filter(retiring=False).exclude(role=VariantRole.NONE, weight=0).exclude(url="")
    return list(rows.select_related("version__model"))


def _servers(needed: Sequence[Variant]) -> tuple[int, tuple[ServerTrouble, ...]]:
    """How many of them could be asked, one after the other, for as long as anybody waits, and those that do not run."""
    deadline, asked, failing = time.monotonic() + 0.8 * DEADLINE_SECONDS, 0, list[ServerTrouble]()
    for variant in needed:
        if time.monotonic() > deadline:
            break
        version, model = variant.version, variant.version.model
        seen = adapters.serving().status(VersionRef(model.name, version.version), slug=model.slug)
        asked += 1
        if seen.state in (ServerState.FAILED, ServerState.ABSENT):
            why = seen.detail[:300] or ("it has failed" if seen.state == ServerState.FAILED else "it is not there")
            failing.append(ServerTrouble(model.name, model.slug, version.version, version.label, why))
    return asked, tuple(failing)
