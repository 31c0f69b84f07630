"""Practising a rollback between two healthy versions."""

import pytest

from lifecycle import operations, queries_rollbacks
from lifecycle.domain.stages import Stage
from lifecycle.models import AuditEntry, Disagreement, Kind, Status, Transition, Variant, VariantRole
from lifecycle.operations import RefusedError
from lifecycle.ports import VersionRef
from tests.support.served import production, promoted, serves
from tests.support.world import NAME


def drill(world, by="emil", **values):
    return operations.drill(
        model=world.model, reason="Are we quick enough?", actor=world.people[by], now=world.now, **values
    )


def seen(world):
    """What a drill must leave alone."""
    stages = {number: world.registry.version(VersionRef(NAME, number)).stage for number in (1, 2)}
    roles = {each.version.version: each.role for each in world.model.variants.all()}
    return stages, world.registry.model(NAME).aliases, roles


def test_everybody_goes_there_and_back_and_it_is_timed(world):
    production(world)
    before = seen(world)
    row = world.drive(drill(world), until=lambda row: world.weights() == {1: 100})
    assert row.kind == Kind.DRILL
    world.drive(row)
    assert (row.status, world.weights(), seen(world)) == (Status.FINISHED, {2: 100}, before)
    timing = queries_rollbacks.timing_of(row)
    assert (timing.kind, timing.left.version, timing.came_back.version, timing.in_time) == ("drill", 2, 1, True)
    assert 0 < timing.seconds < 10


def test_a_drill_leaves_the_history_as_it_was(world):
    production(world)
    world.drive(drill(world))
    rollback = world.drive(world.roll_back())
    assert rollback.previous.version == 1
    assert not queries_rollbacks.to_review().filter(kind=Kind.DRILL).exists()


def test_a_server_that_is_not_ready_fails_the_drill_and_moves_nobody(world):
    production(world)
    world.serving.crash(VersionRef(NAME, 1))
    row = world.drive(drill(world))
    assert (row.status, world.weights(), row.traffic_back_at) == (Status.FAILED, {2: 100}, None)
    assert row.outcome


def test_a_rollback_comes_before_a_drill(world):
    production(world)
    row = world.drive(drill(world), until=lambda row: world.weights() == {1: 100})
    rollback = world.drive(world.roll_back())
    row.refresh_from_db()
    assert (row.status, row.outcome) == (Status.CANCELLED, "A rollback came first.")
    assert (rollback.status, world.weights()) == (Status.FINISHED, {1: 100})


def test_the_click_is_in_the_record(world):
    production(world)
    row = drill(world)
    entry = AuditEntry.objects.get(action="drill_started")
    assert (entry.transition, entry.reason, entry.details) == (row.pk, "Are we quick enough?", {"to": 1})
    assert (row.version.version, row.previous.version, row.status) == (2, 1, Status.RUNNING)
    assert (row.from_stage, row.to_stage) == ("Production", "Production")


def is_cold(world):
    Variant.objects.filter(version=world.version(1)).update(retiring=True)


def is_shared(world):
    Variant.objects.filter(version=world.version(1)).update(weight=10, role=VariantRole.STAGING)


def disagrees(world):
    Disagreement.objects.create(
        model=world.model,
        version=world.version(2),
        what="stage",
        found="MLflow has 1.1.0 in Archived",
        expected="Stagegate serves it as Production",
        since=world.now,
    )


def waits(world):
    world.request(3, Stage.STAGING)


def was_rolled_back(world):
    Transition.objects.filter(version=world.version(1)).delete()


REFUSALS = [
    (is_cold, "not_warm", "Its server has been stopped; a drill would have to start it first"),
    (is_shared, "requests_are_shared", "gets 10 % of requests"),
    (disagrees, "disagreement", "MLflow has 1.1.0 in Archived; Stagegate serves it as Production. Put that right"),
    (waits, "one_active_transition", "has a transition already"),
    (was_rolled_back, "no_previous_version", "first version in Production"),
]


@pytest.mark.parametrize(("how", "rule", "words"), REFUSALS)
def test_a_drill_is_refused_unless_both_are_healthy_and_nothing_else_runs(world, how, rule, words):
    production(world)
    how(world)
    with pytest.raises(RefusedError, match=words) as refusal:
        drill(world)
    assert refusal.value.rule == rule
    assert AuditEntry.objects.filter(action="drill", refused=True).count() == 1


def test_a_drill_takes_two_versions_and_the_right_to_it(world):
    with pytest.raises(RefusedError, match="No version serves"):
        drill(world)
    promoted(world, 1)
    serves(world, {1: 100}, {1: VariantRole.PRODUCTION})
    with pytest.raises(RefusedError, match="need the role"):
        drill(world, by="priya")
    with pytest.raises(RefusedError, match="no other version 1"):
        drill(world, to_version=1)
