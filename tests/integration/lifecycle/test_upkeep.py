"""What is done regularly: due transitions are found, idle servers are stopped, failed ones started again."""

import pytest

from lifecycle import dispatch, engine, upkeep
from lifecycle.domain.stages import Stage
from lifecycle.models import AuditEntry, Transition, Variant
from lifecycle.ports import Backend, ServerState, TemporaryError, VersionRef
from tests.support.served import production

FIRST, SECOND = VersionRef("iris", 1), VersionRef("iris", 2)


@pytest.fixture
def sent(monkeypatch):
    """The messages that the sweep sends."""
    messages = []
    monkeypatch.setattr(engine, "send", lambda task, *args, queue: messages.append((task, *args, queue)))
    return messages


def test_the_sweep_finds_a_transition_whose_message_was_lost(world, sent):
    transition = world.approved(1, Stage.STAGING)
    assert engine.sweep(now=world.now) == 1
    assert sent == [("lifecycle.tick", transition.pk, "default")]


def test_the_sweep_sends_rollbacks_to_their_own_queue(world, sent):
    production(world)
    rollback = world.roll_back()
    engine.sweep(now=world.now)
    assert sent == [("lifecycle.tick", rollback.pk, "rollbacks")]


def test_the_sweep_leaves_what_is_held_what_is_not_due_and_what_waits_for_people(world, sent):
    transition = world.request(1, Stage.STAGING)
    assert engine.sweep(now=world.now) == 0
    world.approve(transition, "mia")
    engine._claim(transition.pk, world.now)
    assert engine.sweep(now=world.now) == 0
    world.pass_time(seconds=61)
    assert engine.sweep(now=world.now) == 1


def test_a_lost_broker_does_not_break_the_click(world, monkeypatch):
    monkeypatch.undo()

    def unreachable(*args, **kwargs):
        raise dispatch.OperationalError("connection refused")

    monkeypatch.setattr(dispatch.current_app, "send_task", unreachable)
    dispatch.send("lifecycle.tick", 1, queue="default")


# ---------------------------------------------------------------- stopping servers


def state(world, ref):
    return world.serving.status(ref, slug="iris").state


def replaced(world):
    """Version 2 has replaced version 1, whose warm window is over."""
    production(world)
    world.pass_time(seconds=601)


def test_a_warm_server_stays_for_its_window_and_goes_after_it(world):
    world.in_production(1)
    world.in_production(2)
    world.pass_time(seconds=590)
    assert upkeep.retire_idle(now=world.now) == 0
    world.pass_time(seconds=20)
    assert upkeep.retire_idle(now=world.now) == 1
    assert (state(world, FIRST), state(world, SECOND)) == (ServerState.ABSENT, ServerState.READY)
    assert AuditEntry.objects.get(action="server_stopped").version == 1


def test_a_server_with_requests_in_flight_is_left_alone(world):
    replaced(world)
    world.serving.in_flight[FIRST] = 1
    assert upkeep.retire_idle(now=world.now) == 0
    assert state(world, FIRST) == ServerState.READY


def test_a_server_that_the_gateway_still_uses_is_left_alone(world):
    replaced(world)
    url = world.serving.status(FIRST, slug="iris").url
    world.traffic.apply("iris", (Backend(1, url, 100),), fence=10_000)
    assert upkeep.retire_idle(now=world.now) == 0
    assert state(world, FIRST) == ServerState.READY


def test_while_a_transition_is_active_no_server_is_stopped(world):
    replaced(world)
    world.request(3, Stage.STAGING)
    assert upkeep.retire_idle(now=world.now) == 0


def test_a_stop_that_was_cut_off_is_taken_up_again(world):
    replaced(world)
    Variant.objects.filter(version=world.version(1)).update(retiring=True)
    assert upkeep.retire_idle(now=world.now) == 1
    assert not Variant.objects.filter(version=world.version(1)).exists()


def test_a_server_that_is_being_stopped_is_started_anew_for_a_rollback(world):
    replaced(world)
    Variant.objects.filter(version=world.version(1)).update(retiring=True)
    rollback = world.roll_back()
    world.tick(rollback, times=4)
    assert world.weights() == {2: 100}
    upkeep.retire_idle(now=world.now)
    world.drive(rollback)
    assert world.weights() == {1: 100}
    assert Transition.objects.get(pk=rollback.pk).status == "finished"


def test_supervision_that_is_down_is_tried_again(world):
    replaced(world)
    world.serving.down = True
    assert upkeep.retire_idle(now=world.now) == 0
    world.serving.down = False
    assert upkeep.retire_idle(now=world.now) == 1


# ---------------------------------------------------------------- starting servers again


@pytest.mark.parametrize("ref", [FIRST, SECOND], ids=["warm", "serves"])
def test_a_server_that_failed_for_good_is_started_again_and_recorded(world, ref):
    production(world)
    world.serving.crash(ref, "it ended four times")
    assert upkeep.revive(now=world.now) == 1
    assert state(world, ref) == ServerState.READY
    entry = AuditEntry.objects.get(action="server_started_again")
    assert (entry.version, entry.details) == (ref.version, {"error": "it ended four times"})
    assert upkeep.revive(now=world.now) == 0


def test_a_server_that_fails_again_and_again_is_started_at_longer_and_longer_intervals(world):
    production(world)
    world.serving.broken.add(SECOND)
    world.serving.crash(SECOND)
    started = []
    for second in range(0, 400, 10):
        if upkeep.revive(now=world.now):
            started.append(second)
        world.pass_time(seconds=10)
    assert started == [0, 30, 90, 210]


def test_two_who_see_a_failed_server_at_once_record_one_start(world, monkeypatch):
    production(world)
    world.serving.crash(SECOND)
    ensure, also = world.serving.ensure, []

    def while_another_looks(ref, *, slug):
        monkeypatch.setattr(world.serving, "ensure", ensure)
        also.append(upkeep.revive(now=world.now))
        return ensure(ref, slug=slug)

    monkeypatch.setattr(world.serving, "ensure", while_another_looks)
    assert (upkeep.revive(now=world.now), also) == (0, [1])
    assert AuditEntry.objects.filter(action="server_started_again").count() == 1


def test_a_server_that_nobody_counts_on_is_left_failed(world):
    replaced(world)
    Variant.objects.filter(version__version=1).update(role="", warm_until=None)
    world.serving.crash(FIRST)
    assert upkeep.revive(now=world.now) == 0


def test_during_a_transition_its_executor_starts_servers(world):
    production(world)
    world.roll_back()
    world.serving.crash(FIRST)
    assert upkeep.revive(now=world.now) == 0


def test_a_server_whose_keeper_does_not_answer_is_looked_at_again_later(world):
    production(world)
    world.serving.crash(SECOND)
    world.serving.fail_next = TemporaryError("no answer")
    assert upkeep.revive(now=world.now) == 0
    assert upkeep.revive(now=world.now) == 1
