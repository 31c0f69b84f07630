"""The engine, operations and queries on a real database, with twins for the world outside."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from lifecycle import adapters, dispatch, engine, mirror, operations
from lifecycle.adapters.memory import MemoryRegistry, MemoryServing, MemoryTraffic
from lifecycle.domain.permissions import Actor, Role
from lifecycle.domain.stages import Stage
from lifecycle.models import ACTIVE, ModelVersion, Policy, RegisteredModel, Transition
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


@dataclass
class World:
    """The twins, the people, and a clock that moves only when told."""

    registry: MemoryRegistry
    serving: MemoryServing
    traffic: MemoryTraffic
    people: dict[str, Actor]
    now: datetime = datetime(2026, 3, 1, 9, tzinfo=UTC)

    def pass_time(self, **length: float) -> None:
        self.now += timedelta(**length)

    @property
    def model(self) -> RegisteredModel:
        return RegisteredModel.objects.get(name=NAME)

    def version(self, number: int) -> ModelVersion:
        return ModelVersion.objects.select_related("model").get(model__name=NAME, version=number)

    def weights(self) -> dict[int, int]:
        return {version: share for version, share in (self.traffic.weights(NAME) or {}).items() if share}

    def request(self, number: int, stage: Stage, by: str = "emil", reason: str = "It is better.") -> Transition:
        return operations.request_transition(
            version=self.version(number), to_stage=stage, reason=reason, actor=self.people[by], now=self.now
        )

    def approve(self, transition: Transition, *names: str) -> Transition:
        for name in names:
            transition = operations.approve(
                transition=transition, reason="The figures are good.", actor=self.people[name], now=self.now
            )
        return transition

    def approved(self, number: int, stage: Stage) -> Transition:
        names = ("mia", "priya") if stage == Stage.PRODUCTION else ("mia",)
        return self.approve(self.request(number, stage), *names)

    def roll_back(self, by: str = "emil", **kwargs) -> Transition:
        return operations.roll_back(
            model=self.model, reason="Errors went up.", actor=self.people[by], now=self.now, **kwargs
        )

    def tick(self, transition: Transition, times: int = 1, every: float = 0.5) -> Transition:
        for _ in range(times):
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
        user.username: Actor(user.display_name, user.pk, user.role_set, signed_in_by="password")
        for user in User.objects.all()
    }


@pytest.fixture
def world(people, monkeypatch):
    """A registry with three versions of one model, mirrored; nobody serves yet. No broker: tests tick themselves."""
    twins = World(MemoryRegistry(), MemoryServing(), MemoryTraffic(), people)
    for port in ("registry", "serving", "traffic"):
        monkeypatch.setattr(adapters, port, lambda port=port: getattr(twins, port))
    monkeypatch.setattr(dispatch, "send", lambda *args, **kwargs: None)
    monkeypatch.setattr(timezone, "now", lambda: twins.now)
    for semantic_version in ("1.0.0", "1.1.0", "1.2.0"):
        twins.registry.add_version(NAME, tags={"semantic_version": semantic_version})
    mirror.full_pass(twins.registry, twins.now)
    Policy.objects.create(number=1, body=POLICY, reason="test", created_by="test", created_at=twins.now)
    return twins
