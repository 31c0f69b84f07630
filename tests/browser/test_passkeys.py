"""A passkey's life in a real browser, with an authenticator that Chromium plays."""

import pytest
from allauth.mfa.models import Authenticator
from playwright.sync_api import expect

from portal.accounts.models import User

pytestmark = pytest.mark.browser
AUTHENTICATOR = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


def sign_out(page):
    page.locator("#user-menu summary").click()
    page.get_by_role("button", name="Sign out").click()


def test_a_passkey_is_added_signs_in_confirms_and_is_removed(at_portal, world):
    page = at_portal("emil", "/account/")
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    made = devtools.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})

    page.get_by_role("link", name="Add a passkey").click()
    page.get_by_label("Password").fill("emil")
    page.get_by_role("button", name="Confirm").click()
    page.get_by_label("What do you call it?").fill("Laptop <b>")
    page.get_by_role("button", name="Add the passkey").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    expect(page.get_by_label("Recovery codes").get_by_role("listitem")).to_have_count(10)
    page.get_by_role("link", name="I have kept them").click()
    expect(page.get_by_text("Passkey “Laptop <b>”")).to_be_visible()
    expect(page.get_by_text("Signs you in by itself.")).to_be_visible()

    sign_out(page)
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.get_by_role("navigation", name="Main").wait_for()

    world.pass_time(minutes=20)
    page.goto("/account/confirm/passkey/?next=/models/")
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url("**/models/")

    # The password alone no longer lets in: the passkey comes after it.
    sign_out(page)
    page.get_by_label("Name").fill("emil")
    page.get_by_label("Password").fill("emil")
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("button", name="Use a passkey").click()
    page.get_by_role("navigation", name="Main").wait_for()

    # A device that does not confirm in time is told about, and nobody is in.
    sign_out(page)
    devtools.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": made["authenticatorId"]})
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": {**AUTHENTICATOR, "isUserVerified": False}})
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_role("alert")).to_contain_text("No passkey was used")
    page.get_by_label("Name").fill("mia")
    page.get_by_label("Password").fill("mia")
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("navigation", name="Main").wait_for()
    assert Authenticator.objects.filter(user=User.objects.get(username="emil"), type="webauthn").count() == 1
