"""Which version served what share at a time: the record against what the gateway really did."""

from datetime import timedelta
from itertools import pairwise

import pytest

from lifecycle import disagreements, engine, live_at, operations
from lifecycle.domain.effects import serving
from lifecycle.domain.live import Shares
from lifecycle.domain.stages import Stage
from lifecycle.domain.strategies import Strategy
from lifecycle.models import AuditEntry, Status, VariantRole
from lifecycle.operations import RefusedError
from lifecycle.ports import Backend
from tests.support.served import promoted, serves
from tests.support.world import NAME


class Watch:
    """Who got what after every tick, as the gateway itself has it."""

    def __init__(self, world, monkeypatch):
        self.world, self.seen = world, []
        tick = engine.tick
        monkeypatch.setattr(engine, "tick", lambda pk, *, now: (tick(pk, now=now), self.look(now))[0])

    def look(self, now):
        traffic = self.world.traffic
        self.seen.append((now, Shares(serving(traffic.weights(NAME)), dict(traffic.mirrors(NAME)))))

    def contradictions(self):
        """Where the record says something else. It knows of a change when it is seen: one look later."""
        found = []
        for (_, before), (now, seen) in pairwise(self.seen):
            told = live_at.live_at(self.world.model, now, self.world.now).shares
            if told not in (before, seen):
                found.append((now, seen, told))
        return found

    def kinds(self):
        return {tuple(sorted(shares.weights.items())) for _, shares in self.seen}


def shadowed(world, number):
    """From Development to its end in Production, with copies of requests for an hour in between."""
    world.drive(world.approved(number, Stage.STAGING))
    rollout = world.approved(number, Stage.PRODUCTION, strategy=Strategy.SHADOW)
    world.drive(rollout, until=lambda row: row.step_since)
    world.pass_time(hours=1)
    world.drive(rollout)


def decide(world, operation, **values):
    return operation(reason="Because.", actor=world.people["emil"], now=world.now, **values)


def compare(world):
    for _ in range(3):
        disagreements.look(world.now)
        world.pass_time(seconds=10)


def test_the_record_tells_what_the_gateway_did_through_a_whole_story(world, monkeypatch):
    watch = Watch(world, monkeypatch)
    beginning = world.now
    world.pass_time(minutes=1)
    world.in_production(1)
    world.in_production(2)
    world.pass_time(minutes=5)
    world.drive(world.roll_back(emergency=True))
    shadowed(world, 3)
    world.drive(decide(world, operations.drill, model=world.model))
    world.drive(world.approved(2, Stage.STAGING))  # brought back from Archived
    world.drive(decide(world, operations.withdraw, version=world.version(2)))
    world.traffic.set_by_hand(NAME, {each: 100 * (each == 1) for each in world.traffic.weights(NAME)})
    watch.look(world.now + timedelta(seconds=11))
    compare(world)
    world.drive(decide(world, operations.reconcile, model=world.model))
    compare(world)
    stopped = world.drive(decide(world, operations.roll_back, model=world.model, emergency=True, stop=True))
    assert stopped.status == Status.FINISHED

    assert watch.contradictions() == []
    assert {((1, 95), (2, 5)), ((1, 75), (2, 25)), ((1, 50), (2, 50)), ((2, 100),), ((1, 100),), ()} <= watch.kinds()
    assert {shares.copies.get(3) for _, shares in watch.seen} == {None, 100}
    now = live_at.live_at(world.model, world.now, world.now)
    assert (now.shares, now.period.ended, now.labels[3]) == (Shares(), None, "1.2.0")
    before = live_at.live_at(world.model, beginning, world.now)
    assert (before.period, before.first) == (None, before.around[0].began.at)
    assert before.next == before.first


def test_weights_that_are_changed_by_hand_during_a_rollout_are_in_the_record_until_they_are_put_right(world):
    world.in_production(1)
    world.drive(world.approved(2, Stage.STAGING))
    rollout = world.approved(2, Stage.PRODUCTION)
    world.drive(rollout, until=lambda row: row.step == 1 and row.step_since)
    world.traffic.set_by_hand(NAME, {1: 0, 2: 100})
    by_hand = world.now
    world.tick(rollout, times=4)
    told = [each.shares.weights for each in live_at.live_at(world.model, by_hand, world.now).around]
    assert told[-3:] == [{1: 75, 2: 25}, {2: 100}, {1: 75, 2: 25}]


def test_what_a_change_did_that_was_ended_before_it_was_seen_is_in_the_record(world):
    """A drill has moved everybody; before anybody saw it, a rollback to a third version takes its place."""
    promoted(world, 1, 2, 3)
    serves(world, {2: 0, 3: 100}, {2: VariantRole.WARM, 3: VariantRole.PRODUCTION})
    drill = decide(world, operations.drill, model=world.model)
    while world.weights() != {2: 100}:
        engine.tick(drill.pk, now=world.now)
    world.serving.loads_at_once = False
    rollback = decide(world, operations.roll_back, model=world.model, to_version=1)
    world.tick(rollback)
    assert live_at.live_at(world.model, world.now, world.now).shares.weights == {2: 100}


def test_what_has_not_come_yet_is_refused_but_for_clocks_that_differ(world):
    live_at.live_at(world.model, world.now + timedelta(seconds=2), world.now)
    with pytest.raises(RefusedError) as refusal:
        live_at.live_at(world.model, world.now + timedelta(minutes=1), world.now)
    assert (refusal.value.rule, refusal.value.status) == ("future", 422)


def test_what_mlflow_disagrees_about_tells_nothing_of_shares(world):
    world.in_production(1)
    world.registry.delete_alias(NAME, "production")
    compare(world)
    assert "weights" not in AuditEntry.objects.get(action="disagreement_found").details
    assert live_at.live_at(world.model, world.now, world.now).shares.weights == {1: 100}


def test_a_gateway_that_is_as_it_was_left_adds_nothing_to_the_record(world):
    world.in_production(1)
    world.traffic.apply(NAME, (Backend(1, "http://127.0.0.1:1", 100),), fence=10**6)
    compare(world)
    assert not AuditEntry.objects.filter(action__in=("shares_seen", "disagreement_found")).exists()
