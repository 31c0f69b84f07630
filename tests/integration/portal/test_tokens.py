"""API tokens from creation to revocation, over HTTP as programs and browsers use them."""

import logging
import re
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.messages import get_messages
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.test import Client

from lifecycle.domain.permissions import Action, Role
from lifecycle.domain.stages import Stage
from lifecycle.models import AuditEntry, Status, Transition, Waiver
from lifecycle.operations import RefusedError
from portal.accounts.models import ApiToken, RoleAssignment, User
from portal.accounts.tokens import Wanted, create_for_service, create_own, revoke_token

PAGE = "/account/tokens/"
FORM = {"name": "laptop", "scopes": ["record_evidence"], "days": 90, "reason": "To try it."}
SECRET = re.compile(r"sg_[0-9a-f]{12}_[0-9a-f]{64}")


def wanted(world, *scopes, name="nightly", days=30, reason="CI reports."):
    return Wanted(name, frozenset(scopes), world.now + timedelta(days=days), reason)


@pytest.fixture
def issued(world):
    """A token of emil's for everything that a token can be used for by an ML engineer."""
    scopes = (Action.RECORD_EVIDENCE, Action.START_CHECK, Action.REQUEST_TRANSITION, Action.ROLL_BACK, Action.CANCEL)
    return create_own(wanted=wanted(world, *scopes), actor=world.people["emil"], now=world.now)


def bearer(text):
    return Client(headers={"Authorization": f"Bearer {text}"})


def get(text, address="models/"):
    return bearer(text).get(f"/api/v1/{address}")


def post(text, address, body):
    browser = Client(enforce_csrf_checks=True, headers={"Authorization": f"Bearer {text}"})
    return browser.post(f"/api/v1/{address}", body, content_type="application/json")


def assert_refused(response, why=""):
    assert response.status_code == 401
    assert response["Content-Type"] == "application/problem+json"
    assert response["WWW-Authenticate"] == 'Bearer realm="stagegate", error="invalid_token"'
    assert why in response.json()["detail"]


# ---------------------------------------------------------------- a token's life


def test_only_a_hash_of_the_secret_is_kept(issued):
    row = ApiToken.objects.get()
    secret = issued.text.rpartition("_")[2]
    kept = " ".join(str(value) for value in ApiToken.objects.values().get().values())
    assert secret not in kept
    assert issued.text.startswith(f"sg_{row.prefix}_")
    assert len(row.digest) == 64
    assert secret not in str(list(AuditEntry.objects.values()))


def test_two_tokens_share_nothing(world, issued):
    other = create_own(wanted=wanted(world, name="other"), actor=world.people["emil"], now=world.now)
    assert not set(issued.text.split("_")[1:]) & set(other.text.split("_")[1:])


def test_it_opens_the_api_and_is_on_the_record(world, issued):
    body = {"model": "iris", "version": 1, "to_stage": "Staging", "reason": "By a script."}
    assert post(issued.text, "transitions/", body).status_code == 201
    entry = AuditEntry.objects.get(action="transition_requested")
    assert (entry.actor, entry.signed_in_by, entry.actor_roles) == ("emil", "token:nightly", ["ml_engineer"])


def test_the_longest_name_fits_the_record(world):
    issued = create_own(wanted=wanted(world, name="n" * 34), actor=world.people["emil"], now=world.now)
    assert post(issued.text, "models/iris/rollback/", {"reason": "x"}).status_code == 403
    assert AuditEntry.objects.get(action="roll_back").signed_in_by == "token:" + "n" * 34


def test_its_use_is_noted_at_most_once_a_minute(world, issued):
    get(issued.text)
    first = ApiToken.objects.get().last_used_at
    assert first == world.now
    world.pass_time(seconds=59)
    get(issued.text)
    assert ApiToken.objects.get().last_used_at == first
    world.pass_time(seconds=1)
    get(issued.text)
    assert ApiToken.objects.get().last_used_at == world.now


@pytest.mark.parametrize(("left", "status"), [(timedelta(seconds=1), 200), (timedelta(0), 401)])
def test_it_works_until_it_expires(world, issued, left, status):
    world.now = issued.token.expires_at - left
    assert get(issued.text).status_code == status


def test_a_revoked_one_is_refused_at_once(world, issued):
    revoke_token(token=issued.token, reason="Lost.", actor=world.people["emil"], now=world.now)
    assert_refused(get(issued.text), "revoked")
    entry = AuditEntry.objects.get(action="token_revoked")
    assert (entry.reason, entry.details["token"]) == ("Lost.", "nightly")
    with pytest.raises(RefusedError, match="already"):
        revoke_token(token=issued.token, reason="Again.", actor=world.people["emil"], now=world.now)


def test_one_whose_owner_has_left_is_refused(issued):
    User.objects.filter(username="emil").update(is_active=False)
    assert_refused(get(issued.text), "owner")


def test_it_loses_what_its_owner_loses(issued):
    RoleAssignment.objects.filter(user__username="emil").update(role=Role.AUDITOR)
    body = {"model": "iris", "version": 1, "to_stage": "Staging", "reason": "x"}
    response = post(issued.text, "transitions/", body)
    assert (response.status_code, response.json()["type"]) == (403, "urn:stagegate:role")


# ---------------------------------------------------------------- wrong ones


@pytest.mark.parametrize("wrong", ["", "sg_1_2", "é" * 20, "x" * 5000])
def test_what_is_no_token_is_refused(world, wrong):
    assert_refused(get(wrong), "not a token")


def test_a_wrong_secret_is_refused_and_not_noted(issued):
    changed = issued.text[:-1] + ("0" if issued.text[-1] != "0" else "1")
    assert_refused(get(changed), "no such token")
    assert ApiToken.objects.get().last_used_at is None


def test_a_wrong_token_is_refused_even_beside_a_session(world, signed_in):
    response = signed_in("emil").get("/api/v1/models/", headers={"Authorization": "Bearer sg_no"})
    assert_refused(response)


def test_without_anything_the_api_asks_for_a_token(world, client):
    response = client.get("/api/v1/models/")
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="stagegate"'


@pytest.mark.parametrize("name", ["token", "access_token", "Authorization", "api_key"])
def test_a_token_in_the_address_is_ignored(issued, client, name):
    assert client.get(f"/api/v1/models/?{name}={issued.text}").status_code == 401


def test_another_scheme_is_left_to_the_session(issued, client):
    assert client.get("/api/v1/models/", headers={"Authorization": f"Basic {issued.text}"}).status_code == 401


# ---------------------------------------------------------------- what no token does


@pytest.mark.parametrize("address", ["/", "/models/iris/", PAGE, "/record/"])
def test_a_token_opens_no_page(issued, address):
    response = bearer(issued.text).get(address)
    assert (response.status_code, response["Location"].partition("?")[0]) == (302, "/sign-in/")


def test_a_token_is_no_password(issued, client):
    for name in ("emil", issued.text):
        client.post("/sign-in/", {"username": name, "password": issued.text})
        assert "_auth_user_id" not in client.session


@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_a_token_decides_nothing_whatever_its_scopes(world, decision):
    mia = world.people["mia"]
    issued = create_own(wanted=wanted(world, Action.RECORD_EVIDENCE), actor=mia, now=world.now)
    ApiToken.objects.update(scopes=[action.value for action in Action])
    transition = world.request(1, Stage.STAGING)
    response = post(issued.text, f"transitions/{transition.pk}/{decision}/", {"reason": "By a script."})
    assert (response.status_code, response.json()["type"]) == (403, "urn:stagegate:role")
    assert "takes a person" in response.json()["detail"]
    assert Transition.objects.get().status == Status.AWAITING_APPROVAL


def test_a_token_waives_nothing_whatever_its_scopes(world):
    issued = create_own(wanted=wanted(world), actor=world.people["priya"], now=world.now)
    ApiToken.objects.update(scopes=[action.value for action in Action])
    body = {"criterion": "unit_tests", "reason": "By a script.", "days": 1}
    assert post(issued.text, "models/iris/versions/1/waivers/", body).status_code == 403
    assert not Waiver.objects.exists()


def test_who_asks_with_a_token_does_not_approve_in_person(world, issued, signed_in):
    body = {"model": "iris", "version": 1, "to_stage": "Staging", "reason": "By a script."}
    pk = post(issued.text, "transitions/", body).json()["id"]
    response = signed_in("emil").post(
        f"/api/v1/transitions/{pk}/approve/", {"reason": "Mine."}, content_type="application/json"
    )
    assert (response.status_code, response.json()["type"]) == (403, "urn:stagegate:approver")


# ---------------------------------------------------------------- creating


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"name": ""}, "token_name"),
        ({"name": "n" * 35}, "token_name"),
        ({"name": "a\nb"}, "token_name"),
        ({"reason": " "}, "reason"),
        ({"days": 0}, "expiry"),
        ({"days": -1}, "expiry"),
        ({"days": 366}, "expiry"),
    ],
)
def test_what_cannot_be_a_token_is_refused(world, values, rule):
    with pytest.raises(RefusedError) as refusal:
        create_own(wanted=wanted(world, **values), actor=world.people["emil"], now=world.now)
    assert (refusal.value.rule, ApiToken.objects.count()) == (rule, 0)
    assert AuditEntry.objects.get().refused


@pytest.mark.parametrize("scope", [Action.APPROVE, Action.CHANGE_POLICY, Action.RUN_CLEAN_UP, Action.VIEW])
def test_a_scope_that_the_owner_or_a_token_cannot_have_is_refused(world, scope):
    with pytest.raises(RefusedError) as refusal:
        create_own(wanted=wanted(world, scope), actor=world.people["emil"], now=world.now)
    assert refusal.value.rule == "scope"


def test_two_at_once_cannot_have_one_name(world, issued):
    with pytest.raises(RefusedError, match="called “nightly” already"):
        create_own(wanted=wanted(world), actor=world.people["emil"], now=world.now)
    create_own(wanted=wanted(world), actor=world.people["mia"], now=world.now)
    revoke_token(token=issued.token, reason="Rotated.", actor=world.people["emil"], now=world.now)
    create_own(wanted=wanted(world), actor=world.people["emil"], now=world.now)


# ---------------------------------------------------------------- service accounts


@pytest.fixture
def ci(world):
    scopes = (Action.RECORD_EVIDENCE, Action.START_CHECK)
    return create_for_service(account="ci", wanted=wanted(world, *scopes), actor=world.people["ada"], now=world.now)


def test_an_administrator_makes_a_service_account(world, ci):
    account = User.objects.get(username="ci")
    assert account.role_set == {Role.SERVICE}
    assert not account.has_usable_password()
    assert get(ci.text, "models/iris/").status_code == 200
    actions = AuditEntry.objects.order_by("id").values_list("action", "actor")
    assert list(actions) == [("service_account_created", "ada"), ("token_created", "ada")]


@pytest.mark.parametrize("name", ["priya", "emil", "aron"])
def test_nobody_else_does(world, name):
    with pytest.raises(RefusedError) as refusal:
        create_for_service(account="ci", wanted=wanted(world), actor=world.people[name], now=world.now)
    assert (refusal.value.rule, User.objects.filter(username="ci").exists()) == ("role", False)


@pytest.mark.parametrize("account", ["emil", "EMIL", "", "a b", "x" * 151, "a\0b"])
def test_a_person_or_a_bad_name_is_no_service_account(world, account):
    before = User.objects.count()
    with pytest.raises(RefusedError) as refusal:
        create_for_service(account=account, wanted=wanted(world), actor=world.people["ada"], now=world.now)
    assert (refusal.value.rule, User.objects.count()) == ("account_name", before)


def test_a_refused_token_leaves_no_account_behind(world):
    with pytest.raises(RefusedError):
        create_for_service(
            account="ci", wanted=wanted(world, Action.REQUEST_TRANSITION), actor=world.people["ada"], now=world.now
        )
    assert not User.objects.filter(username="ci").exists()


def test_a_service_account_cannot_sign_in_even_with_a_password(world, ci, client):
    account = User.objects.get(username="ci")
    account.set_password("given by mistake")
    account.save()
    client.post("/sign-in/", {"username": "ci", "password": "given by mistake"})
    assert "_auth_user_id" not in client.session
    assert client.get("/").status_code == 302


def test_a_service_account_never_becomes_a_person(world, ci):
    with pytest.raises(CommandError, match="service account"):
        call_command("add_person", "ci", "--role", "product_owner")
    assert User.objects.get(username="ci").role_set == {Role.SERVICE}


def test_a_service_account_asks_for_no_transition(world, ci):
    body = {"model": "iris", "version": 1, "to_stage": "Staging", "reason": "x"}
    assert post(ci.text, "transitions/", body).status_code == 403
    assert not Transition.objects.exists()


def test_the_command_prints_the_token_once(world):
    out = StringIO()
    options = ("--service-account", "ci", "--scope", "record_evidence", "--days", "90", "--name", "github")
    call_command("create_token", *options, stdout=out)
    text = out.getvalue().strip()
    assert SECRET.fullmatch(text)
    assert get(text, "models/iris/").status_code == 200
    row = ApiToken.objects.get()
    assert (row.scopes, row.expires_at - row.created_at) == (["record_evidence"], timedelta(days=90))
    entry = AuditEntry.objects.get(action="token_created")
    assert (entry.actor, entry.signed_in_by) == ("Command line", "command line")


@pytest.mark.parametrize("days", ["0", "366", "99999999999"])
def test_the_command_says_what_is_wrong(world, days):
    with pytest.raises(CommandError):
        call_command("create_token", "--service-account", "ci", "--days", days)
    assert not ApiToken.objects.exists()


# ---------------------------------------------------------------- the page


def test_the_page_shows_a_new_token_once_and_nowhere_else(world, signed_in, caplog):
    caplog.set_level(logging.DEBUG)
    emil = signed_in("emil")
    response = emil.post(PAGE, FORM)
    text = SECRET.search(response.content.decode()).group()
    assert "no-store" in response["Cache-Control"]
    assert get(text).status_code == 200
    secret = text.rpartition("_")[2]
    again = emil.get(PAGE)
    assert "laptop" in again.content.decode()
    assert secret not in again.content.decode()
    assert secret not in str(list(AuditEntry.objects.values())) + caplog.text
    assert not list(get_messages(response.wsgi_request))
    assert not any(secret in str(row.get_decoded()) for row in Session.objects.all())


def test_sending_the_form_again_makes_no_second_token(world, signed_in):
    emil = signed_in("emil")
    emil.post(PAGE, FORM)
    response = emil.post(PAGE, FORM)
    assert response.status_code == 409
    assert not SECRET.search(response.content.decode())
    assert ApiToken.objects.count() == 1


@pytest.mark.parametrize(
    ("wrong", "status", "said"),
    [
        ({"reason": " "}, 422, "Say why"),
        ({"days": 400}, 422, "how long"),
        ({"days": ""}, 422, "how long"),
        ({"scopes": ["approve"]}, 422, "what the token may be used for"),
        ({"scopes": ["run_clean_up"]}, 403, "cannot be used to start the clean-up"),
    ],
)
def test_a_refusal_keeps_what_was_typed(world, signed_in, wrong, status, said):
    response = signed_in("emil").post(PAGE, {**FORM, **wrong})
    page = response.content.decode()
    assert (response.status_code, ApiToken.objects.count()) == (status, 0)
    assert said in page
    assert 'value="laptop"' in page


def test_a_token_is_revoked_by_its_owner_or_an_administrator_alone(world, issued, signed_in):
    address = f"{PAGE}{issued.token.pk}/revoke/"
    for name in ("mia", "aron", "priya"):
        assert signed_in(name).post(address, {"reason": "Mischief."}).status_code == 404
    signed_in("emil").post(address, {"reason": " "})
    assert get(issued.text).status_code == 200
    response = signed_in("ada").post(address, {"reason": "He has left."})
    assert response["Location"] == f"{PAGE}?whose=everybody"
    assert_refused(get(issued.text), "revoked")


def test_administrators_see_everybodys_tokens_others_their_own(world, issued, ci, signed_in):
    assert signed_in("mia").get(f"{PAGE}?whose=everybody").status_code == 403
    assert "nightly" not in signed_in("mia").get(PAGE).content.decode()
    listed = signed_in("ada").get(f"{PAGE}?whose=everybody").context["page"]
    assert {token.user.username for token in listed} == {"emil", "ci"}


def test_an_administrator_makes_a_service_token_on_the_page(world, signed_in):
    response = signed_in("ada").post(PAGE, {**FORM, "account": "ci"})
    assert SECRET.search(response.content.decode())
    assert ApiToken.objects.get().user.is_service
    assert signed_in("emil").post(PAGE, {**FORM, "account": "ci", "name": "x"}).status_code == 403


def test_names_stay_text(world, signed_in):
    hostile = "<img src=x onerror=alert(1)>"
    emil = signed_in("emil")
    assert hostile not in emil.post(PAGE, {**FORM, "name": hostile}).content.decode()
    assert hostile not in emil.get(PAGE).content.decode()


def test_the_number_of_queries_does_not_grow_with_the_tokens(world, ci, signed_in, django_assert_max_num_queries):
    for number in range(30):
        create_own(wanted=wanted(world, name=f"n{number}"), actor=world.people["ada"], now=world.now)
    ada = signed_in("ada")
    with django_assert_max_num_queries(14):
        ada.get(f"{PAGE}?whose=everybody")
