"""The gateway of one machine: Traefik, told by files in a directory that it watches.

A route is one file, ``<slug>.yml``: a router for ``/<slug>/``, one service a version, and a weighted service over
them. With mirrors, a mirroring service stands before the weighted one; where users are kept by a number in a header,
each version that they share has a router of its own. What Traefik 3.7 does, measured:

- The API shows new weights only once requests follow them: 900 of 900 requests sent on the sight of new weights
  followed them, also with every core busy. Written, in force and shown takes some 80 ms with 1 to 20 routes and
  200 ms with 100, on two busy cores.
- A reload fails no request, neither new ones nor those in flight; connections stay open.
- A file that differs only in its comments is not a reload. A file that can't be parsed stops the reload of all
  files, and the configuration before stays in force: that is why the API is asked, never the file.
- Every reload, of whichever route, forgets what the health checks found: each server counts as up until its next
  check, up to HEALTH_INTERVAL later. Until then the retries below hide a dead variant; every attempt that failed is
  counted as an error of the version that failed it.
- With its passive health checks a dead version fails fewer attempts still. But they count answers of 5xx too: of 80
  requests in 400 that a failing version with 20 % should have answered, it got 6, and the judge would not see it fail.
- Every reload starts the weighted turns anew, the heaviest variant first: with a reload every 10 requests, a
  variant with 5 % got none of 200.
- A weighted service with no weight at all answers 503, "no available server".
- One that has a child without weight beside others can hang for good: once the health checks have seen that child go
  and come back, and then every child with a weight go, each request looks for somebody to turn to in a loop without an
  end, which keeps the health checks from telling that anybody is back; only a reload ends it. So versions without
  weight are children of a service of their own, that no router names: it tells ``weights()`` of them, and keeps their
  counters.
- The counters of a version that no route names any more are shown once more, then begin again from 0.

Of mirrors (``python -m bench.shadow``):

- A copy is sent once the user's answer is given, and goes on when the client has left. A shadow that fails, hangs,
  takes 5 s, drops connections or is not there failed none of the users' requests, and slowed none down.
- Copies are counted in traefik_service_requests_total of the version that gets them, its failures too: 502 when it
  can't be reached, 504 after COPY_TIMEOUT. What COPIES_AT_ONCE turns away is counted nowhere, and neither is a copy for
  a server that the health checks have found dead: the gateway's counts of a shadow are those of its attempts.
- Requests of any method, without a body, and in chunks are copied, up to COPIED_BYTES exactly; a longer one is only
  answered.
- Retries are a middleware of the weighted service, because those of a router reach into the copies: Traefik's issue
  12988 tells of answers written twice. (None of 4,800 here, either way.)

Of keeping users:

- A cookie that names a version without weight is not followed, whatever its name: the request goes by weight.
- A version's cookie or number leads nowhere else as soon as the new weights are shown, like any request.
- A number whose version the health checks have found dead goes by weight.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlsplit

import yaml

from lifecycle.adapters.files import file_errors, locked, write_atomically
from lifecycle.adapters.http import get
from lifecycle.domain.slugs import is_slug
from lifecycle.ports import Backend, FencedError, PermanentError, StickyBy, TemporaryError

HEALTH_INTERVAL = "250ms"
# Longer than the interval, because a server that answers pings late under load is busy, not dead.
HEALTH_TIMEOUT = "3s"
# A request is sent again only if no connection could be made, so the model never sees it twice.
LEAST_ATTEMPTS, MOST_ATTEMPTS = 3, 30
DIAL_TIMEOUT = "1s"
# Shorter than the time after which a model server closes an idle connection (uvicorn: 5 s unless told otherwise):
# a POST that is sent into a connection just being closed fails, and can't be sent again.
IDLE_TIMEOUT = "2s"
# Of each request this much is kept until its copies are answered; a longer request is not copied.
COPIED_BYTES = 256 * 1024
# How long a mirror may take to answer a copy.
COPY_TIMEOUT = "10s"
COPIES_AT_ONCE = 100
# Above every priority that Traefik gives by itself: the length of a rule.
BY_HEADER_PRIORITY = 10_000
# What model servers answer to the metrics task alone.
PRIVATE = ("metrics", "answers")

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,59}")
_FENCE = re.compile(r"^# fence: (\d+)$", re.MULTILINE)
_HEAD = "# Written by Stagegate, which replaces this file at the next change.\n# fence: {fence}\n"


class TraefikTraffic:
    """The ``Traffic`` port on a Traefik with a file provider.

    ``config_dir`` is the directory that Traefik watches, ``api_url`` the address of the entry point with its API
    and its metrics, ``timeout`` in seconds bounds every question to it and every wait for a lock.
    """

    def __init__(self, config_dir: Path, api_url: str, *, timeout: float = 2.0) -> None:
        self._config_dir = config_dir
        self._api_url = api_url.rstrip("/")
        self._timeout = timeout

    def apply(
        self,
        slug: str,
        backends: Sequence[Backend],
        *,
        fence: int,
        mirrors: Mapping[int, int] | None = None,
        sticky: StickyBy | None = None,
    ) -> None:
        """Write the route's file. Without backends the route stays, and answers 503.

        Raises FencedError, PermanentError for what can't be a route, TemporaryError when the file can't be written.
        Traefik is not asked: ``weights()`` tells when it has followed.
        """
        check_route(slug, backends, mirrors, sticky)
        path = self._config_dir / f"{slug}.yml"
        lock = self._config_dir / f".{slug}.lock"
        with locked(lock, seconds=self._timeout, what=f"the route {slug}"), file_errors(f"the route {slug}"):
            before = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
            if fence < _fence_of(before):
                raise FencedError(f"a newer executor has written the route {slug}")
            text = _HEAD.format(fence=fence) + yaml.safe_dump(route(slug, backends, mirrors, sticky), sort_keys=False)
            if text != before:
                write_atomically(path, text)

    def weights(self, slug: str) -> Mapping[int, int] | None:
        """The weights in force. Raises PermanentError when Traefik has refused the route, saying why."""
        if not is_slug(slug):
            raise PermanentError(f"{slug!r} is not the name of a route")
        router = self._described("routers", slug)
        service = self._described("services", slug)
        if router is None or service is None:
            return None
        _need_enabled(slug, router, service)
        idle = self._described("services", _idle(slug)) or {}
        return {**_weights(slug, idle), **_weights(slug, service)}

    def mirrors(self, slug: str) -> Mapping[int, int]:
        """The mirrors in force. Raises PermanentError when Traefik has refused them, saying why."""
        if not is_slug(slug):
            raise PermanentError(f"{slug!r} is not the name of a route")
        router = self._described("routers", slug)
        if router is None or router.get("service") != _copying(slug):
            return {}
        service = self._described("services", _copying(slug)) or {}
        _need_enabled(slug, service)
        children = (service.get("mirroring") or {}).get("mirrors") or ()
        return {_version(slug, child["name"]): int(child.get("percent", 0)) for child in children}

    def _described(self, kind: str, name: str) -> dict[str, Any] | None:
        """What Traefik says of one router or service; None when it has none of that name."""
        path = f"/api/http/{kind}/{quote(f'{name}@file', safe='')}"
        answer = get(self._api_url + path, timeout=self._timeout)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise TemporaryError(f"the gateway's API answers {answer.status}")
        try:
            return cast(dict[str, Any], json.loads(answer.text))
        except ValueError as error:
            raise TemporaryError("the gateway's API does not answer in JSON") from error


def _weights(slug: str, service: Mapping[str, Any]) -> dict[int, int]:
    children = (service.get("weighted") or {}).get("services") or ()
    return {_version(slug, child["name"]): int(child.get("weight", 1)) for child in children}


def _need_enabled(slug: str, *parts: Mapping[str, Any]) -> None:
    for part in parts:
        if part.get("status") == "disabled":
            raise PermanentError(f"the gateway refuses the route {slug}: {'; '.join(part.get('error', ()))}")


def check_route(
    slug: str,
    backends: Sequence[Backend],
    mirrors: Mapping[int, int] | None = None,
    sticky: StickyBy | None = None,
) -> None:
    """Raises PermanentError unless these can be a route: known versions once each, weights 100 or 0 in all, copies for
    versions without users, and a usable name to keep users by."""
    if not is_slug(slug):
        raise PermanentError(f"{slug!r} is not the name of a route")
    versions = [backend.version for backend in backends]
    if len(set(versions)) != len(versions) or any(version < 0 for version in versions):
        raise PermanentError(f"the versions of the route {slug} are not distinct: {versions}")
    weights = {backend.version: backend.weight for backend in backends}
    if sum(weights.values()) not in (0, 100) or any(weight < 0 for weight in weights.values()):
        raise PermanentError(f"the weights of the route {slug} are {weights}; they must sum to 100, or all be 0")
    for backend in backends:
        if not _is_server_url(backend.url):
            raise PermanentError(f"version {backend.version} of the route {slug} has no usable address")
    _check_mirrors(slug, weights, mirrors or {})
    _check_sticky(slug, sticky or StickyBy())


def _check_mirrors(slug: str, weights: Mapping[int, int], mirrors: Mapping[int, int]) -> None:
    for version, percent in mirrors.items():
        if weights.get(version) != 0:
            raise PermanentError(
                f"version {version} of the route {slug} can't get copies: it has to be there, with no weight"
            )
        if not 1 <= percent <= 100:
            raise PermanentError(f"version {version} of the route {slug} can't get copies of {percent} % of requests")


def _check_sticky(slug: str, sticky: StickyBy) -> None:
    if sticky.cookie and sticky.header:
        raise PermanentError(f"the route {slug} keeps users by a cookie or by a header, not by both")
    name = sticky.cookie or sticky.header
    if name and not _NAME.fullmatch(name):
        raise PermanentError(f"{name!r} can't be the name of a cookie or a header")


def _is_server_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


def route(
    slug: str,
    backends: Sequence[Backend],
    mirrors: Mapping[int, int] | None = None,
    sticky: StickyBy | None = None,
) -> dict[str, Any]:
    """Traefik's dynamic configuration for one route, as plain values. See the module's text for the reasons."""
    mirrors, sticky = mirrors or {}, sticky or StickyBy()
    router = {"rule": _rule(slug), "middlewares": [f"{slug}--strip"], "service": slug}
    by_header = _routers_by_header(slug, backends, sticky.header, router)
    routers = {slug: router} | by_header
    sharing = [each for each in backends if each.weight] or backends
    services: dict[str, Any] = {slug: _weighted(slug, sharing, sticky.cookie)}
    if len(sharing) < len(backends):
        idle = [each for each in backends if not each.weight]
        services[_idle(slug)] = {"weighted": {"services": _children(slug, idle)}}
    services |= {_service(slug, each.version): _server(slug, each, mirrors) for each in backends}
    services |= {name: _preferred(slug, name) for name in by_header}
    if mirrors:
        services |= {_copying(name): _mirroring(slug, name, mirrors) for name in routers}
        routers = {name: each | {"service": _copying(each["service"])} for name, each in routers.items()}
    middlewares: dict[str, Any] = {
        f"{slug}--strip": {"stripPrefix": {"prefixes": [f"/{slug}"]}},
        _retrying(slug): {"retry": {"attempts": _attempts(backends)}},
    }
    transports = {slug: _transport()}
    if mirrors:
        middlewares[_copying(slug)] = {"inFlightReq": {"amount": COPIES_AT_ONCE}}
        transports[_copying(slug)] = _transport(responseHeaderTimeout=COPY_TIMEOUT)
    return {
        "http": {
            "routers": routers,
            "middlewares": middlewares,
            "services": services,
            "serversTransports": transports,
        }
    }


def _rule(slug: str) -> str:
    """Everything below the route's name, but what a server tells of its users' data: that is not for other users."""
    private = " && ".join(f"!Path(`/{slug}/{name}`)" for name in PRIVATE)
    return f"PathPrefix(`/{slug}/`) && {private}"


def _routers_by_header(
    slug: str, backends: Sequence[Backend], header: str, router: Mapping[str, Any]
) -> dict[str, Any]:
    """A router for each version that users share: of the numbers 0 to 99, the highest version has the lowest."""
    shared = sorted((each for each in backends if each.weight), key=lambda each: -each.version)
    if not header or len(shared) < 2:
        return {}
    routers: dict[str, Any] = {}
    first = 0
    for each in shared:
        numbers = "|".join(map(str, range(first, first + each.weight)))
        first += each.weight
        rule = f"{router['rule']} && HeaderRegexp(`{header}`, `^0?({numbers})$`)"
        name = f"{_service(slug, each.version)}--first"
        routers[name] = {**router, "rule": rule, "priority": BY_HEADER_PRIORITY, "service": name}
    return routers


def _weighted(slug: str, backends: Sequence[Backend], cookie: str) -> dict[str, Any]:
    children = _children(slug, backends)
    weighted: dict[str, Any] = {"services": children, "healthCheck": {}}
    if cookie:
        weighted["sticky"] = {"cookie": _cookie(slug, children, cookie)}
    return {"weighted": weighted, "middlewares": [_retrying(slug)]}


def _children(slug: str, backends: Sequence[Backend]) -> list[dict[str, Any]]:
    return [{"name": _service(slug, backend.version), "weight": backend.weight} for backend in backends]


def _attempts(backends: Sequence[Backend]) -> int:
    """Enough to come by the version with the least weight, where a heavier one is dead: its turn is once in 100 /
    weight, and other requests take turns meanwhile. Every attempt is counted, so it is not more than that."""
    lightest = min((each.weight for each in backends if each.weight), default=100)
    return min(max(LEAST_ATTEMPTS, math.ceil(150 / lightest)), MOST_ATTEMPTS)


def _cookie(slug: str, children: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    """A cookie of another name for other weights, or everybody would stay where the first weights put them."""
    digest = blake2b(repr(children).encode(), digest_size=4).hexdigest()
    return {"name": f"{name}-{digest}", "path": f"/{slug}/", "httpOnly": True, "sameSite": "lax", "secure": False}


def _preferred(slug: str, name: str) -> dict[str, Any]:
    """One version as long as it lives, else all of them by weight."""
    return {"failover": {"service": name.removesuffix("--first"), "fallback": slug, "healthCheck": {}}}


def _mirroring(slug: str, service: str, mirrors: Mapping[int, int]) -> dict[str, Any]:
    copies = [{"name": _service(slug, version), "percent": percent} for version, percent in mirrors.items()]
    mirroring = {"service": service, "mirrorBody": True, "maxBodySize": COPIED_BYTES, "mirrors": copies}
    return {"mirroring": {**mirroring, "healthCheck": {}}}


def _transport(**timeouts: str) -> dict[str, Any]:
    timeouts = {"dialTimeout": DIAL_TIMEOUT, "idleConnTimeout": IDLE_TIMEOUT, **timeouts}
    return {"maxIdleConnsPerHost": 200, "forwardingTimeouts": timeouts}


def _server(slug: str, backend: Backend, mirrors: Mapping[int, int]) -> dict[str, Any]:
    copied = backend.version in mirrors
    server = {
        "servers": [{"url": backend.url}],
        "healthCheck": {"path": "/ping", "interval": HEALTH_INTERVAL, "timeout": HEALTH_TIMEOUT},
        "serversTransport": _copying(slug) if copied else slug,
    }
    return {"loadBalancer": server, "middlewares": [_copying(slug)]} if copied else {"loadBalancer": server}


def _service(slug: str, version: int) -> str:
    return f"{slug}--v{version}"


def _idle(slug: str) -> str:
    return f"{slug}--idle"


def _retrying(slug: str) -> str:
    return f"{slug}--retry"


def _copying(service: str) -> str:
    """What copies the requests to a service for the mirrors."""
    return f"{service}--copies"


def _version(slug: str, service: str) -> int:
    match = re.fullmatch(rf"{re.escape(slug)}--v([0-9]+)(@file)?", service)
    if match is None:
        raise PermanentError(f"the route {slug} has been changed by hand: it sends requests to {service!r}")
    return int(match[1])


def _fence_of(text: str) -> int:
    """The fence of the last write; 0 when the file was made by hand or lost its comment."""
    match = _FENCE.search(text)
    return int(match[1]) if match else 0
