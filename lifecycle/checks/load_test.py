"""The load test: is one replica of the version fast enough when many ask at once?

Users arrive over the policy's ramp, then all of them stay for its steady phase; each asks for one prediction after
the other, so the load adapts to how fast the server is. Figures are of the steady phase alone.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from lifecycle.adapters.load import Failure, Finished, Load, Phase, Second, generate
from lifecycle.checks.base import Report, Result, Subject
from lifecycle.domain.judgements.base import at_least, at_most, below
from lifecycle.domain.policy import LoadTest, ServiceLevels
from lifecycle.domain.words import figure
from lifecycle.ports import PermanentError, TemporaryError
from lifecycle.rows import NoRowsError, bodies_of

ROWS = 500
TIMEOUT_SECONDS = 10.0
SHOWN_SECONDS = 300
SHOWN_REASONS = 10


@dataclass
class Steady:
    """What the steady phase has shown so far, and every second of the test for the plot.

    An answer counts in the phase in which it came; those that were waited for when the phase ended count too, but not
    for the throughput.
    """

    latencies: list[float] = field(default_factory=list)
    in_time: int = 0
    failures: dict[str, Failure] = field(default_factory=dict)
    begun: float = 0.0
    ended: float = 0.0
    users: int = 0
    seconds: dict[int, tuple[list[float], int, int]] = field(default_factory=dict)

    def add(self, second: Second) -> None:
        self._plot(second)
        if second.phase == Phase.RAMP:
            self.begun = self.ended = second.at
            return
        self.latencies.extend(second.latencies)
        for reason, failure in second.failures.items():
            before = self.failures.get(reason, Failure(0, failure.example))
            self.failures[reason] = Failure(before.count + failure.count, before.example)
        if second.phase == Phase.STEADY:
            self.ended, self.users = second.at, second.users
            self.in_time += len(second.latencies)

    def _plot(self, second: Second) -> None:
        """Phases do not end at full seconds, so a second can come in two parts."""
        latencies, failed, users = self.seconds.get(round(second.at), ([], 0, 0))
        together = ([*latencies, *second.latencies], failed + second.failed, max(users, second.users))
        self.seconds[round(second.at)] = together

    @property
    def failed(self) -> int:
        return sum(failure.count for failure in self.failures.values())

    @property
    def requests(self) -> int:
        return len(self.latencies) + self.failed

    @property
    def throughput(self) -> float:
        """Successful predictions a second."""
        length = self.ended - self.begun
        return self.in_time / length if length > 0 else 0.0

    def figures(self) -> dict[str, Any]:
        """Latencies are in seconds, of successful predictions; None where there was none. ``failed`` is percent."""
        ordered = sorted(self.latencies)
        return {
            "throughput": round(self.throughput, 2),
            "p50": percentile(ordered, 50),
            "p95": percentile(ordered, 95),
            "p99": percentile(ordered, 99),
            "failed": 100.0 * self.failed / self.requests if self.requests else 100.0,
            "requests": self.requests,
            "users": self.users,
            "steady_seconds": round(self.ended - self.begun, 2),
            "ramp_seconds": round(self.begun, 2),
        }

    def series(self) -> list[list[float | int | None]]:
        """[second, requests, failed, p50, p95, users], one row a second of the whole test."""
        rows: list[list[float | int | None]] = []
        for at, (latencies, failed, users) in sorted(self.seconds.items())[:SHOWN_SECONDS]:
            ordered = sorted(latencies)
            p50, p95 = percentile(ordered, 50), percentile(ordered, 95)
            rows.append([at, len(latencies) + failed, failed, p50, p95, users])
        return rows

    def reasons(self) -> list[dict[str, Any]]:
        """Why predictions failed, the most frequent reason first."""
        found = sorted(self.failures.items(), key=lambda item: -item[1].count)[:SHOWN_REASONS]
        return [{"reason": reason, "count": each.count, "example": each.example} for reason, each in found]


def percentile(ordered: Sequence[float], percent: float) -> float | None:
    """The smallest value that at least ``percent`` of the values do not exceed; None of no values."""
    if not ordered:
        return None
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]


def is_enough(figures: Mapping[str, Any], levels: ServiceLevels) -> bool:
    """Whether every figure keeps the service levels; a latency that nothing showed does not."""
    latencies = (("p50", levels.latency_p50), ("p95", levels.latency_p95), ("p99", levels.latency_p99))
    return (
        at_least(figures["throughput"], levels.throughput)
        and below(figures["failed"], levels.failed_predictions)
        and all(figures[name] is not None and at_most(figures[name], most.total_seconds()) for name, most in latencies)
    )


def run(subject: Subject, report: Report) -> Result:
    """Raises TemporaryError when the load generator fails, PermanentError when nobody can know what to ask."""
    test = subject.policy.checks.load_test
    load = _load(subject, test)
    started = datetime.now(UTC)
    steady, tool = _measure(load, test, report)
    figures = steady.figures()
    measurements = {
        **figures,
        "series": steady.series(),
        "failures": steady.reasons(),
        "tool": tool,
        "generator_on_same_machine": is_loopback(subject.server_url),
        "started": started.isoformat(),
        "ended": datetime.now(UTC).isoformat(),
    }
    return Result(is_enough(figures, subject.policy.service_levels), sentence(steady, figures), measurements)


def _load(subject: Subject, test: LoadTest) -> Load:
    try:
        bodies = bodies_of(subject.signature, subject.files, ROWS)
    except NoRowsError as error:
        raise PermanentError(f"Nobody can know what to ask of this model: {error}") from error
    return Load(
        url=subject.server_url,
        version=str(subject.ref.version),
        users=test.users,
        ramp=test.ramp.total_seconds(),
        steady=test.steady.total_seconds(),
        timeout=TIMEOUT_SECONDS,
        bodies=tuple(body.decode() for body in bodies),
    )


def _measure(load: Load, test: LoadTest, report: Report) -> tuple[Steady, str]:
    steady = Steady()
    report(0, "starting the load generator")
    # Closing the generator ends its process, whatever happens here.
    with closing(generate(load)) as said:
        last: Second | None = None
        for each in said:
            if isinstance(each, Finished):
                return steady, each.tool
            if each is not None:
                steady.add(each)
                last = each
            report(*progress(last, load, steady))
    raise TemporaryError("the load generator ended without a result")


def progress(second: Second | None, load: Load, steady: Steady) -> tuple[int, str]:
    """Percent, and words for what is going on."""
    if second is None:
        return 0, "starting the load generator"
    percent = min(round(100 * second.at / (load.ramp + load.steady)), 99)
    if second.phase == Phase.RAMP:
        return percent, f"ramping up, {second.users} of {load.users} users"
    if second.phase == Phase.DRAIN:
        return 99, "waiting for the last answers"
    so_far = min(round(second.at - steady.begun), round(load.steady))
    return percent, f"steady, {so_far} of {load.steady:g} s, {steady.throughput:,.0f}/s"


def sentence(steady: Steady, figures: Mapping[str, Any]) -> str:
    """ "812 predictions/s a replica; p95 12 ms; 0 of 24,360 failed" """
    parts = [f"{figure(figures['throughput'])} predictions/s a replica"]
    if figures["p95"] is not None:
        parts.append(f"p95 {_short(figures['p95'])}")
    parts.append(f"{steady.failed:,} of {steady.requests:,} failed")
    if not steady.requests:
        return "No prediction was answered, and none failed: the server was never reached."
    reasons = steady.reasons()
    return "; ".join(parts) + (f", most often: {reasons[0]['reason']}." if reasons else ".")


def _short(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{figure(float(f'{1000 * seconds:.3g}'))} ms"


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
