"""Reporting evidence and waiving criteria: who may, what is refused, and what is left behind."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection

from lifecycle import evidence, operations
from lifecycle.domain.criteria import Criterion
from lifecycle.domain.permissions import STAGEGATE, Action, Actor, Role
from lifecycle.domain.policy import Policy as PolicyValues
from lifecycle.domain.policy import dump
from lifecycle.domain.stages import Stage
from lifecycle.models import AuditEntry, Evidence, ModelVersion, Policy, Waiver
from lifecycle.operations import RefusedError
from lifecycle.operations.evidence import FROM_OUTSIDE

CI = Actor("ci", 99, frozenset({Role.SERVICE}), "token:nightly", scopes=frozenset({Action.RECORD_EVIDENCE}))
LINK = "https://ci.example/runs/1"


@pytest.fixture
def strategy(world):
    """The lifecycle strategy's own policy: it asks for every criterion."""
    Policy.objects.update(body=dump(PolicyValues()))
    return world


def report(world, by=CI, number=1, **values):
    given = {"criterion": Criterion.UNIT_TESTS, "passed": True, "url": LINK, **values}
    return operations.record_evidence(version=world.version(number), actor=by, now=world.now, **given)


def waive(world, by="priya", number=1, days=7, **values):
    actor = world.people[by] if isinstance(by, str) else by
    given = {"criterion": Criterion.UNIT_TESTS, "reason": "The tests need a licence.", **values}
    given.setdefault("expires_at", world.now + timedelta(days=days))
    return operations.grant_waiver(version=world.version(number), actor=actor, now=world.now, **given)


def refusals():
    return list(AuditEntry.objects.filter(refused=True).values_list("action", "actor"))


def gone(world):
    ModelVersion.objects.filter(version=1).update(removed_at=world.now)


def archived(world):
    ModelVersion.objects.filter(version=1).update(stage="Archived")


def badly_named(world):
    world.model.__class__.objects.update(exact_name=False)


READ_ONLY = [(gone, "version_removed"), (archived, "archived_read_only"), (badly_named, "model_name")]

# ---------------------------------------------------------------- reporting


def test_ci_reports_with_its_token(world):
    row = report(world, value=312.0, unit="tests", detail="All of them.")
    assert (row.origin, row.recorded_by, row.recorded_by_id) == ("ci", "ci", 99)
    assert (row.value, row.unit, row.url, row.detail) == (312.0, "tests", LINK, "All of them.")
    assert (row.run_id, row.source) == (world.version(1).run_id, world.version(1).source)
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.signed_in_by, entry.version) == ("evidence_recorded", "token:nightly", 1)


def test_ci_needs_nothing_but_the_outcome(world):
    assert not report(world, url="", passed=False).passed


@pytest.mark.parametrize("name", ["priya", "emil", "mia"])
def test_people_report_with_a_link_or_a_note(world, name):
    assert report(world, world.people[name]).origin == "person"
    assert report(world, world.people[name], url="", detail="I ran them.").origin == "person"
    with pytest.raises(RefusedError, match="link or a note"):
        report(world, world.people[name], url="", detail="  ")


@pytest.mark.parametrize("name", ["aron", "ada"])
def test_auditors_and_administrators_report_nothing(world, name):
    with pytest.raises(RefusedError, match="you need the role") as refusal:
        report(world, world.people[name])
    assert (refusal.value.status, refusals()) == (403, [("record_evidence", name)])


@pytest.mark.parametrize("scopes", [frozenset(), frozenset({Action.START_CHECK})])
def test_a_token_without_the_scope_reports_nothing(world, scopes):
    with pytest.raises(RefusedError, match="not among its scopes"):
        report(world, replace(CI, scopes=scopes))
    assert not Evidence.objects.exists()


@pytest.mark.parametrize("name", ["CI", "mia"])
def test_drift_is_never_negative(world, name):
    with pytest.raises(RefusedError, match="0 or more") as refusal:
        report(world, CI if name == "CI" else world.people[name], criterion=Criterion.DRIFT, value=-0.001)
    assert (refusal.value.rule, refusal.value.status, Evidence.objects.count()) == ("value", 422, 0)


@pytest.mark.parametrize("criterion", Criterion)
def test_only_what_comes_from_outside_is_taken(world, criterion):
    if criterion in FROM_OUTSIDE:
        assert report(world, criterion=criterion, value=0.1).criterion == criterion
        return
    with pytest.raises(RefusedError, match=r"Stagegate (measures|reads) this itself") as refusal:
        report(world, criterion=criterion)
    assert "unit_tests, integration_tests, code_review, drift, security_scan" in str(refusal.value)
    assert not Evidence.objects.exists()


def test_drift_is_a_score_from_ci_and_an_explanation_from_a_person(world):
    with pytest.raises(RefusedError, match="score"):
        report(world, criterion=Criterion.DRIFT)
    assert report(world, criterion=Criterion.DRIFT, value=0.4).value == 0.4
    words = {"url": "", "detail": "The spring collection: prices rose by a tenth."}
    assert report(world, world.people["mia"], criterion=Criterion.DRIFT, **words).value is None


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "ftp://ci.example/1",
        "//ci.example/1",
        "https://",
        "https:///runs",
        "ci.example/1",
        "https://ci.example/a b",
        "https://ci.example/\u202egnp",
        "https://ci.example/\0",
        "https://[::1/x",
        "https://someone:secret@ci.example/1",
        "https://token@ci.example/1",
        "https://ci.example/" + "x" * 2000,
    ],
)
def test_a_link_that_nobody_should_click_is_refused(world, url):
    with pytest.raises(RefusedError) as refusal:
        report(world, url=url)
    assert (refusal.value.rule, refusal.value.status, Evidence.objects.count()) == ("url", 422, 0)
    assert url not in str(list(AuditEntry.objects.values()))


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"value": float("nan")}, "value"),
        ({"value": float("inf")}, "value"),
        ({"value": float("-inf")}, "value"),
        ({"detail": "x" * 5001}, "detail"),
        ({"unit": "x" * 41}, "unit"),
    ],
)
def test_values_out_of_bounds_are_refused(world, values, rule):
    with pytest.raises(RefusedError) as refusal:
        report(world, **values)
    assert (refusal.value.rule, Evidence.objects.count()) == (rule, 0)


@pytest.mark.parametrize(("change", "rule"), READ_ONLY)
def test_nothing_is_reported_on_what_is_read_only(world, change, rule):
    change(world)
    with pytest.raises(RefusedError) as refusal:
        report(world)
    assert (refusal.value.rule, Evidence.objects.count()) == (rule, 0)


# ---------------------------------------------------------------- sent again


def test_a_report_that_is_sent_again_changes_nothing(world):
    first = report(world)
    world.pass_time(minutes=10)
    assert report(world).pk == first.pk
    assert AuditEntry.objects.count() == 1


@pytest.mark.parametrize(
    "other",
    [
        {"passed": False},
        {"value": 1.0},
        {"unit": "tests"},
        {"url": LINK + "2"},
        {"detail": "Again."},
        {"by": replace(CI, user_id=98)},
        {"by": Actor("ci", 99, frozenset({Role.ML_ENGINEER}))},
        {"number": 2},
        {"criterion": Criterion.INTEGRATION_TESTS},
    ],
)
def test_a_report_that_says_something_else_is_another(world, other):
    first = report(world)
    assert report(world, **other).pk != first.pk


def test_after_ten_minutes_it_is_another(world):
    first = report(world)
    world.pass_time(minutes=10, seconds=1)
    assert report(world).pk != first.pk


def test_passed_after_failed_counts_although_it_was_said_before(world):
    first = report(world)
    world.pass_time(minutes=1)
    report(world, passed=False)
    world.pass_time(minutes=1)
    assert report(world).pk != first.pk
    assert Evidence.objects.first().passed


@pytest.mark.parametrize(
    "change",
    [
        {"artifact_digest": "d" * 64},
        {"run_id": "another"},
        {"source": "elsewhere"},
        {"tags": {"semantic_version": "9.9.9"}},
    ],
)
def test_another_artifact_needs_another_report(world, change):
    first = report(world)
    ModelVersion.objects.filter(version=1).update(**change)
    again = report(world)
    assert again.pk != first.pk
    assert evidence.why_stale(again, world.version(1), PolicyValues(), world.now) == ""
    assert evidence.why_stale(first, world.version(1), PolicyValues(), world.now)


@pytest.mark.django_db(transaction=True)
def test_one_report_sent_many_times_at_once_is_one(world):
    def send():
        try:
            return report(world).pk
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=12) as pool:
        rows = list(pool.map(lambda _: send(), range(12)))
    assert len(set(rows)) == 1
    assert (Evidence.objects.count(), AuditEntry.objects.count()) == (1, 1)


# ---------------------------------------------------------------- waiving


def test_a_product_owner_waives(strategy):
    row = waive(strategy)
    assert (row.granted_by, row.expires_at) == ("priya", strategy.now + timedelta(days=7))
    assert row.run_id == strategy.version(1).run_id
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.actor, entry.reason) == ("waiver_granted", "priya", "The tests need a licence.")
    assert (entry.details["criterion"], entry.details["policy"]) == ("unit_tests", 1)


@pytest.mark.parametrize("name", ["emil", "mia", "aron", "ada"])
def test_nobody_else_does_unless_the_policy_names_them(strategy, name):
    with pytest.raises(RefusedError) as refusal:
        waive(strategy, name)
    assert (refusal.value.rule, refusal.value.status) == ("role", 403)
    assert (refusals(), Waiver.objects.count()) == ([("grant_waiver", name)], 0)


def test_the_policy_names_who_may(strategy):
    Policy.objects.update(body={**dump(PolicyValues()), "waivers": {"roles": ["administrator"]}})
    waive(strategy, "ada")
    with pytest.raises(RefusedError, match="administrator"):
        waive(strategy, "priya")


def test_a_token_and_stagegate_itself_waive_nothing(strategy):
    token = replace(strategy.people["priya"], scopes=frozenset(Action))
    for actor in (token, STAGEGATE):
        with pytest.raises(RefusedError):
            waive(strategy, actor)
    assert not Waiver.objects.exists()


@pytest.mark.parametrize("criterion", Criterion)
def test_what_the_policy_never_lets_pass_is_not_waived(strategy, criterion):
    if criterion not in PolicyValues().waivers.never:
        assert waive(strategy, criterion=criterion).criterion == criterion
        return
    with pytest.raises(RefusedError, match="lets nobody waive"):
        waive(strategy, criterion=criterion)


def test_what_no_gate_asks_for_is_not_waived(world):
    with pytest.raises(RefusedError, match="does not ask for it"):
        waive(world)


@pytest.mark.parametrize("length", [timedelta(seconds=1), timedelta(days=30)])
def test_a_waiver_lasts_up_to_the_policys_longest(strategy, length):
    assert waive(strategy, expires_at=strategy.now + length).expires_at == strategy.now + length


@pytest.mark.parametrize("length", [timedelta(seconds=-1), timedelta(0), timedelta(days=30, seconds=1)])
def test_a_waiver_neither_ends_at_once_nor_lasts_longer(strategy, length):
    with pytest.raises(RefusedError, match="at most 30 days"):
        waive(strategy, expires_at=strategy.now + length)
    assert not Waiver.objects.exists()


@pytest.mark.parametrize("reason", ["", " ", "x" * 2001])
def test_a_waiver_has_a_reason(strategy, reason):
    with pytest.raises(RefusedError) as refusal:
        waive(strategy, reason=reason)
    assert (refusal.value.rule, Waiver.objects.count()) == ("reason", 0)


@pytest.mark.parametrize(("change", "rule"), READ_ONLY)
def test_nothing_is_waived_for_what_is_read_only(strategy, change, rule):
    change(strategy)
    with pytest.raises(RefusedError) as refusal:
        waive(strategy)
    assert refusal.value.rule == rule


def test_who_asked_for_the_change_does_not_waive_for_it(world):
    world.request(1, Stage.STAGING)
    Policy.objects.update(body=dump(PolicyValues()))
    emil = world.people["emil"]
    both = replace(emil, roles=emil.roles | {Role.PRODUCT_OWNER})
    with pytest.raises(RefusedError, match="somebody else") as refusal:
        waive(world, both)
    assert refusal.value.rule == "own_request"
    waive(world, both, number=2)
    waive(world, "priya")


def test_a_second_click_waives_nothing_twice_a_longer_one_does(strategy):
    waive(strategy, days=7)
    for days in (7, 6):
        with pytest.raises(RefusedError, match="already"):
            waive(strategy, days=days)
    waive(strategy, days=8)
    ModelVersion.objects.filter(version=1).update(artifact_digest="d" * 64)
    waive(strategy, days=6)
    assert Waiver.objects.count() == 3


def test_a_waiver_is_revoked_once_and_kept(strategy):
    row = waive(strategy)
    ended = operations.revoke_waiver(
        waiver=row, reason="The licence came.", actor=strategy.people["priya"], now=strategy.now
    )
    assert (ended.revoked_at, ended.revoked_by, ended.revoked_reason) == (strategy.now, "priya", "The licence came.")
    assert AuditEntry.objects.get(action="waiver_revoked").reason == "The licence came."
    with pytest.raises(RefusedError, match="ended already"):
        operations.revoke_waiver(waiver=row, reason="Again.", actor=strategy.people["priya"], now=strategy.now)
    waive(strategy)


@pytest.mark.parametrize(("name", "reason"), [("aron", "x"), ("priya", " ")])
def test_a_waiver_is_not_revoked_without_role_or_reason(strategy, name, reason):
    row = waive(strategy)
    with pytest.raises(RefusedError):
        operations.revoke_waiver(waiver=row, reason=reason, actor=strategy.people[name], now=strategy.now)
    assert Waiver.objects.get().revoked_at is None


def test_an_expired_waiver_is_not_revoked(strategy):
    row = waive(strategy)
    strategy.pass_time(days=7)
    with pytest.raises(RefusedError, match="ended already"):
        operations.revoke_waiver(waiver=row, reason="x", actor=strategy.people["priya"], now=strategy.now)
