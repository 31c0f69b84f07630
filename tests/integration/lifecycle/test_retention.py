"""The clean-up on a real database, with twins for registry and store: what goes, what stays, and being cut off."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from threading import Barrier

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from lifecycle import adapters, dispatch, engine, mirror, operations, queries_retention, retention, upkeep
from lifecycle.domain.permissions import STAGEGATE
from lifecycle.domain.retention import Protection
from lifecycle.domain.stages import Stage
from lifecycle.models import (
    AuditEntry,
    Deletion,
    DeletionStatus,
    Hold,
    ModelIndex,
    ModelVersion,
    Policy,
    RetentionRun,
    Transition,
    Variant,
)
from lifecycle.operations import RefusedError
from lifecycle.ports import NotFoundError, PermanentError, TemporaryError, VersionRef
from lifecycle.retention_queue import begin
from tests.support.world import NAME, POLICY

FILES = {"MLmodel": b"flavors: {}\n", "model.skops": b"x" * 1000}
SIZE = sum(map(len, FILES.values()))


def archive(world, *numbers, days=100, name=NAME):
    """Versions that have been in Archived for so many days, in the registry and in the mirror."""
    for number in numbers:
        world.registry.set_stage(VersionRef(name, number), "Archived")
    mirror.full_pass(world.registry, world.now)
    rows = ModelVersion.objects.filter(model__name=name, version__in=numbers)
    rows.update(stage="Archived", stage_since=world.now - timedelta(days=days))


def register(world, count, name="old", **more):
    """Versions of another model, archived long ago."""
    numbers = [world.registry.add_version(name, files=FILES, **more).ref.version for _ in range(count)]
    archive(world, *numbers, name=name)
    return [VersionRef(name, number) for number in numbers]


def start(world):
    return begin(requested_by=STAGEGATE, now=world.now)


def clean_up(world, **options):
    """A clean-up from start to end, in as many slices as it takes."""
    row = start(world)
    for _ in range(1000):
        retention.run(row.pk, clock=lambda: world.now, **options)
        row.refresh_from_db()
        if not row.running:
            return row
    raise AssertionError("the clean-up does not end")


def exists(world, ref):
    try:
        world.registry.version(ref)
    except NotFoundError:
        return False
    return True


def files(world, ref):
    row = ModelVersion.objects.get(model__name=ref.model, version=ref.version)
    return world.registry.files(row.source, row.run_id)


# ---------------------------------------------------------------- what goes


def test_a_version_whose_time_is_over_goes_with_its_files(world):
    (ref,) = register(world, 1)
    row = clean_up(world)
    assert (exists(world, ref), files(world, ref)) == (False, ())
    assert (row.planned, row.deleted, row.stuck, row.freed_bytes, row.error) == (1, 1, 0, SIZE, "")
    deletion = Deletion.objects.get()
    assert (deletion.status, deletion.files, deletion.freed_bytes, deletion.policy) == ("done", 2, SIZE, 1)
    assert deletion.version.removed_at == world.now
    entry = AuditEntry.objects.get(action="version_deleted")
    assert (entry.model, entry.version, entry.actor) == ("old", 1, "Stagegate")
    assert (entry.details["files"], entry.details["freed_bytes"]) == (2, SIZE)
    assert world.serving.forgotten == [ref]


def test_the_second_clean_up_finds_nothing(world):
    register(world, 1)
    clean_up(world)
    assert (clean_up(world).deleted, AuditEntry.objects.filter(action="version_deleted").count()) == (0, 1)


@pytest.mark.parametrize(("days", "gone"), [(89, False), (90, True), (91, True)])
def test_ninety_days_are_ninety_days(world, days, gone):
    (ref,) = register(world, 1)
    archive(world, 1, name="old", days=days)
    clean_up(world)
    assert exists(world, ref) is not gone


def test_every_model_has_the_retention_of_its_own_policy(world):
    patient, hasty = register(world, 1, "patient")[0], register(world, 1, "hasty")[0]
    for name in ("patient", "hasty"):
        archive(world, 1, name=name, days=30)
    row = ModelVersion.objects.get(model__name="hasty")
    body = {**POLICY, "retention": {"archived": 86400 * 10, "minimum_age": 86400}}
    Policy.objects.create(number=2, model=row.model, body=body, reason="-", created_by="-", created_at=world.now)
    clean_up(world)
    assert (exists(world, patient), exists(world, hasty)) == (True, False)
    assert Deletion.objects.get().policy == 2


# ---------------------------------------------------------------- what stays


def test_what_serves_and_what_a_rollback_brings_back_stay(world):
    world.in_production(1)
    world.in_production(2)
    world.pass_time(days=2)
    ModelVersion.objects.filter(version=1).update(stage="Archived", stage_since=world.now - timedelta(days=1000))
    archive(world, 1, 2, 3, days=1000)
    clean_up(world)
    assert [exists(world, VersionRef(NAME, number)) for number in (1, 2, 3)] == [True, True, False]


def test_what_a_rollback_brings_back_stays_when_one_version_was_promoted_twice_in_a_row(world):
    world.in_production(1)
    world.in_production(2)
    world.registry.set_stage(VersionRef(NAME, 2), "Staging")
    mirror.full_pass(world.registry, world.now)
    world.drive(world.approved(2, Stage.PRODUCTION))
    world.pass_time(days=2)
    upkeep.retire_idle(now=world.now)
    assert not Variant.objects.filter(version__version=1).exists()
    archive(world, 1, days=1000)
    clean_up(world)
    assert exists(world, VersionRef(NAME, 1))
    assert world.drive(world.roll_back()).previous == world.version(1)


def test_a_hold_stops_it_until_it_is_released(world):
    (ref,) = register(world, 1)
    version = ModelVersion.objects.get(model__name="old")
    operations.place_hold(version=version, reason="A court asked.", actor=world.people["aron"], now=world.now)
    clean_up(world)
    assert exists(world, ref)
    operations.release_hold(version=version, reason="It is over.", actor=world.people["aron"], now=world.now)
    clean_up(world)
    assert not exists(world, ref)
    assert set(AuditEntry.objects.values_list("action", flat=True)) >= {"hold_placed", "hold_released"}


def test_an_alias_stops_it_even_one_that_the_mirror_has_not_seen(world):
    (ref,) = register(world, 1)
    world.registry.set_alias("old", "champion", 1)
    clean_up(world)
    assert exists(world, ref)


def test_what_was_moved_directly_in_mlflow_stays(world):
    (ref,) = register(world, 1)
    world.registry.set_stage(ref, "Staging")
    clean_up(world)
    assert (exists(world, ref), Deletion.objects.count()) == (True, 0)


def test_a_number_that_was_given_again_is_another_version(world):
    register(world, 1)
    world.registry.delete_model("old")
    ref = world.registry.add_version("old", stage="Archived").ref
    clean_up(world)
    assert exists(world, ref)


def test_a_new_version_with_an_old_number_goes_in_its_own_time(world):
    register(world, 1)
    clean_up(world)
    world.registry.delete_model("old")
    world.pass_time(days=1)
    world.registry.add_version("old", files=FILES)
    mirror.full_pass(world.registry, world.now)
    row = ModelVersion.objects.get(model__name="old")
    assert row.removed_at is None
    archive(world, 1, name="old")
    clean_up(world)
    assert AuditEntry.objects.filter(action="version_deleted").count() == 2


@pytest.mark.parametrize("lost", ["stage_since", "created_at"])
def test_without_a_date_nothing_goes(world, lost):
    (ref,) = register(world, 1)
    ModelVersion.objects.filter(model__name="old").update(**{lost: None})
    clean_up(world)
    assert exists(world, ref)


@pytest.mark.parametrize("hours", [-87600, -1, 1, 87600])
def test_a_wrong_clock_deletes_nothing_that_is_protected(world, hours):
    world.in_production(1)
    world.in_production(2)
    refs = register(world, 2, "held")
    version = ModelVersion.objects.get(model__name="held", version=1)
    operations.place_hold(version=version, reason="Keep.", actor=world.people["ada"], now=world.now)
    world.request(3, Stage.STAGING)
    world.pass_time(hours=hours)
    ModelVersion.objects.filter(version=1, model__name=NAME).update(stage="Archived")
    clean_up(world)
    assert all(exists(world, VersionRef(NAME, number)) for number in (1, 2, 3))
    assert exists(world, refs[0])


# ---------------------------------------------------------------- shared files


def test_files_that_another_version_uses_stay(world):
    (ref,) = register(world, 1)
    source = world.registry.version(ref).source
    twin = world.registry.add_version("other", source=source).ref
    clean_up(world)
    assert (exists(world, ref), exists(world, twin)) == (False, True)
    assert files(world, twin)
    deletion = Deletion.objects.get()
    assert (deletion.status, deletion.kept_because) == ("done", "other version 1 uses the same files.")
    assert (deletion.files, deletion.freed_bytes) == (0, 0)


def test_the_last_of_those_that_share_files_takes_them_along(world):
    logged = "models:/m-" + "a" * 32
    world.registry.add_version("first", source=logged, files=FILES)
    world.registry.add_version("copy", source="models:/first/1")
    world.registry.add_version("copy of copy", source="models:/copy/1")
    for name in ("first", "copy"):
        archive(world, 1, name=name)
    clean_up(world)
    assert world.registry.files(logged, "")
    archive(world, 1, name="copy of copy")
    row = clean_up(world)
    assert (row.deleted, row.freed_bytes, world.registry.files(logged, "")) == (1, SIZE, ())


def test_two_that_share_files_and_go_together_free_them_once(world):
    (ref,) = register(world, 1)
    world.registry.add_version("other", source=world.registry.version(ref).source)
    archive(world, 1, name="other")
    row = clean_up(world)
    assert (row.deleted, row.freed_bytes, files(world, ref)) == (2, SIZE, ())


# ---------------------------------------------------------------- what cannot be deleted


def test_files_that_cannot_be_deleted_are_reported_and_tried_again(world):
    first, second = register(world, 2)
    row = ModelVersion.objects.get(version=1, model__name="old")
    world.registry.undeletable[row.source] = PermanentError("the store says no")
    run = clean_up(world)
    assert (run.deleted, run.stuck, run.error) == (1, 1, "")
    assert (exists(world, first), files(world, second)) == (False, ())
    assert [(each.version, each.last_error) for each in queries_retention.stuck()] == [(row, "the store says no")]
    world.pass_time(days=1)
    clean_up(world)
    assert AuditEntry.objects.filter(action="deletion_stuck").count() == 1
    world.registry.undeletable.clear()
    world.pass_time(days=1)
    assert clean_up(world).freed_bytes == SIZE
    assert (Deletion.objects.get(version=row).status, queries_retention.stuck().count()) == ("done", 0)


def test_a_place_that_holds_more_than_one_model_is_never_emptied(world):
    world.registry.add_version("old", source="s3://bucket/everything", files=FILES)
    archive(world, 1, name="old")
    clean_up(world)
    assert world.registry.files("s3://bucket/everything", "")
    assert "not a directory that MLflow made" in Deletion.objects.get().last_error


def test_a_registry_that_is_down_ends_the_clean_up_with_a_word(world):
    refs = register(world, 25)
    world.registry.down = True
    row = clean_up(world)
    assert "failed in a row" in row.error
    world.registry.down = False
    assert all(exists(world, ref) for ref in refs)


def test_one_version_that_cannot_be_read_does_not_keep_the_others(world, monkeypatch):
    first, second = register(world, 2)
    read = world.registry.version

    def version(ref):
        if ref == first:
            raise TemporaryError("500")
        return read(ref)

    monkeypatch.setattr(world.registry, "version", version)
    row = clean_up(world)
    assert (row.deleted, row.error) == (1, "1 versions could not be looked at; the last error was: 500")
    assert not exists(world, second)


# ---------------------------------------------------------------- being cut off


class KilledError(BaseException):
    """Like kill -9: nothing may handle it."""


POINTS = {
    "registry": ("version", "model", "delete_version", "versions", "files", "delete_files"),
    "serving": ("forget",),
}


def kill_at(world, monkeypatch, number):
    """Die before or after one call of a port; how many such moments have passed."""
    passed = []

    def watched(name, function):
        def call(*args, **kwargs):
            passed.append(f"before {name}")
            if len(passed) == number:
                raise KilledError(name)
            result = function(*args, **kwargs)
            passed.append(f"after {name}")
            if len(passed) == number:
                raise KilledError(name)
            return result

        return call

    for port, names in POINTS.items():
        for name in names:
            monkeypatch.setattr(getattr(world, port), name, watched(name, getattr(getattr(world, port), name)))
    return passed


def test_cut_off_anywhere_the_next_one_goes_on(world, monkeypatch):
    with monkeypatch.context() as patch:
        register(world, 2)
        passed = kill_at(world, patch, 0)
        clean_up(world)
    assert len(passed) > 15
    for number in range(1, len(passed) + 1):
        refs = register(world, 2, f"model-{number}")
        with monkeypatch.context() as patch:
            kill_at(world, patch, number)
            with pytest.raises(KilledError):
                clean_up(world)
        run = RetentionRun.objects.get(running=True)
        retention.run(run.pk, clock=lambda: world.now)
        run.refresh_from_db()
        assert run.running, "a living worker's lease was taken"
        world.pass_time(minutes=16)
        retention.run(run.pk, clock=lambda: world.now)
        run.refresh_from_db()
        assert (run.running, run.error) == (False, ""), passed[number - 1]
        assert not any(exists(world, ref) or files(world, ref) for ref in refs), passed[number - 1]
        done = Deletion.objects.filter(version__model__name=f"model-{number}")
        assert [(row.status, row.freed_bytes) for row in done] == [("done", SIZE)] * 2, passed[number - 1]
        entries = AuditEntry.objects.filter(action="version_deleted", model=f"model-{number}")
        assert entries.count() == 2, passed[number - 1]


def test_whoever_lost_the_clean_up_stops(world, monkeypatch):
    refs = register(world, 3)
    row = start(world)
    delete = world.registry.delete_version

    def overtaken(ref):
        delete(ref)
        RetentionRun.objects.filter(pk=row.pk).update(lease_until=world.now + timedelta(days=1))

    monkeypatch.setattr(world.registry, "delete_version", overtaken)
    retention.run(row.pk, clock=lambda: world.now)
    assert [exists(world, ref) for ref in refs] == [False, True, True]
    assert RetentionRun.objects.get().running


def test_a_clean_up_without_time_goes_on_in_slices(world):
    refs = register(world, 5)
    row = clean_up(world, slice_seconds=-1)
    assert (row.planned, row.deleted) == (5, 5)
    assert not any(exists(world, ref) for ref in refs)


# ---------------------------------------------------------------- the clock


@pytest.fixture
def woken(monkeypatch):
    messages = []
    monkeypatch.setattr(dispatch, "send", lambda task, *args, queue: messages.append((task, *args, queue)))
    return messages


def test_it_starts_once_a_day_however_often_it_is_asked(world, woken, django_capture_on_commit_callbacks):
    def ask():
        with django_capture_on_commit_callbacks(execute=True):
            retention.start_due(now=world.now)

    ask()
    ask()
    run = RetentionRun.objects.get()
    assert woken[0] == ("lifecycle.clean_up", run.pk, "checks")
    retention.run(run.pk, clock=lambda: world.now)
    world.pass_time(hours=23)
    ask()
    assert RetentionRun.objects.count() == 1
    world.pass_time(hours=1)
    ask()
    assert RetentionRun.objects.count() == 2


def test_one_that_failed_is_tried_again_after_an_hour(world):
    register(world, 25)
    world.registry.down = True
    clean_up(world)
    world.pass_time(minutes=59)
    retention.start_due(now=world.now)
    assert not RetentionRun.objects.filter(running=True).exists()
    world.pass_time(minutes=2)
    retention.start_due(now=world.now)
    assert RetentionRun.objects.filter(running=True).exists()


# ---------------------------------------------------------------- Staging


def test_a_long_stay_in_staging_is_flagged_once(world):
    world.drive(world.approved(1, Stage.STAGING))
    since = ModelVersion.objects.get(version=1).stage_since
    world.now = since + timedelta(days=7) - timedelta(seconds=1)
    assert clean_up(world).flagged == 0
    world.now = since + timedelta(days=7)
    assert clean_up(world).flagged == 1
    assert clean_up(world).flagged == 0
    assert [flag.version.version for flag in queries_retention.flagged_stays()] == [1]
    assert AuditEntry.objects.filter(action="retention_flagged").count() == 1
    ModelVersion.objects.filter(version=1).update(stage_since=world.now)
    assert not queries_retention.flagged_stays()
    world.pass_time(days=8)
    assert clean_up(world).flagged == 1


# ---------------------------------------------------------------- races


def ask_for_staging(world, ref):
    version = ModelVersion.objects.select_related("model").get(model__name=ref.model, version=ref.version)
    return operations.request_transition(
        version=version, to_stage=Stage.STAGING, reason="Again.", actor=world.people["emil"], now=world.now
    )


def test_a_transition_that_came_first_keeps_the_version(world, monkeypatch):
    (ref,) = register(world, 1)
    look = retention._look

    def asked_meanwhile(each):
        seen = look(each)
        ask_for_staging(world, ref)
        return seen

    monkeypatch.setattr(retention, "_look", asked_meanwhile)
    clean_up(world)
    assert exists(world, ref)
    assert Transition.objects.get().is_active


def test_a_transition_that_comes_second_is_refused(world, monkeypatch):
    (ref,) = register(world, 1)
    refusals = []
    delete = world.registry.delete_version

    def asked_meanwhile(each):
        with pytest.raises(RefusedError) as refusal:
            ask_for_staging(world, ref)
        refusals.append(refusal.value.rule)
        delete(each)

    monkeypatch.setattr(world.registry, "delete_version", asked_meanwhile)
    clean_up(world)
    assert refusals == ["being_deleted"]
    assert (exists(world, ref), Transition.objects.count()) == (False, 0)


def test_a_hold_comes_first_or_is_refused(world, monkeypatch):
    register(world, 1)
    version = ModelVersion.objects.select_related("model").get(model__name="old")
    delete = world.registry.delete_version

    def held_meanwhile(each):
        with pytest.raises(RefusedError) as refusal:
            operations.place_hold(version=version, reason="Wait.", actor=world.people["aron"], now=world.now)
        assert refusal.value.rule == "being_deleted"
        delete(each)

    monkeypatch.setattr(world.registry, "delete_version", held_meanwhile)
    clean_up(world)
    assert Hold.objects.count() == 0


def test_a_rollback_never_goes_to_a_version_that_is_being_deleted(world):
    for number in (1, 2, 3):
        world.in_production(number)
    Deletion.objects.create(version=world.version(1), planned_at=world.now)
    with pytest.raises(RefusedError, match="being deleted"):
        world.roll_back(to_version=1)


def test_a_plan_is_dropped_when_the_version_is_protected_meanwhile(world, monkeypatch):
    (ref,) = register(world, 1)
    with monkeypatch.context() as patch:
        patch.setattr(world.registry, "delete_version", lambda ref: (_ for _ in ()).throw(PermanentError("403")))
        clean_up(world)
    assert (Deletion.objects.get().status, Deletion.objects.get().last_error) == (DeletionStatus.PLANNED, "403")
    world.registry.set_alias("old", "champion", 1)
    world.pass_time(days=1)
    clean_up(world)
    assert (exists(world, ref), Deletion.objects.count()) == (True, 0)
    assert AuditEntry.objects.filter(action="deletion_dropped").count() == 1


# ---------------------------------------------------------------- many


def test_many_go_in_batches(world, monkeypatch):
    monkeypatch.setattr(queries_retention, "BATCH", 50)
    monkeypatch.setattr(retention, "BATCH", 50)
    register(world, 400)
    largest = 0
    fetched = queries_retention.batches

    def watched(rows):
        nonlocal largest
        for batch in fetched(rows):
            largest = max(largest, len(batch))
            yield batch

    monkeypatch.setattr(retention, "batches", watched)
    monkeypatch.setattr(queries_retention, "batches", watched)
    polls = world.registry.calls["versions"]
    assert clean_up(world).deleted == 400
    assert largest == 50
    assert world.registry.calls["versions"] - polls == 8


def test_a_page_costs_the_same_queries_for_few_and_for_many(world):
    def queries():
        with CaptureQueriesContext(
            connection,
        ) as captured:
            seen = queries_retention.outlook(world.now)
            queries_retention.going(seen.going[:50], world.now)
        return len(captured)

    register(world, 3)
    few = queries()
    register(world, 150, "more")
    assert queries() == few


def test_the_outlook_says_what_goes_when_and_what_stays_why(world):
    register(world, 3)
    archive(world, 2, name="old", days=80)
    archive(world, 3, name="old", days=10)
    world.registry.set_alias("old", "champion", 1)
    mirror.full_pass(world.registry, world.now)
    register(world, 1, "other")
    seen = queries_retention.outlook(world.now)
    assert [
        (row.version.model.name, row.version.version, row.is_due)
        for row in queries_retention.going(seen.going, world.now)
    ] == [
        ("other", 1, True),
        ("old", 2, False),
    ]
    assert (seen.due, seen.later) == (1, 1)
    assert [(row.version.version, row.why) for row in queries_retention.protected(seen.protected)] == [
        (1, Protection.ALIASED)
    ]


def test_ticks_and_the_clean_up_do_not_disturb_each_other(world):
    (ref,) = register(world, 1)
    transition = world.approved(1, Stage.STAGING)
    engine.tick(transition.pk, now=world.now)
    clean_up(world)
    assert not exists(world, ref)
    assert world.drive(transition).status == "finished"
    assert adapters.registry() is world.registry


@pytest.mark.django_db(transaction=True)
def test_clean_up_and_promotion_at_the_same_moment_never_both_win(world):
    refs = [ref for number in range(8) for ref in register(world, 1, f"contested-{number}")]
    row = start(world)
    together = Barrier(2)

    def promote():
        together.wait(timeout=30)
        for ref in reversed(refs):
            with suppress(RefusedError):
                ask_for_staging(world, ref)
        connection.close()

    def delete():
        together.wait(timeout=30)
        retention.run(row.pk, clock=lambda: world.now)
        connection.close()

    with ThreadPoolExecutor(max_workers=2) as pool:
        for done in [pool.submit(promote), pool.submit(delete)]:
            done.result(timeout=120)
    for ref in refs:
        asked = Transition.objects.filter(version__model__name=ref.model).exists()
        assert asked is exists(world, ref)
    assert not RetentionRun.objects.get().running


def test_the_index_of_models_follows_what_is_deleted(world):
    _, gone = register(world, 2)
    world.registry.delete_version(gone)
    clean_up(world)
    assert not ModelVersion.objects.filter(model__name=gone.model, removed_at=None).exists()
    row = ModelIndex.objects.get(model__name=gone.model)
    assert (row.version_count, row.in_archived) == (0, False)
