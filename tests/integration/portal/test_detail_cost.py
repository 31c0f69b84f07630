"""What the pages about one thing cost the database: few queries, and no more of them for a longer history."""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from lifecycle import mirror
from lifecycle.audit import record, recording
from lifecycle.domain import compare
from lifecycle.domain.compare import Measure, MeasureState, Verdict, VerdictKind
from lifecycle.domain.permissions import STAGEGATE
from lifecycle.domain.stages import Stage
from lifecycle.models import (
    AuditEntry,
    CheckRun,
    Disagreement,
    Evidence,
    Hold,
    Kind,
    Policy,
    Status,
    Strategy,
    Transition,
    VariantRole,
    Waiver,
)
from lifecycle.ports import VersionRef
from tests.support import rollouts
from tests.support.asked import asked, frozen
from tests.support.served import production, promoted, serves
from tests.support.world import NAME, POLICY, World

MOST_QUERIES = 12
"""Of a whole page: session, person, roles, the frame's count of what waits, and the page's own."""
CRITERIA = ("unit_tests", "code_review", "artifact_scan", "load_test", "drift", "security_scan")
BODY = {name: value for name, value in POLICY.items() if name not in ("criteria", "checks")}
BREACH = Measure(
    "error_rate_absolute",
    "Error rate",
    MeasureState.BREACHED,
    estimate=12.34,
    limit=10.0,
    unit="%",
    on_breach="emergency",
    why="It fails too many of its requests; 10 % is the limit.",
)


# ---------------------------------------------------------------- states of one model


def strict(world: World) -> Policy:
    """From here on all criteria of the lifecycle strategy are asked for, by the model's own policy."""
    for model in (None, world.model):
        number = Policy.objects.latest("number").number + 1
        policy = Policy.objects.create(
            number=number, model=model, body=BODY, reason="test", created_by="test", created_at=world.now
        )
    return policy


def evidence(world: World, number: int) -> None:
    """One piece for each of several criteria, all but one of which pass, and waivers."""
    version = world.version(number)
    bound = {"run_id": version.run_id, "source": version.source, "artifact_digest": version.artifact_digest}
    for criterion in CRITERIA:
        known = {"origin": "ci", "recorded_by": "CI of iris", "recorded_at": world.now, **bound}
        row = Evidence.objects.create(version=version, criterion=criterion, passed=criterion != "unit_tests", **known)
        CheckRun.objects.create(
            version=version,
            criterion=criterion,
            status="passed",
            evidence=row,
            policy=Policy.objects.latest("number"),
            requested_by_name="test",
            requested_at=world.now,
        )
        known = {"granted_by": "priya", "granted_by_id": world.people["priya"].user_id, "granted_at": world.now}
        known |= {"expires_at": world.now + timedelta(days=7), "reason": "Trial run.", **bound}
        Waiver.objects.create(version=version, criterion=criterion, **known)


def rolled_back(world: World, number: int) -> Transition:
    """A promotion of the past that was turned back, and looked at since."""
    return Transition.objects.create(
        model=world.model,
        version=world.version(number),
        stable=world.version(1),
        kind=Kind.PROMOTION,
        from_stage=Stage.STAGING,
        to_stage=Stage.PRODUCTION,
        strategy=Strategy.DIRECT,
        status=Status.ROLLED_BACK,
        reason="test",
        policy=Policy.objects.latest("number"),
        requested_by_name="emil",
        requested_by_id=world.people["emil"].user_id,
        requested_at=world.now,
        started_at=world.now,
        rollback_requested_at=world.now,
        rollback_by_name="mia",
        rollback_by_id=world.people["mia"].user_id,
        traffic_back_at=world.now + timedelta(seconds=3),
        finished_at=world.now + timedelta(seconds=4),
        reviewed_at=world.now + timedelta(seconds=5),
        due_at=world.now,
    )


def disagreement(world: World) -> None:
    Disagreement.objects.create(
        model=world.model,
        version=world.version(1),
        what="weights",
        found="The gateway sends 30 % of requests to 1.1.0",
        expected="Stagegate left 5 % of requests to 1.1.0",
        since=world.now,
    )


def running(world: World) -> Transition:
    """1.1.0 is at 25 % and judged, 1.0.0 fails beside it, and the gateway is not as it was left."""
    promoted(world, 3, 1)
    rolled_back(world, 3)
    row = rollouts.running(
        world.version(2),
        world.version(1),
        strict(world),
        world.now,
        requested_by_id=world.people["mia"].user_id,
    )
    rollouts.judged(row, rollouts.HOLD, world.now)
    verdict = Verdict(VerdictKind.ROLL_BACK, "It fails too many.", (BREACH,), emergency=True)
    about = {"model": world.model, "version": world.version(1), "since": world.now - rollouts.HOUR / 2}
    seen = rollouts.counts(1260, 155)
    rollouts.judged(None, verdict, world.now, kind=compare.Trial.PRODUCTION, canary=seen, **about)
    for number, half in ((1, 0), (2, 1)):
        minutes = [world.now - timedelta(minutes=minute) for minute in range(30, 0, -1)]
        for at in minutes:
            rollouts.observe(world.version(number), at, at + timedelta(minutes=1), rollouts.counts(100, half))
        evidence(world, number)
    disagreement(world)
    return row


def at_person(world: World) -> Transition:
    """The same, and it waits for somebody to let it go on."""
    row = running(world)
    Transition.objects.filter(pk=row.pk).update(asks_person=True)
    return row


def waiting(world: World) -> Transition:
    """1.1.0 waits for a second yes, held by a freeze besides."""
    row = asked(world)
    world.approve(row, "mia")
    evidence(world, 2)
    frozen(world)
    Transition.objects.filter(pk=row.pk).update(policy=strict(world))
    return row


def approved(world: World) -> Transition:
    row = world.approve(asked(world), "mia", "priya")
    evidence(world, 2)
    frozen(world)
    Transition.objects.filter(pk=row.pk).update(policy=strict(world))
    return row


def rolling_back(world: World) -> Transition:
    """1.2.0 goes back to 1.1.0, whose server does not start; 1.0.0 is warm."""
    promoted(world, 1, 2, 3)
    serves(world, {1: 0, 3: 100}, {1: VariantRole.WARM, 3: VariantRole.PRODUCTION})
    world.serving.broken.add(VersionRef(NAME, 2))
    return world.tick(world.roll_back(), times=10)


def finished(world: World) -> Transition:
    """1.1.0 serves Production since the last change; 1.2.0 is in Staging and has lost its requests."""
    production(world)
    serves(world, {3: 0}, {3: VariantRole.STAGING})
    strict(world)
    evidence(world, 2)
    return Transition.objects.filter(to_stage=Stage.PRODUCTION).latest("pk")


def taken_back(world: World) -> Transition:
    production(world)
    return rolled_back(world, 3)


STATES = {each.__name__: each for each in (running, at_person, waiting, approved, rolling_back, finished, taken_back)}


# ---------------------------------------------------------------- a longer history


def grown(world: World, row: Transition) -> None:
    """More of everything that a page could read line by line."""
    for number in range(4, 8):
        world.registry.add_version(NAME, tags={"semantic_version": f"2.{number}.0"})
    mirror.full_pass(world.registry, world.now)
    promoted(world, 2, 3, 4, 5)
    for number in (1, 2, 3, 4):
        evidence(world, number)
        rolled_back(world, number)
        Hold.objects.create(version=world.version(number), reason="test", placed_by="aron", placed_at=world.now)
    for minute in range(5):
        at = world.now - timedelta(minutes=minute + 40)
        rollouts.observe(row.version, at, at + timedelta(minutes=1), rollouts.counts(50, 1))
        details = {"weights": {str(number): 20 for number in (1, 2, 4, 5, 6)}}
        with recording():
            record("step_reached", actor=STAGEGATE, now=at, transition=row, details=details)


# ---------------------------------------------------------------- the pages


PART = {"HX-Request": "true"}


def details(world: World, row: Transition) -> dict[str, tuple[str, dict[str, str]]]:
    """Every page about one thing, and its moving part, by what it shows."""
    about = Evidence.objects.filter(version__model=world.model).first()
    pages = {
        "model": "/models/iris/",
        "transition": f"/transitions/{row.pk}/",
        **{f"version {number}": f"/models/iris/versions/{number}/" for number in (1, 2, 3)},
    }
    others = {
        "transition's charts": f"/transitions/{row.pk}/charts/",
        "compare": "/models/iris/compare/?a=1&b=2",
        "text": "/models/iris/compare/tags/?a=1&b=2&name=semantic_version",
        "live": "/models/iris/live/",
        "dossier": "/models/iris/versions/2/dossier/",
        "ask to roll back": "/models/iris/ask/roll-back/",
        "ask to put right": "/models/iris/ask/put-right/",
        "record entry": f"/record/{AuditEntry.objects.latest('seq').seq}/",
        "policy": f"/policies/{row.policy.number}/",
        "freeze plan": "/freezes/plan/",
    }
    if about is not None:
        others["evidence"] = f"/models/iris/versions/{about.version.version}/evidence/{about.pk}/"
    if row.status == Status.RUNNING:
        others["version's charts"] = "/models/iris/versions/1/charts/"
    parts = {f"{name}, part": (address, PART) for name, address in pages.items()}
    return {**{name: (address, {}) for name, address in {**pages, **others}.items()}, **parts}


@pytest.mark.parametrize("state", STATES)
def test_a_page_about_one_thing_takes_few_queries_and_no_more_of_them_for_a_longer_history(world, signed_in, state):
    row = STATES[state](world)
    row.refresh_from_db()
    browser = signed_in("emil")
    before = {name: asked_of(browser, *page) for name, page in details(world, row).items()}
    grown(world, row)
    after = {name: asked_of(browser, *page) for name, page in details(world, row).items()}
    for name, seen in {**before, **after}.items():
        assert len(seen) <= MOST_QUERIES, f"{state}, {name}:\n" + "\n".join(seen)
    more = {name: Counter(after[name]) - Counter(before[name]) for name in before}
    assert not any(len(after[name]) > len(before[name]) for name in before), {name: more[name] for name in more}


def asked_of(browser: Client, address: str, headers: dict[str, str]) -> list[str]:
    """The tables that this page asks, nothing being remembered from another one."""
    cache.clear()
    with CaptureQueriesContext(connection) as seen:
        assert browser.get(address, headers=headers).status_code == 200, address
    return [re.sub(r'^.*?FROM \(?"?(\w+)"?.*$', r"\1", each["sql"], flags=re.DOTALL) for each in seen]
