"""How long a change of weights takes until the gateway itself says that it is in force.

    python -m bench.shifts --shifts 100

Starts a gateway and two model servers of its own, and moves the weights by 5 points again and again. Prints the median,
p95 and the largest of the seconds from the call that writes the route to the gateway's word that it goes by it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from bench.rollback import quantile
from tests.contract.traffic import new_slug, shift
from tests.integration.adapters.services import Gateway, TrafficWorld, model_server

TARGET_SECONDS = 0.3


def measure(world: TrafficWorld, shifts: int) -> list[float]:
    """The seconds of each shift."""
    traffic, slug, seconds = world.gateway.adapter(), new_slug(), []
    shift(traffic, world, slug, {1: 100, 2: 0})
    for number in range(shifts):
        share = 5 * (number % 20 + 1)
        began = time.perf_counter()
        shift(traffic, world, slug, {1: 100 - share, 2: share})
        seconds.append(time.perf_counter() - began)
    return seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shifts", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stagegate-bench-") as folder, ExitStack() as stack:
        gateway = Gateway(Path(folder))
        stack.enter_context(gateway.started())
        log = Path(folder) / "servers.log"
        ports = {version: stack.enter_context(model_server(version, log)) for version in (1, 2)}
        seconds = measure(TrafficWorld(gateway, ports), options.shifts)
    median, p95 = quantile(seconds, 0.5), quantile(seconds, 0.95)
    print(f"{len(seconds)} shifts: median {median:.3f} s, p95 {p95:.3f} s, largest {max(seconds):.3f} s")
    print(f"target (median under {TARGET_SECONDS:g} s): {'met' if median < TARGET_SECONDS else 'MISSED'}")
    return 0 if median < TARGET_SECONDS else 1


if __name__ == "__main__":
    raise SystemExit(main())
