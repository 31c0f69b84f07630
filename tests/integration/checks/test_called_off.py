"""Checks that nobody asks for any more end soon and record nothing; those that load a model wait for the scan."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.template.loader import render_to_string

from lifecycle import mirror, operations, tasks
from lifecycle.checks import runner
from lifecycle.checks.base import Entry, Result
from lifecycle.domain.criteria import Criterion
from lifecycle.domain.stages import Stage
from lifecycle.models import (
    AuditEntry,
    CheckRun,
    CheckStatus,
    Evidence,
    Kind,
    ModelVersion,
    Policy,
    Status,
    Strategy,
    Transition,
    Waiver,
)
from lifecycle.operations import RefusedError
from lifecycle.ports import VersionRef

REF = VersionRef("iris", 1)
GOOD = Result(True, "All is well.")
BAD = Result(False, "model.pkl holds code.")
SCAN, LOAD, MALFORMED = Criterion.ARTIFACT_SCAN, Criterion.LOAD_TEST, Criterion.MALFORMED_INPUT


@pytest.fixture
def lab(world, settings, tmp_path, monkeypatch):
    """The twins, and checks that pass unless a test gives another one by ``lab.use``."""
    settings.HOME = tmp_path
    entries = {SCAN: Entry(lambda *_: GOOD, fresh_files=True)}
    monkeypatch.setattr(world.serving, "digest_of", lambda ref: world.version(ref.version).artifact_digest)
    monkeypatch.setattr(runner, "CHECKS", entries)
    monkeypatch.setattr(runner, "LOOK_AGAIN_SECONDS", 0)
    world.use = lambda criterion, run: entries.update({criterion: Entry(run)})
    world.use(LOAD, lambda *_: GOOD)
    world.use(MALFORMED, lambda *_: GOOD)
    return world


def start(world, criterion=LOAD, by="emil"):
    return operations.start_check(version=world.version(1), criterion=criterion, actor=world.people[by], now=world.now)


def outcome(check):
    check.refresh_from_db()
    return check.status


def come_to(world, stage):
    """As the mirror finds it in MLflow, a moment later."""
    world.pass_time(seconds=1)
    world.registry.set_stage(REF, "None" if stage == Stage.DEVELOPMENT else stage)
    mirror.full_pass(world.registry, world.now)


def taken_back(world, version=1, status=Status.ROLLING_BACK, kind=Kind.PROMOTION, stage=Stage.STAGING):
    return Transition.objects.create(
        model=world.model,
        version=world.version(version),
        kind=kind,
        from_stage=stage,
        to_stage=Stage.PRODUCTION,
        strategy=Strategy.CANARY,
        status=status,
        reason="test",
        policy=Policy.objects.latest("number"),
        requested_by_name="emil",
        requested_at=world.now,
        rollback_requested_at=world.now + timedelta(seconds=1),
        rollback_reason="Errors went up.",
        due_at=world.now,
    )


# ---------------------------------------------------------------- called off


@pytest.mark.parametrize("criterion", [LOAD, MALFORMED])
@pytest.mark.parametrize("to", [Stage.PRODUCTION, Stage.DEVELOPMENT, Stage.ARCHIVED])
def test_a_check_of_a_version_that_leaves_staging_ends_and_records_nothing(lab, criterion, to):
    """It is called off while it runs, as the task does it every few seconds, and notices at its next report."""
    come_to(lab, Stage.STAGING)

    def measure(subject, report):
        come_to(lab, to)
        tasks.start_checks()
        report(50, "going on")
        raise AssertionError("it went on after it was called off")

    lab.use(criterion, measure)
    check = start(lab, criterion)
    runner.run(check.pk)
    assert outcome(check) == CheckStatus.CANCELLED
    assert ("archived" if to == Stage.ARCHIVED else f"has come to {to}") in check.error
    assert not Evidence.objects.exists()
    entry = AuditEntry.objects.get(action="check_called_off")
    assert (entry.reason, entry.details["check"]) == (check.error, check.pk)


def test_a_version_that_leaves_staging_at_the_last_moment_gets_no_evidence(lab):
    come_to(lab, Stage.STAGING)
    lab.use(LOAD, lambda *_: come_to(lab, Stage.PRODUCTION) or GOOD)
    check = start(lab)
    runner.run(check.pk)
    assert outcome(check) == CheckStatus.CANCELLED
    assert not Evidence.objects.exists()


def test_a_check_ends_with_the_change_that_is_taken_back(lab):
    come_to(lab, Stage.STAGING)
    check = start(lab)
    taken_back(lab, version=2)
    assert runner.call_off_unasked(now=lab.now) == 0, "that is another version's"
    Transition.objects.update(version=lab.version(1), kind=Kind.DRILL)
    assert runner.call_off_unasked(now=lab.now) == 0, "a drill takes nothing back"
    Transition.objects.update(kind=Kind.PROMOTION, status=Status.ROLLED_BACK)
    assert runner.call_off_unasked(now=lab.now) == 1
    assert outcome(check) == CheckStatus.CANCELLED
    assert "taken back since this was asked for: Errors went up." in check.error


def test_what_is_asked_for_afterwards_goes_on(lab):
    come_to(lab, Stage.STAGING)
    taken_back(lab, status=Status.ROLLED_BACK)
    come_to(lab, Stage.PRODUCTION)
    lab.pass_time(seconds=5)
    check = start(lab)
    assert runner.call_off_unasked(now=lab.now) == 0
    runner.run(check.pk)
    assert outcome(check) == CheckStatus.PASSED


def test_on_its_way_to_staging_a_version_is_checked_on(lab):
    check = start(lab)
    come_to(lab, Stage.STAGING)
    assert runner.call_off_unasked(now=lab.now) == 0
    assert outcome(check) == CheckStatus.QUEUED


def test_files_are_scanned_wherever_their_version_goes(lab):
    come_to(lab, Stage.STAGING)
    check = start(lab, SCAN)
    come_to(lab, Stage.PRODUCTION)
    assert runner.call_off_unasked(now=lab.now) == 0
    runner.run(check.pk)
    assert outcome(check) == CheckStatus.PASSED


def staging_policy(*criteria, **more):
    body = Policy.objects.get(number=1).body
    Policy.objects.create(
        number=2, body={**body, "checks": {"in_development": [], "in_staging": list(criteria)}, **more},
        reason="test", created_by="test", created_at="2026-01-01T00:00:00Z",
    )  # fmt: skip


def test_what_was_called_off_starts_again_when_the_version_is_back_in_staging(lab):
    staging_policy("load_test")
    come_to(lab, Stage.STAGING)
    assert runner.start_due(now=lab.now) == 1
    come_to(lab, Stage.DEVELOPMENT)
    tasks.start_checks()
    come_to(lab, Stage.STAGING)
    assert runner.start_due(now=lab.now) == 1


def test_what_a_person_cancelled_stays_cancelled(lab):
    staging_policy("load_test")
    come_to(lab, Stage.STAGING)
    assert runner.start_due(now=lab.now) == 1
    CheckRun.objects.update(error="MLflow did not answer")
    operations.cancel_check(check=CheckRun.objects.get(), actor=lab.people["emil"], now=lab.now)
    assert runner.start_due(now=lab.now) == 0


def test_nothing_is_started_for_a_version_that_is_being_taken_back(lab):
    staging_policy("load_test")
    come_to(lab, Stage.STAGING)
    back = taken_back(lab, kind=Kind.ROLLBACK)
    assert runner.start_due(now=lab.now) == 0
    back.delete()
    assert runner.start_due(now=lab.now) == 1


# ---------------------------------------------------------------- the scan comes first


@pytest.fixture
def scanned(lab):
    """The policy asks for the scan of a version's files before it comes to Staging."""
    body = Policy.objects.get().body
    Policy.objects.update(body={**body, "criteria": {**body["criteria"], "to_staging": ["artifact_scan"]}})
    return lab


def the(criterion):
    return CheckRun.objects.filter(criterion=criterion).latest("pk")


def test_a_load_test_brings_the_scan_with_it_and_waits_for_it(scanned):
    check = start(scanned)
    runner.run(check.pk)
    assert (outcome(check), check.attempts, check.phase) == (CheckStatus.QUEUED, 0, "waiting for the scan of its files")
    runner.run(the(SCAN).pk)
    runner.run(check.pk)
    assert outcome(check) == CheckStatus.PASSED
    assert check.evidence.artifact_digest == the(SCAN).evidence.artifact_digest


def test_where_the_policy_asks_for_no_scan_there_is_none_to_wait_for(lab):
    check = start(lab)
    runner.run(check.pk)
    assert outcome(check) == CheckStatus.PASSED
    assert not CheckRun.objects.filter(criterion=SCAN).exists()


def test_a_second_check_waits_for_the_same_scan(scanned):
    for criterion in (LOAD, MALFORMED):
        start(scanned, criterion)
    assert CheckRun.objects.filter(criterion=SCAN).count() == 1


def test_files_that_failed_the_scan_are_not_loaded(scanned):
    scanned.use(SCAN, lambda *_: BAD)
    loaded = []
    scanned.use(LOAD, lambda *_: loaded.append(True) or GOOD)
    check = start(scanned)
    runner.run(the(SCAN).pk)
    runner.run(check.pk)
    assert (outcome(check), loaded) == (CheckStatus.CANCELLED, [])
    assert "did not pass the artifact scan. model.pkl holds code." in check.error
    with pytest.raises(RefusedError, match="did not pass the artifact scan") as refused:
        start(scanned)
    assert refused.value.rule == "scan_failed"


def test_a_scan_that_could_not_be_carried_out_ends_what_waited_for_it(scanned):
    check = start(scanned)
    CheckRun.objects.filter(criterion=SCAN).update(status=CheckStatus.BROKEN, error="MLflow is away.")
    runner.run(check.pk)
    assert outcome(check) == CheckStatus.CANCELLED
    assert "have to be scanned first. The last scan: could not be carried out. MLflow is away." in check.error
    start(scanned)
    assert CheckRun.objects.filter(criterion=SCAN).count() == 2


def test_other_files_have_to_be_scanned_anew(scanned):
    runner.run(start(scanned, SCAN).pk)
    ModelVersion.objects.filter(version=1).update(artifact_digest="f" * 64)
    check = start(scanned)
    runner.run(check.pk)
    assert outcome(check) == CheckStatus.QUEUED


def test_files_that_change_between_the_scan_and_the_check_are_not_loaded(scanned, monkeypatch):
    runner.run(start(scanned, SCAN).pk)
    check = start(scanned)
    monkeypatch.setattr(
        runner, "_files", lambda claim, version, folder, fresh: setattr(version, "artifact_digest", "f" * 64)
    )
    runner.run(check.pk)
    assert outcome(check) == CheckStatus.CANCELLED
    assert "no longer those that passed the artifact scan" in check.error


def test_what_the_policy_no_longer_allows_is_scanned_anew(scanned):
    scanned.use(SCAN, lambda *_: Result(True, "Fine.", {"formats": ["pkl"]}))
    runner.run(start(scanned, SCAN).pk)
    check = start(scanned)
    runner.run(check.pk)
    assert outcome(check) == CheckStatus.QUEUED
    assert the(SCAN).status == CheckStatus.QUEUED


@pytest.mark.parametrize(("never", "status"), [([], CheckStatus.PASSED), (["artifact_scan"], CheckStatus.CANCELLED)])
def test_a_waiver_counts_where_the_policy_allows_one(scanned, never, status):
    body = Policy.objects.get().body
    Policy.objects.update(body={**body, "waivers": {"never": never}})
    check = start(scanned)
    scanned.use(SCAN, lambda *_: BAD)
    runner.run(the(SCAN).pk)
    version = scanned.version(1)
    Waiver.objects.create(
        version=version, criterion=SCAN, reason="Looked at by hand.", run_id=version.run_id, source=version.source,
        artifact_digest=version.artifact_digest, granted_by="priya", granted_at=scanned.now,
        expires_at=scanned.now + timedelta(days=1),
    )  # fmt: skip
    runner.run(check.pk)
    assert outcome(check) == status


def test_by_policy_nothing_is_loaded_that_was_not_scanned(scanned):
    staging_policy("load_test", criteria={"to_staging": ["artifact_scan"], "to_production": [], "to_archived": []})
    come_to(scanned, Stage.STAGING)
    assert runner.start_due(now=scanned.now) == 1
    assert {each.criterion for each in CheckRun.objects.all()} == {SCAN, LOAD}
    scanned.use(SCAN, lambda *_: BAD)
    runner.run(the(SCAN).pk)
    runner.run(the(LOAD).pk)
    assert the(LOAD).status == CheckStatus.CANCELLED
    assert runner.start_due(now=scanned.now) == 0


def test_by_policy_a_scan_without_a_result_is_left_to_a_person(scanned):
    staging_policy("load_test", criteria={"to_staging": ["artifact_scan"], "to_production": [], "to_archived": []})
    come_to(scanned, Stage.STAGING)
    runner.start_due(now=scanned.now)
    CheckRun.objects.filter(criterion=SCAN).update(status=CheckStatus.BROKEN, error="MLflow is away.")
    runner.run(the(LOAD).pk)
    assert runner.start_due(now=scanned.now) == 0


def test_the_end_of_a_scan_wakes_what_waits_for_it(scanned, monkeypatch):
    check = start(scanned)
    woken = []
    monkeypatch.setattr(runner, "wake_check", woken.append)
    runner.run(the(SCAN).pk)
    assert woken == [check.pk]


def test_what_was_called_off_says_so_on_the_page(lab):
    come_to(lab, Stage.STAGING)
    check = start(lab)
    come_to(lab, Stage.DEVELOPMENT)
    tasks.start_checks()
    check.refresh_from_db()
    line = SimpleNamespace(check=check, is_running=False, barred="")
    shown = render_to_string("gate/_check.html", {"line": line, "finding": SimpleNamespace(holds=False)})
    assert "The last run was called off" in shown
    assert "has come to Development since this was asked for." in shown
