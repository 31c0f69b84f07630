"""The runner of checks: claims, servers, evidence, and what happens when any of it goes wrong."""

from datetime import timedelta

import pytest

from lifecycle import artifacts, dispatch, mirror, operations
from lifecycle.checks import runner
from lifecycle.checks.base import CheckCancelledError, Entry, Result
from lifecycle.domain.criteria import Criterion
from lifecycle.domain.stages import Stage, to_mlflow
from lifecycle.models import AuditEntry, CheckRun, CheckStatus, Evidence, ModelVersion, Observation, Policy
from lifecycle.operations import RefusedError
from lifecycle.ports import PermanentError, Purpose, ServerState, TemporaryError, VersionRef

REF = VersionRef("iris", 1)
GOOD = Result(True, "All is well.", {"value": 0.1, "figure": 3})


@pytest.fixture
def lab(world, settings, tmp_path, monkeypatch):
    """The twins, and checks that a test gives: ``lab.entry = Entry(...)`` stands for the load test."""
    settings.HOME = tmp_path
    entries = {}
    monkeypatch.setattr(world.serving, "digest_of", lambda ref: world.version(ref.version).artifact_digest)
    monkeypatch.setattr(runner, "CHECKS", entries)
    monkeypatch.setattr(runner, "LOOK_AGAIN_SECONDS", 0)
    world.use = lambda run, **needs: entries.update({Criterion.LOAD_TEST: Entry(run, **needs)})
    world.use(lambda subject, report: GOOD)
    return world


def start(world, by="emil", number=1):
    return operations.start_check(
        version=world.version(number), criterion=Criterion.LOAD_TEST, actor=world.people[by], now=world.now
    )


def outcome(check):
    check.refresh_from_db()
    return check.status


def test_a_check_records_evidence_for_the_files_that_it_saw(lab):
    check = start(lab)
    runner.run(check.pk)
    assert outcome(check) == CheckStatus.PASSED
    evidence = check.evidence
    version = lab.version(1)
    assert (evidence.passed, evidence.detail, evidence.value, evidence.origin) == (True, GOOD.detail, 0.1, "check")
    assert evidence.measurements == {"value": 0.1, "figure": 3, "policy": 1}
    assert len(version.artifact_digest) == 64
    assert (evidence.artifact_digest, evidence.run_id) == (version.artifact_digest, version.run_id)
    assert evidence.recorded_by == "Stagegate, asked by emil"
    actions = list(AuditEntry.objects.values_list("action", flat=True))
    assert {"check_started", "evidence_recorded"} <= set(actions)


def test_a_check_that_fails_is_evidence_too(lab):
    lab.use(lambda subject, report: Result(False, "Too slow."))
    check = start(lab)
    runner.run(check.pk)
    assert outcome(check) == CheckStatus.FAILED
    assert not check.evidence.passed


def test_the_server_of_a_check_serves_no_user_and_is_stopped(lab):
    seen = {}

    def measure(subject, report):
        seen["url"] = subject.server_url
        seen["users"] = lab.serving.status(REF, slug="iris").state
        seen["checks"] = lab.serving.status(REF, slug="iris", purpose=Purpose.CHECKS).state
        return GOOD

    lab.use(measure, needs_server=True)
    check = start(lab)
    runner.run(check.pk)
    assert outcome(check) == CheckStatus.PASSED
    assert seen["url"].startswith("http://")
    assert (seen["users"], seen["checks"]) == (ServerState.ABSENT, ServerState.READY)
    assert lab.serving.status(REF, slug="iris", purpose=Purpose.CHECKS).state == ServerState.ABSENT


def test_a_server_that_does_not_start_fails_the_check(lab):
    lab.use(lambda subject, report: GOOD, needs_server=True)
    lab.serving.broken.add(REF)
    check = start(lab)
    runner.run(check.pk)
    assert outcome(check) == CheckStatus.FAILED
    assert "the model can't be loaded" in check.evidence.detail


def test_progress_is_seen_while_it_runs(lab):
    seen = []

    def measure(subject, report):
        report(40, "half of it")
        seen.append(CheckRun.objects.values_list("progress", "phase", "status").get())
        return GOOD

    lab.use(measure)
    runner.run(start(lab).pk)
    assert seen == [(40, "half of it", CheckStatus.RUNNING)]


def test_a_cancelled_check_stops_at_its_next_report_and_leaves_no_evidence(lab):
    def measure(subject, report):
        operations.cancel_check(check=CheckRun.objects.get(), actor=lab.people["emil"], now=lab.now)
        report(50, "going on")
        raise AssertionError("it went on after it was cancelled")

    lab.use(measure)
    check = start(lab)
    runner.run(check.pk)
    assert outcome(check) == CheckStatus.CANCELLED
    assert not Evidence.objects.exists()


def test_a_check_cancelled_at_the_last_moment_leaves_no_evidence(lab):
    def measure(subject, report):
        operations.cancel_check(check=CheckRun.objects.get(), actor=lab.people["emil"], now=lab.now)
        return GOOD

    lab.use(measure)
    check = start(lab)
    runner.run(check.pk)
    assert outcome(check) == CheckStatus.CANCELLED
    assert not Evidence.objects.exists()


def test_what_cannot_be_measured_is_no_evidence(lab):
    def measure(subject, report):
        raise PermanentError("there is nothing to measure")

    lab.use(measure)
    check = start(lab)
    runner.run(check.pk)
    assert outcome(check) == CheckStatus.BROKEN
    assert check.error == "there is nothing to measure"
    assert not Evidence.objects.exists()
    assert AuditEntry.objects.filter(action="check_broken").exists()


def test_a_temporary_error_is_tried_again_three_times(lab):
    def measure(subject, report):
        raise TemporaryError("not now")

    lab.use(measure)
    check = start(lab)
    states = []
    for _ in range(4):
        runner.run(check.pk)
        states.append(outcome(check))
        lab.pass_time(seconds=20)
    assert states == [CheckStatus.QUEUED, CheckStatus.QUEUED, CheckStatus.BROKEN, CheckStatus.BROKEN]
    assert check.attempts == 3


def test_before_its_time_a_check_is_not_tried_again(lab):
    def measure(subject, report):
        raise TemporaryError("not now")

    lab.use(measure)
    check = start(lab)
    for _ in range(2):
        runner.run(check.pk)
    check.refresh_from_db()
    assert check.attempts == 1


def test_a_killed_worker_is_replaced_and_the_slow_one_writes_nothing(lab):
    """The first worker is stopped past its lease; the second finishes; the first wakes up and is told to stop."""
    overtaken = []

    def slow(subject, report):
        lab.pass_time(minutes=6)
        lab.use(lambda subject, report: Result(False, "The second worker's."))
        runner.run(check.pk)
        try:
            report(90, "still here")
        except CheckCancelledError:
            overtaken.append(True)
            raise
        return GOOD

    lab.use(slow)
    check = start(lab)
    runner.run(check.pk)
    assert overtaken == [True]
    assert outcome(check) == CheckStatus.FAILED
    assert Evidence.objects.get().detail == "The second worker's."


def test_a_check_whose_worker_ends_again_and_again_is_given_up(lab):
    check = start(lab)
    CheckRun.objects.update(status=CheckStatus.RUNNING, attempts=3, lease_until=lab.now - timedelta(seconds=1))
    runner.run(check.pk)
    assert outcome(check) == CheckStatus.BROKEN
    assert "3 times" in check.error


def test_one_check_of_a_version_runs_at_a_time(lab):
    check = start(lab)
    other = CheckRun.objects.create(
        version=lab.version(1), criterion=Criterion.DRIFT, status=CheckStatus.RUNNING, requested_at=lab.now,
        lease_until=lab.now + timedelta(seconds=30), policy=Policy.objects.get(), requested_by_name="x",
    )  # fmt: skip
    runner.run(check.pk)
    assert outcome(check) == CheckStatus.QUEUED
    other.delete()
    runner.run(check.pk)
    assert outcome(check) == CheckStatus.PASSED


def test_files_that_change_while_they_are_checked_make_no_evidence(lab):
    def measure(subject, report):
        ModelVersion.objects.filter(version=1).update(artifact_digest="f" * 64)
        return GOOD

    lab.use(measure)
    check = start(lab)
    runner.run(check.pk)
    assert outcome(check) == CheckStatus.BROKEN
    assert "changed" in check.error


def test_evidence_is_about_the_tags_that_were_there_when_it_was_measured(lab):
    """The check cannot know whether it would have found the same with the new ones."""

    def measure(subject, report):
        ModelVersion.objects.filter(version=1).update(tags={"semantic_version": "7.0.0"})
        return GOOD

    lab.use(measure)
    check = start(lab)
    runner.run(check.pk)
    assert outcome(check) == CheckStatus.PASSED
    assert check.evidence.tags == {"semantic_version": "1.0.0"}


def test_a_version_archived_while_it_is_checked_gets_no_evidence(lab):
    def measure(subject, report):
        ModelVersion.objects.filter(version=1).update(stage="Archived")
        return GOOD

    lab.use(measure)
    check = start(lab)
    runner.run(check.pk)
    assert outcome(check) == CheckStatus.CANCELLED
    assert "read-only" in check.error
    assert not Evidence.objects.exists()


@pytest.mark.parametrize("stage", [Stage.STAGING, Stage.PRODUCTION])
def test_files_that_changed_under_a_serving_version_never_take_the_place_of_those_that_serve(lab, stage, monkeypatch):
    asked = []
    monkeypatch.setattr(lab.serving, "files", lambda ref, **given: asked.append(given) or lab.serving.model_files)
    version = lab.version(1)
    artifacts.note_digest(version, digest="a" * 64, listing="b" * 64, now=lab.now)
    lab.registry.set_stage(REF, to_mlflow(stage))
    mirror.full_pass(lab.registry, lab.now)
    runner.run(start(lab).pk)
    assert [each["digest"] for each in asked] == ["a" * 64]
    lab.pass_time(minutes=1)
    artifacts.note_digest(lab.version(1), digest="c" * 64, listing="d" * 64, now=lab.now)
    check = start(lab)
    runner.run(check.pk)
    assert outcome(check) == CheckStatus.BROKEN
    assert "changed since it came to" in check.error
    assert len(asked) == 1


def test_a_version_that_mlflow_no_longer_has_cannot_be_checked(lab):
    check = start(lab)
    lab.registry.delete_version(REF)
    runner.run(check.pk)
    assert outcome(check) == CheckStatus.BROKEN
    assert "no longer" in check.error


# ---------------------------------------------------------------- asking


def test_a_second_start_is_refused_while_the_first_is_unfinished(lab):
    start(lab)
    with pytest.raises(RefusedError, match="under way") as refused:
        start(lab, by="mia")
    assert refused.value.rule == "check_under_way"
    assert CheckRun.objects.count() == 1


@pytest.mark.parametrize("by", ["aron", "ada"])
def test_who_may_not_start_a_check(lab, by):
    with pytest.raises(RefusedError) as refused:
        start(lab, by=by)
    assert refused.value.status == 403


def test_archived_versions_are_read_only(lab):
    ModelVersion.objects.filter(version=1).update(stage="Archived")
    with pytest.raises(RefusedError) as refused:
        start(lab)
    assert refused.value.rule == "archived_read_only"


def test_what_stagegate_does_not_check_cannot_be_started(lab):
    with pytest.raises(RefusedError) as refused:
        operations.start_check(
            version=lab.version(1), criterion=Criterion.CODE_REVIEW, actor=lab.people["emil"], now=lab.now
        )
    assert refused.value.rule == "not_a_check"


def test_a_check_that_has_ended_cannot_be_cancelled(lab):
    check = start(lab)
    runner.run(check.pk)
    with pytest.raises(RefusedError, match="ended already"):
        operations.cancel_check(check=check, actor=lab.people["emil"], now=lab.now)


# ---------------------------------------------------------------- by policy


@pytest.fixture
def sent(monkeypatch):
    messages = []
    monkeypatch.setattr(dispatch, "send", lambda task, *args, queue: messages.append((task, *args, queue)))
    monkeypatch.setattr(runner, "send", dispatch.send)
    return messages


def checking_policy(stage, *criteria):
    body = Policy.objects.get(number=1).body
    Policy.objects.create(
        number=2, body={**body, "checks": {"in_development": [], "in_staging": [], stage: list(criteria)}},
        reason="test", created_by="test", created_at="2026-01-01T00:00:00Z",
    )  # fmt: skip


def test_new_versions_are_checked_once_for_the_same_files(lab):
    checking_policy("in_development", "load_test")
    ModelVersion.objects.update(created_at=lab.now)
    assert runner.start_due(now=lab.now) == 3
    assert runner.start_due(now=lab.now) == 0
    for check in CheckRun.objects.all():
        assert check.requested_by_name == "Stagegate"
        runner.run(check.pk)
    assert runner.start_due(now=lab.now) == 0
    ModelVersion.objects.filter(version=2).update(artifact_digest="")
    assert runner.start_due(now=lab.now) == 1


def test_old_versions_are_left_until_somebody_asks(lab):
    checking_policy("in_development", "load_test")
    ModelVersion.objects.update(created_at=lab.now - timedelta(days=8))
    assert runner.start_due(now=lab.now) == 0


def test_versions_in_staging_are_checked_whatever_their_age(lab):
    checking_policy("in_staging", "load_test")
    lab.drive(lab.approved(1, Stage.STAGING))
    ModelVersion.objects.update(created_at=lab.now - timedelta(days=800))
    assert runner.start_due(now=lab.now) == 1


def test_a_check_that_broke_is_left_to_a_person(lab):
    checking_policy("in_development", "load_test")
    ModelVersion.objects.filter(version=1).update(created_at=lab.now)
    ModelVersion.objects.exclude(version=1).update(created_at=lab.now - timedelta(days=8))
    assert runner.start_due(now=lab.now) == 1
    CheckRun.objects.update(status=CheckStatus.BROKEN, finished_at=lab.now)
    assert runner.start_due(now=lab.now) == 0


def test_no_more_than_a_few_are_started_at_once(lab, monkeypatch):
    checking_policy("in_development", "load_test")
    ModelVersion.objects.update(created_at=lab.now)
    monkeypatch.setattr(runner, "AT_ONCE", 2)
    assert runner.start_due(now=lab.now) == 2
    assert runner.start_due(now=lab.now) == 0


def test_a_lost_message_costs_seconds(lab, sent):
    check = start(lab)
    assert runner.sweep(now=lab.now) == 0
    lab.pass_time(seconds=31)
    assert runner.sweep(now=lab.now) == 1
    assert sent[-1] == ("lifecycle.check", check.pk, "checks")


def test_a_run_whose_worker_fell_silent_is_sent_again(lab, sent):
    check = start(lab)
    CheckRun.objects.update(status=CheckStatus.RUNNING, lease_until=lab.now - timedelta(seconds=1))
    assert runner.sweep(now=lab.now) == 1
    assert sent == [("lifecycle.check", check.pk, "checks")]


def test_drift_waits_until_users_have_asked(lab, monkeypatch):
    monkeypatch.setattr(runner, "CHECKS", {Criterion.DRIFT: Entry(lambda subject, report: GOOD)})
    checking_policy("in_staging", "drift")
    lab.drive(lab.approved(1, Stage.STAGING))
    version = lab.version(1)
    until = lab.now + timedelta(seconds=10)
    counts = {"model": version.model, "version": version, "since": lab.now, "until": until, "errors": 0}
    Observation.objects.create(**counts, requests=999)
    assert runner.start_due(now=until) == 0
    Observation.objects.create(**counts, requests=1)
    assert runner.start_due(now=until) == 1
