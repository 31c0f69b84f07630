"""What a yes is bound to, how long it stands, and what lets a transition go on without it."""

from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest

from lifecycle import engine, operations, queries, upkeep
from lifecycle.approvals import still_missing
from lifecycle.domain.permissions import Role
from lifecycle.domain.stages import Stage
from lifecycle.models import AuditEntry, FreezeWindow, Policy, Status, Transition, Variant, VariantRole
from lifecycle.operations import FreezeRefusedError, RefusedError
from portal.accounts.models import Identity, RoleAssignment, User
from tests.support.served import staged
from tests.support.world import POLICY

ML, PO = Role.ML_ENGINEER, Role.PRODUCT_OWNER
local = datetime.fromisoformat
AWAITING, APPROVED = Status.AWAITING_APPROVAL, Status.APPROVED


def does(world, operation, transition, by="mia", reason="So be it.", **about):
    return operation(transition=transition, reason=reason, actor=world.people[by], now=world.now, **about)


def put_in_force(world, **values):
    body = {**Policy.objects.first().body, **values}
    common = {"reason": "test", "created_by": "test", "created_at": world.now}
    return Policy.objects.create(number=Policy.objects.first().number + 1, body=body, **common)


@contextmanager
def refused(rule):
    """The refusal has this rule, and is in the record."""
    before = AuditEntry.objects.filter(refused=True).count()
    with pytest.raises(RefusedError) as refusal:
        yield
    assert refusal.value.rule == rule
    assert AuditEntry.objects.filter(refused=True).count() == before + 1


def actions(transition):
    entries = AuditEntry.objects.filter(transition=transition.pk, refused=False).order_by("seq")
    return list(entries.values_list("action", flat=True))


# ---------------------------------------------------------------- bound to what was shown


def test_a_yes_names_what_it_is_bound_to_and_how_the_person_signed_in(world):
    transition = does(world, operations.approve, world.request(1, Stage.STAGING))
    (given,) = transition.approvals.all()
    assert given.digest == transition.digest != ""
    assert (given.signed_in_by, given.expires_at) == ("password", world.now + timedelta(days=7))
    entry = AuditEntry.objects.get(action="transition_approved")
    assert (entry.evidence_digest, entry.policy) == (transition.digest, 1)
    assert transition.shown["policy"] == 1


def test_a_yes_to_what_is_not_there_any_more_is_refused_and_says_what_changed(world):
    staged(world)
    transition = does(world, operations.approve, world.request(2, Stage.PRODUCTION))
    seen = transition.digest
    put_in_force(world, canary_steps=[{"weight": 50, "minimum": 10}, {"weight": 100, "minimum": 0}])
    with refused("changed_since_shown"):
        does(world, operations.approve, transition, by="priya", seen=seen)
    transition.refresh_from_db()
    (void,) = transition.approvals.all()
    assert void.void_reason == "The policy (number 1 then, 2 now) and the way requests move changed since then."
    assert (transition.status, still_missing(transition)) == (AWAITING, (PO, ML))
    assert [step["weight"] for step in transition.steps] == [50, 100]
    does(world, operations.approve, transition, by="priya", seen=transition.digest)
    assert does(world, operations.approve, transition, seen=transition.digest).status == APPROVED
    assert actions(transition).count("approval_voided") == 1


def test_the_passing_of_time_changes_nothing_until_a_yes_expires(world):
    transition = does(world, operations.approve, world.request(1, Stage.STAGING))
    FreezeWindow.objects.create(
        name="Year's end", zone="UTC", starts="2026-03-01T00:00", ends="2026-03-20T00:00", created_at=world.now
    )
    world.pass_time(days=6, hours=23)
    assert upkeep.renew_approvals(now=world.now) == 0
    world.pass_time(hours=1)
    assert upkeep.renew_approvals(now=world.now) == 1
    transition.refresh_from_db()
    assert (transition.status, transition.approvals.get().void_reason) == (AWAITING, "It has expired.")
    assert upkeep.renew_approvals(now=world.now) == 0
    assert does(world, operations.approve, transition).status == APPROVED


def test_a_bypass_is_over_when_what_it_was_about_changes(world):
    transition = does(world, operations.bypass, world.request(1, Stage.STAGING), by="ada")
    put_in_force(world, warm_window=60)
    world.tick(transition)
    assert (transition.status, transition.bypassed_at) == (AWAITING, None)
    assert "bypass_voided" in actions(transition)


def test_a_policy_that_asks_nobody_lets_go_on_what_waits(world):
    transition = world.request(1, Stage.STAGING)
    put_in_force(world, approvals_to_staging=[])
    assert upkeep.renew_approvals(now=world.now) == 1
    assert world.drive(transition).status == Status.FINISHED


# ---------------------------------------------------------------- taking back


def test_a_yes_can_be_taken_back_until_execution_begins(world):
    transition = does(world, operations.approve, world.request(1, Stage.STAGING))
    with refused("no_approval"):
        does(world, operations.take_back, transition, by="priya")
    assert does(world, operations.take_back, transition).status == AWAITING
    assert still_missing(transition) == (ML,)
    world.tick(transition, times=3)
    assert transition.status == AWAITING
    does(world, operations.approve, transition)
    world.tick(transition)
    assert transition.checked_at is not None
    with refused("already_started"):
        does(world, operations.take_back, transition)
    assert actions(transition).count("approval_taken_back") == 1


def test_who_had_claimed_it_meanwhile_moves_nothing(world, monkeypatch):
    """The executor has looked and found all approvals; they are taken back before it writes down that it begins."""
    transition = does(world, operations.approve, world.request(1, Stage.STAGING))
    look = engine._look_at_gate

    def slow(claim, now):
        found = look(claim, now)
        does(world, operations.take_back, Transition.objects.get(pk=transition.pk))
        return found

    monkeypatch.setattr(engine, "_look_at_gate", slow)
    world.tick(transition)
    assert (transition.status, transition.checked_at, dict(world.serving.starts)) == (AWAITING, None, {})


# ---------------------------------------------------------------- who it is


def test_a_yes_to_production_takes_somebody_who_has_lately_signed_in(world):
    staged(world)
    transition = world.request(2, Stage.PRODUCTION)
    for confirmed_at in (None, world.now - timedelta(minutes=15, seconds=1)):
        world.people["mia"] = replace(world.people["mia"], confirmed_at=confirmed_at)
        with refused("confirm_again"):
            does(world, operations.approve, transition)
    world.people["mia"] = replace(world.people["mia"], confirmed_at=world.now - timedelta(minutes=15))
    does(world, operations.approve, transition)
    assert transition.approvals.get().confirmed_at == world.now - timedelta(minutes=15)


def test_a_shared_account_neither_asks_nor_decides_but_rolls_back(world):
    staged(world)
    User.objects.filter(username="mia").update(is_shared=True)
    RoleAssignment.objects.create(user=User.objects.create_user("noor"), role=ML)
    world.people["mia"] = replace(world.people["mia"], shared=True)
    with refused("shared_account"):
        world.request(2, Stage.PRODUCTION, by="mia")
    transition = world.request(3, Stage.STAGING)
    with refused("approver"):
        does(world, operations.approve, transition)
    with refused("shared_account"):
        does(world, operations.bypass, transition)
    does(world, operations.cancel, transition, by="emil")
    assert world.version(2).domain_stage == Stage.STAGING
    operations.withdraw(version=world.version(2), reason="Errors.", actor=world.people["mia"], now=world.now)


# ---------------------------------------------------------------- bypass


def test_a_bypass_goes_on_at_once_and_is_listed_until_somebody_else_has_reviewed_it(world):
    put_in_force(world, criteria={**POLICY["criteria"], "to_staging": ["approvals"]})
    transition = world.request(1, Stage.STAGING)
    with refused("reason"):
        does(world, operations.bypass, transition, by="ada", reason=" ")
    with refused("role"):
        does(world, operations.bypass, transition, by="priya")
    does(world, operations.bypass, transition, by="ada", reason="Fraud runs through the old one.")
    transition = world.drive(transition)
    assert (transition.status, transition.bypass_missing) == (Status.FINISHED, ["ML engineer"])
    assert list(queries.bypasses_to_review()) == [transition]
    for name in ("ada", "emil"):
        with pytest.raises(RefusedError):
            does(world, operations.review_bypass, transition, by=name)
    does(world, operations.review_bypass, transition, by="aron", reason="It was right.")
    with refused("already_reviewed"):
        does(world, operations.review_bypass, transition, by="priya")
    assert not queries.bypasses_to_review()
    assert {"approvals_bypassed", "bypass_reviewed"} <= set(actions(transition))


def test_a_bypass_does_not_open_a_gate_and_a_policy_can_forbid_it(world):
    put_in_force(world, criteria={**POLICY["criteria"], "to_staging": []})
    transition = world.request(1, Stage.STAGING)
    put_in_force(world, criteria={**POLICY["criteria"], "to_staging": ["unit_tests"]})
    with refused("gate_closed"):
        does(world, operations.bypass, transition, by="ada")
    put_in_force(world, approval={"bypass": []})
    upkeep.renew_approvals(now=world.now)
    with refused("no_bypass"):
        does(world, operations.bypass, transition, by="ada")


# ---------------------------------------------------------------- freezes


def plan(world, by="ada", **about):
    window = {
        "name": "Quarter's end",
        "starts": local("2026-03-01T09:30"),
        "ends": local("2026-03-01T12:00"),
        "zone": "Europe/Berlin",
        "reason": "The books are closed.",
    }
    return operations.plan_freeze(**{**window, **about}, actor=world.people[by], now=world.now)


def test_a_freeze_holds_what_is_approved_until_it_ends(world):
    """09:00 UTC is 10:00 in Berlin, where the freeze ends at noon."""
    freeze = plan(world)
    transition = does(world, operations.approve, world.request(1, Stage.STAGING))
    world.tick(transition, times=5)
    assert (transition.status, transition.checked_at, dict(world.serving.starts)) == (APPROVED, None, {})
    assert transition.waiting_for == "The freeze “Quarter's end” holds it: The books are closed."
    assert transition.waiting_until == world.now.replace(hour=11, minute=0, second=0, microsecond=0)
    assert actions(transition).count("held_by_freeze") == 1
    assert queries.freeze_of(transition, world.now).row == freeze
    world.now = transition.waiting_until
    assert world.drive(transition).status == Status.FINISHED


def test_an_administrator_overrides_a_freeze_with_a_reason(world):
    plan(world, model=world.model)
    transition = does(world, operations.approve, world.request(1, Stage.STAGING))
    world.tick(transition)
    with refused("role"):
        does(world, operations.override_freeze, transition, by="mia")
    does(world, operations.override_freeze, transition, by="ada", reason="It cannot wait.")
    assert world.drive(transition).status == Status.FINISHED
    assert actions(transition).count("freeze_overridden") == 1


def test_without_a_freeze_there_is_nothing_to_override(world):
    plan(world, starts=local("2026-03-02T09:00"), ends=local("2026-03-02T12:00"))
    with refused("not_frozen"):
        does(world, operations.override_freeze, world.request(1, Stage.STAGING), by="ada")


def test_what_was_held_goes_on_when_the_freeze_is_removed(world):
    freeze = plan(world)
    transition = does(world, operations.approve, world.request(1, Stage.STAGING))
    world.tick(transition)
    held = {"freeze": freeze, "reason": "Closed early.", "now": world.now}
    with refused("role"):
        operations.remove_freeze(**held, actor=world.people["mia"])
    operations.remove_freeze(**held, actor=world.people["priya"])
    transition.refresh_from_db()
    assert transition.due_at == world.now
    assert world.drive(transition).status == Status.FINISHED
    with refused("already_removed"):
        operations.remove_freeze(**held, actor=world.people["priya"])


def test_a_rollback_is_never_held(world):
    world.in_production(1)
    world.in_production(2)
    plan(world, starts=local("2026-03-01T00:00"), ends=local("2026-04-01T00:00"))
    assert world.drive(world.roll_back()).status == Status.FINISHED
    assert world.weights() == {1: 100}


@pytest.mark.parametrize(
    ("about", "field"),
    [
        ({"name": " "}, "name"),
        ({"zone": "Mars/Olympus"}, "zone"),
        ({"ends": local("2026-03-01T09:30")}, "ends"),
        ({"ends": local("2026-06-01T00:00")}, "ends"),
        ({"ends": local("2026-03-02T09:30"), "repeats": "daily"}, "ends"),
        ({"starts": local("0001-01-01T00:00"), "ends": local("0001-01-01T05:00")}, "starts"),
        ({"repeats": "hourly"}, "repeats"),
        ({"until": date(2026, 3, 9)}, "until"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused_at_its_field(world, about, field):
    with pytest.raises(FreezeRefusedError) as refusal:
        plan(world, **about)
    assert (refusal.value.field, refusal.value.status) == (field, 422)
    assert not FreezeWindow.objects.exists()


# ---------------------------------------------------------------- whoever looks for a way round


def test_whoever_asked_lets_nothing_go_on_without_the_others(world):
    transition = world.request(1, Stage.STAGING)
    with refused("own_change"):
        does(world, operations.bypass, transition, by="emil")
    staged(world)
    does(world, operations.cancel, transition, by="emil")
    transition = world.request(2, Stage.PRODUCTION)
    world.people["mia"] = replace(world.people["mia"], confirmed_at=None)
    with refused("confirm_again"):
        does(world, operations.bypass, transition, by="mia")


def test_another_account_of_the_same_person_reviews_no_bypass(world):
    transition = does(world, operations.bypass, world.request(1, Stage.STAGING), by="ada")
    for name in ("ada", "priya"):
        Identity.objects.create(user=User.objects.get(username=name), value="email:ada@example.org")
    with refused("reviewer"):
        does(world, operations.review_bypass, transition, by="priya")
    assert not queries.may_review_bypass(transition, world.people["priya"])
    assert queries.may_review_bypass(transition, world.people["aron"])


def test_every_bypass_waits_for_a_review_of_its_own(world):
    plan(world)
    transition = does(world, operations.bypass, world.request(1, Stage.STAGING), by="ada")
    does(world, operations.review_bypass, transition, by="aron")
    put_in_force(world, warm_window=60)
    upkeep.renew_approvals(now=world.now)
    does(world, operations.bypass, transition, by="ada")
    assert list(queries.bypasses_to_review()) == [transition]
    does(world, operations.review_bypass, transition, by="aron")


def test_an_override_is_of_the_freeze_that_holds_now_alone(world):
    plan(world)
    transition = does(world, operations.override_freeze, world.request(1, Stage.STAGING), by="ada")
    plan(world, name="Next week", starts=local("2026-03-08T00:00"), ends=local("2026-03-09T00:00"))
    world.now = world.now.replace(day=8)
    world.tick(does(world, operations.approve, transition), times=2)
    transition.refresh_from_db()
    assert "Next week" in transition.waiting_for
    assert queries.freeze_of(transition, world.now) is not None
    does(world, operations.override_freeze, transition, by="ada")
    assert world.drive(transition).status == Status.FINISHED


@pytest.mark.parametrize("gone", ["role", "account"])
def test_the_yes_of_somebody_who_may_say_it_no_more_is_void(world, gone):
    transition = does(world, operations.approve, world.request(1, Stage.STAGING))
    if gone == "role":
        RoleAssignment.objects.filter(user__username="mia").delete()
    else:
        User.objects.filter(username="mia").update(is_active=False)
    world.tick(transition)
    assert (transition.status, still_missing(transition)) == (AWAITING, (ML,))
    assert "no role for this model any more" in transition.approvals.get().void_reason


def test_what_waits_follows_the_policys_strategy_unless_another_was_asked_for(world):
    staged(world)
    transition = world.request(2, Stage.PRODUCTION)
    put_in_force(world, rollout={"strategy": "blue_green"})
    upkeep.renew_approvals(now=world.now)
    transition.refresh_from_db()
    assert transition.strategy == "blue_green"


def test_a_yes_names_the_version_that_is_replaced(world):
    staged(world)
    transition = does(world, operations.approve, world.request(2, Stage.PRODUCTION))
    Variant.objects.filter(role=VariantRole.PRODUCTION).update(version=world.version(3))
    upkeep.renew_approvals(now=world.now)
    assert transition.approvals.get().void_reason == "The way requests move changed since then."
    transition.refresh_from_db()
    assert transition.stable == world.version(3)


def test_one_that_cannot_be_looked_at_keeps_no_other_one_from_it(world, monkeypatch):
    transition = does(world, operations.approve, world.request(1, Stage.STAGING))
    FreezeWindow.objects.create(
        name="x", zone="UTC", starts="2026-03-01T00:00", ends="2026-03-20T00:00", created_at=world.now
    )
    world.pass_time(days=8)
    look = upkeep.is_current

    def fails(row, now):
        raise OSError("gone")

    monkeypatch.setattr(upkeep, "is_current", fails)
    assert upkeep.renew_approvals(now=world.now) == 0
    monkeypatch.setattr(upkeep, "is_current", look)
    assert upkeep.renew_approvals(now=world.now) == 1
    transition.refresh_from_db()
    assert transition.status == AWAITING
