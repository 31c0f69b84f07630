"""A transition that waits for approval, with a gate that something is behind."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from lifecycle import operations
from lifecycle.domain.stages import Stage
from lifecycle.models import Evidence, FreezeWindow, Policy, Transition
from tests.support.served import staged
from tests.support.world import POLICY, World

CRITERIA = ["unit_tests", "code_review", "approvals"]


def reported(world: World, criterion: str = "unit_tests", number: int = 2, **values: Any) -> Evidence:
    """Evidence of a version's files as they are now."""
    version = world.version(number)
    bound = {"run_id": version.run_id, "source": version.source, "artifact_digest": version.artifact_digest}
    known = {"origin": "ci", "recorded_by": "CI of iris", "recorded_at": world.now, "passed": True}
    return Evidence.objects.create(version=version, criterion=criterion, **{**known, **bound, **values})


def asked(world: World, **approval: Any) -> Transition:
    """emil asks for 1.1.0 to enter Production, where 1.0.0 serves; ``approval`` are values of the policy's part."""
    staged(world)
    criteria = {"to_staging": [], "to_production": CRITERIA, "to_archived": []}
    body = {**POLICY, "criteria": criteria, "approval": approval}
    Policy.objects.create(number=2, body=body, reason="test", created_by="test", created_at=world.now)
    reported(world, "unit_tests")
    reported(world, "code_review", origin="person", recorded_by="mia")
    return world.request(2, Stage.PRODUCTION)


def frozen(world: World, hours: float = 48, **values: Any) -> FreezeWindow:
    """A freeze of all models that holds from an hour ago on, by the clock of Berlin."""
    place = ZoneInfo("Europe/Berlin")
    known: dict[str, Any] = {
        "name": "End of the quarter",
        "starts": _local(world.now.timestamp() - 3600, place),
        "ends": _local(world.now.timestamp() + 3600 * hours, place),
        "zone": place.key,
        "reason": "The books are closed.",
        "actor": world.people["ada"],
        "now": world.now,
    }
    return operations.plan_freeze(**{**known, **values})


def _local(timestamp: float, place: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(timestamp, place).replace(tzinfo=None, second=0, microsecond=0)
