"""The frame of every page by keyboard and on a phone: the menu under one's name, the theme, and the navigation."""

import pytest
from playwright.sync_api import expect

from tests.support.asked import asked

pytestmark = pytest.mark.browser
PHONE = {"viewport": {"width": 320, "height": 640}, "has_touch": True, "is_mobile": True}
THEME = "document.documentElement.dataset.theme || 'system'"


def test_the_menu_opens_and_closes_by_keyboard_and_sets_the_theme(world, at_portal):
    page = at_portal("ada", "/policies/")
    opener, sign_out = page.locator("#user-menu summary"), page.get_by_role("button", name="Sign out")
    expect(page.get_by_role("navigation", name="Main").get_by_role("link", name="Policies")).to_have_attribute(
        "aria-current", "page"
    )
    expect(sign_out).to_be_hidden()
    opener.press("Enter")
    expect(sign_out).to_be_visible()
    page.get_by_role("radio", name="Dark").check(force=True)
    assert page.evaluate(THEME) == "dark"
    page.keyboard.press("Escape")
    expect(sign_out).to_be_hidden()
    expect(opener).to_be_focused()

    opener.press("Enter")
    page.get_by_role("link", name="API tokens").click()
    page.wait_for_url("**/account/tokens/")
    assert page.evaluate(THEME) == "dark"
    opener.press("Enter")
    expect(page.get_by_role("radio", name="Dark")).to_be_checked()
    page.get_by_role("radio", name="System").check(force=True)
    assert page.evaluate(THEME) == "system"
    page.get_by_role("heading", level=1).click()
    expect(sign_out).to_be_hidden()


def test_the_inbox_stays_in_sight_on_the_smallest_phone(world, at_portal):
    asked(world)
    page = at_portal("priya", "/record/", **PHONE)
    navigation = page.get_by_role("navigation", name="Main")
    expect(navigation.get_by_role("link", name="Inbox 1")).to_be_in_viewport(ratio=1)
    expect(navigation.get_by_role("link", name="Freezes")).to_be_hidden()
    navigation.get_by_role("button", name="More").press("Enter")
    expect(navigation.get_by_role("link", name="Record")).to_have_attribute("aria-current", "page")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(navigation.get_by_role("link", name="Freezes")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/freezes/")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
