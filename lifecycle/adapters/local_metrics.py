"""The metrics of one machine: Traefik's own, and those of every model server, each read where it is shown.

What Traefik 3.7 counts, measured:

- Every attempt that reached a version's service, so a request that was tried again counts once an attempt, and each
  that failed as an error of the version that failed it.
- A version that no route names any more is shown once more, then it begins again from 0. It has to be said that its
  counter is gone, or one that has grown past its old value meanwhile looks as if it had never left: such a version is
  read as 0.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from lifecycle.adapters import model_metrics
from lifecycle.adapters.http import get, samples
from lifecycle.adapters.server_answers import read_answers
from lifecycle.domain.observations import Counts
from lifecycle.domain.policy import MetricQueries
from lifecycle.domain.slugs import is_slug
from lifecycle.ports import Counter, PermanentError, Reading, ServerAnswer, TemporaryError

logger = logging.getLogger(__name__)

GATEWAY = "gateway"
"""The one Traefik of this machine, as the instance that counted."""
MAX_THREADS = 16


class LocalMetrics:
    """The ``Metrics`` port on a Traefik and the model servers themselves.

    ``gateway_url`` is the address of Traefik's entry point with its metrics. ``timeout`` in seconds bounds connecting,
    and again the answer, of each; all are asked at the same time.
    """

    def __init__(self, gateway_url: str, *, timeout: float = 1.0) -> None:
        self._gateway_url = gateway_url.rstrip("/")
        self._timeout = timeout

    def read(self, slug: str, servers: Mapping[int, str], queries: MetricQueries) -> tuple[Reading, ...]:
        """The gateway's reading of every version, and that of each server that answers. ``queries`` are not asked."""
        if not is_slug(slug):
            raise PermanentError(f"{slug!r} is not the name of a route")
        with ThreadPoolExecutor(min(len(servers) + 1, MAX_THREADS)) as pool:
            gateway = pool.submit(self._text, self._gateway_url)
            asked = [pool.submit(self._server, version, url) for version, url in servers.items() if url]
            counted = [reading for each in asked if (reading := each.result()) is not None]
            return (*_gateway_readings(gateway.result(), slug, servers), *counted)

    def answers(self, url: str, *, after: int) -> tuple[ServerAnswer, ...]:
        return read_answers(url.rstrip("/"), after, self._timeout)

    def _server(self, version: int, url: str) -> Reading | None:
        try:
            text = self._text(url)
            said = model_metrics.version(text)
            if said not in ("", str(version)):
                raise TemporaryError(f"version {said} answers there")
            counts = model_metrics.counts(text)
            return Reading(version, Counter.SERVER, url[:200], counts, model_metrics.started(text))
        except TemporaryError as error:
            logger.info("no metrics of the server of version %s at %s: %s", version, url, error)
            return None

    def _text(self, url: str) -> str:
        answer = get(f"{url.rstrip('/')}/metrics", timeout=self._timeout)
        if answer.status != 200:
            raise TemporaryError(f"{url} answers {answer.status} when asked for its metrics")
        return answer.text


def _gateway_readings(text: str, slug: str, versions: Mapping[int, str]) -> list[Reading]:
    requests, errors = dict.fromkeys(versions, 0), dict.fromkeys(versions, 0)
    ours = re.compile(rf"{re.escape(slug)}--v([0-9]+)@file")
    for sample in samples(text, "traefik_service_requests_total"):
        match = ours.fullmatch(sample.labels.get("service", ""))
        if match is None or int(match[1]) not in requests:
            continue
        version, number = int(match[1]), int(sample.value)
        requests[version] += number
        errors[version] += number if sample.labels.get("code", "").startswith("5") else 0
    began = model_metrics.started(text)
    return [
        Reading(version, Counter.GATEWAY, GATEWAY, Counts(requests[version], errors[version]), began)
        for version in versions
    ]
