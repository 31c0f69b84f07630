from datetime import timedelta
import pytest
from lifecycle import judging, disagreements, observing, operations, references
from lifecycle.domain.stages import Stage
from lifecycle.domain.compare import VerdictKind
from lifecycle.models import *
from lifecycle.operations import RefusedError
from lifecycle.ports import VersionRef
from tests.support.served import production, promoted, serves
from tests.integration.lifecycle.test_judging import look, observe, put_policy
from tests.integration.lifecycle.test_rollback import at_step
from tests.support.world import NAME

pytestmark = pytest.mark.django_db


def test_a_emergency_while_approved_waits_for_mlflow(world):
    production(world)
    world.drive(world.approved(3, Stage.STAGING))
    waiting = world.approved(3, Stage.PRODUCTION)
    world.registry.down = True
    world.tick(waiting, times=3)
    assert waiting.status == Status.APPROVED
    rollback = world.roll_back()
    world.tick(rollback, times=10)
    assert world.weights() == {1: 100}, (rollback.kind, rollback.status, rollback.waiting_for)


def test_b_judge_while_approved_waits_for_mlflow(world):
    production(world)
    world.drive(world.approved(3, Stage.STAGING))
    waiting = world.approved(3, Stage.PRODUCTION)
    world.registry.down = True
    world.tick(waiting, times=3)
    for _ in range(4):
        look(world, failing={2})
    back = Transition.objects.filter(kind=Kind.ROLLBACK).first()
    assert back is not None


def test_c_last_step_mlflow_down_errors(world):
    promoted(world, 1)
    serves(world, {1: 100}, {1: VariantRole.PRODUCTION})
    row = at_step(world, 2, 3)
    world.registry.down = True
    world.tick(row, times=3)
    assert row.status == Status.RUNNING and world.weights() == {2: 100}
    for _ in range(4):
        look(world, failing={2})
        world.tick(row, times=3)
    assert world.weights() == {1: 100}, row.waiting_for


def test_d_stuck_rollback_other_target(world):
    promoted(world, 1)
    promoted(world, 2)
    serves(world, {2: 100}, {2: VariantRole.PRODUCTION})
    world.in_production(3)
    Variant.objects.exclude(version=world.version(3)).delete()
    world.serving.remove(VersionRef("iris", 2), slug="iris")
    rollback = world.roll_back()
    world.registry.down = True
    world.tick(rollback, times=2)
    from lifecycle.ports import PermanentError
    r2 = world.roll_back(to_version=1)


def test_e_graceful_with_version_in_staging(world):
    production(world)
    world.drive(world.approved(3, Stage.STAGING))
    world.drive(world.roll_back(emergency=False))
    for _ in range(4):
        world.pass_time(seconds=10)
        disagreements.look(world.now)
    print(world.model.aliases, [(v.version.version, v.role, v.weight) for v in Variant.objects.all()])
    assert [str(d) for d in Disagreement.objects.all()] == []


def test_f_emergency_with_version_in_staging(world):
    production(world)
    world.drive(world.approved(3, Stage.STAGING))
    print(world.weights())
    world.drive(world.roll_back())
    for _ in range(4):
        world.pass_time(seconds=10)
        disagreements.look(world.now)
    print(world.weights(), world.model.aliases, [(v.version.version, v.role, v.weight) for v in Variant.objects.all()])
    assert [str(d) for d in Disagreement.objects.all()] == []


def test_g_turned_back_waits_mlflow_then_production_fails(world):
    production(world)
    row = world.approved(3, Stage.STAGING)
    world.drive(row, until=lambda r: r.step_since is not None)
    world.registry.down = True
    world.tick(row, times=3)
    first = world.roll_back()
    assert first.pk == row.pk
    world.tick(row, times=5)
    print(row.status, row.traffic_back_at, row.waiting_for)
    second = world.roll_back()
    world.tick(second, times=10)
    assert world.weights() == {1: 100}


def test_h_second_rollback_while_mlflow_down(world):
    promoted(world, 1)
    promoted(world, 2)
    serves(world, {2: 100}, {2: VariantRole.PRODUCTION})
    world.in_production(3)
    world.registry.down = True
    rollback = world.roll_back()
    world.tick(rollback, times=10)
    assert world.weights() == {2: 100}
    again = world.roll_back(to_version=1)
    world.tick(again, times=10)
    assert world.weights() == {1: 100}
