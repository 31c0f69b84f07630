"""People and executors at the same moment, on the real database."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from lifecycle import engine, operations
from lifecycle.domain.permissions import Actor, Role
from lifecycle.domain.stages import Stage
from lifecycle.models import ACTIVE, Approval, AuditEntry, Status, Transition, VariantRole
from lifecycle.operations import RefusedError
from lifecycle.ports import VersionRef
from portal.accounts.models import User
from tests.support.served import promoted, serves

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(calls):
    """Run the calls in threads of their own; return results and refusals."""

    def run(call):
        try:
            return call()
        except RefusedError as refusal:
            return refusal
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=len(calls)) as pool:
        return list(pool.map(run, calls))


def winners(results):
    return [result for result in results if not isinstance(result, RefusedError)]


def test_fifty_requests_at_once_make_one_transition(world):
    results = at_once([lambda number=number: world.request(1 + number % 3, Stage.STAGING) for number in range(50)])
    assert len(winners(results)) == 1
    assert Transition.objects.filter(status__in=ACTIVE).count() == 1
    assert AuditEntry.objects.filter(refused=True).count() == 49


@pytest.mark.parametrize("rejecting", [0, 25])
def test_fifty_decisions_at_once_are_one(world, rejecting):
    transition = world.request(1, Stage.STAGING)
    engineers = [
        Actor(f"engineer {number}", User.objects.create_user(f"engineer{number}").pk, frozenset({Role.ML_ENGINEER}))
        for number in range(50)
    ]

    def decide(number, actor):
        operation = operations.reject if number < rejecting else operations.approve
        return operation(transition=transition, reason="Decided.", actor=actor, now=world.now)

    results = at_once([lambda n=n, actor=actor: decide(n, actor) for n, actor in enumerate(engineers)])
    assert len(winners(results)) == 1
    assert {each.rule for each in results if isinstance(each, RefusedError)} == {"already_decided"}
    assert Approval.objects.count() == 1
    assert Transition.objects.get().status in (Status.APPROVED, Status.REJECTED)
    assert list(AuditEntry.objects.order_by("seq").values_list("seq", flat=True)) == list(
        range(1, AuditEntry.objects.count() + 1)
    )


def test_a_double_click_fifty_times_is_one_approval(world):
    transition = world.request(1, Stage.STAGING)
    results = at_once([lambda: world.approve(transition, "mia") for _ in range(50)])
    assert len(winners(results)) == 1
    assert Approval.objects.count() == 1


def test_ten_executors_claim_a_transition_once(world):
    transition = world.approved(1, Stage.STAGING)
    claims = at_once([lambda: engine._claim(transition.pk, world.now) for _ in range(10)])
    assert sum(claim is not None for claim in claims) == 1


def test_ten_rollback_clicks_are_one_rollback(world):
    world.in_production(1)
    world.in_production(2)
    results = at_once([lambda: world.roll_back() for _ in range(10)])
    assert len(winners(results)) == 1


def test_ten_decisions_about_a_rollback_that_waits_are_one(world):
    promoted(world, 1, 2, 3)
    serves(world, {1: 0, 3: 100}, {1: VariantRole.WARM, 3: VariantRole.PRODUCTION})
    world.serving.broken.add(VersionRef("iris", 2))
    waits = world.tick(world.roll_back(), times=2)

    def decide(number):
        way = {"to_version": 1} if number % 2 else {"stop": True}
        actor = world.people["mia" if number % 3 else "emil"]
        return operations.replace_rollback(transition=waits, reason="Enough.", actor=actor, now=world.now, **way)

    results = at_once([lambda number=number: decide(number) for number in range(10)])
    (chosen,) = winners(results)
    assert {each.rule for each in results if isinstance(each, RefusedError)} == {"already_decided"}
    assert Transition.objects.get(status__in=ACTIVE).pk == chosen.pk


def test_ten_people_who_send_a_rollout_on_at_once_move_it_one_step(world):
    world.in_production(1)
    world.drive(world.approved(2, Stage.STAGING))
    canary = world.drive(world.approved(2, Stage.PRODUCTION), until=lambda row: row.step_since is not None)

    def skip():
        return operations.skip(transition=canary, step=0, reason="On.", actor=world.people["mia"], now=world.now)

    assert len(winners(at_once([skip] * 10))) == 1
    world.tick(canary, times=5)
    assert (canary.step, canary.released) == (1, 1)
