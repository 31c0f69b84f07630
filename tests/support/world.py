"""The engine, operations and queries on a real database, with twins for the world outside."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from lifecycle import adapters, dispatch, engine, mirror, operations
from lifecycle.adapters.memory import MemoryMetrics, MemoryRegistry, MemoryServing, MemoryTraffic
from lifecycle.domain import compare, observations
from lifecycle.domain.compare import Measure, MeasureState, Verdict, VerdictKind
from lifecycle.domain.observations import Counts
from lifecycle.domain.permissions import Actor, Role
from lifecycle.domain.plan import load_step
from lifecycle.domain.stages import Stage
from lifecycle.models import ACTIVE, ModelVersion, Policy, RegisteredModel, Status, Transition, Trial
from portal.accounts.models import RoleAssignment, User

POLICY = {
    "criteria": {"to_staging": [], "to_production": [], "to_archived": []},
    "checks": {"in_development": [], "in_staging": []},
    "canary_steps": [
        {"weight": 5, "minimum": 10},
        {"weight": 25, "minimum": 20},
        {"weight": 50, "minimum": 40},
        {"weight": 100, "minimum": 0},
    ],
    "warm_window": 600,
    "shortened": True,
}
"""It asks nothing of a version: most tests are about what happens once a gate is open."""
NAME = "iris"
AT_ANY_MOMENT = datetime(9000, 1, 1, tzinfo=UTC)
"""When these people last proved who they are: they would do so again whenever they are asked."""


@dataclass
class World:
    """The twins, the people, and a clock that moves only when told.

    ``verdict`` is what the judge says of every step at every tick; None: nobody judges.
    """

    registry: MemoryRegistry
    serving: MemoryServing
    traffic: MemoryTraffic
    metrics: MemoryMetrics
    people: dict[str, Actor]
    now: datetime = datetime(2026, 3, 1, 9, tzinfo=UTC)
    verdict: str | None = "proceed"

    def pass_time(self, **length: float) -> None:
        self.now += timedelta(**length)

    @property
    def model(self) -> RegisteredModel:
        return RegisteredModel.objects.get(name=NAME)

    def version(self, number: int) -> ModelVersion:
        return ModelVersion.objects.select_related("model").get(model__name=NAME, version=number)

    def weights(self) -> dict[int, int]:
        return {version: share for version, share in (self.traffic.weights(NAME) or {}).items() if share}

    def request(
        self, number: int, stage: Stage, by: str = "emil", reason: str = "It is better.", **kwargs
    ) -> Transition:
        return operations.request_transition(
            version=self.version(number), to_stage=stage, reason=reason, actor=self.people[by], now=self.now, **kwargs
        )

    def approve(self, transition: Transition, *names: str) -> Transition:
        for name in names:
            transition = operations.approve(
                transition=transition, reason="The figures are good.", actor=self.people[name], now=self.now
            )
        return transition

    def approved(self, number: int, stage: Stage, **kwargs) -> Transition:
        names = ("mia", "priya") if stage == Stage.PRODUCTION else ("mia",)
        return self.approve(self.request(number, stage, **kwargs), *names)

    def roll_back(self, by: str = "emil", **kwargs) -> Transition:
        return operations.roll_back(
            model=self.model, reason="Errors went up.", actor=self.people[by], now=self.now, **kwargs
        )

    def judged(self, transition: Transition, kind: str, why: str = "", requests: int = 10_000, breached=()) -> None:
        """Write down what the judge says of the step where the transition is, if that is one to judge."""
        row = Transition.objects.get(pk=transition.pk)
        step = load_step(row.steps[row.step]) if row.steps else None
        if step is None or not step.judged or row.step_since is None or row.status != Status.RUNNING:
            return
        trial = compare.Trial.SHADOW if step.mirror else compare.Trial.ROLLOUT
        measures = tuple(Measure(name, name, MeasureState.BREACHED) for name in breached)
        verdict = Verdict(VerdictKind(kind), why or f"The judge says {kind}.", measures)
        Trial.objects.filter(model=row.model, kind=trial, until=None).exclude(since=row.step_since).update(
            until=self.now
        )
        Trial.objects.update_or_create(
            model=row.model,
            kind=trial,
            until=None,
            defaults={
                "version": row.version,
                "stable": row.stable,
                "transition": row,
                "step": row.step,
                "weight": step.weight,
                "since": row.step_since,
                "seen_until": self.now,
                "canary": observations.dump(Counts(requests=requests)),
                "verdict": compare.dump(verdict),
                "judged_at": self.now,
            },
        )

    def judge(self, transition: Transition) -> None:
        """Have ``verdict`` stand, and be fresh."""
        if self.verdict is not None and not self._is_judged():
            self.judged(transition, self.verdict)

    def _is_judged(self) -> bool:
        standing = Trial.objects.filter(
            until=None,
            transition__step=F("step"),
            transition__step_since=F("since"),
            verdict__kind=self.verdict,
            judged_at__gt=self.now - timedelta(minutes=1),
        )
        return standing.exists()

    def tick(self, transition: Transition, times: int = 1, every: float = 0.5) -> Transition:
        for _ in range(times):
            self.judge(transition)
            engine.tick(transition.pk, now=self.now)
            self.pass_time(seconds=every)
        transition.refresh_from_db()
        return transition

    def drive(self, transition: Transition, until=lambda row: row.status not in ACTIVE) -> Transition:
        """Tick until the condition holds; a test fails when that takes more than 600 ticks."""
        for _ in range(600):
            self.tick(transition)
            if until(transition):
                return transition
            self.now = max(self.now, transition.due_at)
        raise AssertionError(f"still {transition.status}, waiting for: {transition.waiting_for}")

    def in_production(self, number: int) -> Transition:
        """Take a version all the way, as people and workers do."""
        self.drive(self.approved(number, Stage.STAGING))
        return self.drive(self.approved(number, Stage.PRODUCTION))


@pytest.fixture
def people(db):
    roles = {
        "priya": Role.PRODUCT_OWNER,
        "emil": Role.ML_ENGINEER,
        "mia": Role.ML_ENGINEER,
        "aron": Role.AUDITOR,
        "ada": Role.ADMINISTRATOR,
    }
    for name, role in roles.items():
        RoleAssignment.objects.create(user=User.objects.create_user(name, password=name), role=role)
    return {
        user.username: Actor(
            user.display_name, user.pk, user.role_set, signed_in_by="password", confirmed_at=AT_ANY_MOMENT
        )
        for user in User.objects.all()
    }


@pytest.fixture
def world(people, monkeypatch):
    """A registry with three versions of one model, mirrored; nobody serves yet. No broker: tests tick themselves."""
    traffic = MemoryTraffic()
    twins = World(MemoryRegistry(), MemoryServing(), traffic, MemoryMetrics(traffic), people)
    for port in ("registry", "serving", "traffic", "metrics"):
        monkeypatch.setattr(adapters, port, lambda port=port: getattr(twins, port))
    monkeypatch.setattr(dispatch, "send", lambda *args, **kwargs: None)
    monkeypatch.setattr(timezone, "now", lambda: twins.now)
    for semantic_version in ("1.0.0", "1.1.0", "1.2.0"):
        twins.registry.add_version(NAME, tags={"semantic_version": semantic_version})
    mirror.full_pass(twins.registry, twins.now)
    Policy.objects.create(number=1, body=POLICY, reason="test", created_by="test", created_at=twins.now)
    return twins
