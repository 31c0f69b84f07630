"""The gate on real rows: what it reads, and that the server refuses what it keeps closed."""

from datetime import timedelta

import pytest

from lifecycle import artifacts, gating, mirror, operations, queries, upkeep
from lifecycle.audit import recording
from lifecycle.domain.criteria import TO_ARCHIVED, TO_PRODUCTION, TO_STAGING, Criterion
from lifecycle.domain.gates import Answered, Source, State
from lifecycle.domain.permissions import STAGEGATE
from lifecycle.domain.policy import Policy as Values
from lifecycle.domain.stages import Stage
from lifecycle.evidence import append
from lifecycle.models import AuditEntry, Evidence, ModelVersion, Observation, Policy, Status, Transition, Waiver
from lifecycle.operations import RefusedError
from lifecycle.ports import ArtifactFile, TemporaryError, VersionDetails, VersionRef
from tests.support.world import NAME, POLICY

SECOND = VersionRef(NAME, 2)


def ask(world, *, to_staging=(), to_production=(), to_archived=(), **rest):
    """A new policy with these criteria, in force from now on."""
    criteria = {"to_staging": list(to_staging), "to_production": list(to_production), "to_archived": list(to_archived)}
    return Policy.objects.create(
        number=Policy.objects.first().number + 1,
        body={**POLICY, "criteria": criteria, **rest},
        reason="test",
        created_by="test",
        created_at=world.now,
    )


def report(world, number, criterion, passed=True, source=Source.CI, **values):
    version = world.version(number)
    policy = Policy.objects.first().values
    with recording():
        return append(
            version=version,
            criterion=criterion,
            passed=passed,
            origin=source,
            policy=policy,
            actor=STAGEGATE,
            now=world.now,
            **values,
        )


def waive(world, number, criterion, lasts=timedelta(days=1)):
    version = world.version(number)
    return Waiver.objects.create(
        version=version,
        criterion=criterion,
        reason="Agreed.",
        run_id=version.run_id,
        source=version.source,
        artifact_digest=version.artifact_digest,
        granted_by="Priya",
        granted_at=world.now,
        expires_at=world.now + lasts,
    )


def found(world, number, stage, criterion, **values):
    gate = gating.gate_of(world.version(number), stage, world.now, **values)
    return next(each for each in gate.findings if each.criterion == criterion)


# ---------------------------------------------------------------- asking


def test_a_closed_gate_refuses_the_request_and_says_what_to_do(world):
    ask(world, to_staging=[Criterion.UNIT_TESTS, Criterion.CODE_REVIEW])
    with pytest.raises(RefusedError, match=r"gate to Staging is closed.*Unit tests.*Code review") as refusal:
        world.request(1, Stage.STAGING)
    assert (refusal.value.rule, refusal.value.status) == ("gate_closed", 409)
    assert [each.criterion for each in refusal.value.findings] == [Criterion.UNIT_TESTS, Criterion.CODE_REVIEW]
    assert not Transition.objects.exists()
    assert AuditEntry.objects.get(refused=True).action == "request_transition"


def test_an_open_gate_is_kept_as_it_was(world):
    ask(world, to_staging=[Criterion.UNIT_TESTS])
    report(world, 1, Criterion.UNIT_TESTS, url="https://ci.example/1", value=214, unit="tests")
    transition = world.request(1, Stage.STAGING)
    report(world, 1, Criterion.UNIT_TESTS, passed=False)
    page = queries.transition_page(transition, world.people["mia"], world.now)
    kept = page.gate_as_asked.findings[0]
    assert (kept.state, kept.evidence.url, kept.measured) == (
        State.PASSED,
        "https://ci.example/1",
        "passed, 214 tests",
    )
    assert page.gate.findings[0].state == State.FAILED


def test_what_is_written_down_reads_back_the_same(world):
    ask(world, to_staging=[Criterion.UNIT_TESTS, Criterion.CODE_REVIEW, Criterion.REQUIRED_TAGS])
    report(world, 1, Criterion.UNIT_TESTS)
    waive(world, 1, Criterion.CODE_REVIEW)
    gate = gating.gate_of(world.version(1), Stage.STAGING, world.now)
    assert gating.load_gate(Stage.STAGING, gating.dump_gate(gate)) == gate


def test_evidence_is_stale_once_a_tag_it_depends_on_has_changed(world):
    ask(world, to_staging=[Criterion.UNIT_TESTS])
    report(world, 2, Criterion.UNIT_TESTS)
    world.registry.set_tags(SECOND, {"semantic_version": "1.1.1"})
    with pytest.raises(RefusedError, match=r"tag semantic_version has changed since, from 1\.1\.0 to 1\.1\.1"):
        world.request(2, Stage.STAGING)


def listed_as(world, monkeypatch, size):
    monkeypatch.setattr(world.registry, "files", lambda source, run_id: (ArtifactFile("MLmodel", size),))


def test_evidence_is_stale_once_the_files_have_changed(world, monkeypatch):
    ask(world, to_staging=[Criterion.UNIT_TESTS])
    listed_as(world, monkeypatch, 10)
    version = world.version(2)
    artifacts.note_digest(version, digest="a" * 64, listing=artifacts.listing_of(version), now=world.now)
    report(world, 2, Criterion.UNIT_TESTS)
    assert found(world, 2, Stage.STAGING, Criterion.UNIT_TESTS).state == State.PASSED
    listed_as(world, monkeypatch, 11)
    with pytest.raises(RefusedError, match="files have changed"):
        world.request(2, Stage.STAGING)


def test_files_that_cannot_be_listed_cannot_be_confirmed(world, monkeypatch):
    listed_as(world, monkeypatch, 10)
    version = world.version(2)
    artifacts.note_digest(version, digest="a" * 64, listing=artifacts.listing_of(version), now=world.now)

    def refuse(source, run_id):
        raise TemporaryError("the store does not answer")

    monkeypatch.setattr(world.registry, "files", refuse)
    with pytest.raises(RefusedError, match="store does not answer") as refusal:
        world.request(2, Stage.STAGING)
    assert refusal.value.status == 503


def test_a_waiver_opens_the_gate_and_is_kept(world):
    ask(world, to_staging=[Criterion.CODE_REVIEW])
    waive(world, 1, Criterion.CODE_REVIEW)
    transition = world.request(1, Stage.STAGING)
    assert (transition.gate[0]["state"], transition.gate[0]["waived_by"]["by"]) == ("waived", "Priya")


def test_nobody_asks_on_a_waiver_of_their_own(world):
    ask(world, to_staging=[Criterion.CODE_REVIEW])
    waive(world, 1, Criterion.CODE_REVIEW)
    Waiver.objects.update(granted_by_id=world.people["emil"].user_id)
    with pytest.raises(RefusedError, match="Code review") as refusal:
        world.request(1, Stage.STAGING, by="emil")
    assert "somebody else has to grant it" in refusal.value.findings[0].waivers[0].stale
    assert world.request(1, Stage.STAGING, by="mia")


def test_evidence_of_an_archived_version_does_not_age(world):
    """It is read-only, so nothing newer could be recorded for its way back to Staging."""
    ask(world, to_staging=[Criterion.UNIT_TESTS])
    report(world, 1, Criterion.UNIT_TESTS)
    world.pass_time(days=100)
    assert found(world, 1, Stage.STAGING, Criterion.UNIT_TESTS).state == State.MISSING
    ModelVersion.objects.filter(version=1).update(stage="Archived")
    assert found(world, 1, Stage.STAGING, Criterion.UNIT_TESTS).state == State.PASSED


def test_a_policy_made_after_the_request_counts_for_it_until_it_begins(world):
    transition = world.request(1, Stage.STAGING)
    ask(world, to_staging=[Criterion.UNIT_TESTS])
    with pytest.raises(RefusedError, match="Unit tests") as refusal:
        world.approve(transition, "mia")
    assert refusal.value.rule == "gate_closed"
    report(world, 1, Criterion.UNIT_TESTS)
    with pytest.raises(RefusedError, match="criterion “Unit tests” changed since then"):
        world.approve(transition, "mia")
    world.approve(transition, "mia")
    ask(world, to_staging=[Criterion.UNIT_TESTS, Criterion.CODE_REVIEW])
    transition = world.tick(transition)
    assert (transition.status, transition.policy.number) == (Status.AWAITING_APPROVAL, 3)


# ---------------------------------------------------------------- approving and beginning


def test_a_gate_that_has_closed_since_takes_no_yes(world):
    ask(world, to_staging=[Criterion.UNIT_TESTS])
    report(world, 1, Criterion.UNIT_TESTS)
    transition = world.request(1, Stage.STAGING)
    report(world, 1, Criterion.UNIT_TESTS, passed=False)
    with pytest.raises(RefusedError, match=r"has closed since this was asked for.*Unit tests") as refusal:
        world.approve(transition, "mia")
    assert refusal.value.rule == "gate_closed"
    transition.refresh_from_db()
    assert (transition.status, transition.approvals.count()) == (Status.AWAITING_APPROVAL, 0)


def test_a_yes_is_about_the_tags_as_they_are_now(world):
    ask(world, to_staging=[Criterion.UNIT_TESTS])
    report(world, 2, Criterion.UNIT_TESTS)
    transition = world.request(2, Stage.STAGING)
    world.registry.set_tags(SECOND, {"semantic_version": "9.9.9"})
    with pytest.raises(RefusedError, match="tag semantic_version has changed"):
        world.approve(transition, "mia")


def test_a_yes_is_taken_while_mlflow_is_down_and_nothing_moves_until_it_is_back(world):
    ask(world, to_staging=[Criterion.UNIT_TESTS])
    report(world, 1, Criterion.UNIT_TESTS)
    transition = world.request(1, Stage.STAGING)
    world.registry.down = True
    world.approve(transition, "mia")
    world.tick(transition, times=10)
    assert (transition.status, dict(world.serving.starts)) == (Status.APPROVED, {})
    assert "nothing moves before it can" in transition.waiting_for
    world.registry.down = False
    assert world.drive(transition).status == Status.FINISHED


def test_a_version_that_is_gone_gets_no_yes(world):
    transition = world.request(2, Stage.STAGING)
    world.registry.delete_version(SECOND)
    with pytest.raises(RefusedError, match="no longer has"):
        world.approve(transition, "mia")


@pytest.mark.parametrize("change", ["evidence", "tag", "waiver", "files"])
def test_what_closes_the_gate_after_the_last_yes_asks_again_before_anything_moves(world, monkeypatch, change):
    ask(world, to_staging=[Criterion.UNIT_TESTS, Criterion.CODE_REVIEW])
    listed_as(world, monkeypatch, 10)
    version = world.version(2)
    artifacts.note_digest(version, digest="a" * 64, listing=artifacts.listing_of(version), now=world.now)
    report(world, 2, Criterion.UNIT_TESTS)
    waive(world, 2, Criterion.CODE_REVIEW, lasts=timedelta(hours=1))
    transition = world.approved(2, Stage.STAGING)
    if change == "evidence":
        report(world, 2, Criterion.UNIT_TESTS, passed=False)
    elif change == "tag":
        world.registry.set_tags(SECOND, {"semantic_version": "9.9.9"})
    elif change == "waiver":
        world.pass_time(hours=1)
    else:
        listed_as(world, monkeypatch, 11)
    world.tick(transition, times=3)
    assert (transition.status, transition.checked_at) == (Status.AWAITING_APPROVAL, None)
    assert not world.serving.starts
    (void,) = transition.approvals.all()
    wanted = "The model's files" if change == "files" else "criterion"
    assert wanted in void.void_reason
    assert AuditEntry.objects.get(action="approval_voided").reason == void.void_reason
    with pytest.raises(RefusedError, match="has closed since this was asked for"):
        world.approve(transition, "mia")
    assert not world.serving.starts
    assert world.registry.version(SECOND).stage == "None"


# ---------------------------------------------------------------- past the gate, directly in MLflow


def put_into_staging(world, number):
    world.pass_time(hours=1)
    world.registry.set_stage(VersionRef(NAME, number), "Staging")
    mirror.full_pass(world.registry, world.now)


def test_a_version_put_into_staging_in_mlflow_goes_no_further_before_it_came_through_its_gate(world):
    put_into_staging(world, 1)
    with pytest.raises(RefusedError, match="directly in MLflow") as refusal:
        world.request(1, Stage.PRODUCTION)
    assert refusal.value.rule == "past_the_gate"
    assert AuditEntry.objects.get(refused=True).action == "request_transition"
    world.drive(world.approved(1, Stage.ARCHIVED))
    world.drive(world.approved(1, Stage.STAGING))
    world.drive(world.approved(1, Stage.PRODUCTION))
    assert world.weights() == {1: 100}


def test_a_version_new_to_the_mirror_in_staging_came_by_no_gate_either(world):
    world.pass_time(hours=1)
    made = world.registry.add_version(NAME, stage="Staging")
    mirror.full_pass(world.registry, world.now)
    ModelVersion.objects.filter(version=made.ref.version).update(stage_since=world.now)
    with pytest.raises(RefusedError, match="directly in MLflow"):
        world.request(made.ref.version, Stage.PRODUCTION)


def test_a_version_put_out_of_staging_and_back_after_the_last_yes_goes_no_further(world):
    world.drive(world.approved(1, Stage.STAGING))
    transition = world.approved(1, Stage.PRODUCTION)
    world.registry.set_stage(VersionRef(NAME, 1), "Archived")
    mirror.full_pass(world.registry, world.now)
    put_into_staging(world, 1)
    assert world.drive(transition).status == Status.FAILED
    assert "directly in MLflow" in transition.outcome


@pytest.mark.parametrize("how", ["turned back", "graceful rollback", "before any policy", "serves"])
def test_other_ways_into_staging_lead_on(world, how):
    world.in_production(1)
    world.drive(world.approved(2, Stage.STAGING))
    number = 2
    if how == "turned back":
        transition = world.approved(2, Stage.PRODUCTION)
        world.tick(transition, times=6)
        world.roll_back()
        assert world.drive(transition).status == Status.ROLLED_BACK
    elif how == "graceful rollback":
        world.drive(world.approved(2, Stage.PRODUCTION))
        world.drive(world.roll_back(emergency=False))
    elif how == "before any policy":
        put_into_staging(world, 3)
        Policy.objects.update(created_at=world.now + timedelta(seconds=1))
        number = 3
    else:
        put_into_staging(world, 1)
        number = 1
    assert world.version(number).stage == "Staging"
    assert world.request(number, Stage.PRODUCTION).status == Status.AWAITING_APPROVAL


# ---------------------------------------------------------------- files that are others by now


def read_as(world, number, digest):
    version = world.version(number)
    artifacts.note_digest(version, digest=digest * 64, listing=artifacts.listing_of(version), now=world.now)


@pytest.mark.parametrize("waived", [False, True])
def test_files_that_changed_in_staging_never_reach_production(world, waived):
    """Whatever the policy asks there, and whoever waives it: they came to Staging by no gate."""
    asked = [Criterion.SOAK] if waived else []
    ask(world, to_staging=[Criterion.ARTIFACT_SCAN], to_production=asked)
    read_as(world, 1, "a")
    report(world, 1, Criterion.ARTIFACT_SCAN, source=Source.CHECK)
    world.serving.digests[VersionRef(NAME, 1)] = "a" * 64
    world.drive(world.approved(1, Stage.STAGING))
    world.pass_time(hours=1)
    read_as(world, 1, "b")
    if waived:
        waive(world, 1, Criterion.SOAK)
        assert found(world, 1, Stage.PRODUCTION, Criterion.SOAK).without_waiver == State.MISSING
    with pytest.raises(RefusedError, match="changed since it came to Staging") as refusal:
        world.request(1, Stage.PRODUCTION)
    assert refusal.value.rule == "files_changed"
    read_as(world, 1, "a")
    if waived:
        waive(world, 1, Criterion.SOAK)
    assert world.request(1, Stage.PRODUCTION).status == Status.AWAITING_APPROVAL


def test_files_that_changed_in_staging_come_back_through_it(world):
    ask(world, to_staging=[Criterion.ARTIFACT_SCAN])
    for letter in "ab":
        read_as(world, 1, letter)
        world.serving.digests[VersionRef(NAME, 1)] = letter * 64
        report(world, 1, Criterion.ARTIFACT_SCAN, source=Source.CHECK)
        if letter == "b":
            world.drive(world.approved(1, Stage.ARCHIVED))
        world.drive(world.approved(1, Stage.STAGING))
        world.pass_time(hours=1)
    assert world.drive(world.approved(1, Stage.PRODUCTION)).status == Status.FINISHED


@pytest.mark.parametrize("moment", ["before the last yes", "after it"])
def test_a_yes_is_about_the_files_that_there_were(world, moment):
    """Also when the new ones have all the evidence that is asked for."""
    ask(world, to_staging=[Criterion.UNIT_TESTS], approvals_to_staging=["ml_engineer", "product_owner"])
    read_as(world, 2, "a")
    report(world, 2, Criterion.UNIT_TESTS)
    transition = world.approve(world.request(2, Stage.STAGING), "mia")
    if moment == "after it":
        world.approve(transition, "priya")
    world.pass_time(minutes=1)
    read_as(world, 2, "b")
    report(world, 2, Criterion.UNIT_TESTS)
    if moment == "after it":
        world.tick(transition, times=3)
        assert not world.serving.starts
    else:
        with pytest.raises(RefusedError, match="The model's files") as refusal:
            world.approve(transition, "priya")
        assert refusal.value.rule == "changed_since_shown"
    transition.refresh_from_db()
    assert transition.status == Status.AWAITING_APPROVAL
    assert all("The model's files" in each.void_reason for each in transition.approvals.all())
    world.serving.digests[SECOND] = "b" * 64
    assert world.drive(world.approve(transition, "mia", "priya")).status == Status.FINISHED


def test_a_version_whose_files_have_changed_can_be_archived(world):
    read_as(world, 1, "a")
    world.serving.digests[VersionRef(NAME, 1)] = "a" * 64
    world.drive(world.approved(1, Stage.STAGING))
    transition = world.request(1, Stage.ARCHIVED)
    world.pass_time(minutes=1)
    read_as(world, 1, "b")
    with pytest.raises(RefusedError, match="The model's files changed since then"):
        world.approve(transition, "mia")
    assert world.drive(world.approve(transition, "mia")).status == Status.FINISHED


# ---------------------------------------------------------------- approvals


def test_the_approvals_are_a_criterion_when_execution_begins(world):
    ask(world, to_production=[Criterion.APPROVALS])
    world.drive(world.approved(1, Stage.STAGING))
    transition = world.request(1, Stage.PRODUCTION)
    assert transition.gate[0]["state"] == "missing"
    world.approve(transition, "mia", "priya")
    given = found(world, 1, Stage.PRODUCTION, Criterion.APPROVALS, transition=transition)
    assert (given.state, given.measured) == (State.PASSED, "yes from mia and priya")
    assert world.drive(transition).status == Status.FINISHED


def test_without_the_approvals_nothing_begins(world):
    ask(world, to_production=[Criterion.APPROVALS])
    world.drive(world.approved(1, Stage.STAGING))
    transition = world.request(1, Stage.PRODUCTION)
    Transition.objects.filter(pk=transition.pk).update(status=Status.APPROVED)
    assert world.drive(transition).status == Status.FAILED
    assert "Waiting for a yes" in transition.outcome


def test_a_rollback_asks_no_gate(world):
    world.in_production(1)
    world.in_production(2)
    ask(world, to_staging=TO_STAGING, to_production=TO_PRODUCTION, to_archived=TO_ARCHIVED)
    world.drive(world.roll_back())
    assert world.weights() == {1: 100}


# ---------------------------------------------------------------- archiving

BOTH = [Criterion.REPLACED, Criterion.TIME_IN_PRODUCTION]


def test_a_replaced_version_is_archived_after_its_time_in_production(world):
    ask(world, to_archived=BOTH)
    world.in_production(1)
    world.in_production(2)
    world.pass_time(minutes=11)
    upkeep.retire_idle(now=world.now)
    with pytest.raises(RefusedError, match=r"Time in Production \(failed\): 29 d 23 h to go"):
        world.request(1, Stage.ARCHIVED)
    world.pass_time(days=30)
    transition = world.request(1, Stage.ARCHIVED)
    assert [each["state"] for each in transition.gate] == ["passed", "passed"]
    assert "1.1.0 serves in its place" in transition.gate[0]["measured"]


def test_a_version_that_was_rolled_back_is_archived_at_once(world):
    ask(world, to_archived=BOTH)
    world.in_production(1)
    world.in_production(2)
    world.drive(world.roll_back(emergency=False))
    transition = world.request(2, Stage.ARCHIVED)
    assert "rolled back: Errors went up." in transition.gate[0]["measured"]


def test_a_version_that_came_back_is_not_held_to_be_rolled_back_any_more(world):
    world.in_production(1)
    world.in_production(2)
    world.drive(world.roll_back(emergency=False))
    world.drive(world.approved(2, Stage.PRODUCTION))
    facts = gating.facts_of(world.version(2), Stage.ARCHIVED, Values(), world.now)
    assert (facts.rolled_back, facts.serves_production) == ("", True)


def test_a_version_that_never_left_staging_has_nothing_to_replace(world):
    ask(world, to_archived=BOTH)
    world.in_production(1)
    world.drive(world.approved(2, Stage.STAGING))
    assert world.request(2, Stage.ARCHIVED).gate[0]["measured"] == "not in Production: nothing to replace"


# ---------------------------------------------------------------- facts


def observe(world, number, since, until, requests, errors=0):
    version = world.version(number)
    Observation.objects.create(
        model=version.model, version=version, since=since, until=until, requests=requests, errors=errors
    )


def test_what_was_answered_counts_from_the_stay_in_staging_on(world):
    world.in_production(1)
    world.drive(world.approved(2, Stage.STAGING))
    start = world.version(2).stage_since
    hour = timedelta(hours=1)
    observe(world, 2, start - hour, start, 1000)
    observe(world, 2, start + hour, start + 2 * hour, 40, 1)
    observe(world, 2, start + 5 * hour, start + 6 * hour, 60, 2)
    observe(world, 2, start + 8 * hour, start + 9 * hour, 0)
    observe(world, 1, start + hour, start + 2 * hour, 900, 9)
    facts = gating.facts_of(world.version(2), Stage.PRODUCTION, Values(), start + 10 * hour)
    assert facts.staging_since == start
    assert facts.answered == Answered(100, 3, start + hour, start + 6 * hour)
    assert facts.stable_answered == Answered(900, 9, start + hour, start + 2 * hour)
    assert facts.production.label == "1.0.0"


def test_figures_that_no_database_can_hold_are_read_back(world):
    details = VersionDetails(metrics={"f1": float("nan"), "rmse": float("inf"), "auc": 0.9})
    world.registry.add_version(NAME, tags={"semantic_version": "1.3.0"}, details=details)
    mirror.full_pass(world.registry, world.now)
    mirror.refresh_version(world.registry, VersionRef(NAME, 4), world.now)
    benchmarks = found(world, 4, Stage.STAGING, Criterion.BENCHMARKS, policy=Values())
    assert (benchmarks.state, "not a number" in benchmarks.measured) == (State.FAILED, True)


def test_the_number_is_measured_against_the_version_before(world):
    signature = {"inputs": [{"name": "x", "type": "double"}], "outputs": [{"name": "y", "type": "double"}]}
    wider = {**signature, "inputs": [*signature["inputs"], {"name": "z", "type": "double", "required": False}]}
    for number, mine in (("1.3.0", signature), ("1.3.1", wider)):
        details = VersionDetails(signature=mine)
        world.registry.add_version(NAME, tags={"semantic_version": number}, details=details)
    mirror.full_pass(world.registry, world.now)
    mirror.fill_details(world.registry, 10, world.now)
    verdict = found(world, 5, Stage.STAGING, Criterion.SEMANTIC_VERSION, policy=Values())
    assert (verdict.state, verdict.wanted) == (State.FAILED, "at least 1.4.0 (MINOR above 1.3.0)")


def test_ten_evidence_a_criterion_and_origin_are_enough_and_queries_are_few(world, django_assert_max_num_queries):
    world.in_production(1)
    for passed in [False] * 40 + [True]:
        report(world, 2, Criterion.UNIT_TESTS, passed=passed)
    assert Evidence.objects.count() == 41
    with django_assert_max_num_queries(12):
        facts = gating.facts_of(world.version(2), Stage.STAGING, Values(), world.now)
    assert [each.passed for each in facts.evidence] == [True] + [False] * 9


def test_thousands_of_versions_make_no_more_queries(world, django_assert_max_num_queries):
    for number in range(300):
        world.registry.add_version(NAME, tags={"semantic_version": f"2.{number}.0"})
    mirror.full_pass(world.registry, world.now)
    with django_assert_max_num_queries(12):
        facts = gating.facts_of(world.version(303), Stage.STAGING, Values(), world.now)
    assert len(facts.others) == 302


def test_the_version_page_has_a_gate_for_every_next_stage(world):
    world.in_production(1)
    world.drive(world.approved(2, Stage.STAGING))
    page = queries.version_page(world.version(2), world.people["emil"], world.now)
    assert [gate.to_stage for gate in page.gates] == [Stage.PRODUCTION, Stage.ARCHIVED]
    ModelVersion.objects.filter(pk=world.version(2).pk).update(removed_at=world.now)
    assert queries.version_page(world.version(2), world.people["emil"], world.now).gates == ()


def test_a_waiting_change_is_shown_with_its_own_approvals(world):
    ask(world, to_production=[Criterion.APPROVALS])
    world.drive(world.approved(1, Stage.STAGING))
    transition = world.request(1, Stage.PRODUCTION)
    world.approve(transition, "mia")
    page = queries.version_page(world.version(1), world.people["priya"], world.now)
    assert page.gates[0].findings[0].measured == "yes from mia"
    world.approve(transition, "priya")
    world.drive(transition)
    assert queries.transition_page(transition, world.people["priya"], world.now).gate is None


def test_rejecting_needs_no_open_gate(world):
    ask(world, to_staging=[Criterion.UNIT_TESTS])
    report(world, 1, Criterion.UNIT_TESTS)
    transition = world.request(1, Stage.STAGING)
    report(world, 1, Criterion.UNIT_TESTS, passed=False)
    rejected = operations.reject(
        transition=transition, reason="The tests fail.", actor=world.people["mia"], now=world.now
    )
    assert rejected.status == Status.REJECTED
