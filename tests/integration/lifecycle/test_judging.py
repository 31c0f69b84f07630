"""What the judge makes of what users get: trials are opened and closed, counts added once, breaches acted on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta

import pytest

from lifecycle import disagreements, judging, observing, operations, queries_serving, references, tasks, trials
from lifecycle.domain import compare, observations
from lifecycle.domain.compare import VerdictKind
from lifecycle.domain.drift import Distribution
from lifecycle.domain.findings import State
from lifecycle.domain.observations import Counts
from lifecycle.domain.plan import PlannedStep, dump_step
from lifecycle.domain.stages import Stage
from lifecycle.domain.strategies import Strategy as Choice
from lifecycle.gating import gate_of
from lifecycle.models import (
    AuditEntry,
    Kind,
    Observation,
    Policy,
    RegisteredModel,
    Status,
    Strategy,
    Transition,
    Trial,
    Variant,
    VariantRole,
    Verdict,
)
from lifecycle.ports import TemporaryError
from portal.celery import app
from tests.support.served import production, promoted, serves, staged
from tests.support.world import NAME, POLICY, World

pytestmark = pytest.mark.django_db

CANARY = {1: VariantRole.PRODUCTION, 2: VariantRole.STAGING}
EDGES = tuple(0.01 * 2 ** (step / 5) for step in range(20))
FAST, SLOW = 3, 10
"""The first of the ten buckets, five to every doubling, over which latencies are spread."""
COUNTED_RATES = ["Failed requests above Production's", "Failed requests"]
JUDGED = PlannedStep(weight=5, minimum=timedelta(hours=1), judged=True)
STEPS = (JUDGED, PlannedStep(weight=25, minimum=timedelta(hours=2), judged=True), PlannedStep(weight=100))


@pytest.fixture(autouse=True)
def _unread():
    references.forget()


def rollout(world: World, *, steps: Collection[PlannedStep] = STEPS) -> Transition:
    """1.0.0 serves Production, and 1.1.0 is at the first step of its way there."""
    promoted(world, 1)
    serves(world, {1: 95, 2: 5}, CANARY)
    return Transition.objects.create(
        model=world.model,
        version=world.version(2),
        stable=world.version(1),
        kind=Kind.PROMOTION,
        from_stage="Staging",
        to_stage="Production",
        strategy=Strategy.CANARY,
        status=Status.RUNNING,
        reason="It is better.",
        policy=Policy.objects.latest("number"),
        requested_by_name="emil",
        requested_at=world.now,
        checked_at=world.now,
        started_at=world.now,
        steps=[dump_step(step) for step in steps],
        step_since=world.now,
        due_at=world.now + timedelta(hours=1),
    )


def latency(requests: int, first: int) -> Distribution:
    counts = [0.0] * (len(EDGES) + 1)
    for request in range(requests):
        counts[first + request % 10] += 1
    return Distribution(tuple(counts), edges=EDGES)


def observe(
    world: World,
    requests: int = 1000,
    *,
    failing: Collection[int] = (),
    slow: Collection[int] = (),
    widths: Mapping[int, tuple[float, ...]] | None = None,
) -> None:
    """Ten seconds pass, in which users send requests; then everything is collected."""
    got = world.traffic.send(NAME, requests, failing=failing)
    for variant in Variant.objects.select_related("version"):
        number = variant.version.version
        if got[number]:
            counts = Counts(latency=latency(got[number], SLOW if number in slow else FAST))
            world.metrics.count(variant.url, counts)
        for width in [(widths or {}).get(number)]:
            if width:
                features = {"width": Distribution(width, edges=(1.0, 2.0))}
                world.metrics.count(variant.url, Counts(features=features))
    world.pass_time(seconds=10)
    observing.collect(now=world.now)


def look(world: World, looks: int = 1, **users: object) -> None:
    """Observe and judge, as the task does every ten seconds."""
    for _ in range(looks):
        observe(world, **users)
        judging.judge_all(now=world.now)


def the_trial(kind: compare.Trial = compare.Trial.ROLLOUT) -> Trial:
    return Trial.objects.get(kind=kind, until=None)


def states(trial: Trial) -> dict[str, str]:
    return {each.name: each.state.value for each in compare.load(trial.verdict).measures}


def put_policy(**changes: object) -> None:
    Policy.objects.update(body={**POLICY, **changes})


# ---------------------------------------------------------------- a rollout


@pytest.mark.parametrize("paused", [False, True], ids=["running", "paused"])
def test_a_surge_of_errors_is_rolled_back_within_two_looks(world: World, paused: bool) -> None:
    row = rollout(world)
    look(world, 2)
    if paused:
        Transition.objects.update(paused_at=world.now, paused_by_name="emil", asks_person=True)
    look(world, 1, failing={2})
    row.refresh_from_db()
    assert (row.status, row.rollback_by_name) == (Status.ROLLING_BACK, "Stagegate")
    assert "fails" in row.rollback_reason
    entry = AuditEntry.objects.get(action="rollback_requested")
    measures = {each["name"]: each for each in entry.details["verdict"]["measures"]}
    assert measures["error_rate"]["state"] == "breached"
    assert measures["error_rate"]["estimate"] > 2
    assert entry.details["judged"] == "rollout"
    look(world, 1)
    assert not Trial.objects.filter(until=None).exists()


def test_equal_versions_are_let_go_on(world: World) -> None:
    row = rollout(world)
    look(world, 3)
    standing = trials.standing(row)
    assert standing is not None
    assert (standing.kind, standing.requests, standing.at) == (VerdictKind.HOLD, 150, world.now)
    look(world, 8, requests=5000)
    assert trials.standing(row).kind == VerdictKind.PROCEED
    of_it = Verdict.objects.filter(trial__kind="rollout")
    proceeded = of_it.get(kind="proceed").at
    row.refresh_from_db()
    assert row.due_at == proceeded, "the engine is told at once"
    kinds = list(of_it.values_list("kind", flat=True))
    assert kinds[0] == "hold"
    assert len(kinds) < 10, "only what differs is written down"


@pytest.mark.parametrize(("action", "status"), [("hold", Status.RUNNING), ("roll_back", Status.ROLLING_BACK)])
def test_a_slow_version_is_held_or_rolled_back_by_the_policy(world: World, action: str, status: Status) -> None:
    put_policy(comparison={"on_latency": action})
    row = rollout(world)
    look(world, 6, slow={2})
    row.refresh_from_db()
    assert row.status == status
    trial = Trial.objects.get(kind="rollout")
    assert states(trial)["latency_p95"] == "breached"
    if action == "hold":
        standing = trials.standing(row)
        assert (standing.kind, standing.asks) == (VerdictKind.HOLD, True)


def test_drift_holds_and_names_the_features(world: World, tmp_path) -> None:
    (tmp_path / "MLmodel").write_text(
        "metadata: {stagegate_reference: {features: {width: {edges: [1.0, 2.0], counts: [800, 100, 100]}}}}\n"
    )
    world.serving.model_files = tmp_path
    row = rollout(world)
    look(world, 8, requests=4000, widths={2: (50.0, 50.0, 900.0)})
    standing = trials.standing(row)
    assert (standing.kind, standing.asks) == (VerdictKind.HOLD, True)
    assert "width" in standing.why
    assert states(the_trial())["drift"] == "breached"


def test_no_traffic_holds_once_the_grace_is_over(world: World) -> None:
    row = rollout(world)
    look(world, 10, requests=0)
    assert trials.standing(row).kind == VerdictKind.HOLD
    assert not trials.standing(row).asks
    look(world, 4, requests=0)
    assert trials.standing(row).asks
    assert "no request" in trials.standing(row).why


def test_data_that_stop_coming_are_never_healthy(world: World) -> None:
    row = rollout(world)
    look(world, 8, requests=5000)
    assert trials.standing(row).kind == VerdictKind.PROCEED
    world.pass_time(minutes=3)
    judging.judge_all(now=world.now)
    standing = trials.standing(row)
    assert standing.kind == VerdictKind.HOLD
    assert "could be read" in standing.why


def test_a_person_lets_a_held_version_go_on_with_a_reason(world: World) -> None:
    world.verdict = None
    row = rollout(world)
    look(world, 6, slow={2})
    world.tick(row)
    assert (row.step, row.asks_person) == (0, True)
    row = operations.let_go_on(
        transition=row, step=0, reason="Slower, and worth it.", actor=world.people["priya"], now=world.now
    )
    world.tick(row, 5)
    assert row.step == 1
    details = AuditEntry.objects.get(action="rollout_let_go_on").details
    assert "latency_p95" in {each["name"] for each in details["verdict"]["measures"] if each["state"] == "breached"}


def test_the_next_step_is_a_trial_of_its_own(world: World) -> None:
    row = rollout(world)
    look(world, 3)
    Transition.objects.update(step=1, step_since=None)
    look(world, 1)
    assert trials.standing(Transition.objects.get(pk=row.pk)) is None
    assert not Trial.objects.filter(until=None).exists()
    Transition.objects.update(step_since=world.now)
    look(world, 2)
    trial = the_trial()
    assert (trial.step, trial.weight, trial.looks) == (1, 25, 2)
    assert Trial.objects.get(step=0, kind="rollout").until is not None


def test_steps_without_a_judge_have_no_trial(world: World) -> None:
    rollout(world, steps=[PlannedStep(weight=5)])
    look(world, 2)
    assert not Trial.objects.exists()


# ---------------------------------------------------------------- what is counted


def test_an_interval_that_began_before_the_step_is_not_counted_but_seen(world: World) -> None:
    rollout(world)
    world.pass_time(seconds=4)
    Transition.objects.update(step_since=world.now)
    look(world, 1)
    trial = the_trial()
    assert (observations.load(trial.canary).requests, trial.last_seen, trial.looks) == (0, world.now, 1)
    look(world, 2)
    counted = observations.load(the_trial().canary), observations.load(the_trial().stable_counts)
    assert [each.requests for each in counted] == [100, 1900]


def test_two_judges_at_once_count_once(world: World, monkeypatch) -> None:
    rollout(world)
    observe(world)
    judge, second = compare.judge, []

    def interrupted(*args):
        if not second:
            second.append(True)
            judging.judge_all(now=world.now)
        return judge(*args)

    monkeypatch.setattr(compare, "judge", interrupted)
    judging.judge_all(now=world.now)
    trial = the_trial()
    assert (trial.looks, observations.load(trial.canary).requests) == (1, 50)
    assert trial.verdicts.count() == 1
    look(world, 1)
    assert observations.load(the_trial().canary).requests == 100


def test_a_stable_version_that_fails_beside_a_canary_is_told_and_left_to_people(world: World) -> None:
    row = rollout(world)
    look(world, 4, requests=5000, failing={1})
    row.refresh_from_db()
    assert row.status == Status.RUNNING
    assert not Transition.objects.filter(kind=Kind.ROLLBACK).exists()
    (entry,) = AuditEntry.objects.filter(action="limit_breached")
    assert entry.version == 1
    assert "Another version is being brought in beside it: somebody has to decide." in entry.reason


def test_what_people_are_told_of_it_goes_away_when_it_no_longer_holds(world: World) -> None:
    rollout(world)
    assert queries_serving.failing_everywhere() == ([], [])
    look(world, 2, requests=5000, failing={1})
    (told,) = queries_serving.failing(world.model)
    assert told.sentence == "1.0.0, which still serves 95 % of requests, fails 100 % of them (limit 10 %)."
    assert told.ways == (
        "1.1.0 fails 0 % of its own: a person can send it more by hand.",
        "Rolling back sends all requests to 1.0.0; no version served before it, so after that serving can only be "
        "stopped.",
    )
    look(world, 3, requests=50_000)
    assert queries_serving.failing_everywhere() == ([], [])


def test_what_is_reported_late_counts_and_stretches_no_window(world: World) -> None:
    """It is a row of its own, which began long before the look that it is counted with."""
    rollout(world)
    began = world.now
    look(world, 2)
    observe(world, requests=0)
    late = {"version": world.version(2), "since": began, "until": world.now}
    Observation.objects.create(model=world.model, details={"business": {"sales": [3, 2, 2]}}, **late)
    judging.judge_all(now=world.now)
    trial = the_trial()
    assert observations.load(trial.canary).business["sales"].count == 3
    assert states(trial)["traffic"] == "clear"


def test_after_a_long_silence_everything_is_counted(world: World) -> None:
    rollout(world)
    look(world, 2)
    for _ in range(40):
        observe(world)
    judging.judge_all(now=world.now)
    assert observations.load(the_trial().canary).requests == 42 * 50
    assert observations.load(the_trial().stable_counts).requests == 42 * 950


def test_one_models_failure_stops_no_other(world: World, monkeypatch, caplog) -> None:
    rollout(world)
    broken = RegisteredModel.objects.create(name="broken", slug="broken")
    Trial.objects.create(model=broken, version=world.version(3), kind="staging", since=world.now, seen_until=world.now)
    judge_model = judging.judge_model

    def failing(model, now):
        if model.slug == "broken":
            raise KeyError("a value of no kind")
        judge_model(model, now)

    monkeypatch.setattr(judging, "judge_model", failing)
    look(world, 1)
    assert the_trial().looks == 1
    assert "broken could not be judged" in caplog.text


def test_a_reference_that_cannot_be_read_yet_lets_nothing_go_on(world: World, monkeypatch) -> None:
    row = rollout(world)
    monkeypatch.setattr(world.serving, "files", unreachable)
    look(world, 8, requests=5000)
    standing = trials.standing(row)
    assert standing.kind == VerdictKind.HOLD
    assert standing.why == "Drift cannot be told yet: the store is down."


def unreachable(*_: object, **__: object) -> None:
    raise TemporaryError("the store is down")


# ---------------------------------------------------------------- Staging and Production


def test_a_version_that_fails_in_staging_is_withdrawn(world: World) -> None:
    staged(world)
    look(world, 2)
    assert {each.kind for each in Trial.objects.all()} == {"staging", "production"}
    look(world, 1, failing={2})
    row = Transition.objects.get(kind=Kind.ROLLBACK)
    assert (row.version.version, row.from_stage, row.to_stage) == (2, "Staging", "Development")
    entry = AuditEntry.objects.get(action="rollback_requested")
    assert entry.details["judged"] == "staging"


def test_what_the_judge_finds_breached_in_staging_closes_the_gate(world: World) -> None:
    put_policy(criteria={**POLICY["criteria"], "to_production": ["live_comparison"]})
    world.pass_time(minutes=-5)
    staged(world)
    look(world, 3, slow={2})
    (found,) = gate_of(world.version(2), Stage.PRODUCTION, world.now).findings
    assert found.state == State.FAILED
    assert [each.name for each in found.measures] == ["p95 latency against stable", *COUNTED_RATES]


def test_a_trial_goes_on_after_a_change_that_came_to_nothing(world: World) -> None:
    staged(world)
    look(world, 3)
    row = Transition.objects.create(
        model=world.model,
        version=world.version(2),
        kind=Kind.PROMOTION,
        from_stage="Staging",
        to_stage="Production",
        strategy=Strategy.CANARY,
        status=Status.RUNNING,
        reason="It is better.",
        policy=Policy.objects.get(),
        requested_by_name="emil",
        requested_at=world.now,
        due_at=world.now,
    )
    look(world, 2)
    assert not Trial.objects.filter(kind=compare.Trial.STAGING, until=None).exists()
    Transition.objects.filter(pk=row.pk).update(status=Status.FAILED)
    look(world, 1)
    trial = the_trial(compare.Trial.STAGING)
    assert observations.load(trial.canary).requests == 6 * 100
    assert trial.looks == 4


def test_production_that_fails_goes_back_to_the_previous_version(world: World) -> None:
    promoted(world, 1, 2)
    serves(world, {1: 0, 2: 100}, {1: VariantRole.WARM, 2: VariantRole.PRODUCTION})
    look(world, 3)
    look(world, 2, failing={2})
    row = Transition.objects.get(kind=Kind.ROLLBACK)
    assert (row.version.version, row.previous.version, row.emergency) == (2, 1, True)
    assert row.requested_by is None
    assert queries_serving.failing_everywhere() == ([], []), "it is being rolled back"


def test_the_first_version_in_production_has_nobody_to_take_over(world: World) -> None:
    promoted(world, 1)
    serves(world, {1: 100}, {1: VariantRole.PRODUCTION})
    look(world, 4, failing={1})
    assert not Transition.objects.filter(kind=Kind.ROLLBACK).exists()
    entry = AuditEntry.objects.get(action="limit_breached")
    assert "There is no previous version that could take over" in entry.reason
    (told,) = queries_serving.failing(world.model)
    assert told.untouched == "Nothing moves by itself because of that: no version served before it."
    assert the_trial(compare.Trial.PRODUCTION).verdict["emergency"] is True


def test_what_came_back_is_not_rolled_back_in_turn(world: World) -> None:
    """Two versions that fail one after the other hardly are the cause: nobody wants all of them archived."""
    promoted(world, 1, 2, 3)
    serves(world, {2: 0, 3: 100}, {2: VariantRole.WARM, 3: VariantRole.PRODUCTION})
    look(world, 2, failing={3})
    back = Transition.objects.get(kind=Kind.ROLLBACK)
    Transition.objects.filter(pk=back.pk).update(status=Status.FINISHED, finished_at=world.now)
    Variant.objects.filter(version__version=3).update(role="", weight=0, weight_since=world.now)
    Variant.objects.filter(version__version=2).update(role="production", weight=100, weight_since=world.now)
    world.traffic.set_by_hand(NAME, {2: 100, 3: 0})
    look(world, 4, failing={2, 3})
    assert Transition.objects.filter(kind=Kind.ROLLBACK).count() == 1
    assert "It came back when another version was rolled back" in AuditEntry.objects.get(action="limit_breached").reason
    ((told,), others) = queries_serving.failing_everywhere()
    assert others == []
    assert told.ways == ("A person can roll back to 1.0.0, or bring in another version.",)


def approved(world: World) -> Transition:
    """1.0.0 and then 1.1.0 entered Production; 1.2.0 is about to, and waits for MLflow."""
    production(world)
    world.drive(world.approved(3, Stage.STAGING))
    row = world.approved(3, Stage.PRODUCTION)
    world.registry.down = True
    return world.tick(row, times=3)


def test_a_change_that_waits_for_mlflow_keeps_nothing_from_being_judged(world: World) -> None:
    row = approved(world)
    look(world, 2, failing={2})
    rollback = Transition.objects.get(kind=Kind.ROLLBACK)
    world.tick(rollback, times=10)
    row.refresh_from_db()
    assert (row.status, rollback.version.version, world.weights()) == (Status.CANCELLED, 2, {1: 100})


@pytest.mark.parametrize("strategy", ["canary", "blue_green"])
def test_what_has_all_requests_is_judged_while_mlflow_is_down(world: World, strategy: str) -> None:
    promoted(world, 1)
    serves(world, {1: 100}, {1: VariantRole.PRODUCTION})
    world.drive(world.approved(2, Stage.STAGING))
    row = world.approved(2, Stage.PRODUCTION, strategy=Choice(strategy))
    world.drive(row, until=lambda row: row.step + 1 == len(row.steps) and row.step_since is not None)
    world.registry.down = True
    world.tick(row)
    look(world, 2, failing={2})
    row.refresh_from_db()
    assert (row.status, row.rollback_by_name) == (Status.ROLLING_BACK, "Stagegate")
    world.tick(row, times=3)
    assert world.weights() == {1: 100}


def test_the_first_version_is_not_taken_away_before_mlflow_knows_of_it(world: World) -> None:
    world.drive(world.approved(1, Stage.STAGING))
    row = world.approved(1, Stage.PRODUCTION)
    world.drive(row, until=lambda row: row.step_since is not None)
    world.registry.down = True
    look(world, 3, failing={1})
    world.tick(row)
    assert (row.status, world.weights()) == (Status.RUNNING, {1: 100})
    assert AuditEntry.objects.filter(action="limit_breached").count() == 1


def test_production_that_fails_while_another_version_comes_to_staging_goes_back_all_the_same(world: World) -> None:
    production(world)
    row = world.approved(3, Stage.STAGING)
    world.drive(row, until=lambda row: row.step_since is not None)
    world.registry.down = True
    look(world, 2, failing={2})
    row.refresh_from_db()
    assert row.status == Status.ROLLING_BACK
    world.tick(row, times=3)
    look(world, 3, failing={2})
    world.tick(Transition.objects.get(kind=Kind.ROLLBACK), times=10)
    assert world.weights() == {1: 100}


def test_production_is_judged_anew_every_day_without_a_gap(world: World) -> None:
    promoted(world, 1)
    serves(world, {1: 100}, {1: VariantRole.PRODUCTION})
    look(world, 3)
    before = the_trial(compare.Trial.PRODUCTION)
    Trial.objects.update(since=before.since - timedelta(days=1))
    Variant.objects.update(weight_since=before.since - timedelta(days=1))
    look(world, 1)
    after = the_trial(compare.Trial.PRODUCTION)
    assert (after.since, after.looks, observations.load(after.canary).requests) == (before.seen_until, 1, 1000)
    assert Trial.objects.exclude(pk=after.pk).get().until == world.now


def test_what_served_for_days_before_anybody_judged_is_judged_from_now_on(world: World) -> None:
    promoted(world, 1)
    serves(world, {1: 100}, {1: VariantRole.PRODUCTION})
    world.pass_time(days=3)
    look(world, 2)
    trial = the_trial(compare.Trial.PRODUCTION)
    assert (trial.looks, observations.load(trial.canary).requests) == (2, 1000)


def test_rows_are_kept_that_nobody_judged(world: World) -> None:
    """Judging changes no observation."""
    rollout(world)
    observe(world)
    before = list(Observation.objects.values())
    judging.judge_all(now=world.now)
    assert list(Observation.objects.values()) == before


# ---------------------------------------------------------------- the task


def test_a_part_that_fails_stops_no_other(monkeypatch, caplog) -> None:
    done = []
    monkeypatch.setattr(observing, "collect", lambda *, now: done.append("collect") or 1 / 0)
    monkeypatch.setattr(judging, "judge_all", lambda *, now: done.append("judge") or 1 / 0)
    monkeypatch.setattr(disagreements, "look", lambda *, now: done.append("look"))
    tasks.observe()
    assert done == ["collect", "judge", "look"]
    assert caplog.text.count("did not end") == 2


def test_observing_has_a_queue_of_its_own() -> None:
    """Whatever the other workers do: a breach that nobody sees is not rolled back."""
    assert app.amqp.router.route({}, "lifecycle.observe")["queue"].name == "observations"
