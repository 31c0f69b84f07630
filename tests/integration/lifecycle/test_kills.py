"""Kill the executor before and after every step: the transition finishes, each effect happens once."""

from collections import Counter

import pytest

from lifecycle import bindings, engine, operations
from lifecycle.domain.stages import Stage
from lifecycle.domain.strategies import Strategy
from lifecycle.models import Effect, Kind, Policy, Status, Transition
from lifecycle.ports import VersionRef
from tests.support.served import production, staged
from tests.support.world import NAME


class KilledError(BaseException):
    """Like kill -9: no handler of the engine may see it."""


POINTS = (
    "world.observe",
    "world.carry_out",
    "world.smoke",
    "trials.standing",
    "variants.follow",
    "variants.settle",
    "record",
    "_journal",
    "Claim.release",
)


def count_points(monkeypatch, kill_at):
    """Count passing before and after each call at which an executor could die, and die at the wanted one."""
    passed = []

    def pass_point(name):
        passed.append(name)
        if len(passed) == kill_at:
            raise KilledError(name)

    def watched(name, function):
        def call(*args, **kwargs):
            pass_point(f"before {name}")
            result = function(*args, **kwargs)
            pass_point(f"after {name}")
            return result

        return call

    for point in POINTS:
        owner, _, name = point.rpartition(".")
        target = getattr(engine, owner) if owner else engine
        monkeypatch.setattr(target, name, watched(name, getattr(target, name)))
    return passed


def finish(world, transition):
    """Tick on as a supervisor restarts workers: a killed one leaves its lease behind."""
    for _ in range(400):
        world.judge(transition)
        try:
            engine.tick(transition.pk, now=world.now)
        except KilledError:
            world.pass_time(seconds=61)
        world.pass_time(seconds=2)
        transition.refresh_from_db()
        if not transition.is_active:
            return
        world.now = max(world.now, transition.due_at)
    raise AssertionError(f"still {transition.status}: {transition.waiting_for}")


def calls(world):
    return Counter(
        {
            "apply": world.traffic.calls["apply"],
            "set_stage": world.registry.calls["set_stage"],
            "set_alias": world.registry.calls["set_alias"],
        }
    )


def done_once(world, monkeypatch, transition, kill_at):
    """Kill the executor once on the way; return the keys of what was done, and how often the world was written to."""
    before = calls(world)
    with monkeypatch.context() as patch:
        passed = count_points(patch, kill_at)
        finish(world, transition)
    assert len(passed) >= kill_at, "the transition ended before it could be killed"
    done = transition.effects.filter(outcome=Effect.Outcome.DONE).values_list("key", flat=True)
    return list(done), calls(world) - before


def approved_in_staging(world, **kwargs):
    """1.1.0 may leave Staging for Production, where 1.0.0 is."""
    staged(world)
    return world.approved(2, Stage.PRODUCTION, **kwargs)


REGISTERED = ["stage:2=Production", "alias:production=2", "alias:staging=", "tags:2:lifecycle.stage=Production"]


@pytest.mark.parametrize("kill_at", range(1, 250, 11))
def test_a_canary_killed_anywhere_finishes_with_each_effect_done_once(world, monkeypatch, kill_at):
    transition = approved_in_staging(world)
    done, written = done_once(world, monkeypatch, transition, kill_at)
    assert (transition.status, world.weights()) == (Status.FINISHED, {2: 100})
    assert done == ["weights:1=95,2=5", "weights:1=75,2=25", "weights:1=50,2=50", "weights:2=100", *REGISTERED]
    assert written == {"apply": 4, "set_stage": 1, "set_alias": 1}


@pytest.mark.parametrize("kill_at", range(2, 130, 21))
def test_a_shadow_killed_anywhere_finishes_with_each_effect_done_once(world, monkeypatch, kill_at):
    staged(world)
    transition = world.request(2, Stage.PRODUCTION, strategy=Strategy.SHADOW)
    transition.steps = [{**step, "minimum": min(step["minimum"], 20)} for step in transition.steps]
    transition.save()
    bindings.bind(transition, world.now)
    world.approve(transition, "mia", "priya")
    done, written = done_once(world, monkeypatch, transition, kill_at)
    assert (transition.status, world.weights()) == (Status.FINISHED, {2: 100})
    assert done == ["weights:1=100;mirrors:2=100", "weights:2=100", *REGISTERED]
    assert written == {"apply": 2, "set_stage": 1, "set_alias": 1}


@pytest.mark.parametrize("kill_at", [1, 6, 14])
def test_a_rollback_is_taken_over_half_a_minute_after_its_executor_was_killed(world, monkeypatch, kill_at):
    world.in_production(1)
    world.in_production(2)
    rollback = world.roll_back()
    with monkeypatch.context() as patch:
        count_points(patch, kill_at)
        with pytest.raises(KilledError):
            world.tick(rollback, times=20)
    rollback.refresh_from_db()
    assert rollback.traffic_back_at is None
    world.pass_time(seconds=31)
    world.tick(rollback, times=6)
    assert rollback.traffic_back_at is not None
    assert world.weights() == {1: 100}


@pytest.mark.parametrize("kill_at", range(1, 46, 7))
def test_a_drill_killed_anywhere_goes_on_to_its_end(world, monkeypatch, kill_at):
    production(world)
    drill = operations.drill(model=world.model, reason="To be sure.", actor=world.people["ada"], now=world.now)
    done, written = done_once(world, monkeypatch, drill, kill_at)
    assert (drill.status, world.weights()) == (Status.FINISHED, {2: 100})
    assert done == ["weights:1=100", "weights:2=100"]
    assert written == {"apply": 2}


@pytest.mark.parametrize("kill_at", range(1, 24, 5))
def test_a_reconciliation_killed_anywhere_puts_everything_right_once(world, monkeypatch, kill_at):
    world.in_production(1)
    version = world.version(1)
    world.registry.set_stage(VersionRef(NAME, 1), "Archived")
    row = Transition.objects.create(
        model=version.model,
        version=version,
        kind=Kind.RECONCILIATION,
        from_stage=Stage.PRODUCTION,
        to_stage=Stage.PRODUCTION,
        status=Status.RUNNING,
        policy=Policy.objects.get(),
        requested_by_name="ada",
        requested_at=world.now,
        due_at=world.now,
        target={"weights": {"1": 100}, "stages": {"1": "Production"}, "aliases": {"production": 1, "staging": None}},
    )
    done, written = done_once(world, monkeypatch, row, kill_at)
    assert (row.status, done, written) == (Status.FINISHED, ["stage:1=Production"], {"set_stage": 1})


def test_two_executors_never_hold_one_transition(world):
    transition = world.approved(1, Stage.STAGING)
    first = engine._claim(transition.pk, world.now)
    assert first is not None
    assert engine._claim(transition.pk, world.now) is None
    world.pass_time(seconds=61)
    second = engine._claim(transition.pk, world.now)
    assert second.fence > first.fence
    with pytest.raises(engine.LostClaimError):
        first.write(step=1)


def test_an_audit_entry_that_cannot_be_written_stops_the_step(world, monkeypatch):
    transition = world.approved(1, Stage.STAGING)

    def full(*args, **kwargs):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(engine, "record", full)
        with pytest.raises(OSError, match="disk full"):
            engine.tick(transition.pk, now=world.now)
    assert Transition.objects.get(pk=transition.pk).status == Status.APPROVED
    world.pass_time(seconds=61)
    assert world.drive(transition).status == Status.FINISHED
