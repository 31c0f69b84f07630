"""The second factor: an authenticator app, recovery codes, and their removal."""

import re
from io import StringIO
from types import SimpleNamespace

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth
from django.core.management import CommandError, call_command
from django.test import Client, RequestFactory

from lifecycle.domain.permissions import Role
from lifecycle.models import AuditEntry
from lifecycle.operations import RefusedError
from portal.access import actor_of
from portal.accounts.models import User
from portal.accounts.second_factors import remove_second_factors

KEY = re.compile(r'<code class="key">([A-Z2-7]+)</code>')
RECOVERY = re.compile(r"<code>(\d{8})</code>")


class App:
    """Somebody's authenticator app: it shows the code of the moment."""

    def __init__(self, key, monkeypatch):
        self.key, self._patch, self._at = key, monkeypatch, 1_800_000_000
        self.wait(0)

    def wait(self, seconds=30):
        self._at += seconds
        self._patch.setattr(auth, "time", SimpleNamespace(time=lambda: self._at))

    def code(self):
        return auth.format_hotp_value(auth.hotp_value(self.key, self._at // 30))


def confirmed(browser, name="emil"):
    browser.post("/account/confirm/", {"password": name})
    return browser


@pytest.fixture
def emil(world):
    return User.objects.get(username="emil")


@pytest.fixture
def app(emil, signed_in, monkeypatch):
    """Emil's app, which he has added, and his recovery codes."""
    browser = confirmed(signed_in("emil"))
    found = App(KEY.search(browser.get("/account/app/").content.decode()).group(1), monkeypatch)
    added = browser.post("/account/app/", {"code": found.code()})
    assert added["Location"] == "/account/recovery-codes/"
    found.recovery = RECOVERY.findall(browser.get(added["Location"]).content.decode())
    found.wait()
    return found


def password(browser, **more):
    return browser.post("/sign-in/", {"username": "emil", "password": "emil", **more})


def is_in(browser):
    return "_auth_user_id" in browser.session


def actor(browser, user):
    request = RequestFactory().get("/")
    request.user, request.session = User.objects.get(pk=user.pk), browser.session
    return actor_of(request)


def test_the_password_alone_no_longer_lets_in(app, emil, client):
    response = password(client, next="/models/")
    assert response["Location"] == "/sign-in/second-factor/"
    assert not is_in(client)
    assert client.get("/models/").status_code == 302
    passed = client.post(response["Location"], {"code": app.code()})
    assert passed["Location"] == "/models/"
    assert actor(client, emil).signed_in_by == "password+totp"


def test_a_code_works_once(app, client):
    code = app.code()
    password(client)
    client.post("/sign-in/second-factor/", {"code": code})
    assert is_in(client)
    other = Client()
    password(other)
    response = other.post("/sign-in/second-factor/", {"code": code})
    assert "used already" in response.content.decode()
    assert not is_in(other)


def test_a_wrong_code_can_be_tried_five_times(app, client):
    password(client)
    wrong = f"{(int(app.code()) + 1) % 1_000_000:06}"
    statuses = [client.post("/sign-in/second-factor/", {"code": wrong}).status_code for _ in range(6)]
    assert statuses == [200] * 5 + [429]
    assert client.post("/sign-in/second-factor/", {"code": app.code()}).status_code == 429
    assert not is_in(client)


def test_a_recovery_code_lets_in_once(app, emil, client):
    assert len(set(app.recovery)) == 10
    password(client)
    client.post("/sign-in/second-factor/", {"code": app.recovery[3]})
    assert actor(client, emil).signed_in_by == "password+recovery code"
    other = Client()
    password(other)
    assert other.post("/sign-in/second-factor/", {"code": app.recovery[3]}).status_code == 200
    assert not is_in(other)


def test_recovery_codes_are_shown_once(app, emil, client):
    password(client)
    client.post("/sign-in/second-factor/", {"code": app.code()})
    again = confirmed(client).get("/account/recovery-codes/").content.decode()
    assert "cannot be shown again" in again
    assert not set(app.recovery) & set(RECOVERY.findall(again))


def test_the_code_again_counts_as_a_fresh_proof(app, world, emil, client):
    password(client)
    client.post("/sign-in/second-factor/", {"code": app.code()})
    world.pass_time(minutes=30)
    app.wait()
    assert "/account/confirm/code/" in client.get("/account/confirm/").content.decode()
    assert client.post("/account/confirm/code/", {"code": app.code(), "next": "/inbox/"})["Location"] == "/inbox/"
    assert actor(client, emil).confirmed_at == world.now


def test_nothing_can_be_read_from_a_copy_of_the_database(app):
    kept = " ".join(str(row.data) for row in Authenticator.objects.all())
    assert app.key not in kept
    assert not any(code in kept for code in app.recovery)


def test_after_a_change_of_the_installation_s_secret(app, settings, client):
    old = settings.SECRET_KEY
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "n" * 60, [old]
    password(client)
    client.post("/sign-in/second-factor/", {"code": app.code()})
    assert is_in(client)
    settings.SECRET_KEY_FALLBACKS = []
    other = Client()
    password(other)
    app.wait()
    response = other.post("/sign-in/second-factor/", {"code": app.code()})
    assert "Ask an administrator to remove it" in response.content.decode()
    assert not is_in(other)


def test_changing_the_second_factor_takes_a_fresh_proof_and_is_on_the_record(app, world, emil, client):
    password(client)
    client.post("/sign-in/second-factor/", {"code": app.code()})
    response = client.post("/account/app/remove/")
    assert response["Location"].startswith("/account/confirm/")
    assert Authenticator.objects.count() == 2
    confirmed(client).post("/account/app/remove/")
    assert not Authenticator.objects.exists()
    entries = AuditEntry.objects.order_by("seq").values_list("action", "actor", "signed_in_by")
    assert list(entries) == [
        ("second_factor_added", "emil", "password"),
        ("second_factor_removed", "emil", "password+totp"),
    ]


def test_a_change_that_cannot_be_recorded_does_not_happen(app, client, monkeypatch):
    password(client)
    client.post("/sign-in/second-factor/", {"code": app.code()})
    monkeypatch.setattr("portal.web.account.record", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        confirmed(client).post("/account/app/remove/")
    assert Authenticator.objects.count() == 2


def test_starting_again_forgets_the_password(app, client):
    password(client)
    client.post("/sign-out/")
    assert client.post("/sign-in/second-factor/", {"code": app.code()})["Location"] == "/sign-in/"
    assert not is_in(client)


def test_an_administrator_lets_in_whoever_lost_it(app, world, emil, client):
    out = StringIO()
    call_command("remove_second_factor", "emil", reason="Lost his phone; I know his voice.", stdout=out)
    assert "password alone" in out.getvalue()
    password(client)
    assert is_in(client)
    entry = AuditEntry.objects.get(action="second_factors_removed")
    assert (entry.actor, entry.reason) == ("Command line", "Lost his phone; I know his voice.")
    with pytest.raises(CommandError, match="no second factor"):
        call_command("remove_second_factor", "emil", reason="Again.")


def test_an_administrator_removes_it_on_the_page_of_the_person(app, world, emil, signed_in):
    browser = signed_in("ada")
    assert "Remove the second factor" in browser.get(f"/settings/people/{emil.pk}/").content.decode()
    browser.post(f"/settings/people/{emil.pk}/second-factors/", {"reason": "Lost his phone."})
    assert not Authenticator.objects.exists()
    assert AuditEntry.objects.get(action="second_factors_removed").actor == "ada"
    signed_in("mia").post(f"/settings/people/{emil.pk}/second-factors/", {"reason": "I can."})
    assert AuditEntry.objects.get(refused=True).actor == "mia"


def test_nobody_else_removes_it(app, world, emil):
    with pytest.raises(RefusedError):
        remove_second_factors(account=emil, reason="I can.", actor=world.people["mia"], now=world.now)
    assert Role.ADMINISTRATOR not in world.people["mia"].roles
    assert Authenticator.objects.filter(user=emil).exists()
