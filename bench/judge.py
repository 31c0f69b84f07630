"""How often the judge is wrong, and how soon it is right: ``python -m bench.judge [--runs RUNS] [--seed SEED]``.

100 requests a second, 1 % of which fail, looked at every 10 seconds; the counts are drawn with numpy, and judged by the
judge's own statistics. Beside the judge stand what is often done instead: a fixed threshold on the latest full minute,
and a two-proportion z-test (one-sided, 99 %) at every look.

- A/A: two versions that are alike, over the steps of 5 % (1 hour), 25 % (2 hours) and 50 % (4 hours): how many of the
  runs are rolled back. Latency, whose histograms take longer to draw, has a tenth of the runs.
- A/B: at 5 %, how long it takes until a worse version is rolled back, median and 95th percentile, in the first hour.
- late: a version that fails every request from look 3,000 on: how many looks it takes.
- clear: how long until a version that is as good is known to be.
- agreed: how often ``compare.judge`` itself, given the same counts as evidence, says the same at the look before and
  at the look at which the statistics roll back.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from lifecycle.domain import compare, sequential
from lifecycle.domain.compare import distributions, latency
from lifecycle.domain.compare.budget import Budget, budget
from lifecycle.domain.compare.parts import Interval, MeasureState, OnBreach
from lifecycle.domain.drift import Distribution
from lifecycle.domain.observations import LATENCY_EDGES, Counts
from lifecycle.domain.policy import Comparison, Policy
from lifecycle.domain.sequential import RARE
from lifecycle.domain.strategies import BreachAction

Array = npt.NDArray[Any]

LOOK = 10
RATE = 100
FAILING = 0.01
STEPS = ((5, 360), (25, 720), (50, 1440))
HOUR = 360
WINDOWS = (1, 6, 30)
NEVER = 10**9
POLICY = Policy(comparison=Comparison(on_latency=BreachAction.ROLL_BACK))
LIMITS = POLICY.comparison
ACT = OnBreach.ROLL_BACK
EDGES = LATENCY_EDGES
Z_99 = 2.326
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROW = "{:<26} {:>22} {:>22} {:>22}"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=20260101)
    given = parser.parse_args(arguments)
    print(f"python -m bench.judge --runs {given.runs} --seed {given.seed}", flush=True)
    start = time.perf_counter()
    parts = (false_alarms, detection, late_surge, slow_versions, clearing, bins_clearing, cost)
    for number, part in enumerate(parts):
        part(given.runs, np.random.default_rng([given.seed, number]))
    print(f"\n{time.perf_counter() - start:.0f} s in all")
    return 0


# ---------------------------------------------------------------- error rates of many runs at once


@dataclass(frozen=True)
class Errors:
    """Errors and requests of both sides, look by look: runs by looks, and looks."""

    canary: Array
    stable: Array
    canary_requests: Array
    stable_requests: Array

    def total(self) -> Errors:
        return Errors(*(each.cumsum(axis=-1) for each in self._all()))

    def latest(self, looks: int) -> Errors:
        """Over the latest looks, or as many as there were."""
        return Errors(*(_sliding(each.cumsum(axis=-1), looks) for each in self._all()))

    def _all(self) -> tuple[Array, Array, Array, Array]:
        return self.canary, self.stable, self.canary_requests, self.stable_requests

    @property
    def increase(self) -> Array:
        return self.canary / self.canary_requests - self.stable / self.stable_requests


def _sliding(totals: Array, looks: int) -> Array:
    earlier = np.zeros_like(totals)
    earlier[..., looks:] = totals[..., :-looks]
    return totals - earlier


def _draw(random: np.random.Generator, runs: int, looks: int, weight: int, failing: float | Array) -> Errors:
    share = RATE * LOOK * weight // 100
    canary = np.full(looks, share)
    stable = np.full(looks, RATE * LOOK - share)
    return Errors(
        random.binomial(share, np.minimum(failing, 1.0), (runs, looks)),
        random.binomial(RATE * LOOK - share, FAILING, (runs, looks)),
        canary,
        stable,
    )


def _budget(weight: int) -> Budget:
    return budget(_evidence(weight, (Counts(), Counts()), (), 1), POLICY)


def _judge(errors: Errors, weight: int) -> Array:
    """The look, from 1, at which each run is rolled back for its errors; NEVER if it is not."""
    shared, looks = _budget(weight), np.arange(1, errors.canary.shape[1] + 1)
    hit = _breached(errors.total(), np.full(len(looks), shared.whole(ACT)))
    for length in WINDOWS:
        alphas = np.where(looks >= length, shared.window(ACT, looks, len(WINDOWS)), 0.0)
        hit |= _breached(errors.latest(length), alphas)
    return _first(hit)


def _breached(errors: Errors, alphas: Array) -> Array:
    """Where the estimate is past a limit, look whether the interval rules out that the version is no worse."""
    hit = np.zeros(errors.canary.shape, dtype=bool)
    run, look = np.nonzero((100.0 * errors.increase > LIMITS.error_rate_increase) & (alphas > 0))
    canary = errors.canary[run, look], errors.canary_requests[look]
    stable = errors.stable[run, look], errors.stable_requests[look]
    hit[run, look] = sequential.difference(canary, stable, alphas[look], RARE)[0] > 0
    rate = 100.0 * errors.canary / errors.canary_requests
    run, look = np.nonzero((rate > LIMITS.production_error_rate) & (alphas > 0) & ~hit)
    canary = errors.canary[run, look], errors.canary_requests[look]
    hit[run, look] = 100.0 * sequential.proportion(*canary, alphas[look], RARE)[0] > LIMITS.production_error_rate
    return hit


def _threshold(errors: Errors, weight: int) -> Array:
    """At the end of every full minute."""
    looks = np.arange(1, errors.canary.shape[1] + 1)
    return _first((100.0 * errors.latest(6).increase > LIMITS.error_rate_increase) & (looks % 6 == 0))


def _z_test(errors: Errors, weight: int) -> Array:
    so_far = errors.total()
    return _first(_z(so_far.canary, so_far.canary_requests, so_far.stable, so_far.stable_requests) > Z_99)


def _z(canary: Array, canary_requests: Array, stable: Array, stable_requests: Array) -> Array:
    pooled = (canary + stable) / (canary_requests + stable_requests)
    spread = np.sqrt(pooled * (1 - pooled) * (1 / canary_requests + 1 / stable_requests))
    apart = canary / canary_requests - stable / stable_requests
    return np.divide(apart, spread, out=np.zeros_like(apart), where=spread > 0)


def _first(hit: Array) -> Array:
    return np.where(hit.any(axis=1), hit.argmax(axis=1) + 1, NEVER)


METHODS: dict[str, Callable[[Errors, int], Array]] = {
    "judge": _judge,
    "fixed, 1 minute": _threshold,
    "z-test, every look": _z_test,
}

# ---------------------------------------------------------------- A/A


def false_alarms(runs: int, random: np.random.Generator) -> None:
    print("\nA/A: rolled back though both versions are alike")
    print(ROW.format(f"errors, {runs:,} runs", *METHODS))
    wrong = dict.fromkeys(METHODS, 0)
    for some in _chunks(runs, 250):
        back = {name: np.zeros(some, dtype=bool) for name in METHODS}
        for weight, looks in STEPS:
            errors = _draw(random, some, looks, weight, FAILING)
            for name, method in METHODS.items():
                back[name] |= method(errors, weight) < NEVER
        wrong = {name: wrong[name] + int(back[name].sum()) for name in METHODS}
    print(ROW.format("", *(f"{100.0 * wrong[name] / runs:.2f} %" for name in METHODS)), flush=True)
    _false_alarms_of_latency(max(runs // 10, 1), random)


def _chunks(runs: int, size: int) -> Iterator[int]:
    for start in range(0, runs, size):
        yield min(size, runs - start)


def _false_alarms_of_latency(runs: int, random: np.random.Generator) -> None:
    back = dict.fromkeys(SLOW_METHODS, 0)
    for _ in range(runs):
        steps = [(_draw_latency(random, looks, weight, 1.0), weight) for weight, looks in STEPS]
        for name, method in SLOW_METHODS.items():
            back[name] += any(method(drawn, weight) < NEVER for drawn, weight in steps)
    print(
        ROW.format(f"p95 latency, {runs:,} runs", *(f"{100.0 * back[name] / runs:.2f} %" for name in back)), flush=True
    )


# ---------------------------------------------------------------- A/B


def detection(runs: int, random: np.random.Generator) -> None:
    print("\nA/B: time to roll back at 5 %, median / 95th percentile (and how many in the first hour)")
    print(ROW.format("errors", *METHODS))
    agreed = asked = 0
    for points in (1, 2, 5, 20, 100):
        found: dict[str, Array] = {name: np.empty(0, dtype=int) for name in METHODS}
        for some in _chunks(runs, 500):
            errors = _draw(random, some, HOUR, 5, FAILING + points / 100)
            found = {name: np.append(found[name], method(errors, 5)) for name, method in METHODS.items()}
        print(ROW.format(f"+{points} {'point' if points == 1 else 'points'}", *map(_times, found.values())), flush=True)
        agrees, of = _agreement(errors, found["judge"][-some:], 60)
        agreed, asked = agreed + agrees, asked + of
    print(f"agreed: compare.judge says the same in {agreed} of {asked} runs")


def _times(looks: Array) -> str:
    """The median and the 95th percentile of the times until a rollback, and the share of the runs that had one."""
    at = np.sort(looks) * LOOK
    median, late = (at[min(int(len(at) * part), len(at) - 1)] for part in (0.5, 0.95))
    share = 100.0 * (looks < NEVER).mean()
    return f"{_seconds(median)} / {_seconds(late)} ({share:.0f} %)"


def _seconds(value: float) -> str:
    return "-" if value >= NEVER else f"{value:.0f} s"


def _agreement(errors: Errors, found: Array, runs: int) -> tuple[int, int]:
    """Of the first runs, in how many the judge rolls back at that look and not at the one before."""
    agrees = 0
    for run in range(min(runs, len(found))):
        at = int(min(found[run], errors.canary.shape[1]))
        before = at == 1 or not _rolls_back(errors, run, at - 1)
        agrees += before and _rolls_back(errors, run, at) == (found[run] < NEVER)
    return agrees, min(runs, len(found))


def _rolls_back(errors: Errors, run: int, look: int) -> bool:
    def counts(looks: int) -> tuple[Counts, Counts]:
        within = slice(look - looks, look)
        return (
            Counts(int(errors.canary_requests[within].sum()), int(errors.canary[run, within].sum())),
            Counts(int(errors.stable_requests[within].sum()), int(errors.stable[run, within].sum())),
        )

    windows = [(length, counts(length)) for length in WINDOWS if length <= look]
    evidence = _evidence(5, counts(look), windows, look)
    # The budget of a window is a third, also while the longer ones do not exist yet.
    missing = [(length, (Counts(), Counts())) for length in WINDOWS if length > look]
    evidence = replace(evidence, windows=(*evidence.windows, *map(_window, missing)))
    return compare.judge(evidence, POLICY, NOW).kind == compare.VerdictKind.ROLL_BACK


def _window(given: tuple[int, tuple[Counts, Counts]]) -> compare.Window:
    looks, sides = given
    return compare.Window(timedelta(seconds=LOOK * looks), looks, *sides)


def _evidence(weight: int, whole: tuple[Counts, Counts], windows: Any, look: int) -> compare.Evidence:
    return compare.Evidence(
        trial=compare.Trial.ROLLOUT,
        whole=_window((look, whole)),
        windows=tuple(map(_window, windows)),
        look=look,
        steps=len(STEPS),
        weight=weight,
        since=NOW - timedelta(seconds=LOOK * look),
        seen=NOW,
    )


def late_surge(runs: int, random: np.random.Generator) -> None:
    """5 requests a second, as good as the stable version for more than eight hours, and then all of them fail."""
    failing = np.where(np.arange(3010) < 2999, FAILING, 1.0)
    errors = _draw(random, min(runs, 200), 3010, 5, failing)
    found = _judge(errors, 5) - 2999
    latest = f"rolled back by look {found.max()} of it at the latest, {len(found)} runs"
    print(f"late: all requests fail from look 3,000 on: {latest}")


# ---------------------------------------------------------------- latencies


@dataclass(frozen=True)
class Latencies:
    """Cumulative histograms of both sides, look by look: looks by buckets, each counting up to its end."""

    canary: Array
    stable: Array

    def latest(self, looks: int) -> Latencies:
        return Latencies(_sliding(self.canary.T, looks).T, _sliding(self.stable.T, looks).T)

    def estimates(self) -> Array:
        """The increase in percent."""
        return 100.0 * (_quantiles(self.canary) / _quantiles(self.stable) - 1.0)

    def interval(self, look: int, alpha: float) -> Interval:
        edges = np.asarray(EDGES)
        sides = (latency.Histogram(edges, each[look]) for each in (self.canary, self.stable))
        return latency.compared(*sides, alpha)


def _quantiles(cumulative: Array) -> Array:
    """The judge's estimate, for all looks at once."""
    goal = latency.QUANTILE * cumulative[:, -1]
    bucket = np.clip((cumulative < goal[:, None]).sum(axis=1), 1, len(EDGES) - 1)
    looks, edges = np.arange(len(cumulative)), np.asarray(EDGES)
    before, after = cumulative[looks, bucket - 1], cumulative[looks, bucket]
    part = np.divide(goal - before, after - before, out=np.zeros_like(goal), where=after > before)
    return edges[bucket - 1] + (edges[bucket] - edges[bucket - 1]) * part


def _draw_latency(random: np.random.Generator, looks: int, weight: int, slower: float) -> Latencies:
    """Log-normal, with a median of 50 ms and a p95 of 114 ms."""
    share = RATE * LOOK * weight // 100
    sides = ((share, slower), (RATE * LOOK - share, 1.0))
    return Latencies(
        *(random.multinomial(count, _chances(factor), looks).cumsum(0).cumsum(1) * 1.0 for count, factor in sides)
    )


def _chances(factor: float) -> Array:
    from_normal = np.log(np.asarray(EDGES) / (0.05 * factor)) / 0.5
    below = np.concatenate([[0.0], ndtr(from_normal), [1.0]])
    return np.diff(below)


def _judge_latency(drawn: Latencies, weight: int) -> int:
    shared, looks = _budget(weight), len(drawn.canary)
    found = _first_breach(drawn, [shared.whole(ACT)] * looks, 1, NEVER)
    alphas = [float(each) for each in shared.window(ACT, np.arange(1, looks + 1), len(WINDOWS))]
    for length in WINDOWS:
        found = _first_breach(drawn.latest(length), alphas, length, found)
    return found


def _first_breach(drawn: Latencies, alphas: list[float], begin: int, before: int) -> int:
    """The first look that is breached, if it is earlier than ``before``."""
    for look in np.flatnonzero(drawn.estimates() > LIMITS.latency_p95_increase) + 1:
        if look >= before:
            break
        interval = drawn.interval(look - 1, alphas[look - 1]) if look >= begin else None
        if interval and interval.state(LIMITS.latency_p95_increase, -latency.HAIR) == MeasureState.BREACHED:
            return int(look)
    return before


def _threshold_latency(drawn: Latencies, weight: int) -> int:
    past = drawn.latest(6).estimates() > LIMITS.latency_p95_increase
    return int(_first((past & (np.arange(1, len(past) + 1) % 6 == 0))[None, :])[0])


def _z_test_latency(drawn: Latencies, weight: int) -> int:
    """Of the parts of requests that take longer than the p95 of both together."""
    both = drawn.canary + drawn.stable
    bucket = np.clip((both < latency.QUANTILE * both[:, -1:]).sum(axis=1), 0, len(EDGES) - 1)
    looks = np.arange(len(both))
    sides = [(each[:, -1] - each[looks, bucket], each[:, -1]) for each in (drawn.canary, drawn.stable)]
    return int(_first((_z(*sides[0], *sides[1]) > Z_99)[None, :])[0])


SLOW_METHODS: dict[str, Callable[[Latencies, int], int]] = {
    "judge": _judge_latency,
    "fixed, 1 minute": _threshold_latency,
    "z-test, every look": _z_test_latency,
}


def slow_versions(runs: int, random: np.random.Generator) -> None:
    print(ROW.format("p95 latency", *SLOW_METHODS))
    for percent in (20, 50, 100):
        drawn = [_draw_latency(random, HOUR, 5, 1 + percent / 100) for _ in range(max(runs // 10, 1))]
        found = {name: np.asarray([method(each, 5) for each in drawn]) for name, method in SLOW_METHODS.items()}
        print(ROW.format(f"+{percent} %", *map(_times, found.values())), flush=True)


# ---------------------------------------------------------------- as good


def clearing(runs: int, random: np.random.Generator) -> None:
    print("\nclear: time until a version that is as good is known to be, median / 95th percentile, in the first hour")
    few = max(runs // 10, 1)
    for weight, _ in STEPS:
        shared = _budget(weight)
        errors = _draw(random, few, HOUR, weight, FAILING).total()
        sides = (errors.canary, errors.canary_requests), (errors.stable, errors.stable_requests)
        high = 100.0 * sequential.difference(*sides, shared.whole(ACT), RARE)[1]
        slow = [_clear_latency(_draw_latency(random, HOUR, weight, 1.0), shared.whole(ACT)) for _ in range(few)]
        rates = _times(_first(high < LIMITS.error_rate_increase))
        print(f"  at {weight:>2} %: errors {rates}, p95 latency {_times(np.asarray(slow))}", flush=True)


def _clear_latency(drawn: Latencies, alpha: float) -> int:
    limit = LIMITS.latency_p95_increase
    cleared = (look + 1 for look in range(HOUR) if drawn.interval(look, alpha).high < limit)
    return next(cleared, NEVER)


def bins_clearing(runs: int, random: np.random.Generator) -> None:
    print("\nrequests to the new version until its distributions are known to be within their limits, median")
    alpha = _budget(5).holding
    for name, chances in (("3 classes", [0.5, 0.3, 0.2]), ("10 bins", [0.1] * 10)):
        found = []
        for factor in (19, 1):
            tries = [_until(_clear_psi(random, np.asarray(chances), factor, alpha)) for _ in range(max(runs // 50, 1))]
            found.append(int(np.median(tries)))
        tries = [_until(_clear_drift(random, np.asarray(chances), alpha)) for _ in range(max(runs // 50, 1))]
        drift = int(np.median(tries))
        print(f"  {name}: PSI {found[0]:,} at 5 %, {found[1]:,} at 50 %; drift {drift:,}", flush=True)


def _until(clear: Callable[[int], bool]) -> int:
    requests = 50
    while not clear(requests):
        requests = int(requests * 1.1)
    return requests


def _clear_psi(random: np.random.Generator, chances: Array, factor: int, alpha: float) -> Callable[[int], bool]:
    def clear(requests: int) -> bool:
        sides = (random.multinomial(count, chances) * 1.0 for count in (requests, requests * factor))
        return sequential.stability_bounds(*sides, alpha)[1] < LIMITS.prediction_psi

    return clear


def _clear_drift(random: np.random.Generator, chances: Array, alpha: float) -> Callable[[int], bool]:
    reference = Distribution(tuple(chances), edges=tuple(map(float, range(len(chances) - 1))))

    def clear(requests: int) -> bool:
        seen = replace(reference, counts=tuple(map(float, random.multinomial(requests, chances))))
        return distributions.Feature("", reference, seen).drifted(alpha).high < LIMITS.drift

    return clear


def cost(runs: int, random: np.random.Generator) -> None:
    """One judgement with everything there is: latency, 10 bins of predictions, 8 features of 10 bins."""

    def counts(requests: int) -> Counts:
        bins = [
            Distribution(tuple(map(float, random.multinomial(requests, [0.1] * 10))), edges=tuple(map(float, range(9))))
            for _ in range(9)
        ]
        slow = Distribution(tuple(map(float, random.multinomial(requests, _chances(1.0)))), edges=EDGES)
        features = {f"feature {number}": each for number, each in enumerate(bins[1:])}
        return Counts(requests, requests // 100, slow, bins[0], features)

    reference = {f"feature {number}": {"edges": list(range(9)), "counts": [100.0] * 10} for number in range(8)}
    for name, requests in (("undecided", 300), ("clear", 20_000)):
        windows = [(length, (counts(50 * length), counts(950 * length))) for length in WINDOWS]
        evidence = _evidence(5, (counts(requests), counts(19 * requests)), windows, requests // 50)
        evidence = replace(evidence, reference=reference)
        start = time.process_time()
        for _ in range(100):
            verdict = compare.judge(evidence, POLICY, NOW)
        spent = (time.process_time() - start) * 10
        print(f"one judgement, {name} ({verdict.kind}): {spent:.1f} ms of processor time")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
