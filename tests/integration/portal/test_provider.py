"""Signing in by an OpenID provider, over real HTTP: who gets an account, and which roles come and go with a claim."""

import json
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from allauth.socialaccount.models import SocialAccount
from django.test import Client, RequestFactory

from lifecycle.domain.permissions import Role
from lifecycle.models import AuditEntry, Team
from portal.access import actor_of
from portal.accounts import identities
from portal.accounts.claims import parse_map
from portal.accounts.models import RoleAssignment, User
from portal.accounts.provider import Provider
from tests.support.identity_provider import asked, running_provider

# The provider of the tests uses an older name of its own library.
pytestmark = pytest.mark.filterwarnings("ignore:get_jwt_config:DeprecationWarning")
ROLES = parse_map('{"ml-eng": "ml_engineer", "fraud-owners": "product_owner@fraud", "root": "administrator"}')
KIM = {"preferred_username": "kim", "name": "Kim Lee", "email": "kim@example.com", "email_verified": True}


@pytest.fixture(scope="module")
def running():
    with running_provider() as provider:
        yield provider


@pytest.fixture
def provider(running, world, settings):
    for name, value in running.settings(OIDC_ROLES=ROLES, OIDC_ROLES_CLAIM="realm_access.roles").items():
        setattr(settings, name, value)
    Team.objects.create(name="Fraud", slug="fraud")
    return running


@pytest.fixture
def told(monkeypatch):
    """Have ID tokens say something else: changed after the signature was checked, so that each rule is seen alone."""
    checked = jwt.PyJWS.decode_complete

    def tell(**changed):
        def decoded(self, *args, **kwargs):
            found = checked(self, *args, **kwargs)
            claims = {**json.loads(found["payload"]), **changed}
            kept = {name: value for name, value in claims.items() if value is not None}
            return {**found, "payload": json.dumps(kept).encode()}

        monkeypatch.setattr(jwt.PyJWS, "decode_complete", decoded)

    return tell


def sign_in(provider, browser, subject, **form):
    return provider.let_in(browser, subject, browser.post("/sign-in/provider/", form))


def know(provider, *roles, subject="kim-1", **claims):
    provider.know(subject, **{**KIM, **claims}, realm_access={"roles": list(roles)})
    return subject


def is_in(browser):
    return "_auth_user_id" in browser.session


def roles_of(name):
    rows = RoleAssignment.objects.filter(user__username=name).select_related("team")
    return {(row.role, row.team.slug if row.team else "", row.given_by) for row in rows}


def actor(browser):
    user = User.objects.get(pk=browser.session["_auth_user_id"])
    request = RequestFactory().get("/")
    request.user, request.session = user, browser.session
    return actor_of(request)


def test_the_first_sign_in_makes_the_account_with_the_roles_of_the_claim(provider, world, client):
    response = sign_in(provider, client, know(provider, "ml-eng", "fraud-owners", "canteen"), next="/models/")
    assert (response.status_code, response["Location"]) == (302, "/models/")
    assert client.get("/models/").status_code == 200
    user = User.objects.get(username="kim")
    assert (user.get_full_name(), user.email, user.has_usable_password()) == ("Kim Lee", "kim@example.com", False)
    assert roles_of("kim") == {("ml_engineer", "", "Acme"), ("product_owner", "fraud", "Acme")}
    found = actor(client)
    assert found.signed_in_by == "oidc:Acme"
    assert found.identities == {f"oidc:{provider.url}|kim-1", "email:kim@example.com"}
    made, given = AuditEntry.objects.order_by("seq")
    assert (made.action, made.details) == ("account_provided", {"account": "kim", "provider": "Acme"})
    assert (given.action, given.actor) == ("roles_provided", "Stagegate")
    assert given.details == {
        "account": "kim",
        "provider": "Acme",
        "given": ["ml_engineer", "product_owner@fraud"],
        "taken": [],
    }


def test_roles_go_with_the_claim_and_those_an_administrator_gave_stay(provider, client):
    sign_in(provider, client, know(provider, "ml-eng", "fraud-owners"))
    RoleAssignment.objects.create(user=User.objects.get(username="kim"), role=Role.AUDITOR)
    sign_in(provider, Client(), know(provider, "root"))
    assert roles_of("kim") == {("auditor", "", ""), ("administrator", "", "Acme")}
    entry = AuditEntry.objects.filter(action="roles_provided").first()
    assert (entry.details["given"], entry.details["taken"]) == (
        ["administrator"],
        ["ml_engineer", "product_owner@fraud"],
    )
    before = AuditEntry.objects.count()
    sign_in(provider, Client(), "kim-1")
    assert AuditEntry.objects.count() == before


def test_an_administrator_s_role_stays_theirs_when_the_claim_gives_it_too(provider, client):
    sign_in(provider, client, know(provider, "ml-eng"))
    RoleAssignment.objects.filter(user__username="kim").update(given_by="")
    sign_in(provider, Client(), "kim-1")
    sign_in(provider, Client(), know(provider))
    assert roles_of("kim") == {("ml_engineer", "", "")}


def test_a_team_that_is_not_here_gives_nothing(provider, client):
    Team.objects.all().delete()
    sign_in(provider, client, know(provider, "ml-eng", "fraud-owners"))
    assert roles_of("kim") == {("ml_engineer", "", "Acme")}


def test_without_a_role_that_counts_nobody_gets_an_account(provider, client):
    response = sign_in(provider, client, know(provider, "canteen", subject="nobody"))
    assert response.status_code == 403
    assert not is_in(client)
    assert not User.objects.filter(username="kim").exists()


def test_accounts_are_made_by_administrators_alone_where_the_setting_says_so(provider, settings, client):
    settings.OIDC_CREATE = False
    response = sign_in(provider, client, know(provider, "ml-eng"))
    assert "no account here yet" in response.content.decode()
    assert not User.objects.filter(username="kim").exists()


@pytest.mark.parametrize(("match", "verified"), [(False, None), (True, False), (True, None), (True, "true")])
def test_nobody_gets_into_an_account_by_an_address_that_nobody_vouches_for(provider, settings, client, match, verified):
    settings.OIDC_MATCH_EMAIL = match
    ada = User.objects.get(username="ada")
    identities.set_email(ada, "ada@example.com", verified=True)
    sign_in(provider, client, know(provider, "ml-eng", email="ada@example.com", email_verified=verified, subject="x"))
    found = actor(client)
    assert found.user_id != ada.pk
    assert Role.ADMINISTRATOR not in found.roles
    assert found.identities == {f"oidc:{provider.url}|x"}
    assert User.objects.get(pk=found.user_id).email == ""


def test_a_vouched_address_makes_two_accounts_one_person_and_opens_the_other_only_by_setting(
    provider, settings, client
):
    ada = User.objects.get(username="ada")
    identities.set_email(ada, "ada@example.com", verified=True)
    claims = {"email": "Ada@Example.com", "preferred_username": "ada.l"}
    sign_in(provider, client, know(provider, "ml-eng", subject="ada-1", **claims))
    assert actor(client).user_id != ada.pk
    assert "email:ada@example.com" in actor(client).identities
    assert User.objects.get(username="ada.l").email == ""
    User.objects.filter(username="ada.l").delete()
    settings.OIDC_MATCH_EMAIL = True
    other = Client()
    sign_in(provider, other, "ada-1")
    assert actor(other).user_id == ada.pk
    assert User.objects.get(pk=ada.pk).has_usable_password()
    settings.OIDC_MATCH_EMAIL = False
    again = Client()
    sign_in(provider, again, "ada-1")
    assert actor(again).user_id == ada.pk


def test_the_same_name_as_somebody_here_gets_another_account(provider, client):
    sign_in(provider, client, know(provider, "ml-eng", subject="e-1", preferred_username="emil"))
    assert actor(client).user_id != User.objects.get(username="emil").pk


@pytest.mark.parametrize("kind", ["inactive", "service"])
def test_who_may_not_sign_in_may_not_by_the_provider_either(provider, client, kind):
    sign_in(provider, client, know(provider, "ml-eng"))
    user = User.objects.get(username="kim")
    if kind == "inactive":
        User.objects.filter(pk=user.pk).update(is_active=False)
    else:
        RoleAssignment.objects.create(user=user, role=Role.SERVICE)
    other = Client()
    assert sign_in(provider, other, "kim-1")["Location"] == "/sign-in/not-active/"
    assert not is_in(other)


# ---------------------------------------------------------------- what is believed


def test_what_the_provider_is_asked(provider, client):
    query = parse_qs(urlsplit(asked(client.post("/sign-in/provider/"))).query)
    assert query["code_challenge_method"] == ["S256"]
    assert len(query["nonce"][0]) >= 32
    assert query["max_age"] == ["43200"]
    assert query["redirect_uri"] == ["http://testserver/sign-in/provider/callback/"]


def test_an_answer_to_another_request_is_refused(provider, client):
    """Somebody else's answer, in this browser: it has no state like that."""
    know(provider, "ml-eng")
    back = provider.answer("kim-1", Client().post("/sign-in/provider/"))
    assert client.get(back.partition("testserver")[2]).status_code == 502
    assert not is_in(client)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"nonce": "another"}, "another request"),
        ({"aud": "somebody-else"}, "Audience"),
        ({"aud": ["stagegate", "other"]}, "issued to somebody else"),
        ({"iss": "https://evil.example"}, "issuer"),
        ({"exp": 1}, "expired"),
        ({"sub": "somebody-else"}, "somebody else"),
        ({"sub": None}, "sub"),
    ],
)
def test_an_id_token_that_does_not_fit_is_refused(provider, client, told, changed, why):
    told(**changed)
    response = sign_in(provider, client, know(provider, "ml-eng"))
    assert response.status_code == 502
    assert why in response.content.decode()
    assert not is_in(client)


def test_a_signature_of_anybody_else_is_refused(provider, client, monkeypatch):
    usual = Provider._verified

    def forged(self, id_token):
        head, body, _ = id_token.split(".")
        return usual(self, f"{head}.{body}.{'A' * 342}")

    monkeypatch.setattr(Provider, "_verified", forged)
    assert sign_in(provider, client, know(provider, "ml-eng")).status_code == 502
    assert not is_in(client)


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_a_token_without_a_key_of_the_provider_is_refused(provider, client, monkeypatch, algorithm):
    usual = Provider._verified

    def weak(self, id_token):
        claims = jwt.decode(id_token, options={"verify_signature": False})
        key = "" if algorithm == "none" else "only-for-tests-only-for-tests-only-for-tests"
        return usual(self, jwt.encode(claims, key, algorithm))

    monkeypatch.setattr(Provider, "_verified", weak)
    assert sign_in(provider, client, know(provider, "ml-eng")).status_code == 502
    assert not is_in(client)


def test_a_provider_that_says_it_is_another_is_refused(provider, settings, client):
    settings.OIDC_URL = "https://sso.example.com"
    response = client.post("/sign-in/provider/")
    assert response.status_code == 502
    assert "which is not STAGEGATE_OIDC_URL" in response.content.decode()


def test_a_provider_that_is_down_is_said_to_be(provider, settings, client):
    for name, value in type(provider)("http://localhost:1").settings().items():
        setattr(settings, name, value)
    assert client.post("/sign-in/provider/").status_code == 502
    assert client.post("/sign-in/", {"username": "emil", "password": "emil"}).status_code == 302


def test_the_subject_of_another_issuer_is_somebody_else(provider, client):
    sign_in(provider, client, know(provider, "ml-eng"))
    account = SocialAccount.objects.get()
    assert account.uid == f"{provider.url}|kim-1"
    SocialAccount.objects.update(uid="https://old.example|kim-1")
    other = Client()
    sign_in(provider, other, "kim-1")
    assert actor(other).user_id != account.user_id


def test_without_a_provider_there_is_no_such_way(world, client):
    assert client.post("/sign-in/provider/").status_code == 404
    assert client.get("/sign-in/provider/callback/?code=1&state=2").status_code == 404
    assert "Sign in with" not in client.get("/sign-in/").content.decode().replace("Sign in with a passkey", "")


# ---------------------------------------------------------------- when somebody last proved who they are


def test_a_session_at_the_provider_is_no_proof_of_the_moment(provider, told, client):
    at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=3)
    told(auth_time=int(at.timestamp()))
    sign_in(provider, client, know(provider, "ml-eng"))
    assert actor(client).confirmed_at == at
    told(auth_time=None)
    sign_in(provider, client, "kim-1")
    assert actor(client).confirmed_at is None


@pytest.fixture
def kim(provider, told, client):
    """Kim has signed in by the provider, which did not say when it asked her."""
    told(auth_time=None)
    sign_in(provider, client, know(provider, "ml-eng"))
    return client


def test_the_provider_asks_again(provider, world, told, kim):
    page = kim.get("/account/confirm/?next=/inbox/")
    assert page["Location"] == "/account/confirm/provider/?next=%2Finbox%2F"
    onward = kim.post("/account/confirm/provider/", {"next": "/inbox/"})
    query = parse_qs(urlsplit(asked(onward)).query)
    assert (query["prompt"], query["max_age"]) == (["login"], ["0"])
    told(auth_time=int(time.time()))
    assert provider.let_in(kim, "kim-1", onward)["Location"] == "/inbox/"
    assert actor(kim).confirmed_at == world.now


@pytest.mark.parametrize("ago", [600, None])
def test_a_provider_that_did_not_ask_again_confirms_nothing(provider, told, kim, ago):
    onward = kim.post("/account/confirm/provider/")
    told(auth_time=int(time.time()) - ago if ago else None)
    response = provider.let_in(kim, "kim-1", onward)
    assert "did not ask you again" in response.content.decode()
    assert actor(kim).confirmed_at is None


def test_somebody_else_confirms_nothing(provider, told, kim):
    onward = kim.post("/account/confirm/provider/")
    know(provider, "root", subject="boss")
    told(auth_time=int(time.time()))
    assert provider.let_in(kim, "boss", onward).status_code == 403
    assert (actor(kim).name, actor(kim).confirmed_at) == ("Kim Lee", None)


def test_whoever_comes_by_the_provider_alone_needs_a_proof_to_change_how_they_sign_in(kim):
    assert kim.get("/account/app/")["Location"].startswith("/account/confirm/provider/")


# ---------------------------------------------------------------- connecting


def connect(provider, browser, subject):
    browser.post("/account/confirm/", {"password": "emil"})
    return provider.let_in(browser, subject, browser.post("/account/provider/connect/"))


def test_somebody_connects_their_account_and_disconnects_it(provider, signed_in):
    browser = signed_in("emil")
    assert connect(provider, browser, know(provider, "root", "fraud-owners"))["Location"] == "/account/"
    assert "Connected" in browser.get("/account/").content.decode()
    other = Client()
    sign_in(provider, other, "kim-1")
    assert actor(other).name == "emil"
    assert ("product_owner", "fraud", "Acme") in roles_of("emil")
    browser.post("/account/provider/disconnect/")
    assert roles_of("emil") == {("ml_engineer", "", "")}
    assert not SocialAccount.objects.exists()
    actions = list(AuditEntry.objects.order_by("seq").values_list("action", flat=True))
    assert actions == ["provider_connected", "roles_provided", "provider_disconnected", "roles_provided"]


def test_an_account_elsewhere_belongs_to_one_person_here(provider, signed_in, client):
    sign_in(provider, client, know(provider, "ml-eng"))
    browser = signed_in("emil")
    connect(provider, browser, "kim-1")
    assert "belongs to another account" in browser.get("/account/").content.decode()
    assert SocialAccount.objects.get().user.username == "kim"


def test_connecting_takes_a_fresh_proof(provider, world, signed_in):
    browser = signed_in("emil")
    world.pass_time(minutes=6)
    assert browser.post("/account/provider/connect/")["Location"].startswith("/account/confirm/")
    assert not SocialAccount.objects.exists()


def test_the_only_way_in_is_not_cut_off(provider, client):
    sign_in(provider, client, know(provider, "ml-eng"))
    client.post("/account/provider/disconnect/")
    assert SocialAccount.objects.exists()
