"""How long a rollback takes, from the click to the last answer of the bad version, and what it breaks.

    python -m bench.rollback --rounds 30 --rate 200

Starts a whole installation of its own on free ports, sends steady load through the gateway, and again and again
promotes a version and rolls it back by POST. Prints p50, p95, p99 and the largest of the seconds from sending the
POST to the last answer of the version that was rolled back, the same to the verified weight, and the failed requests.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from embedded.stack import Stack
from embedded.steps import Steps
from tests.support.installation import MODEL, without_traffic
from tests.support.load import Load, flowers
from tests.support.people import Team

BAD = 2
TARGET_SECONDS = 1.0


def quantile(values: list[float], share: float) -> float:
    """The nearest-rank quantile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def one_round(team: Team, load: Load) -> tuple[float, float]:
    """Promote the bad version, roll it back; seconds to its last answer, and to the verified weight."""
    team.await_transition(team.approved(MODEL, BAD, "Production", strategy="blue_green"))
    served = time.monotonic()
    while load.by_version(since=served)[BAD] < 50:
        time.sleep(0.05)
    clicked = time.monotonic()
    pk = team["emil"].post(f"models/{MODEL}/rollback/", reason="Measured.", kind="graceful")["id"]
    row = team.await_transition(pk)
    time.sleep(1.0)
    last = max(answer.at for answer in list(load.answers) if answer.version == BAD)
    return max(0.0, last - clicked), _seconds_to_weight(team, row["id"])


def _seconds_to_weight(team: Team, pk: int) -> float:
    entries = team["aron"].get(f"audit/?transition={pk}&action=traffic_back")["results"]
    return float(entries[0]["details"]["seconds"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--rate", type=float, default=200.0, help="requests per second")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="stagegate-bench-") as folder,
        without_traffic(Path(folder), hour_seconds="0", steps=Steps()) as stack,
    ):
        return measure(stack, Path(folder), options.rounds, options.rate)


def measure(stack: Stack, home: Path, rounds: int, rate: float) -> int:
    environment = stack.environment()
    team = Team(environment["STAGEGATE_PUBLIC_URL"], home)
    # The demo's opening policy asks nothing of a version.
    values = team["ada"].get("policies/2/")["values"]
    team["ada"].post("policies/", model=MODEL, values=values, reason="This measures what comes after the gate.")
    team.await_transition(team.approved(MODEL, BAD, "Staging"))
    answered, verified = [], []
    with Load(f"{environment['STAGEGATE_GATEWAY_URL']}/{MODEL}/invocations", flowers(), rate) as load:
        for number in range(rounds):
            seconds, weight = one_round(team, load)
            answered.append(seconds)
            verified.append(weight)
            print(
                f"round {number + 1:3}: last answer after {seconds:.3f} s, weight verified after {weight:.3f} s",
                flush=True,
            )
    team.close()
    return report(answered, verified, load, rate)


def report(answered: list[float], verified: list[float], load: Load, rate: float) -> int:
    for name, values in (("last answer of the bad version", answered), ("weight verified at the gateway", verified)):
        figures = ", ".join(f"p{int(share * 100)} {quantile(values, share):.3f} s" for share in (0.5, 0.95, 0.99))
        print(f"{name}: {figures}, largest {max(values):.3f} s, of {len(values)} rollbacks")
    seconds = load.answers[-1].at - load.answers[0].at
    reached = len(load.answers) / seconds
    print(f"requests: {len(load.answers)}, {reached:.0f}/s of the {rate:g}/s wanted, failed: {len(load.failures)}")
    for failure in load.failures[:5]:
        print(f"  {failure}")
    met = quantile(answered, 0.99) < TARGET_SECONDS and not load.failures
    print(f"target (p99 under {TARGET_SECONDS:g} s, 0 failed): {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
