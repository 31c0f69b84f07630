"""Trials that are over: quiet days in Production become one, all others stay, and no answers are kept for nothing."""

from datetime import timedelta

import pytest

from lifecycle import judging, tasks, upkeep
from lifecycle.domain import compare, observations
from lifecycle.domain.compare import Measure, MeasureState, VerdictKind
from lifecycle.domain.observations import Counts
from lifecycle.models import Kind, Policy, Status, Strategy, Transition, Trial, VariantRole, Verdict
from tests.support.served import promoted, serves

DAY = timedelta(days=1)


@pytest.fixture
def days(world):
    """``days.of(kinds)`` writes down one ended day in Production after the other, the last of which ended long ago."""
    promoted(world, 1)
    serves(world, {1: 100}, {1: VariantRole.PRODUCTION})
    world.of = lambda *kinds, **values: [_day(world, number, said, **values) for number, said in enumerate(kinds)]
    return world


def _day(world, number, said, version=1, state=MeasureState.CLEAR, **values):
    since = world.now - timedelta(days=30) + number * DAY
    measures = (Measure("error_rate_absolute", "Failed requests", state),)
    verdict = compare.dump(compare.Verdict(VerdictKind(said), f"Day {number}.", measures))
    trial = Trial.objects.create(
        **{
            "model": world.model,
            "version": world.version(version),
            "kind": compare.Trial.PRODUCTION,
            "weight": 100,
            "since": since,
            "until": since + DAY + timedelta(seconds=10),
            "seen_until": since + DAY,
            "last_seen": since + DAY,
            "looks": 8640,
            "canary": observations.dump(Counts(requests=100 + number, errors=number)),
            "verdict": verdict,
            "judged_at": since + DAY,
            **values,
        }
    )
    Verdict.objects.create(trial=trial, at=since, kind=VerdictKind.HOLD, why="Too few requests.")
    Verdict.objects.create(trial=trial, at=since, kind=said, why="Then this.", measures=verdict["measures"])
    return trial


def thin_out(world):
    upkeep.thin_out_trials(now=world.now)
    return list(Trial.objects.order_by("since"))


def test_quiet_days_become_one_that_says_what_they_said_together(days):
    first, *_, last = days.of("proceed", "hold", "proceed")
    (left,) = thin_out(days)
    assert (left.pk, left.since, left.until, left.seen_until) == (first.pk, first.since, last.until, last.seen_until)
    assert (left.looks, left.verdict, left.judged_at) == (3 * 8640, last.verdict, last.judged_at)
    counts = observations.load(left.canary)
    assert (counts.requests, counts.errors) == (303, 3)
    assert Verdict.objects.count() == 2
    assert [each.pk for each in thin_out(days)] == [first.pk]


def test_further_days_are_taken_in_as_they_get_old(days):
    first, _ = days.of("proceed", "proceed")
    thin_out(days)
    _day(days, 2, "proceed")
    (left,) = thin_out(days)
    assert (left.pk, left.looks) == (first.pk, 3 * 8640)


@pytest.mark.parametrize(
    ("kind", "state"),
    [("hold", MeasureState.BREACHED), ("roll_back", MeasureState.BREACHED), ("roll_back", MeasureState.CLEAR)],
)
def test_a_day_with_a_breach_stays_with_its_verdicts(days, kind, state):
    days.of("proceed", "proceed")
    loud = _day(days, 2, kind, state=state)
    _day(days, 3, "proceed")
    _day(days, 4, "proceed")
    assert [each.looks for each in thin_out(days)] == [2 * 8640, 8640, 2 * 8640]
    assert loud.verdicts.count() == 2


@pytest.mark.parametrize("kind", [compare.Trial.STAGING, compare.Trial.ROLLOUT, compare.Trial.SHADOW])
def test_trials_of_staging_and_of_transitions_are_kept(days, kind):
    days.of("proceed", "proceed", kind=kind)
    assert len(thin_out(days)) == 2


def test_the_last_two_days_stay_apart(days):
    days.of("proceed", "proceed")
    Trial.objects.update(until=days.now - timedelta(hours=47))
    assert len(thin_out(days)) == 2


def test_days_between_which_nobody_judged_stay_apart(days):
    days.of("proceed", "proceed")
    _day(days, 5, "proceed")
    _day(days, 6, "proceed", version=2)
    assert [each.looks for each in thin_out(days)] == [2 * 8640, 8640, 8640]


def test_who_comes_second_changes_nothing(days, monkeypatch):
    """Another worker merges the same days between the look and the merging."""
    trials = days.of("proceed", "proceed", "proceed")
    upkeep.thin_out_trials(now=days.now)
    upkeep._merge([each.pk for each in trials])
    (left,) = Trial.objects.all()
    assert (left.pk, left.looks) == (trials[0].pk, 3 * 8640)


def test_what_is_judged_now_goes_on_where_the_days_before_it_ended(days):
    days.of("proceed", "proceed")
    thin_out(days)
    judging.judge_all(now=days.now)
    assert Trial.objects.filter(until=None).count() == 1
    assert Trial.objects.filter(until__isnull=False).count() == 1


def shadow(world, status, until):
    """A shadow's trial whose answers still wait for their counterpart."""
    row = Transition.objects.create(
        model=world.model, version=world.version(2), kind=Kind.PROMOTION, from_stage="Staging", to_stage="Production",
        strategy=Strategy.SHADOW, status=status, reason="test", policy=Policy.objects.get(), requested_by_name="emil",
        requested_at=world.now, due_at=world.now,
    )  # fmt: skip
    return Trial.objects.create(
        model=world.model, version=world.version(2), transition=row, kind=compare.Trial.SHADOW, since=world.now,
        seen_until=world.now, until=until, pending={"stable": {"a": [1]}},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "is_over", "kept"),
    [(Status.FINISHED, True, False), (Status.RUNNING, True, True), (Status.RUNNING, False, True)],
    ids=["over", "may be reopened", "open"],
)
def test_answers_that_nobody_waits_for_are_forgotten(days, status, is_over, kept):
    trial = shadow(days, status, days.now if is_over else None)
    tasks.merge_observations()
    trial.refresh_from_db()
    assert bool(trial.pending) == kept
