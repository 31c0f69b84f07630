"""Signing in by password: who may, how often one may try, what the session holds, and proving it again."""

from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.contrib.auth import hashers
from django.contrib.sessions.models import Session
from django.test import Client, RequestFactory

from lifecycle import audit, operations
from lifecycle.domain.permissions import Role
from lifecycle.models import AuditEntry, Team
from portal.access import actor_of
from portal.accounts import identities
from portal.accounts.models import RoleAssignment, User

TOO_MANY = "Too many attempts. Try again in 5 minutes."


@pytest.fixture
def emil(people):
    return User.objects.get(username="emil")


def sign_in(browser, name="emil", password="emil", **more):
    return browser.post("/sign-in/", {"username": name, "password": password, **more})


def is_in(browser):
    return "_auth_user_id" in browser.session


def actor(browser, user):
    request = RequestFactory().get("/", REMOTE_ADDR="192.0.2.7")
    request.user, request.session = User.objects.get(pk=user.pk), browser.session
    return actor_of(request)


def test_name_and_password_open_the_portal(world, client):
    response = sign_in(client, next="/models/")
    assert (response.status_code, response["Location"]) == (302, "/models/")
    assert is_in(client)


@pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
def test_nobody_is_sent_elsewhere(world, client, wanted):
    assert sign_in(client, next=wanted)["Location"] == "/"


def test_a_wrong_password_says_so_and_nothing_more(people, client):
    wrong, unknown = sign_in(client, password="no"), sign_in(client, name="nobody", password="no")
    for response in (wrong, unknown):
        assert response.status_code == 200
        assert "do not belong together" in response.content.decode()
    assert not is_in(client)


@pytest.mark.parametrize("kind", ["inactive", "service"])
def test_who_may_not_sign_in(emil, client, kind):
    User.objects.filter(pk=emil.pk).update(is_active=kind != "inactive")
    if kind == "service":
        RoleAssignment.objects.filter(user=emil).update(role=Role.SERVICE)
    sign_in(client)
    assert not is_in(client)


def test_a_session_ends_when_its_person_may_no_longer_sign_in(world, signed_in, emil):
    browser = signed_in("emil")
    assert browser.get("/").status_code == 200
    User.objects.filter(pk=emil.pk).update(is_active=False)
    assert browser.get("/").status_code == 302


def test_after_five_wrong_passwords_the_right_one_has_to_wait(people, client):
    for _ in range(5):
        assert sign_in(client, password="no").status_code == 200
    refused = sign_in(client)
    assert (refused.status_code, refused["Retry-After"]) == (429, "300")
    assert TOO_MANY in refused.content.decode()
    assert not is_in(client)
    assert sign_in(client, name="mia", password="mia").status_code == 302


def test_one_address_cannot_try_all_names(people, client):
    for number in range(10):
        assert sign_in(client, name=f"person{number}", password="no").status_code == 200
    assert sign_in(client, name="person10", password="no").status_code == 429
    assert client.post("/sign-in/", {"username": "mia", "password": "mia"}, REMOTE_ADDR="192.0.2.2").status_code == 302


def test_more_than_sixty_attempts_a_minute_get_a_page_of_their_own(people, client):
    statuses = [client.post("/sign-in/", {}).status_code for _ in range(61)]
    assert statuses == [200] * 60 + [429]


def test_signing_in_changes_the_session(world, client):
    client.get("/sign-in/")
    session = client.session
    session["kept"] = "yes"
    session.save()
    client.cookies["stagegate_session"] = before = session.session_key
    sign_in(client)
    assert client.session.session_key != before
    assert not Session.objects.filter(session_key=before).exists()


def test_a_session_ends_twelve_hours_after_the_sign_in_however_much_it_is_used(world, client):
    sign_in(client)
    for _ in range(3):
        world.pass_time(hours=3, minutes=59)
        assert client.get("/").status_code == 200
    world.pass_time(minutes=4)
    assert client.get("/").status_code == 302


def test_signing_out_takes_a_post_and_ends_the_session(world, client):
    sign_in(client)
    assert client.get("/sign-out/").status_code == 405
    assert is_in(client)
    assert client.post("/sign-out/")["Location"] == "/sign-in/"
    assert not Session.objects.exists()


def test_there_is_no_way_to_make_an_account(client, db):
    for address in ("/sign-up/", "/signup/", "/accounts/signup/", "/account/signup/"):
        assert client.get(address).status_code == 404


# ---------------------------------------------------------------- who acts


def test_what_is_known_of_somebody_who_signed_in(world, client, emil):
    team = Team.objects.create(name="Fraud", slug="fraud")
    RoleAssignment.objects.create(user=emil, role=Role.PRODUCT_OWNER, team=team)
    identities.set_email(emil, "Emil@Example.com", verified=True)
    User.objects.filter(pk=emil.pk).update(is_shared=True)
    sign_in(client)
    found = actor(client, emil)
    assert (found.signed_in_by, found.address, found.confirmed_at) == ("password", "192.0.2.7", world.now)
    assert (found.roles, found.team_roles) == ({Role.ML_ENGINEER}, {(team.pk, Role.PRODUCT_OWNER)})
    assert (found.stands_for, found.identities, found.shared) == ({emil.pk}, {"email:emil@example.com"}, True)


def test_every_other_way_to_open_a_session_is_confirmed_as_well(world, signed_in, emil):
    forced = Client()
    forced.force_login(emil)
    assert actor(forced, emil).confirmed_at == actor(signed_in("emil"), emil).confirmed_at == world.now


def test_setting_an_address_replaces_what_told_who_it_is(emil):
    for email, verified, known in (
        ("a@example.com", True, {"email:a@example.com"}),
        ("b@example.com", True, {"email:b@example.com"}),
        ("c@example.com", False, set()),
    ):
        identities.set_email(emil, email, verified)
        assert User.objects.get(pk=emil.pk).email == email
        assert set(emil.identities.values_list("value", flat=True)) == known


# ---------------------------------------------------------------- proving it again


def test_the_password_again_counts_as_a_fresh_proof(world, client, emil):
    sign_in(client)
    began = world.now
    world.pass_time(minutes=30)
    assert actor(client, emil).confirmed_at == began
    page = client.get("/account/confirm/?next=/inbox/")
    assert 'name="next" value="/inbox/"' in page.content.decode()
    wrong = client.post("/account/confirm/", {"password": "no", "next": "/inbox/"})
    assert "not your password" in wrong.content.decode()
    assert actor(client, emil).confirmed_at == began
    right = client.post("/account/confirm/", {"password": "emil", "next": "/inbox/"})
    assert (right.status_code, right["Location"]) == (302, "/inbox/")
    assert actor(client, emil).confirmed_at == began + timedelta(minutes=30)
    assert actor(client, emil).signed_in_by == "password"


def test_nobody_else_proves_it(world, client, emil):
    """A session that was taken over knows no password, and its guesses are counted with those at the door."""
    sign_in(client)
    for _ in range(5):
        client.post("/account/confirm/", {"password": "no"})
    refused = client.post("/account/confirm/", {"password": "emil"})
    assert refused.status_code == 429
    assert TOO_MANY in refused.content.decode()


# ---------------------------------------------------------------- one's own account


def test_a_new_password_ends_all_other_sessions_and_is_on_the_record(world, signed_in, emil):
    here, elsewhere = signed_in("emil"), signed_in("emil")
    form = {"oldpassword": "emil", "password1": "four words in a row", "password2": "four words in a row"}
    assert here.post("/account/password/", form)["Location"] == "/account/"
    assert here.get("/account/").status_code == 200
    assert elsewhere.get("/account/").status_code == 302
    assert User.objects.get(pk=emil.pk).check_password("four words in a row")
    entry = AuditEntry.objects.get(action="password_changed")
    assert (entry.actor, entry.details) == ("emil", {"account": "emil"})


def test_nobody_waits_for_the_hash_of_a_new_password(world, signed_in, emil, monkeypatch):
    """It takes a good part of a second, and writers of the record take turns."""
    steps = []

    @contextmanager
    def recording():
        steps.append("turn")
        with audit.recording():
            yield

    def make_password(*given):
        steps.append("hash")
        return hashers.make_password(*given)

    monkeypatch.setattr("portal.web.account.recording", recording)
    monkeypatch.setattr("django.contrib.auth.base_user.make_password", make_password)
    form = {"oldpassword": "emil", "password1": "four words in a row", "password2": "four words in a row"}
    assert signed_in("emil").post("/account/password/", form).status_code == 302
    assert steps == ["hash", "turn"]
    assert User.objects.get(pk=emil.pk).check_password("four words in a row")


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ({"oldpassword": "no"}, "not your password"),
        ({"password1": "short1", "password2": "short1"}, "too short"),
        ({"password2": "other words in a row"}, "same password"),
    ],
)
def test_a_password_that_will_not_do(world, signed_in, emil, form, why):
    usual = {"oldpassword": "emil", "password1": "four words in a row", "password2": "four words in a row"}
    response = signed_in("emil").post("/account/password/", {**usual, **form})
    assert why in response.content.decode()
    assert User.objects.get(pk=emil.pk).check_password("emil")
    assert not AuditEntry.objects.exists()


def test_the_time_zone_is_one_s_own_to_choose(world, signed_in, emil):
    browser = signed_in("emil")
    assert browser.post("/account/", {"time_zone": "Asia/Tokyo"}, follow=True).status_code == 200
    assert User.objects.get(pk=emil.pk).time_zone == "Asia/Tokyo"
    browser.post("/account/", {"time_zone": "Mars/Olympus"})
    assert User.objects.get(pk=emil.pk).time_zone == "Asia/Tokyo"
    browser.post("/account/", {"time_zone": "Asia/Tokyo"})
    entry = AuditEntry.objects.get(action="time_zone_changed")
    assert (entry.actor, entry.details) == ("emil", {"account": "emil", "from": "", "to": "Asia/Tokyo"})


def test_an_address_that_an_administrator_sets_tells_who_it_is(world, emil):
    def change(email):
        operations.change_person(person=emil, email=email, reason="New.", actor=world.people["ada"], now=world.now)
        return set(emil.identities.values_list("value", flat=True))

    emil.identities.create(value="email:at.the.provider@example.com")
    assert change("One@Example.com") == {"email:one@example.com", "email:at.the.provider@example.com"}
    assert change("two@example.com") == {"email:two@example.com", "email:at.the.provider@example.com"}
    assert change("") == {"email:at.the.provider@example.com"}
