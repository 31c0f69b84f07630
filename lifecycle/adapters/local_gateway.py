"""The gateway of one machine: Traefik, told by files in a directory that it watches.

A route is one file, ``<slug>.yml``: a router for ``/<slug>/``, one service a version, and a weighted service over
them. What Traefik 3.7 does, measured:

- The API shows new weights only once requests follow them: 900 of 900 requests sent on the sight of new weights
  followed them, also with every core busy. Written, in force and shown takes some 80 ms with 1 to 20 routes and
  200 ms with 100, on two busy cores.
- A reload fails no request, neither new ones nor those in flight; connections stay open.
- A file that differs only in its comments is not a reload. A file that can't be parsed stops the reload of all
  files, and the configuration before stays in force: that is why the API is asked, never the file.
- Every reload, of whichever route, forgets what the health checks found: each server counts as up until its next
  check, up to HEALTH_INTERVAL later. Until then the retries below hide a dead variant that has little weight;
  every attempt that failed is counted as an error of the version that failed it.
- Every reload starts the weighted turns anew, the heaviest variant first: with a reload every 10 requests, a
  variant with 5 % got none of 200.
- A weighted service with no weight at all answers 503, "no available server".
- The counters of a version that no route names any more are shown once more, then begin again from 0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlsplit

import yaml

from lifecycle.adapters.files import file_errors, locked, write_atomically
from lifecycle.adapters.http import get, samples
from lifecycle.domain.slugs import is_slug
from lifecycle.ports import Backend, FencedError, PermanentError, RequestCounts, TemporaryError

HEALTH_INTERVAL = "1s"
# Longer than the interval, because a server that answers pings late under load is busy, not dead.
HEALTH_TIMEOUT = "3s"
# A request is sent again only if no connection could be made, so the model never sees it twice.
ATTEMPTS = 3
DIAL_TIMEOUT = "1s"
# Shorter than the time after which a model server closes an idle connection (uvicorn: 5 s unless told otherwise):
# a POST that is sent into a connection just being closed fails, and can't be sent again.
IDLE_TIMEOUT = "2s"

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

    def apply(self, slug: str, backends: Sequence[Backend], *, fence: int) -> None:
        """Write the route's file. Without backends the route stays, and answers 503.

        Raises FencedError, PermanentError for what can't be a route, TemporaryError when the file can't be written.
        Traefik is not asked: ``weights()`` tells when it has followed.
        """
        check_route(slug, backends)
        path = self._config_dir / f"{slug}.yml"
        lock = self._config_dir / f".{slug}.lock"
        with locked(lock, seconds=self._timeout, what=f"the route {slug}"), file_errors(f"the route {slug}"):
            before = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
            if fence < _fence_of(before):
                raise FencedError(f"a newer executor has written the route {slug}")
            text = _HEAD.format(fence=fence) + yaml.safe_dump(route(slug, backends), sort_keys=False)
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
        for part in (router, service):
            if part.get("status") == "disabled":
                raise PermanentError(f"the gateway refuses the route {slug}: {'; '.join(part.get('error', ()))}")
        children = (service.get("weighted") or {}).get("services") or ()
        return {_version(slug, child["name"]): int(child.get("weight", 1)) for child in children}

    def counts(self, slug: str) -> Mapping[int, RequestCounts]:
        """Attempts that reached a version's service, so one request that was tried again counts once an attempt."""
        if not is_slug(slug):
            raise PermanentError(f"{slug!r} is not the name of a route")
        counts: dict[int, RequestCounts] = {}
        ours = re.compile(rf"{re.escape(slug)}--v([0-9]+)@file")
        for sample in samples(self._text("/metrics"), "traefik_service_requests_total"):
            match = ours.fullmatch(sample.labels.get("service", ""))
            if match is None:
                continue
            version, number = int(match[1]), int(sample.value)
            errors = number if sample.labels.get("code", "").startswith("5") else 0
            so_far = counts.get(version, RequestCounts())
            counts[version] = RequestCounts(so_far.requests + number, so_far.errors + errors)
        return counts

    def _described(self, kind: str, slug: str) -> dict[str, Any] | None:
        """What Traefik says of one router or service; None when it has none of that name."""
        path = f"/api/http/{kind}/{quote(f'{slug}@file', safe='')}"
        answer = get(self._api_url + path, timeout=self._timeout)
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise TemporaryError(f"the gateway's API answers {answer.status}")
        try:
            return cast(dict[str, Any], json.loads(answer.text))
        except ValueError as error:
            raise TemporaryError("the gateway's API does not answer in JSON") from error

    def _text(self, path: str) -> str:
        answer = get(self._api_url + path, timeout=self._timeout)
        if answer.status != 200:
            raise TemporaryError(f"the gateway answers {answer.status} to {path}")
        return answer.text


def check_route(slug: str, backends: Sequence[Backend]) -> None:
    """Raises PermanentError unless the backends can be a route: known versions once each, weights 100 or 0 in all."""
    if not is_slug(slug):
        raise PermanentError(f"{slug!r} is not the name of a route")
    versions = [backend.version for backend in backends]
    if len(set(versions)) != len(versions) or any(version < 0 for version in versions):
        raise PermanentError(f"the versions of the route {slug} are not distinct: {versions}")
    weights = [backend.weight for backend in backends]
    if sum(weights) not in (0, 100) or any(weight < 0 for weight in weights):
        raise PermanentError(f"the weights of the route {slug} are {weights}; they must sum to 100, or all be 0")
    for backend in backends:
        if not _is_server_url(backend.url):
            raise PermanentError(f"version {backend.version} of the route {slug} has no usable address")


def _is_server_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


def route(slug: str, backends: Sequence[Backend]) -> dict[str, Any]:
    """Traefik's dynamic configuration for one route, as plain values. See the module's text for the reasons."""
    strip, retry = f"{slug}--strip", f"{slug}--retry"
    services: dict[str, Any] = {slug: {"weighted": _weighted(slug, backends)}}
    services |= {_service(slug, backend.version): {"loadBalancer": _server(slug, backend)} for backend in backends}
    return {
        "http": {
            "routers": {slug: {"rule": _rule(slug), "middlewares": [retry, strip], "service": slug}},
            "middlewares": {
                strip: {"stripPrefix": {"prefixes": [f"/{slug}"]}},
                retry: {"retry": {"attempts": ATTEMPTS}},
            },
            "services": services,
            "serversTransports": {
                slug: {
                    "maxIdleConnsPerHost": 200,
                    "forwardingTimeouts": {"dialTimeout": DIAL_TIMEOUT, "idleConnTimeout": IDLE_TIMEOUT},
                }
            },
        }
    }


def _rule(slug: str) -> str:
    """Everything below the route's name, but the server's metrics: what users' data look like is not for users."""
    return f"PathPrefix(`/{slug}/`) && !Path(`/{slug}/metrics`)"


def _weighted(slug: str, backends: Sequence[Backend]) -> dict[str, Any]:
    children = [{"name": _service(slug, backend.version), "weight": backend.weight} for backend in backends]
    return {"services": children, "healthCheck": {}}


def _server(slug: str, backend: Backend) -> dict[str, Any]:
    return {
        "servers": [{"url": backend.url}],
        "healthCheck": {"path": "/ping", "interval": HEALTH_INTERVAL, "timeout": HEALTH_TIMEOUT},
        "serversTransport": slug,
    }


def _service(slug: str, version: int) -> str:
    return f"{slug}--v{version}"


def _version(slug: str, service: str) -> int:
    match = re.fullmatch(rf"{re.escape(slug)}--v([0-9]+)(@file)?", service)
    if match is None:
        raise PermanentError(f"the route {slug} has been changed by hand: it sends requests to {service!r}")
    return int(match[1])


def _fence_of(text: str) -> int:
    """The fence of the last write; 0 when the file was made by hand or lost its comment."""
    match = _FENCE.search(text)
    return int(match[1]) if match else 0
