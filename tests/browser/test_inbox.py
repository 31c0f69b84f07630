"""Deciding in Chromium: the inbox, void approvals, taking back, freezes and bypasses."""

import pytest
from playwright.sync_api import expect

from lifecycle.models import Approval, Status, Transition
from tests.support.asked import asked, reported

pytestmark = pytest.mark.browser
ADDRESS = "/transitions/{pk}/"


def answer(page, opener, reason, button):
    """Open a dialog, say why, and press its button."""
    page.get_by_role("button", name=opener).first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox").fill(reason)
    dialog.get_by_role("button", name=button, exact=True).click()


def status_of(transition):
    return Transition.objects.get(pk=transition.pk).status


def test_deciding(world, at_portal, complaints):
    waiting = asked(world)
    priya, mia = at_portal("priya", "/inbox/"), at_portal("mia", "/inbox/")
    expect(priya.get_by_text("would take 5 %, then 25 %, 50 % and all requests from 1.0.0").first).to_be_visible()
    priya.get_by_text("Ready for Production").click()
    expect(priya.get_by_text("Code review", exact=True)).to_be_visible()

    # By keyboard: j goes to the decision, Enter opens it.
    mia.keyboard.press("j")
    expect(mia.get_by_role("link", name="Move 1.1.0 to Production", exact=True)).to_be_focused()
    mia.keyboard.press("Enter")
    mia.wait_for_url(f"**/transitions/{waiting.pk}/")
    answer(mia, "Approve", "Her figures are good.", "Approve")
    expect(mia.get_by_text("It still waits for: product owner.")).to_be_visible()

    # Its evidence changes while priya looks at it: her yes is refused, and what she typed is kept.
    priya.get_by_role("button", name="Approve").click()
    priya.get_by_role("dialog").get_by_role("textbox").fill("Customers wait for it.")
    reported(world)
    complaints.expected.add(409)
    priya.get_by_role("dialog").get_by_role("button", name="Approve", exact=True).click()
    expect(priya.get_by_role("alert")).to_contain_text("The criterion “Unit tests” changed since then.")
    expect(priya.get_by_text("mia's yes is void:")).to_be_visible()
    priya.wait_for_url(f"**/transitions/{waiting.pk}/")
    priya.get_by_role("button", name="Approve").click()
    expect(priya.get_by_role("dialog").get_by_role("textbox")).to_have_value("Customers wait for it.")
    priya.get_by_role("dialog").get_by_role("button", name="Approve", exact=True).click()
    expect(priya.get_by_text("It still waits for: ML engineer.")).to_be_visible()

    # Taken back and said again, in two tabs at once: one decision, and the second is told so.
    answer(priya, "Take my approval back", "Let me ask sales first.", "Take my approval back")
    expect(priya.get_by_text("priya took their yes back")).to_be_visible()
    second = priya.context.new_page()
    second.goto("/inbox/")
    answer(priya, "Approve", "Sales agrees.", "Approve")
    expect(priya.get_by_text("You have said yes to 1.1.0")).to_be_visible()
    answer(second, "Approve", "Sales agrees.", "Approve")
    expect(second.get_by_text("You have already said yes.")).to_be_visible()
    assert Approval.objects.filter(voided_at=None, withdrawn_at=None).count() == 1

    # mia rejects it; priya's page had not heard of that yet.
    mia.goto("/inbox/")
    answer(mia, "Reject", "The drift is not explained.", "Reject")
    expect(mia.get_by_text("You have rejected it.")).to_be_visible()
    assert status_of(waiting) == Status.REJECTED


def test_freeze_and_bypass(world, at_portal):
    waiting = asked(world)
    ada = at_portal("ada", "/freezes/plan/")
    ada.locator("[name=name]").fill("End of the quarter")
    ada.locator("[name=starts]").fill("2026-03-01T08:00")
    ada.locator("[name=ends]").fill("2026-03-04T08:00")
    ada.locator("[name=zone]").select_option("Europe/Berlin")
    ada.locator("[name=reason]").fill("The books are closed.")
    ada.get_by_role("button", name="Plan the freeze").click()
    expect(ada.get_by_text("“End of the quarter” holds all models")).to_be_visible()
    assert ada.locator(".day-frozen").count() == 4

    # In an emergency: far from yes and no, and flagged on everybody's front page.
    ada.goto(ADDRESS.format(pk=waiting.pk))
    expect(ada.get_by_role("button", name="Go on without the approvals")).to_be_hidden()
    ada.get_by_text("In an emergency").click()
    answer(ada, "Go on without the approvals", "Users get errors.", "Go on without approvals")
    expect(ada.get_by_text("without approvals, not reviewed")).to_be_visible()
    expect(ada.get_by_text("Held until Wed 4 Mar 2026")).to_be_visible()
    assert world.tick(waiting, 2).checked_at is None
    answer(ada, "Let this one go on during the freeze", "Users get errors.", "Let it go on")
    expect(ada.get_by_text("No freeze holds it:")).to_be_visible()
    assert world.tick(waiting, 2).checked_at is not None

    priya = at_portal("priya", "/")
    expect(priya.get_by_role("heading", name="1 bypass waits for your review")).to_be_visible()
    priya.get_by_role("link", name="Review").first.click()
    answer(priya, "Review it", "It was right; page mia next time.", "Record the review")
    expect(priya.get_by_text("Your review is recorded.")).to_be_visible()
    priya.goto("/")
    expect(priya.get_by_text("Went on without approvals")).to_have_count(0)

    ada.goto("/freezes/")
    answer(ada, "Remove", "The books are done.", "Remove it")
    expect(ada.get_by_text("No freeze is planned.")).to_be_visible()
