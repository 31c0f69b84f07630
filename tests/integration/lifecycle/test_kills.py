"""Kill the executor before and after every step: the transition finishes, each effect happens once."""

import pytest

from lifecycle import engine
from lifecycle.domain.stages import Stage
from lifecycle.models import Effect, Status, Transition


class KilledError(BaseException):
    """Like kill -9: no handler of the engine may see it."""


POINTS = (
    "world.observe",
    "world.carry_out",
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
        try:
            engine.tick(transition.pk, now=world.now)
        except KilledError:
            world.pass_time(seconds=61)
        world.pass_time(seconds=2)
        transition.refresh_from_db()
        if not transition.is_active:
            return
    raise AssertionError(f"still {transition.status}: {transition.waiting_for}")


def test_killed_anywhere_a_promotion_finishes_with_each_effect_done_once(world, monkeypatch):
    world.in_production(1)
    world.drive(world.approved(2, Stage.STAGING))
    with monkeypatch.context() as patch:
        total = count_points(patch, kill_at=0)
        finish(world, world.approved(2, Stage.PRODUCTION))
    assert len(total) > 60


@pytest.mark.parametrize("kill_at", range(1, 130, 3))
def test_killed_at_one_point(world, monkeypatch, kill_at):
    world.in_production(1)
    world.drive(world.approved(2, Stage.STAGING))
    transition = world.approved(2, Stage.PRODUCTION)
    before = world.traffic.calls["apply"], world.registry.calls["set_stage"], world.registry.calls["set_alias"]
    with monkeypatch.context() as patch:
        count_points(patch, kill_at)
        finish(world, transition)
    assert transition.status == Status.FINISHED
    assert world.weights() == {2: 100}
    done = transition.effects.filter(outcome=Effect.Outcome.DONE)
    assert [effect.key for effect in done] == [
        "weights:1=95,2=5",
        "weights:1=75,2=25",
        "weights:1=50,2=50",
        "weights:2=100",
        "stage:2=Production",
        "alias:production=2",
        "alias:staging=",
        "tags:2:lifecycle.stage=Production",
    ]
    after = world.traffic.calls["apply"], world.registry.calls["set_stage"], world.registry.calls["set_alias"]
    assert tuple(end - start for start, end in zip(before, after, strict=True)) == (4, 1, 1)


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
