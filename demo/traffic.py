"""``python -m demo.traffic``: send real rows of the data sets through the gateway at a steady rate, until SIGTERM.

Reads STAGEGATE_GATEWAY_URL and STAGEGATE_DEMO_RATE (requests a second for the iris model, 80 unless set; the
regression model gets half). A route that is not there yet is waited for.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from demo.catalogue import DIABETES, IRIS
from demo.data import DIABETES_COLUMNS, IRIS_COLUMNS, diabetes, iris

DEFAULT_RATE = 80.0
"""A canary at 5 % gets four a second then, and the judge has seen enough of it after a few minutes."""
REPORT_SECONDS = 10.0
WAIT_SECONDS = 1.0
ANSWER_SECONDS = 10.0
# A gateway that hangs must not make this process grow: what does not fit any more is not sent.
MOST_IN_FLIGHT = 100
VERSION_HEADER = "X-Model-Version"
log = logging.getLogger("demo.traffic")


class TrafficError(Exception):
    """A setting cannot be used."""


@dataclass(slots=True)
class Tally:
    """Requests since the last report; ``ok`` and ``failed`` count by who answered: a version, or the gateway itself."""

    sent: int = 0
    ok: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)

    def line(self) -> str:
        return f"{self.sent} sent, ok: {_by(self.ok)}, failed: {_by(self.failed)}"


@dataclass(frozen=True, slots=True)
class Source:
    """Rows to send to one model, drawn at random, ``rate`` a second."""

    model: str
    rows: Sequence[Mapping[str, Any]]
    rate: float


def sources(rate: float) -> tuple[Source, ...]:
    """Only columns that every version takes: the first versions refuse the ones that came later."""
    flowers = iris()[list(IRIS_COLUMNS)].to_dict("records")
    patients = diabetes()[list(DIABETES_COLUMNS)].to_dict("records")
    return Source(IRIS, flowers, rate), Source(DIABETES, patients, rate / 2)


def rate_from(environment: Mapping[str, str]) -> float:
    """STAGEGATE_DEMO_RATE; raise TrafficError for anything but a number from 0.1 to 1000."""
    text = environment.get("STAGEGATE_DEMO_RATE", "") or str(DEFAULT_RATE)
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0.1 <= rate <= 1000:
        raise TrafficError(f"STAGEGATE_DEMO_RATE is {text!r}; give requests per second, 0.1 to 1000")
    return rate


class Feed:
    """Sends one source's rows at its rate, whether or not earlier requests were answered."""

    def __init__(self, client: httpx.AsyncClient, source: Source) -> None:
        self._client = client
        self._source = source
        self._tally = Tally()
        self._has_route = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._report())
            await self._send_steadily(group)

    async def _send_steadily(self, group: asyncio.TaskGroup) -> None:
        now = asyncio.get_running_loop().time
        in_flight: set[asyncio.Task[None]] = set()
        due = now()
        while True:
            if not self._has_route:
                await self._wait_for_route()
                due = now()
            if len(in_flight) < MOST_IN_FLIGHT:
                task = group.create_task(self._send(random.choice(self._source.rows)))
                in_flight.add(task)
                task.add_done_callback(in_flight.discard)
            due += 1 / self._source.rate
            await asyncio.sleep(max(0.0, due - now()))

    async def _wait_for_route(self) -> None:
        """Ask for the route every second; say once that it is missing, and once that it is there."""
        if not await self._asked_in_vain():
            self._has_route = True
            return
        log.info("%s: no route at the gateway yet, waiting", self._source.model)
        while await self._asked_in_vain():
            await asyncio.sleep(WAIT_SECONDS)
        self._has_route = True
        log.info("%s: the route is there, sending %g requests a second", self._source.model, self._source.rate)

    async def _asked_in_vain(self) -> bool:
        try:
            answer = await self._client.get(f"/{self._source.model}/ping")
        except httpx.HTTPError:
            return True
        return VERSION_HEADER not in answer.headers

    async def _send(self, row: Mapping[str, Any]) -> None:
        tally = self._tally
        tally.sent += 1
        try:
            answer = await self._client.post(f"/{self._source.model}/invocations", json={"dataframe_records": [row]})
        except httpx.HTTPError as error:
            tally.failed[type(error).__name__] += 1
            self._has_route = not isinstance(error, httpx.ConnectError)
            return
        version = answer.headers.get(VERSION_HEADER)
        who = f"version {version}" if version else "gateway"
        (tally.ok if answer.is_success else tally.failed)[who] += 1
        self._has_route = version is not None or answer.status_code != httpx.codes.NOT_FOUND

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            if self._tally.sent:
                log.info("%s: %s", self._source.model, self._tally.line())
            self._tally = Tally()


def _by(counts: Counter[str]) -> str:
    return ", ".join(f"{who} {count}" for who, count in sorted(counts.items())) or "0"


async def send_all(gateway: str, rate: float) -> None:
    """Feed every model until the task is cancelled."""
    limits = httpx.Limits(max_connections=MOST_IN_FLIGHT, max_keepalive_connections=20, keepalive_expiry=30)
    async with (
        httpx.AsyncClient(base_url=gateway, timeout=ANSWER_SECONDS, limits=limits, trust_env=False) as client,
        asyncio.TaskGroup() as group,
    ):
        for source in sources(rate):
            group.create_task(Feed(client, source).run())


async def until_terminated(gateway: str, rate: float) -> None:
    sending = asyncio.create_task(send_all(gateway, rate))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, sending.cancel)
    with suppress(asyncio.CancelledError):
        await sending


def main() -> int:
    """Returns 0 after SIGTERM or SIGINT, 1 when a setting cannot be used."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        rate = rate_from(os.environ)
    except TrafficError as error:
        log.error("%s", error)
        return 1
    asyncio.run(until_terminated(os.environ.get("STAGEGATE_GATEWAY_URL", "http://127.0.0.1:8080"), rate))
    return 0


if __name__ == "__main__":
    sys.exit(main())
