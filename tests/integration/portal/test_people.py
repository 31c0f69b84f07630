"""People, roles and teams: on their pages, by API, and what each change does to whom."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.test import Client

from lifecycle import operations
from lifecycle.domain.permissions import Action, Actor, Role
from lifecycle.domain.stages import Stage
from lifecycle.models import AuditEntry, RegisteredModel, Status, Team
from lifecycle.operations import RefusedError
from portal.accounts.models import RoleAssignment, User
from portal.accounts.passwords import make_link
from portal.accounts.people import people_matching
from portal.accounts.tokens import Wanted, create_for_service, create_own, recognise

PEOPLE, TEAMS = "/settings/people/", "/settings/teams/"
HOSTILE = "<img src=x onerror=alert(1)>"


def account(name: str) -> User:
    return User.objects.get(username=name)


@pytest.fixture
def change(world):
    """Carry an operation out as ada, the administrator, or as somebody else."""

    def carry_out(operation, by="ada", reason="It is so.", **values):
        return operation(**values, reason=reason, actor=world.people[by], now=world.now)

    return carry_out


def last(action: str) -> AuditEntry:
    return AuditEntry.objects.filter(action=action).latest("seq")


# ---------------------------------------------------------------- accounts


def test_a_person_is_added_without_a_password_and_without_roles(world, signed_in):
    values = {"username": "nora", "name": "Nora de Vries", "email": "nora@example.org", "reason": "She joins."}
    response = signed_in("ada").post(PEOPLE, values)
    nora = account("nora")
    assert response["Location"] == f"{PEOPLE}{nora.pk}/"
    assert (nora.get_full_name(), nora.email) == ("Nora de Vries", "nora@example.org")
    assert (nora.has_usable_password(), nora.role_set) == (False, frozenset())
    entry = last("person_added")
    assert (entry.actor, entry.reason, entry.details["person"]) == ("ada", "She joins.", "nora")


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"username": ""}, "person"),
        ({"username": "no ra"}, "person"),
        ({"username": "x" * 151}, "person"),
        ({"username": "EMIL"}, "username_taken"),
        ({"email": "nobody"}, "person"),
        ({"email": "Emil@Example.org"}, "email_taken"),
        ({"name": "N\u202eora"}, "person"),
        ({"name": "N" * 151}, "person"),
        ({"reason": " "}, "reason"),
    ],
)
def test_what_cannot_be_an_account_is_refused_and_nothing_typed_is_lost(world, signed_in, values, rule):
    User.objects.filter(username="emil").update(email="emil@example.org")
    given = {"username": "nora", "name": "Nora", "email": "nora@example.org", "reason": "She joins.", **values}
    response = signed_in("ada").post(PEOPLE, given)
    assert response.status_code in (409, 422)
    assert response.context["form"]["name"].value() == given["name"]
    assert AuditEntry.objects.get(refused=True).action == "manage_people"
    assert User.objects.count() == 5
    with pytest.raises(RefusedError) as refusal:
        operations.add_person(**given, actor=world.people["ada"], now=world.now)
    assert refusal.value.rule == rule


def test_an_account_is_changed_and_the_record_says_what_it_was(world, signed_in):
    emil = account("emil")
    values = {"name": "Emil S", "email": "", "active": "on", "shared": "on", "reason": "The team uses it."}
    signed_in("ada").post(f"{PEOPLE}{emil.pk}/", values)
    emil.refresh_from_db()
    assert (emil.get_full_name(), emil.is_shared, emil.is_active) == ("Emil S", True, True)
    details = last("person_changed").details
    assert details["before"] == {"name": "", "shared": False}
    assert (details["name"], details["shared"]) == ("Emil S", True)


def test_who_is_not_active_any_more_is_out_at_once(world, signed_in, change):
    browser = signed_in("emil")
    wanted = Wanted("laptop", frozenset(), world.now + timedelta(days=1), "test")
    text = create_own(wanted=wanted, actor=world.people["emil"], now=world.now).text
    change(operations.change_person, person=account("emil"), active=False)
    assert browser.get("/").status_code == 302
    program = Client(headers={"Authorization": f"Bearer {text}"})
    assert program.get("/api/v1/models/").status_code == 401


def test_nothing_to_change_is_said(world, change):
    with pytest.raises(RefusedError, match="Nothing would change"):
        change(operations.change_person, person=account("emil"), active=True)


def test_there_is_always_an_administrator(world, change):
    ada = account("ada")
    for operation, values in (
        (operations.change_person, {"active": False}),
        (operations.take_role, {"role": Role.ADMINISTRATOR, "team": None}),
    ):
        with pytest.raises(RefusedError) as refusal:
            change(operation, person=ada, **values)
        assert refusal.value.rule == "last_administrator"
    change(operations.give_role, person=account("aron"), role=Role.ADMINISTRATOR, team=None)
    change(operations.take_role, person=ada, role=Role.ADMINISTRATOR, team=None)
    assert account("ada").role_set == frozenset()


def test_an_administrator_who_is_not_active_does_not_count(world, change):
    change(operations.give_role, person=account("aron"), role=Role.ADMINISTRATOR, team=None)
    change(operations.change_person, person=account("aron"), active=False)
    with pytest.raises(RefusedError) as refusal:
        change(operations.change_person, person=account("ada"), active=False)
    assert refusal.value.rule == "last_administrator"


# ---------------------------------------------------------------- passwords


NEW = {"new_password1": "four words in a row", "new_password2": "four words in a row"}


def link_for(name: str, ada: Client) -> str:
    page = ada.post(f"{PEOPLE}{account(name).pk}/password-link/", {"reason": "She joins."})
    assert "no-store" in page["Cache-Control"]
    return page.context["link"].removeprefix("http://testserver")


def test_a_link_lets_somebody_choose_a_password_once(world, signed_in, client):
    link = link_for("mia", signed_in("ada"))
    form = client.get(link)["Location"]
    assert link.split("/")[-2] not in form
    assert client.post(form, NEW)["Location"] == "/sign-in/"
    assert account("mia").check_password(NEW["new_password1"])
    assert (last("password_link_made").actor, last("password_set").actor) == ("ada", "mia")
    assert "opens nothing any more" in Client().get(link).content.decode()
    assert client.post(form, NEW).status_code == 200


def test_a_weak_password_is_refused_and_the_link_stays(world, signed_in, client):
    form = client.get(link_for("mia", signed_in("ada")))["Location"]
    assert "too short" in client.post(form, {"new_password1": "short", "new_password2": "short"}).content.decode()
    assert account("mia").check_password("mia")
    assert client.post(form, NEW).status_code == 302


def test_who_has_left_and_a_service_account_get_no_password(world, signed_in, client):
    ada = signed_in("ada")
    link = link_for("mia", ada)
    User.objects.filter(username="mia").update(is_active=False)
    assert "opens nothing any more" in client.get(link).content.decode()
    with pytest.raises(RefusedError, match="whose account is active"):
        make_link(person=account("mia"), reason="x", actor=world.people["ada"], now=world.now)


# ---------------------------------------------------------------- roles


def test_administrators_give_themselves_no_role_while_another_one_could(world, change):
    change(operations.give_role, person=account("aron"), role=Role.ADMINISTRATOR, team=None)
    with pytest.raises(RefusedError) as refusal:
        change(operations.give_role, person=account("ada"), role=Role.PRODUCT_OWNER, team=None)
    assert (refusal.value.rule, account("ada").role_set) == ("own_account", {Role.ADMINISTRATOR})


def test_the_only_administrator_does_and_the_record_says_so(world, change):
    change(operations.give_role, person=account("ada"), role=Role.PRODUCT_OWNER, team=None)
    assert last("role_given").details == {"person": "ada", "role": "product_owner", "team": "", "own": True}


def test_nobody_declares_their_own_account_unshared(world, change):
    User.objects.filter(username="ada").update(is_shared=True)
    with pytest.raises(RefusedError) as refusal:
        change(operations.change_person, person=account("ada"), shared=False)
    assert (refusal.value.rule, account("ada").is_shared) == ("own_account", True)


def test_a_role_is_given_and_taken_on_the_page(world, signed_in):
    team, mia = Team.objects.create(name="Iris", slug="iris-team"), account("mia")
    ada = signed_in("ada")
    ada.post(f"{PEOPLE}{mia.pk}/roles/", {"role": "product_owner", "team": "iris-team", "reason": "She owns it."})
    assert account("mia").team_role_set == {(team.pk, Role.PRODUCT_OWNER)}
    page = ada.get(f"{PEOPLE}{mia.pk}/").content.decode()
    assert "models of <bdi>Iris</bdi>" in page
    ada.post(f"{PEOPLE}{mia.pk}/roles/take/", {"role": "product_owner", "team": "iris-team", "reason": "No more."})
    assert account("mia").team_role_set == frozenset()
    assert [last(each).details["team"] for each in ("role_given", "role_taken")] == ["iris-team", "iris-team"]


@pytest.mark.parametrize(
    ("who", "role", "of_team", "rule"),
    [
        ("mia", Role.ML_ENGINEER, False, "has_role"),
        ("mia", Role.AUDITOR, True, "team_role"),
        ("mia", Role.ADMINISTRATOR, True, "team_role"),
        ("mia", Role.SERVICE, False, "service_account"),
        ("ci", Role.PRODUCT_OWNER, False, "service_account"),
    ],
)
def test_a_role_that_makes_no_sense_is_refused(world, change, who, role, of_team, rule):
    wanted = Wanted("nightly", frozenset(), world.now + timedelta(days=1), "test")
    create_for_service(account="ci", wanted=wanted, actor=world.people["ada"], now=world.now)
    team = Team.objects.create(name="Iris", slug="iris-team") if of_team else None
    with pytest.raises(RefusedError) as refusal:
        change(operations.give_role, person=account(who), role=role, team=team)
    assert refusal.value.rule == rule


def test_a_role_from_a_sign_in_elsewhere_is_taken_away_there(world, change):
    RoleAssignment.objects.filter(user__username="mia").update(given_by="keycloak")
    with pytest.raises(RefusedError, match="comes from keycloak"):
        change(operations.take_role, person=account("mia"), role=Role.ML_ENGINEER, team=None)


def test_a_service_account_stays_one(world, change):
    wanted = Wanted("nightly", frozenset(), world.now + timedelta(days=1), "test")
    issued = create_for_service(account="ci", wanted=wanted, actor=world.people["ada"], now=world.now)
    assert issued.token.made_by_id == issued.token.user.made_by_id == world.people["ada"].user_id
    with pytest.raises(RefusedError):
        change(operations.take_role, person=account("ci"), role=Role.SERVICE, team=None)
    change(operations.change_person, person=account("ci"), active=False)
    with pytest.raises(Exception, match="not active"):
        recognise(issued.text, world.now)


# ---------------------------------------------------------------- teams


@pytest.fixture
def wine(world) -> Team:
    return Team.objects.create(name="Wine", slug="wine")


def test_a_team_is_added_renamed_and_keeps_its_address(world, signed_in):
    ada = signed_in("ada")
    response = ada.post(TEAMS, {"name": "  Credit   risk ", "reason": "New."})
    team = Team.objects.get()
    assert (team.name, response["Location"]) == ("Credit risk", f"{TEAMS}{team.slug}/")
    ada.post(f"{TEAMS}{team.slug}/", {"name": "Risk", "reason": "Shorter."})
    team.refresh_from_db()
    assert (team.name, last("team_renamed").details["before"]) == ("Risk", {"name": "Credit risk"})
    assert ada.post(TEAMS, {"name": "RISK", "reason": "Again."}).status_code == 409
    assert ada.post(TEAMS, {"name": " ", "reason": "Again."}).status_code == 422


def test_a_team_owns_a_model_and_its_people_alone_decide_on_it(world, signed_in, wine):
    row = world.request(1, Stage.STAGING)
    RoleAssignment.objects.filter(user__username="mia").update(team=wine)
    mia, address = signed_in("mia"), f"/api/v1/transitions/{row.pk}/approve/"
    assert mia.post(address, {"reason": "x"}, "application/json").status_code == 403
    signed_in("ada").post("/models/iris/team/", {"team": "wine", "reason": "They made it."})
    assert last("model_team_changed").details == {"team": "wine", "before": {"team": ""}}
    assert mia.post(address, {"reason": "x"}, "application/json").status_code == 200
    row.refresh_from_db()
    assert row.status == Status.APPROVED


def test_a_model_page_says_whose_it_is_and_offers_the_change_to_administrators(world, signed_in, wine):
    RegisteredModel.objects.update(team=wine)
    page = signed_in("aron").get("/models/iris/").content.decode()
    assert "<bdi>Wine</bdi>" in page
    assert "dialog-team" not in page
    assert "dialog-team" in signed_in("ada").get("/models/iris/").content.decode()
    signed_in("ada").post("/models/iris/team/", {"team": "", "reason": "Dissolved."})
    assert "belongs to no team" in signed_in("aron").get("/models/iris/").content.decode()


@pytest.mark.parametrize(("of", "offered"), [("wine", True), ("other", False)])
def test_buttons_are_for_those_who_have_the_role_for_this_model(world, signed_in, wine, of, offered):
    RegisteredModel.objects.update(team=wine)
    Team.objects.create(name="Other", slug="other")
    RoleAssignment.objects.filter(user__username="emil").update(team=Team.objects.get(slug=of))
    page = signed_in("emil").get("/models/iris/versions/1/").content.decode()
    assert ("ML engineers can ask for it" not in page) is offered


def test_somebody_gets_a_role_on_the_page_of_the_team(world, signed_in, wine):
    ada = signed_in("ada")
    ada.post(f"{TEAMS}wine/members/", {"username": "PRIYA", "role": "product_owner", "reason": "Hers."})
    assert account("priya").team_role_set == {(wine.pk, Role.PRODUCT_OWNER)}
    response = ada.post(f"{TEAMS}wine/members/", {"username": "nobody", "role": "product_owner", "reason": "x"})
    assert "Nobody is called" in ada.get(response["Location"]).content.decode()
    page = signed_in("aron").get(f"{TEAMS}wine/").content.decode()
    assert "priya" in page
    assert "Rename" not in page


# ---------------------------------------------------------------- lists


def test_people_are_found_by_any_of_their_names(world, change):
    User.objects.filter(username="mia").update(first_name="Mia", last_name="Okafor", email="m.o@example.org")
    for search in ("mia", "okaf", "M.O@", "mia okafor", "okafor example"):
        assert [each.username for each in people_matching(search)] == ["mia"], search
    assert not people_matching("mia sandberg").exists()
    change(operations.change_person, person=account("mia"), active=False)
    assert [each.username for each in people_matching(kind="inactive")] == ["mia"]
    assert [each.username for each in people_matching(role="auditor")] == ["aron"]


def test_ten_thousand_people_come_in_pages(world, signed_in, django_assert_max_num_queries):
    User.objects.bulk_create([User(username=f"u{number:05}", first_name="Uma") for number in range(10_000)])
    ada = signed_in("ada")
    with django_assert_max_num_queries(16):
        page = ada.get(PEOPLE).content.decode()
    assert "10,005 accounts" in page
    assert page.count('class="cell-name"') == 50
    assert "u09999" in ada.get(PEOPLE, {"search": "u09999"}, headers={"HX-Request": "true"}).content.decode()


def test_names_stay_text(world, signed_in, wine):
    User.objects.filter(username="mia").update(first_name=HOSTILE)
    Team.objects.update(name=HOSTILE)
    RegisteredModel.objects.update(team=wine)
    RoleAssignment.objects.filter(user__username="mia").update(team=wine)
    ada, mia = signed_in("ada"), account("mia")
    for address in (PEOPLE, f"{PEOPLE}{mia.pk}/", TEAMS, f"{TEAMS}wine/", "/models/iris/"):
        response = ada.get(address)
        assert response.status_code == 200
        assert HOSTILE not in response.content.decode(), address


# ---------------------------------------------------------------- the API


def send(client: Client, method: str, address: str, **body):
    answer = getattr(client, method)(f"/api/v1/{address}", json.dumps(body), "application/json")
    return answer.status_code, answer.json()


def test_the_api_manages_people(world, signed_in, wine):
    ada = signed_in("ada")
    status, nora = send(ada, "post", "people/", username="nora", name="Nora de Vries", reason="She joins.")
    assert (status, nora["name"], nora["roles"]) == (201, "Nora de Vries", [])
    role = {"role": "ml_engineer", "team": "wine", "reason": "Hers."}
    status, nora = send(ada, "post", "people/nora/roles/", **role)
    assert (status, nora["roles"]) == (200, [{"role": "ml_engineer", "team": "wine", "given_by": ""}])
    assert send(ada, "post", "people/nora/roles/", **role)[0] == 409
    assert send(ada, "post", "people/nora/roles/take/", **role)[1]["roles"] == []
    status, nora = send(ada, "patch", "people/nora/", active=False, reason="She leaves.")
    assert (status, nora["active"], nora["name"]) == (200, False, "Nora de Vries")
    assert send(ada, "patch", "people/nora/", active=True)[1]["type"] == "urn:stagegate:reason"
    listed = ada.get("/api/v1/people/?search=nora").json()["results"]
    assert [each["username"] for each in listed] == ["nora"]
    assert ada.get("/api/v1/people/nobody/").status_code == 404


def test_the_api_manages_teams(world, signed_in):
    ada = signed_in("ada")
    status, team = send(ada, "post", "teams/", name="Wine", reason="New.")
    assert (status, team) == (201, {"slug": team["slug"], "name": "Wine", "members": [], "models": []})
    assert send(ada, "post", "models/iris/team/", team=team["slug"], reason="Theirs.")[0] == 200
    status, team = send(ada, "patch", f"teams/{team['slug']}/", name="Wines", reason="More.")
    assert (status, team["name"], team["models"]) == (200, "Wines", ["iris"])
    aron = signed_in("aron")
    assert aron.get("/api/v1/models/iris/team/").json() == {
        "model": "iris",
        "team": {"slug": team["slug"], "name": "Wines"},
    }
    assert [each["name"] for each in aron.get("/api/v1/teams/").json()["results"]] == ["Wines"]
    assert send(ada, "post", "models/iris/team/", team=None, reason="Nobody's.")[1]["team"] is None
    assert send(ada, "post", "models/iris/team/", team="none-such", reason="x")[0] == 400


# ---------------------------------------------------------------- tokens of a team's people


def test_a_token_may_what_its_owner_may_for_a_team_and_for_that_team_alone(world, wine):
    RoleAssignment.objects.filter(user__username="emil").update(team=wine)
    emil = account("emil")
    actor = Actor("emil", emil.pk, team_roles=emil.team_role_set, signed_in_by="password")
    wanted = Wanted("laptop", frozenset({Action.REQUEST_TRANSITION}), world.now + timedelta(days=1), "test")
    issued = create_own(wanted=wanted, actor=actor, now=world.now)
    program = Client(headers={"Authorization": f"Bearer {issued.text}"})
    asked = {"model": "iris", "version": 1, "to_stage": "Staging", "reason": "x"}
    assert send(program, "post", "transitions/", **asked)[0] == 403
    RegisteredModel.objects.update(team=wine)
    assert send(program, "post", "transitions/", **asked)[0] == 201


# ---------------------------------------------------------------- the command line


def test_the_command_gives_exactly_these_roles_and_leaves_those_of_teams(world, wine):
    RoleAssignment.objects.create(user=account("mia"), role=Role.PRODUCT_OWNER, team=wine)
    call_command("add_person", "mia", "--role", "auditor", "--reason", "She changes.", stdout=StringIO())
    assert account("mia").role_set == {Role.AUDITOR}
    assert account("mia").team_role_set == {(wine.pk, Role.PRODUCT_OWNER)}
    entry = last("roles_set")
    assert (entry.reason, entry.details) == (
        "She changes.",
        {"person": "mia", "roles": ["auditor"], "before": ["ml_engineer"]},
    )
