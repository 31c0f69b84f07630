"""Everything by keyboard: where the focus is, that it can be seen, and where it goes when a page changes."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from lifecycle.models import Approval
from tests.support.asked import asked, reported
from tests.support.screens import on_trial, with_versions

pytestmark = pytest.mark.browser

FOCUSED = "document.activeElement"
WORDS = f"() => ({FOCUSED}.getAttribute('aria-label') || {FOCUSED}.innerText || {FOCUSED}.value || '').trim()"
UNSEEN = """() => {
    const element = document.activeElement;
    if (element === document.body) return "";
    const told = `<${element.tagName.toLowerCase()} class="${element.className}"> ${element.innerText?.slice(0, 40)}`;
    const drawn = (each) => {
        const style = getComputedStyle(each);
        return (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== "none";
    };
    // Chromium draws the button inside of a field for dates by itself.
    if (element.type === "datetime-local" && !element.matches(":focus-visible")) return "";
    // A choice that is drawn by its label has the ring there.
    if (![element, element.nextElementSibling, element.closest("label")].some((each) => each && drawn(each))) {
        return `no ring: ${told}`;
    }
    const box = element.getBoundingClientRect();
    const inside = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
    return inside ? "" : `out of sight: ${told}`;
}"""
"""What is wrong with the element that has the focus: "" when it can be seen that it has it."""
IN_DIALOG = f"() => {FOCUSED} === document.body || document.querySelector('dialog[open]').contains({FOCUSED})"
STOPS = 60
"""Presses of Tab on one page: the beginning of a long one is enough."""


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def tab_to(page: Page, words: str, *, key: str = "Tab") -> None:
    """Fail unless the focus comes to the element that begins with these words."""
    for _ in range(STOPS):
        press(page, key)
        if page.evaluate(WORDS).startswith(words):
            return
    raise AssertionError(f"Tab does not lead to: {words}")


def focused(page: Page):
    return page.locator(":focus")


def test_from_signing_in_to_a_decision(world, at_portal):
    asked(world)
    page = at_portal("mia", "/inbox/")
    page.context.clear_cookies()
    page.goto("/inbox/")
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    page.keyboard.type("mia")
    press(page, "Tab")
    page.keyboard.type("wrong")
    press(page, "Enter")
    expect(page.get_by_role("alert")).to_be_focused()
    press(page, "Tab")
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    page.get_by_label("Name", exact=True).fill("mia")
    press(page, "Tab")
    page.keyboard.type("mia")
    press(page, "Enter")
    page.get_by_role("navigation", name="Main").wait_for()

    # The first stop leads over the frame to the content; the way back to the navigation is as short.
    press(page, "Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    press(page, "Enter")
    expect(page.locator("main")).to_be_focused()
    tab_to(page, "Move 1.1.0 to Production")
    press(page, "Enter")
    page.wait_for_url("**/transitions/*/")

    # The dialog holds the focus, Escape closes it and gives it back, and what was typed is still there.
    tab_to(page, "Approve")
    press(page, "Enter")
    reason = page.get_by_role("dialog").get_by_role("textbox")
    expect(reason).to_be_focused()
    page.keyboard.type("Her figures are")
    for _ in range(6):
        press(page, "Tab")
        assert page.evaluate(IN_DIALOG), "the focus has left the dialog"
    press(page, "Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert page.evaluate(WORDS).startswith("Approve")
    press(page, "Enter")
    expect(reason).to_have_value("Her figures are")
    press(page, "End")
    page.keyboard.type(" good.")
    press(page, "Tab", "Enter")
    expect(page.get_by_role("status").filter(has_text="It still waits for: product owner.")).to_be_visible()
    assert Approval.objects.get().reason == "Her figures are good."


def test_a_refusal_gets_the_focus_and_a_success_is_read_out(world, at_portal, complaints):
    transition = asked(world)
    page = at_portal("priya", f"/transitions/{transition.pk}/")
    reported(world)
    complaints.expected.add(409)
    page.get_by_role("button", name="Approve").click()
    page.get_by_role("dialog").get_by_role("textbox").fill("Customers wait.")
    press(page, "Tab", "Enter")
    expect(page.get_by_role("alert")).to_be_focused()
    expect(page.get_by_role("alert")).to_contain_text("changed since then")

    page.add_init_script(SAID)
    tab_to(page, "Approve")
    press(page, "Enter")
    page.keyboard.press("Tab")
    press(page, "Enter")
    page.wait_for_function("() => window.said?.includes('It still waits for')")


WITH_A_SECRET = """form => form.insertAdjacentHTML("beforeend", '<input type="password" name="key" value="secret">')"""


def test_a_draft_outlives_a_session_for_its_writer_alone(world, at_portal, complaints):
    path = f"/transitions/{asked(world).pk}/"
    page = at_portal("priya", path)
    complaints.expected.add(403)
    reason = page.get_by_role("dialog").get_by_role("textbox")
    for who, offered in (("priya", "Customers wait."), ("mia", "")):
        page.get_by_role("button", name="Approve").click()
        reason.fill("Customers wait.")
        page.get_by_role("dialog").locator("form").evaluate(WITH_A_SECRET)
        page.context.clear_cookies()
        page.get_by_role("dialog").locator("button:not([formmethod])").last.click()
        page.get_by_role("link", name="Sign in again").click()
        assert "secret" not in page.evaluate("Object.values(sessionStorage).join()")
        page.get_by_label("Name", exact=True).fill(who)
        page.get_by_label("Password", exact=True).fill(who)
        press(page, "Enter")
        page.wait_for_url(f"**{path}")
        page.get_by_role("button", name="Approve").click()
        expect(reason).to_have_value(offered)
        press(page, "Escape")


SAID = """
document.addEventListener("DOMContentLoaded", () => {
    window.said = "";
    new MutationObserver((changes) => {
        for (const { target, addedNodes } of changes) {
            if (target.matches?.("[role=status]") && addedNodes.length) window.said += target.innerText;
        }
    }).observe(document.body, { childList: true, subtree: true });
});
"""
"""Keeps what a screen reader would read out: what is put into a live region after the page was there."""


def test_menus_open_and_close(world, at_portal):
    page = at_portal("ada")
    tab_to(page, "A")
    press(page, "Enter")
    account = page.get_by_role("link", name="Your account")
    expect(account).to_be_visible()
    press(page, "Tab")
    expect(account).to_be_focused()
    press(page, "Escape")
    expect(account).to_be_hidden()
    expect(focused(page)).to_have_class("menu-opener")
    press(page, "Enter")
    tab_to(page, "system")
    press(page, "ArrowRight")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    press(page, "ArrowLeft")
    tab_to(page, "Sign out")
    press(page, "Enter")
    page.wait_for_url("**/sign-in/**")


def test_the_focus_stays_while_a_page_refreshes(world, at_portal):
    with_versions(world, "churn")
    row = on_trial(world, "churn")
    page = at_portal("emil", f"/transitions/{row.pk}/")
    tab_to(page, "Pause")
    with page.expect_response(f"**/transitions/{row.pk}/"):
        pass
    page.wait_for_timeout(100)
    assert page.evaluate(WORDS).startswith("Pause")
    press(page, "Enter")
    expect(page.get_by_role("dialog").get_by_role("textbox")).to_be_focused()
    press(page, "Escape")

    page.goto("/models/")
    search = page.get_by_role("searchbox")
    search.focus()
    with page.expect_response("**/models/?*"):
        page.keyboard.type("chu")
    expect(page.get_by_role("main").get_by_role("link", name="iris", exact=True)).to_have_count(0)
    expect(search).to_be_focused()
    expect(search).to_have_value("chu")


@pytest.mark.parametrize("who", ["priya", "ada"])
def test_the_focus_can_be_seen(world, at_portal, who):
    transition = asked(world)
    page = at_portal(who)
    wrong = {}
    for address in (
        "/",
        "/inbox/",
        f"/transitions/{transition.pk}/",
        "/models/",
        "/models/iris/versions/2/",
        "/record/",
    ):
        page.goto(address)
        for _ in range(STOPS):
            press(page, "Tab")
            found = page.evaluate(UNSEEN)
            if found:
                wrong.setdefault(address, set()).add(found)
    assert not wrong
