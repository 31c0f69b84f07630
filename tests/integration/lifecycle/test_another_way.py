"""A rollback whose version does not come up: what it waits for, and who may send it another way."""

import pytest

from lifecycle import operations, queries_rollbacks
from lifecycle.models import AuditEntry, Deletion, Kind, Status, Transition, Variant, VariantRole
from lifecycle.operations import RefusedError
from lifecycle.ports import TemporaryError, VersionRef
from tests.support.served import promoted, serves

SECOND = VersionRef("iris", 2)


@pytest.fixture
def stuck(world):
    """1.0.0, 1.1.0 and 1.2.0 entered Production; 1.2.0 goes back to 1.1.0, whose server does not start."""
    promoted(world, 1, 2, 3)
    serves(world, {1: 0, 3: 100}, {1: VariantRole.WARM, 3: VariantRole.PRODUCTION})
    world.serving.broken.add(SECOND)
    world.stuck = world.tick(world.roll_back(), times=10)
    return world


def decide(world, by="emil", **way):
    return operations.replace_rollback(
        transition=world.stuck, reason="It does not start.", actor=world.people[by], now=world.now, **way
    )


def ways(world, by="emil"):
    return queries_rollbacks.offers(world.model, world.people[by]).another


def test_it_says_which_version_does_not_come_up_since_when_and_why(stuck):
    assert (stuck.stuck.status, stuck.weights()) == (Status.ROLLING_BACK, {3: 100})
    wait = queries_rollbacks.server_wait(stuck.stuck)
    assert (wait.version.version, wait.error) == (2, "the model can't be loaded")
    assert wait.since >= stuck.stuck.requested_at
    assert wait.starts > 1


def test_a_server_that_fails_all_night_is_one_line_of_the_journal_and_of_the_record(stuck):
    """Its server is seen to load its model every time, and fails then."""
    stuck.serving.broken.clear()
    stuck.serving.loads_at_once = False
    for _ in range(8):
        stuck.pass_time(minutes=1)
        stuck.tick(stuck.stuck, times=3)
        stuck.serving.crash(SECOND, "no memory left")
    (line,) = stuck.stuck.effects.all()
    assert line.attempts >= 8
    assert queries_rollbacks.server_wait(stuck.stuck).error == "no memory left"
    assert AuditEntry.objects.filter(action="server_changed", transition=stuck.stuck.pk).count() == 1
    stuck.serving.loads_at_once = True
    stuck.pass_time(minutes=1)
    assert stuck.drive(stuck.stuck).status == Status.FINISHED


def test_what_keeps_a_server_from_being_started_is_told_too(stuck, monkeypatch):
    def away(*_, **__):
        raise TemporaryError("the supervisor does not answer")

    monkeypatch.setattr(stuck.serving, "ensure", away)
    stuck.pass_time(minutes=1)
    stuck.tick(stuck.stuck)
    assert queries_rollbacks.server_wait(stuck.stuck).error == "the supervisor does not answer"


def test_a_rollback_that_has_its_traffic_waits_for_no_server(stuck):
    stuck.serving.broken.clear()
    stuck.registry.down = True
    stuck.pass_time(minutes=1)
    stuck.tick(stuck.stuck, times=10)
    assert stuck.weights() == {2: 100}
    assert queries_rollbacks.server_wait(stuck.stuck) is None
    assert [each.target.version for each in ways(stuck).targets] == [1]


def test_the_ways_out_say_what_each_of_them_does(stuck):
    found = ways(stuck)
    assert found.wait.version.version == 2
    assert [each.consequence for each in found.targets] == [
        "100 % of iris goes to 1.0.0 at once: its server is running."
    ]
    assert found.meanwhile == "The rollback to 1.1.0 is given up. 1.2.0 is archived, as it was to be."
    assert "answered with an error (503) until somebody promotes a version" in found.stop.consequence


def test_versions_come_in_the_order_in_which_they_served_last(stuck):
    decide(stuck, stop=True)
    found = ways(stuck)
    assert found.stop is None
    assert [(each.target.version, each.warm) for each in found.targets] == [(2, False), (1, True)]
    assert "Until then requests stay with 1.2.0." in found.targets[0].consequence
    Deletion.objects.create(version=stuck.version(1), planned_at=stuck.now)
    assert [each.target.version for each in ways(stuck).targets] == [2]


def test_another_version_comes_back(stuck):
    second = stuck.drive(decide(stuck, to_version=1))
    stuck.stuck.refresh_from_db()
    assert (stuck.stuck.status, second.status, stuck.weights()) == (Status.CANCELLED, Status.FINISHED, {1: 100})
    assert (stuck.version(3).stage, stuck.version(1).stage) == ("Archived", "Production")
    asked = AuditEntry.objects.filter(action="rollback_requested").latest("id")
    assert (asked.reason, asked.details["back_to"]) == ("It does not start.", 1)


def test_a_planned_rollback_stays_a_planned_one(stuck):
    Transition.objects.filter(pk=stuck.stuck.pk).update(emergency=False, to_stage="Staging")
    second = stuck.drive(decide(stuck, to_version=1))
    assert (second.emergency, stuck.version(3).stage) == (False, "Staging")


def test_serving_can_be_stopped_instead(stuck):
    second = stuck.drive(decide(stuck, stop=True))
    assert (second.status, second.previous, stuck.weights()) == (Status.FINISHED, None, {})


@pytest.mark.parametrize(
    ("by", "words"), [("emil", "You have decided already to go back to 1.0.0"), ("mia", "emil has decided already")]
)
def test_whoever_comes_second_is_told_what_the_first_one_chose(stuck, by, words):
    first = decide(stuck, to_version=1)
    with pytest.raises(RefusedError, match=words) as refused:
        decide(stuck, by=by, stop=True)
    assert refused.value.rule == "already_decided"
    assert Transition.objects.filter(kind=Kind.ROLLBACK).count() == 2
    first.refresh_from_db()
    assert first.status == Status.ROLLING_BACK


def test_a_rollback_that_is_over_goes_no_other_way(stuck):
    stuck.serving.broken.clear()
    stuck.pass_time(minutes=1)
    stuck.drive(stuck.stuck)
    with pytest.raises(RefusedError, match="This rollback is over: it is finished") as refused:
        decide(stuck, to_version=1)
    assert refused.value.rule == "already_ended"


@pytest.mark.parametrize(
    ("way", "rule"),
    [
        ({}, "no_way_chosen"),
        ({"to_version": 2}, "already_rolling_back"),
        ({"to_version": 3}, "no_such_version"),
        ({"to_version": 1, "stop": True}, "stop_is_an_emergency"),
    ],
)
def test_only_another_way_is_one(stuck, way, rule):
    with pytest.raises(RefusedError) as refused:
        decide(stuck, **way)
    assert refused.value.rule == rule
    stuck.stuck.refresh_from_db()
    assert stuck.stuck.status == Status.ROLLING_BACK


def test_what_is_no_rollback_of_production_goes_no_other_way(stuck):
    Transition.objects.filter(pk=stuck.stuck.pk).update(from_stage="Staging")
    with pytest.raises(RefusedError) as refused:
        decide(stuck, to_version=1)
    assert refused.value.rule == "not_a_rollback"
    assert ways(stuck) is None


def test_an_auditor_sees_what_it_waits_for_and_decides_nothing(stuck):
    assert ways(stuck, by="aron") is None
    with pytest.raises(RefusedError) as refused:
        decide(stuck, by="aron", to_version=1)
    assert refused.value.status == 403
    assert AuditEntry.objects.filter(action="roll_back", refused=True, actor="aron").exists()


def test_a_version_with_a_server_that_is_being_stopped_is_not_warm(stuck):
    Variant.objects.filter(version__version=1).update(retiring=True)
    assert [each.warm for each in ways(stuck).targets] == [False]
