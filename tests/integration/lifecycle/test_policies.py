"""Policies in force, on a real database: numbers, refusals, administrators at the same moment."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction

from lifecycle import mirror, operations, policies
from lifecycle.domain.permissions import STAGEGATE, Actor, Role
from lifecycle.domain.policy import PolicyError, ServiceLevels, WaiverRules, dump
from lifecycle.domain.stages import Stage
from lifecycle.models import AuditEntry, Policy, RegisteredModel, Status, Transition
from lifecycle.operations import PolicyRefusedError, RefusedError
from portal.accounts.models import RoleAssignment, User


def change(world, model=None, by="ada", reason="Agreed with the product owner.", expected=None, **values):
    base = policies.current_policy(model, world.now).values
    return operations.change_policy(
        model=model,
        values=replace(base, **values),
        reason=reason,
        actor=world.people[by],
        now=world.now,
        expected_number=expected,
    )


def withdraw(world, by="ada", reason="No longer needed.", expected=None):
    return operations.withdraw_policy(
        model=world.model, reason=reason, actor=world.people[by], now=world.now, expected_number=expected
    )


def give(name, *roles):
    """Somebody with these roles."""
    user, _ = User.objects.get_or_create(username=name)
    RoleAssignment.objects.filter(user=user).delete()
    RoleAssignment.objects.bulk_create(RoleAssignment(user=user, role=role) for role in roles)
    return user


def refused(call):
    with pytest.raises(RefusedError) as caught:
        call()
    return caught.value


# ---------------------------------------------------------------- what is in force


def test_a_change_is_a_new_number_and_leaves_the_old_one_as_it_was(world):
    first = policies.current_policy(None, world.now)
    body = dict(first.body)
    second = change(world, staging_weight=15)
    assert (second.number, second.model, second.created_by, second.values.staging_weight) == (2, None, "ada", 15)
    first.refresh_from_db()
    assert first.body == body
    assert policies.current_policy(world.model, world.now) == second


def test_a_change_applies_to_transitions_that_have_not_begun(world):
    begun = world.drive(world.approved(1, Stage.STAGING))
    waiting = world.request(2, Stage.STAGING)
    change(world, approvals_to_staging=(Role.PRODUCT_OWNER,))
    with pytest.raises(RefusedError, match="product owner"):
        world.approve(waiting, "mia")
    waiting.refresh_from_db()
    begun.refresh_from_db()
    assert (waiting.policy.number, begun.policy.number) == (2, 1)
    assert world.approve(waiting, "priya").status == Status.APPROVED


def test_a_models_own_policy_goes_before_that_of_all_models(world):
    world.registry.add_version("other")
    mirror.full_pass(world.registry, world.now)
    own = change(world, world.model, staging_weight=20)
    general = change(world, staging_weight=30)
    assert policies.current_policy(world.model, world.now) == own
    assert policies.current_policy(RegisteredModel.objects.get(name="other"), world.now) == general
    assert list(policies.own_policies()) == [own]
    assert policies.numbers_in_force(world.now) == {own.number, general.number}


def test_a_models_own_policy_can_be_withdrawn_and_come_back(world):
    own = change(world, world.model, staging_weight=20)
    gone = withdraw(world, expected=own.number)
    assert gone.withdrawn
    assert gone.body is None
    assert policies.current_policy(world.model, world.now).number == 1
    assert not policies.own_policies().exists()
    assert policies.numbers_in_force(world.now) == {1}
    entry = AuditEntry.objects.get(action="policy_withdrawn")
    assert (entry.model, entry.reason, entry.details["follows"]) == (
        "iris",
        "No longer needed.",
        "policy 1 of all models",
    )
    again = change(world, world.model, staging_weight=25)
    assert policies.current_policy(world.model, world.now) == again


def test_a_withdrawal_has_no_values(world):
    change(world, world.model, staging_weight=20)
    with pytest.raises(PolicyError):
        _ = withdraw(world).values


def test_there_is_nothing_to_withdraw_where_all_models_are_followed(world):
    assert refused(lambda: withdraw(world)).rule == "nothing_changed"
    change(world, world.model, staging_weight=20)
    withdraw(world)
    assert refused(lambda: withdraw(world)).rule == "nothing_changed"


def test_the_policy_of_all_models_cannot_be_withdrawn(world):
    with pytest.raises(IntegrityError), transaction.atomic():
        Policy.objects.create(number=9, body=None, reason="x", created_by="x", created_at=world.now)


def test_the_first_policy_is_the_strategys(db, world):
    Policy.objects.all().delete()
    assert change(world, staging_weight=15).number == 2
    assert [each.created_by for each in Policy.objects.all()] == ["ada", "Stagegate"]


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("name", ["priya", "emil", "mia", "aron"])
def test_only_an_administrator_changes_policies(world, name):
    assert refused(lambda: change(world, by=name, staging_weight=15)).rule == "role"
    assert refused(lambda: withdraw(world, by=name)).rule == "role"
    assert Policy.objects.count() == 1
    entries = AuditEntry.objects.filter(action="change_policy", refused=True, actor=name)
    assert [entry.reason for entry in entries] == ["No longer needed.", "Agreed with the product owner."]


@pytest.mark.parametrize("reason", ["", "  ", "x" * 2001])
def test_a_change_needs_a_reason(world, reason):
    assert refused(lambda: change(world, reason=reason, staging_weight=15)).rule == "reason"
    change(world, world.model, staging_weight=20)
    assert refused(lambda: withdraw(world, reason=reason)).rule == "reason"
    assert Policy.objects.count() == 2


def test_a_change_of_nothing_is_refused(world):
    assert "policy 1" in str(refused(lambda: change(world)))
    assert refused(lambda: change(world, world.model)).rule == "nothing_changed"
    assert Policy.objects.count() == 1


def test_the_record_tells_what_changed(world):
    change(world, staging_weight=15, warm_window=timedelta(hours=1))
    entry = AuditEntry.objects.get(action="policy_changed")
    assert (entry.actor, entry.reason, entry.refused) == ("ada", "Agreed with the product owner.", False)
    assert entry.details["policy"] == 2
    assert "Share of a version in Staging: 10 % → 15 %" in entry.details["changes"]
    assert "10 minutes → 1 hour" in entry.details["changes"]


def test_values_made_in_code_are_looked_at_too(world):
    error = refused(lambda: change(world, service_levels=ServiceLevels(latency_p50=timedelta(seconds=9))))
    assert isinstance(error, PolicyRefusedError)
    assert [problem.path for problem in error.problems] == [("service_levels", "latency_p95")]


def test_a_file_is_refused_with_its_lines(world):
    def put():
        operations.change_policy(
            model=None, values="soak: {}\nx: 1\n", reason="Try.", actor=world.people["ada"], now=world.now
        )

    error = refused(put)
    assert (error.rule, error.status) == ("policy_file", 422)
    assert [(problem.line, problem.column) for problem in error.problems] == [(2, 1)]
    assert AuditEntry.objects.get(refused=True).details["refusal"].startswith("Line 2, column 1")


# ---------------------------------------------------------------- policies that nobody could satisfy

PO, ML = Role.PRODUCT_OWNER, Role.ML_ENGINEER


@pytest.mark.parametrize(
    ("team", "required", "complaint"),
    [
        ({"priya": [PO], "emil": [ML], "mia": [ML]}, (PO, ML), ""),
        ({"priya": [PO], "emil": [ML]}, (PO, ML), "as ML engineer"),
        ({"emil": [ML], "mia": [ML]}, (PO, ML), "as product owner"),
        ({"priya": [PO]}, (PO,), "nobody could ask for Production"),
        ({"emil": [ML]}, (ML,), "as ML engineer"),
        ({"emil": [ML, PO]}, (PO,), "as product owner"),
        ({"emil": [ML], "mia": [ML, PO]}, (PO,), ""),
        ({"emil": [ML], "mia": [ML, PO]}, (PO, ML), "as ML engineer"),
        ({"emil": [ML], "mia": [ML, PO], "priya": [PO]}, (PO, ML), ""),
        ({"emil": [ML], "mia": [ML], "priya": [PO]}, (ML, ML), "as ML engineer"),
        ({"emil": [ML], "bot": [ML, PO, Role.SERVICE]}, (PO,), "as product owner"),
        ({"emil": [ML]}, (), ""),
        ({}, (), ""),
    ],
)
def test_somebody_has_to_be_there_for_every_approval(world, team, required, complaint):
    User.objects.exclude(username="ada").update(is_active=False)
    for name, roles in team.items():
        give(name, *roles)
        User.objects.filter(username=name).update(is_active=True)
    asked = {"approvals_to_staging": (), "approvals_to_archived": (), "approvals_to_production": required}

    def put():
        change(world, **asked, waivers=WaiverRules(roles=()), staging_weight=15)

    if not complaint:
        put()
        return
    error = refused(put)
    assert (error.rule, error.status) == ("nobody_could", 422)
    assert complaint in str(error)
    assert [problem.path for problem in error.problems] == [("approvals_to_production",)]
    assert Policy.objects.count() == 1


def test_somebody_who_left_counts_no_longer(world):
    User.objects.filter(username="priya").update(is_active=False)
    error = refused(lambda: change(world, staging_weight=15))
    assert {problem.path for problem in error.problems} == {("approvals_to_production",), ("waivers", "roles")}


def test_a_role_that_waives_has_to_be_somebodys(world):
    RoleAssignment.objects.filter(role=Role.PRODUCT_OWNER).delete()
    only_engineers = {"approvals_to_production": (ML,)}
    assert [problem.path for problem in refused(lambda: change(world, **only_engineers)).problems] == [
        ("waivers", "roles")
    ]
    change(world, **only_engineers, waivers=WaiverRules(roles=(PO, ML)))
    change(world, **only_engineers, waivers=WaiverRules(roles=()))


def test_a_problem_with_people_is_pointed_at_in_the_file(world):
    RoleAssignment.objects.filter(role=Role.PRODUCT_OWNER).delete()
    preview = operations.preview_policy(
        model=None, source="waivers:\n  roles: []\napprovals_to_production: [product_owner]", now=world.now
    )
    assert [(problem.line, problem.column) for problem in preview.problems] == [(3, 1)]


def test_nobody_waits_for_a_yes_that_nobody_can_give(world):
    RoleAssignment.objects.filter(role=Role.PRODUCT_OWNER).delete()
    give("emil", ML, PO)
    world.people["emil"] = replace(world.people["emil"], roles=frozenset({ML, PO}))
    world.drive(world.approved(1, Stage.STAGING))
    error = refused(lambda: world.request(1, Stage.PRODUCTION))
    assert (error.rule, error.status) == ("no_eligible_approver", 409)
    assert "Nobody else could say yes as product owner" in str(error)
    assert AuditEntry.objects.filter(action="request_transition", refused=True).count() == 1
    assert Transition.objects.count() == 1
    give("priya", PO)
    world.request(1, Stage.PRODUCTION)


def test_the_gap_is_what_the_others_cannot_fill(world):
    values = policies.current_policy(None, world.now).values
    gap = {
        name: policies.approval_gap(values, Stage.PRODUCTION, each, world.model) for name, each in world.people.items()
    }
    assert gap == {"priya": (PO,), "emil": (), "mia": (), "aron": (), "ada": ()}
    assert policies.approval_gap(values, Stage.DEVELOPMENT, STAGEGATE, world.model) == ()


# ---------------------------------------------------------------- two administrators


def test_whoever_comes_second_is_told_who_was_first(world):
    give("otto", Role.ADMINISTRATOR)
    world.people["otto"] = Actor("Otto", User.objects.get(username="otto").pk, frozenset({Role.ADMINISTRATOR}))
    change(world, by="otto", reason="Slower.", expected=1, staging_weight=5)
    error = refused(lambda: change(world, expected=1, staging_weight=15))
    assert error.rule == "changed_meanwhile"
    assert "Otto has put policy 2 in force meanwhile (“Slower.”)" in str(error)
    assert change(world, expected=2, staging_weight=15).number == 3


def test_a_withdrawal_is_refused_when_the_policy_changed_meanwhile(world):
    change(world, world.model, staging_weight=20)
    change(world, world.model, staging_weight=21)
    assert refused(lambda: withdraw(world, expected=2)).rule == "changed_meanwhile"
    assert withdraw(world, expected=3).number == 4


def at_once(calls):
    def run(call):
        try:
            return call()
        except RefusedError as refusal:
            return refusal
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=len(calls)) as pool:
        return list(pool.map(run, calls))


@pytest.mark.django_db(transaction=True)
def test_ten_changes_at_once_get_ten_numbers_or_are_told(world):
    results = at_once([lambda weight=weight: change(world, staging_weight=20 + weight) for weight in range(10)])
    made = [result for result in results if isinstance(result, Policy)]
    assert {result.rule for result in results if isinstance(result, RefusedError)} <= {"changed_meanwhile"}
    assert len(made) >= 1
    assert sorted(Policy.objects.values_list("number", flat=True)) == list(range(1, len(made) + 2))
    assert AuditEntry.objects.filter(action="policy_changed").count() == len(made)


@pytest.mark.django_db(transaction=True)
def test_of_ten_changes_of_the_same_policy_one_is_made(world):
    results = at_once([lambda w=w: change(world, expected=1, staging_weight=20 + w) for w in range(10)])
    assert sum(isinstance(result, Policy) for result in results) == 1
    assert {result.rule for result in results if isinstance(result, RefusedError)} == {"changed_meanwhile"}
    assert Policy.objects.count() == 2


@pytest.mark.parametrize("expected", [None, 1])
def test_when_the_number_is_taken_the_policy_in_force_is_looked_at_again(world, monkeypatch, expected):
    """As on PostgreSQL, where another's row shows only once one's own insert has failed."""
    module = import_module("lifecycle.operations.policies")
    create, current, tried = module._create, module.current_policy, []

    def fails_first(*args):
        tried.append(args)
        if len(tried) == 1:
            raise IntegrityError("number")
        return create(*args)

    def sees_the_other_then(*args):
        if len(tried) == 1 and Policy.objects.count() == 1:
            values = replace(current(*args).values, staging_weight=16)
            Policy.objects.create(number=2, body=dump(values), reason="First.", created_by="otto", created_at=world.now)
        return current(*args)

    monkeypatch.setattr(module, "_create", fails_first)
    monkeypatch.setattr(module, "current_policy", sees_the_other_then)
    if expected is None:
        assert change(world, staging_weight=15).number == 3
    else:
        assert "otto has put policy 2" in str(refused(lambda: change(world, staging_weight=15, expected=expected)))


def test_a_number_that_is_always_taken_is_given_up(world, monkeypatch):
    def fails(*args):
        raise IntegrityError("number")

    monkeypatch.setattr(import_module("lifecycle.operations.policies"), "_create", fails)
    assert refused(lambda: change(world, staging_weight=15)).rule == "changed_meanwhile"


# ---------------------------------------------------------------- pages' values and old rows


def test_a_policy_knows_what_was_before_and_after_it(world):
    change(world, staging_weight=15)
    own = change(world, world.model, staging_weight=20)
    gone = withdraw(world)
    again = change(world, world.model, staging_weight=25)
    first, second, third, fourth, fifth = (
        policies.policy_page(policy) for policy in Policy.objects.order_by("number").select_related("model")
    )
    assert (first.before, first.after.number, first.changes, first.in_force) == (None, 2, (), False)
    assert (second.before.number, second.after, second.in_force) == (1, None, True)
    assert [each.after for each in second.changes] == ["15 %"]
    assert (third.policy, third.before.number, third.after, third.in_force) == (own, 2, gone, False)
    assert (fourth.follows.number, fourth.before, fourth.sections, fourth.in_force) == (2, own, (), False)
    assert [each.after for each in fourth.changes] == ["15 %"]
    assert (fifth.policy, fifth.before.number, fifth.in_force) == (again, 2, True)


def test_a_policy_counts_its_transitions(world):
    world.request(1, Stage.STAGING)
    change(world, staging_weight=15)
    counts = [policies.policy_page(policy).transitions for policy in Policy.objects.order_by("number")]
    assert counts == [1, 0]


def test_policies_of_before_the_groups_are_moved(world):
    row = Policy.objects.get()
    Policy.objects.update(body={"production_retention": 1800, "warm_window": 600})
    migration = import_module("lifecycle.migrations.0004_policies_in_groups")
    migration.into_group(apps, None)
    row.refresh_from_db()
    assert row.values.retention.production == timedelta(minutes=30)
    assert row.values.warm_window == timedelta(minutes=10)
