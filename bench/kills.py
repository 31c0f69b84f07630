"""What the death of each program at each step of a rollout costs: some seconds, no request of a user, no effect twice.

    python -m bench.kills --rounds 1 --rate 100
    python -m bench.kills --only rollbacks mlflow

Starts a whole installation of its own on free ports and sends steady load through the gateway. Again and again it
promotes a version by canary and rolls it back, and meanwhile kills one program after another with -9, until each has
been killed at each step. In which step a kill fell, the journal says afterwards. Prints for each the seconds until the
program answered again, the seconds until the journal had its next entry, and the failed requests until the next kill.
The gateway and the model servers carry the requests themselves: they are killed afterwards, while the policy's limits
on errors are out of reach, and their failed requests are no part of the target.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

from embedded.readiness import NOT_YET, Condition, answers_http, conditions
from embedded.stack import SERVICES, Stack
from embedded.steps import Steps
from tests.support.installation import JUDGED, MODEL, Installation, wait_until, without_traffic
from tests.support.load import Load
from tests.support.people import ENDED, Team
from tests.support.registry import client_of

STABLE, CANARY = 1, 2
STEPS = ("approved", "20 %", "50 %", "100 %", "rollback")
"""Before the first change of weights, after each of them, and from the click on a rollback to its end."""
BEHIND = ("portal", "worker", "rollbacks", "checks", "observations", "beat", "valkey", "mlflow")
CARRYING = ("gateway", f"{MODEL}--v{STABLE}", f"{MODEL}--v{CANARY}")
SHOWN = {CARRYING[1]: f"server of version {STABLE}", CARRYING[2]: f"server of version {CANARY}"}
UNREACHABLE = {
    **JUDGED,
    **dict.fromkeys(("error_rate_increase", "production_error_rate", "staging_error_rate"), 100.0),
    **dict.fromkeys(("prediction_psi", "drift"), 10.0),
    "latency_p95_increase": 10_000.0,
}
LOOK_SECONDS, JITTER_SECONDS = 0.02, 0.2
BACK_SECONDS, END_SECONDS = 120.0, 240.0
UP_SECONDS = 61.0
"""A model server that ends again and again before it has been up for a minute counts as one that does not come up."""
SEED = 20260101

Cells = Counter[tuple[str, str]]
"""How many kills are left, by step and program."""


@dataclass(frozen=True)
class Kill:
    """``at`` is the moment, ``clock`` the same in monotonic seconds; ``back`` the seconds until it answered again."""

    program: str
    at: datetime
    clock: float
    back: float


@dataclass(frozen=True)
class Cost:
    """What one kill cost: ``went_on`` is the seconds until the journal's next entry."""

    step: str
    program: str
    back: float
    went_on: float
    failed: int

    def line(self) -> str:
        name = SHOWN.get(self.program, self.program)
        times = f"answers after {self.back:5.1f} s, the rollout goes on after {self.went_on:5.1f} s"
        return f"{self.step:8}  {name:19}  {times}, {self.failed} failed"


@dataclass
class Findings:
    costs: list[Cost] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    rollouts: int = 0
    asked: int = 0
    """How often a person had to let a rollout go on."""


@dataclass
class Site:
    """A running installation under load, and the means to kill in it."""

    stack: Stack
    installation: Installation
    load: Load
    chance: random.Random
    findings: Findings

    def kill(self, program: str) -> Kill:
        """Kill it a moment from now, and return when it answers again."""
        answers = self._condition(program)
        time.sleep(self.chance.uniform(0, JITTER_SECONDS))
        at, clock = datetime.now(UTC), time.monotonic()
        self.installation.kill(program)
        wait_until(lambda: self._is_back(answers), BACK_SECONDS, f"{program} to answer")
        return Kill(program, at, clock, time.monotonic() - clock)

    def look(self, pk: int) -> dict[str, Any]:
        """The transition; a portal that has just been killed is asked again."""
        while True:
            with suppress(httpx.TransportError):
                return self.installation.team.transition(pk)
            time.sleep(LOOK_SECONDS)

    def let_go_on(self, pk: int) -> None:
        self.findings.asked += 1
        self.installation.team["emil"].try_post(f"rollouts/{pk}/promote/", reason="What was killed is in the figures.")

    def failed(self, since: float, until: float) -> int:
        return sum(since <= answer.at < until for answer in self.load.failures)

    def repeated(self, row: dict[str, Any]) -> list[str]:
        """Effects that the journal, or the record, has more than once."""
        entries = self.installation.team["aron"].get(f"audit/?transition={row['id']}")["results"]
        done = Counter(effect["summary"] for effect in row["effects"] if effect["outcome"] == "done")
        told = Counter(entry["details"]["effect"] for entry in entries if "effect" in entry["details"])
        return [f"{what} ({times} times)" for what, times in (done | told).items() if times > 1]

    def agrees(self, version: int) -> bool:
        """Whether gateway and registry both have this version in Production."""
        aliases = client_of(self.installation).get_registered_model(MODEL).aliases
        return self.installation.serving_weights() == {version: 100} and aliases["production"] == str(version)

    def _condition(self, program: str) -> Condition:
        if program in SERVICES:
            return conditions(self.stack.installation)[program]
        api = self.stack.installation.gateway_api_url
        service = httpx.get(f"{api}/api/http/services/{program}@file", timeout=5, trust_env=False).json()
        return lambda: answers_http(f"{service['loadBalancer']['servers'][0]['url']}/ping")

    def _is_back(self, answers: Condition) -> bool:
        # Starts what supervisord has given up on, as ``make run`` does.
        self.stack.restarted()
        try:
            return answers()
        except NOT_YET:
            return False


# ---------------------------------------------------------------- the journal


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def done(row: dict[str, Any], kind: str = "") -> list[datetime]:
    """When each effect, or each of one kind, was done."""
    effects = [each for each in row["effects"] if each["outcome"] == "done" and each["kind"].startswith(kind)]
    return [moment(each["finished_at"]) for each in effects]


def step_at(row: dict[str, Any], at: datetime) -> str:
    """In which step the transition was then; "" when it had ended, or is on its way back without having been asked."""
    if row["finished_at"] and moment(row["finished_at"]) <= at:
        return ""
    if row["kind"] == "rollback":
        return "rollback"
    shifts = sum(when <= at for when in done(row, "traffic"))
    return STEPS[shifts] if shifts < STEPS.index("rollback") else ""


def next_entry(row: dict[str, Any], at: datetime) -> datetime:
    return min(when for when in (*done(row), moment(row["finished_at"])) if when > at)


def lengths(row: dict[str, Any]) -> str:
    """How long each step lasted."""
    began = max(moment(each["decided_at"]) for each in row["approvals"])
    marks = [began, *done(row, "traffic"), moment(row["finished_at"])]
    seconds = [(end - start).total_seconds() for start, end in pairwise(marks)]
    return ", ".join(f"{step} {length:.1f} s" for step, length in zip(STEPS, seconds, strict=False))


# ---------------------------------------------------------------- killing


def choose(left: Cells, step: str, spared: Iterable[str]) -> str | None:
    """The program that is to be killed in this step and has the most kills before it."""
    candidates = [program for (where, program), times in left.items() if where == step and times > 0]
    outstanding = {
        program: sum(times for (_, each), times in left.items() if each == program)
        for program in candidates
        if program not in spared
    }
    return max(outstanding, key=lambda program: outstanding[program], default=None)


def follow(site: Site, pk: int, left: Cells) -> tuple[dict[str, Any], list[Kill]]:
    """Follow a transition to its end, and kill programs on the way, each when the former is back."""
    kills: list[Kill] = []
    ends = time.monotonic() + END_SECONDS
    while (row := site.look(pk))["status"] not in ENDED:
        killed = [kill.program for kill in kills]
        if program := choose(left, step_at(row, datetime.now(UTC)), killed):
            kills.append(site.kill(program))
        elif row["asks_person"]:
            site.let_go_on(pk)
        if time.monotonic() > ends:
            raise TimeoutError(f"{row['kind']} {pk}, {killed} killed, hangs: {row['status']}, {row['waiting_for']}")
        time.sleep(LOOK_SECONDS)
    return row, kills


def account(site: Site, row: dict[str, Any], kills: list[Kill], left: Cells) -> None:
    """Note what each kill cost, and strike it off what is left."""
    clocks = [*(kill.clock for kill in kills), time.monotonic()]
    for kill, until in zip(kills, clocks[1:], strict=True):
        step = step_at(row, kill.at)
        went_on = (next_entry(row, kill.at) - kill.at).total_seconds() if step else 0.0
        cost = Cost(step or "too late", kill.program, kill.back, went_on, site.failed(kill.clock, until))
        left[step, kill.program] -= 1
        site.findings.costs.append(cost)
        print(cost.line(), flush=True)


def travel(site: Site, pk: int, left: Cells, version: int) -> bool:
    """Bring a transition to its end through kills; whether ``version`` has all requests and Production then."""
    row, kills = follow(site, pk, left)
    # Requests in flight at the end belong to it too.
    time.sleep(0.5)
    account(site, row, kills, left)
    repeated = site.repeated(row)
    site.findings.repeated += [f"{row['kind']} {pk}: {what}" for what in repeated]
    print(f"{row['kind']} {pk}: {row['status']}, {len(done(row))} effects, {len(repeated)} more than once", flush=True)
    arrived = row["status"] == "finished" and site.agrees(version)
    if not arrived:
        site.findings.unfinished.append(f"{row['kind']} {pk}: {row['status']} {row['outcome']}")
    return arrived


def there_and_back(site: Site, left: Cells) -> None:
    """One rollout and its rollback."""
    site.findings.rollouts += 1
    site.installation.into_staging(CANARY)
    pk = site.installation.team.approved(MODEL, CANARY, "Production", strategy="canary")
    if not travel(site, pk, left, CANARY):
        site.installation.back_to_first()
        return
    asked = {"reason": "Measured.", "kind": "graceful"}
    pk = site.installation.team["emil"].post(f"models/{MODEL}/rollback/", **asked)["id"]
    travel(site, pk, left, STABLE)


def kill_all(site: Site, programs: Sequence[str], rounds: int) -> list[tuple[str, str]]:
    """Kill each program ``rounds`` times in each step; return what could not be reached in three times the rollouts.

    In most rollouts each step lasts long enough for one kill, so one for each program would be enough.
    """
    left: Cells = Counter({(step, program): rounds for step in STEPS for program in programs})
    for _ in range(3 * rounds * len(programs)):
        if +left:
            there_and_back(site, left)
            if CARRYING[1] in programs or CARRYING[2] in programs:
                time.sleep(UP_SECONDS)
    return list(+left)


# ---------------------------------------------------------------- the bench


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1, help="kills of each program in each step")
    parser.add_argument("--rate", type=float, default=100.0, help="requests per second")
    parser.add_argument("--only", nargs="+", choices=BEHIND + CARRYING, default=BEHIND + CARRYING, metavar="PROGRAM")
    parser.add_argument("--seed", type=int, default=SEED, help="of the moments within a step")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="stagegate-bench-") as folder,
        without_traffic(Path(folder), steps=Steps()) as stack,
    ):
        return measure(stack, Path(folder), options)


def measure(stack: Stack, home: Path, options: argparse.Namespace) -> int:
    environment = stack.environment()
    team = Team(environment["STAGEGATE_PUBLIC_URL"], home)
    installation = Installation(home, environment, team)
    installation.ungated("This measures what comes after the gate.")
    with installation.load(options.rate) as load:
        site = Site(stack, installation, load, random.Random(options.seed), Findings())
        calm(site)
        unreached = kill_all(site, [name for name in BEHIND if name in options.only], options.rounds)
        installation.ungated("The errors of a dead server are not what is measured.", comparison=UNREACHABLE)
        unreached += kill_all(site, [name for name in CARRYING if name in options.only], options.rounds)
    team.close()
    return report(site, unreached)


def calm(site: Site) -> None:
    """One rollout and its rollback with nothing killed, to compare with."""
    site.installation.into_staging(CANARY)
    pk = site.installation.team.approved(MODEL, CANARY, "Production", strategy="canary")
    row, _ = follow(site, pk, Counter())
    print(f"without a kill the steps last: {lengths(row)}", flush=True)
    site.installation.back_to_first()


def report(site: Site, unreached: list[tuple[str, str]]) -> int:
    found = site.findings
    for title, programs in (("carry no requests", BEHIND), ("carry the requests", CARRYING)):
        print(totals(title, [cost for cost in found.costs if cost.program in programs]))
    print(f"{found.rollouts} rollouts and their rollbacks; {found.asked} times a person let one go on")
    for title, lines in (
        ("effects done twice", found.repeated),
        ("did not reach their end", found.unfinished),
        ("never killed", [f"{program}, {step}" for step, program in unreached]),
    ):
        print(f"{title}: {len(lines)}", *lines, sep="\n  ")
    total = len(site.load.failures)
    during = sum(cost.failed for cost in found.costs if cost.program in CARRYING)
    print(f"requests: {len(site.load.answers)}, failed: {total}, of them {during} after kills of what carries them")
    met = total == during and not (found.repeated or found.unfinished or unreached)
    print(f"target (0 failed for what carries no requests, every effect once, every end): {'met' if met else 'MISSED'}")
    return 0 if met else 1


def totals(title: str, costs: list[Cost]) -> str:
    if not costs:
        return f"programs that {title}: none killed"
    back, went_on = max(cost.back for cost in costs), max(cost.went_on for cost in costs)
    failed = sum(cost.failed for cost in costs)
    longest = f"longest until one answered {back:.1f} s, until a rollout went on {went_on:.1f} s"
    return f"programs that {title}: {len(costs)} kills, {failed} failed requests; {longest}"


if __name__ == "__main__":
    raise SystemExit(main())
