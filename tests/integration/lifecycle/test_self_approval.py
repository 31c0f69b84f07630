"""Nobody says yes to what they asked for: every way that somebody could try, by the operation, the API and the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from django.test import Client

from lifecycle import operations, queries
from lifecycle.domain.permissions import Action, Actor, Role
from lifecycle.domain.stages import Stage
from lifecycle.models import AuditEntry, Policy, RegisteredModel, Status, Team, Transition
from portal.accounts.models import Identity, RoleAssignment, User
from portal.accounts.tokens import Wanted, create_for_service, create_own
from tests.support.world import POLICY, World

EMAIL, SUBJECT = "email:emil@example.org", "oidc:https://id.example.org|7"


def account(name: str) -> User:
    return User.objects.get(username=name)


def actor_of(user: User) -> Actor:
    """As the portal makes it of a session."""
    return Actor(
        user.display_name,
        user.pk,
        user.role_set,
        signed_in_by="password",
        team_roles=user.team_role_set,
        stands_for=frozenset(key for key in (user.pk, user.made_by_id) if key),
        identities=user.identity_set,
        shared=user.is_shared,
    )


def person(name: str, *identities: str, role: Role = Role.ML_ENGINEER) -> User:
    user = User.objects.create_user(name, password=name)
    RoleAssignment.objects.create(user=user, role=role)
    for value in identities:
        Identity.objects.create(user=user, value=value)
    return user


def give(name: str, role: Role, team: Team | None = None) -> None:
    RoleAssignment.objects.create(user=account(name), role=role, team=team)


@pytest.fixture
def asked(world) -> Transition:
    """By emil, an ML engineer; it takes a product owner and an ML engineer."""
    both = {**POLICY, "approvals_to_staging": ["product_owner", "ml_engineer"]}
    Policy.objects.create(number=2, body=both, reason="test", created_by="test", created_at=world.now)
    return world.request(1, Stage.STAGING)


# ---------------------------------------------------------------- the ways


def nothing(world: World, asked: Transition) -> None:
    """Just as it is."""


def with_a_second_role(world: World, asked: Transition) -> None:
    give("emil", Role.PRODUCT_OWNER)


def with_a_role_of_the_team(world: World, asked: Transition) -> None:
    team = Team.objects.create(name="Iris", slug="iris-team")
    RegisteredModel.objects.update(team=team)
    give("emil", Role.PRODUCT_OWNER, team)


def renamed(world: World, asked: Transition) -> None:
    User.objects.filter(username="emil").update(username="emilia", first_name="Emilia")


def with_the_same_address(world: World, asked: Transition) -> None:
    Identity.objects.create(user=account("emil"), value=EMAIL)
    person("emil2", EMAIL)


def with_the_same_subject(world: World, asked: Transition) -> None:
    Identity.objects.create(user=account("emil"), value=SUBJECT)
    person("emil2", "email:other@example.org", SUBJECT)


def with_a_third_account_between(world: World, asked: Transition) -> None:
    Identity.objects.create(user=account("emil"), value=EMAIL)
    person("between", EMAIL, SUBJECT)
    person("emil2", SUBJECT)


def after_leaving(world: World, asked: Transition) -> None:
    with_the_same_address(world, asked)
    User.objects.filter(username="emil").update(is_active=False)


def after_another_is_named(world: World, asked: Transition) -> None:
    Transition.objects.update(requested_by=account("aron"), requested_by_name="aron")


def after_the_accounts_behind_it_are_emptied(world: World, asked: Transition) -> None:
    Transition.objects.update(asked_by=[])


def by_the_maker_of_what_asked(world: World, asked: Transition) -> None:
    wanted = Wanted("nightly", frozenset(), world.now + timedelta(days=1), "test")
    program = create_for_service(account="ci", wanted=wanted, actor=world.people["ada"], now=world.now).token.user
    Transition.objects.update(requested_by=program, asked_by=[program.pk, account("mia").pk])


def from_a_shared_account(world: World, asked: Transition) -> None:
    User.objects.filter(username="mia").update(is_shared=True)


def to_what_a_shared_account_asked(world: World, asked: Transition) -> None:
    User.objects.filter(username="emil").update(is_shared=True)


def with_a_role_of_another_team(world: World, asked: Transition) -> None:
    RegisteredModel.objects.update(team=Team.objects.create(name="Iris", slug="iris-team"))
    RoleAssignment.objects.filter(user=account("mia")).delete()
    give("mia", Role.ML_ENGINEER, Team.objects.create(name="Wine", slug="wine-team"))


def with_a_role_of_this_team(world: World, asked: Transition) -> None:
    with_a_role_of_another_team(world, asked)
    RegisteredModel.objects.update(team=Team.objects.get(slug="wine-team"))


def without_the_role_any_more(world: World, asked: Transition) -> None:
    RoleAssignment.objects.filter(user=account("mia")).delete()
    give("mia", Role.AUDITOR)


def twice_with_two_accounts(world: World, asked: Transition) -> None:
    Identity.objects.create(user=account("priya"), value=EMAIL)
    person("priya2", EMAIL)
    world.approve(asked, "priya")


@dataclass(frozen=True)
class Way:
    """Somebody tries to say yes, after something was arranged; ``rule`` refuses it, "" for what is allowed."""

    arrange: Callable[[World, Transition], None]
    by: str
    rule: str = "approver"
    words: str = field(default="", compare=False)


WAYS = [
    Way(nothing, "emil", words="You asked for this"),
    Way(with_a_second_role, "emil", words="You asked for this"),
    Way(with_a_role_of_the_team, "emil", words="You asked for this"),
    Way(renamed, "emilia", words="You asked for this"),
    Way(with_the_same_address, "emil2", words="another account of yours"),
    Way(with_the_same_subject, "emil2", words="another account of yours"),
    Way(with_a_third_account_between, "emil2", words="another account of yours"),
    Way(after_leaving, "emil2", words="another account of yours"),
    Way(after_another_is_named, "emil", words="You asked for this"),
    Way(after_the_accounts_behind_it_are_emptied, "emil", words="You asked for this"),
    Way(by_the_maker_of_what_asked, "mia", words="You asked for this"),
    Way(from_a_shared_account, "mia", words="Several people use this account"),
    Way(to_what_a_shared_account_asked, "mia", words="Several people use the account that asked"),
    Way(with_a_role_of_another_team, "mia", rule="role", words="you need the role"),
    Way(without_the_role_any_more, "mia", rule="role", words="you need the role"),
    Way(twice_with_two_accounts, "priya2", words="approved this transition already"),
    Way(nothing, "mia", rule=""),
    Way(nothing, "priya", rule=""),
    Way(with_a_role_of_this_team, "mia", rule=""),
    Way(by_the_maker_of_what_asked, "priya", rule=""),
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way.arrange.__name__}-{way.by}")
def test_a_yes(world, asked, way):
    way.arrange(world, asked)
    user = account(way.by)
    asked.refresh_from_db()
    browser = Client()
    browser.force_login(user, backend="portal.accounts.backends.People")
    before = asked.approvals.count()
    if way.rule:
        assert_refused(world, asked, user, browser, way)
        assert asked.approvals.count() == before
    else:
        assert not queries.why_not_decide(asked, actor_of(user), (Role.PRODUCT_OWNER, Role.ML_ENGINEER))
        answer = browser.post(f"/api/v1/transitions/{asked.pk}/approve/", {"reason": "x"}, "application/json")
        assert (answer.status_code, asked.approvals.count()) == (200, before + 1)


def assert_refused(world: World, asked: Transition, user: User, browser: Client, way: Way) -> None:
    """By every route, and each time the record says so."""
    refused = AuditEntry.objects.filter(refused=True, action=Action.APPROVE, actor_id=user.pk)
    with pytest.raises(operations.RefusedError) as refusal:
        operations.approve(transition=asked, reason="x", actor=actor_of(user), now=world.now)
    assert (refusal.value.rule, way.words in str(refusal.value)) == (way.rule, True), str(refusal.value)
    answer = browser.post(f"/api/v1/transitions/{asked.pk}/approve/", {"reason": "x"}, "application/json")
    assert (answer.status_code, answer.json()["type"]) == (403, f"urn:stagegate:{way.rule}")
    browser.post(f"/transitions/{asked.pk}/approve/", {"reason": "x", "seen": asked.digest})
    assert [way.words in entry.details["refusal"] for entry in refused] == [True, True, True]
    assert queries.why_not_decide(asked, actor_of(user), (Role.PRODUCT_OWNER, Role.ML_ENGINEER))


# ---------------------------------------------------------------- who cannot come at all


@pytest.mark.parametrize("whose", ["emil", "mia", "ci"])
def test_no_token_says_yes_whosever_it_is_and_whatever_it_may(world, asked, whose):
    wanted = Wanted("script", frozenset(), world.now + timedelta(days=1), "test")
    if whose == "ci":
        issued = create_for_service(account="ci", wanted=wanted, actor=world.people["ada"], now=world.now)
    else:
        issued = create_own(wanted=wanted, actor=world.people[whose], now=world.now)
    issued.token.scopes = [action.value for action in Action]
    issued.token.save()
    program = Client(headers={"Authorization": f"Bearer {issued.text}"})
    answer = program.post(f"/api/v1/transitions/{asked.pk}/approve/", {"reason": "x"}, "application/json")
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:stagegate:role")
    assert not asked.approvals.exists()


def test_who_has_left_says_nothing_with_an_old_session(world, asked):
    browser = Client()
    browser.force_login(account("mia"), backend="portal.accounts.backends.People")
    User.objects.filter(username="mia").update(is_active=False)
    answer = browser.post(f"/api/v1/transitions/{asked.pk}/approve/", {"reason": "x"}, "application/json")
    assert (answer.status_code, asked.approvals.count()) == (401, 0)


def test_several_people_cannot_ask_with_one_account(world):
    User.objects.filter(username="emil").update(is_shared=True)
    with pytest.raises(operations.RefusedError) as refusal:
        operations.request_transition(
            version=world.version(1), to_stage=Stage.STAGING, reason="x", actor=actor_of(account("emil")), now=world.now
        )
    assert refusal.value.rule == "shared_account"


def test_a_service_account_asks_for_nothing_that_its_maker_could_approve(world):
    wanted = Wanted("nightly", frozenset(), world.now + timedelta(days=1), "test")
    program = create_for_service(account="ci", wanted=wanted, actor=world.people["ada"], now=world.now).token.user
    assert program.made_by_id == world.people["ada"].user_id
    with pytest.raises(operations.RefusedError) as refusal:
        operations.request_transition(
            version=world.version(1), to_stage=Stage.STAGING, reason="x", actor=actor_of(program), now=world.now
        )
    assert refusal.value.rule == "role"
    assert not Transition.objects.exists()


def test_who_asked_with_a_token_is_who_asked(world, asked):
    """The token's maker stands behind it: asking by a program changes nothing."""
    operations.cancel(transition=asked, reason="x", actor=world.people["emil"], now=world.now)
    wanted = Wanted("script", frozenset({Action.REQUEST_TRANSITION}), world.now + timedelta(days=1), "test")
    issued = create_own(wanted=wanted, actor=world.people["mia"], now=world.now)
    program = Client(headers={"Authorization": f"Bearer {issued.text}"})
    body = {"model": "iris", "version": 1, "to_stage": "Staging", "reason": "x"}
    row = Transition.objects.get(pk=program.post("/api/v1/transitions/", body, "application/json").json()["id"])
    assert set(row.asked_by) == {world.people["mia"].user_id}
    with pytest.raises(operations.RefusedError, match="You asked for this"):
        operations.approve(transition=row, reason="x", actor=actor_of(account("mia")), now=world.now)
    assert row.status == Status.AWAITING_APPROVAL
