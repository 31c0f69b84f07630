"""What each of the four people comes for, from the front page to the end, on the screen that they have at hand."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from lifecycle import export_jobs
from lifecycle.domain.permissions import Role
from lifecycle.domain.stages import Stage
from lifecycle.models import AuditEntry, ExportJob, Policy, Status, Team, Transition
from portal.accounts.models import ApiToken, RoleAssignment, User
from tests.support.asked import asked
from tests.support.served import production

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
WIDTH = "document.documentElement.scrollWidth"


def in_dialog(page: Page, reason: str, button: str) -> None:
    """Say why, and press the button of the dialog that is open."""
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox").fill(reason)
    dialog.get_by_role("button", name=button, exact=True).click()


def fits(page: Page) -> bool:
    return int(page.evaluate(WIDTH)) <= PHONE["viewport"]["width"]


def menu(page: Page, words: str) -> None:
    """Choose something in one's own menu."""
    page.locator(".menu-opener").click()
    page.get_by_role("link", name=words).click()


# ---------------------------------------------------------------- the product owner


def test_a_product_owner_decides_at_a_desk(world, at_portal):
    transition = asked(world)
    page = at_portal("priya")
    world.pass_time(hours=1)
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("1 decision waits for you")
    page.get_by_role("link", name="Move 1.1.0 to Production").first.click()
    page.wait_for_url(f"**/transitions/{transition.pk}/")
    expect(page.get_by_text("It is better.").first).to_be_visible()
    for criterion in ("Unit tests", "Code review"):
        expect(page.get_by_role("main").get_by_text(criterion).first).to_be_visible()

    # It is long since she signed in: her password is asked for, and what she typed is still there afterwards.
    page.get_by_role("button", name="Approve").click()
    in_dialog(page, "Customers wait for it.", "Go on to confirm")
    page.get_by_label("Password").fill("priya")
    page.get_by_role("button", name="Confirm").click()
    page.wait_for_url(f"**/transitions/{transition.pk}/**")
    decision = page.get_by_role("region", name="Your decision")
    expect(decision.get_by_role("textbox")).to_have_value("Customers wait for it.")
    decision.get_by_role("button", name="Approve", exact=True).click()
    expect(page.get_by_text("It still waits for: ML engineer.")).to_be_visible()
    assert Transition.objects.get(pk=transition.pk).status == Status.AWAITING_APPROVAL
    page.get_by_role("link", name="Inbox").click()
    expect(page.get_by_role("heading", level=1)).not_to_contain_text("1 decision")


def test_a_product_owner_rejects_on_a_phone(world, at_portal):
    transition = asked(world)
    page = at_portal("priya", **PHONE)
    assert fits(page)
    page.get_by_role("link", name="Move 1.1.0 to Production").first.tap()
    page.wait_for_url(f"**/transitions/{transition.pk}/")
    assert fits(page)
    page.get_by_role("button", name="Reject").tap()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox").fill("Not before the holidays.")
    dialog.get_by_role("button", name="Reject", exact=True).tap()
    expect(page.get_by_text("You have rejected it.")).to_be_visible()
    assert Transition.objects.get(pk=transition.pk).status == Status.REJECTED


# ---------------------------------------------------------------- the ML engineer


def test_an_engineer_asks_watches_pauses_and_resumes(world, at_portal):
    world.in_production(1)
    world.drive(world.approved(2, Stage.STAGING))
    page = at_portal("emil", "/models/iris/versions/2/")
    page.get_by_role("button", name="Ask to move it to Production").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox", name="Why should it move?").fill("A day in Staging without an error.")
    dialog.get_by_role("button", name="Ask for Production").click()
    page.wait_for_url("**/transitions/*/")
    row = Transition.objects.latest("pk")
    expect(page.get_by_text("somebody else has to decide")).to_be_visible()

    # The page follows without being loaded again.
    world.approve(row, "mia", "priya")
    while not (row.step_since and row.steps):
        world.tick(row)
    world.verdict = "hold"
    world.tick(row)
    bar = page.locator("svg.bar").first
    expect(bar).to_have_attribute("aria-label", "Share of requests: 1.0.0 95 %, 1.1.0 5 %")
    page.get_by_role("button", name="Pause").click()
    in_dialog(page, "Sales asks for it.", "Pause")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    assert Transition.objects.get(pk=row.pk).pause_reason == "Sales asks for it."
    page.get_by_role("button", name="Resume").click()
    in_dialog(page, "Sales agrees.", "Resume")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    assert Transition.objects.get(pk=row.pk).paused_at is None


def test_an_engineer_rolls_back_on_a_phone_at_night(world, at_portal):
    """Two taps and a reason from the front page; what the second one does stands beside it."""
    world.in_production(1)
    world.drive(world.approved(2, Stage.STAGING))
    row = world.approved(2, Stage.PRODUCTION)
    while not row.step_since:
        world.tick(row)
    page = at_portal("emil", color_scheme="dark", **PHONE)
    assert fits(page)
    page.get_by_role("link", name="Roll back iris").first.tap()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("goes back to 1.0.0 at once")).to_be_visible()
    dialog.get_by_label("What is wrong?").fill("Latency.")
    assert fits(page)
    dialog.get_by_role("button", name="Roll back to 1.0.0").tap()
    page.wait_for_url("**/transitions/*/")
    world.drive(Transition.objects.get(pk=row.pk))
    expect(page.locator("svg.bar").first).to_have_attribute("aria-label", "Share of requests: 1.0.0 100 %")
    assert world.weights() == {1: 100}


# ---------------------------------------------------------------- the auditor


def test_an_auditor_reads_filters_exports_and_opens_the_dossier(world, at_portal, settings, tmp_path):
    settings.EXPORTS_DIR = tmp_path
    production(world)
    world.drive(world.roll_back())
    page = at_portal("aron")
    page.get_by_role("link", name="Record").click()
    page.locator("select[name=action]").select_option("rollback_requested")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("1 entry", exact=True)).to_be_visible()
    page.get_by_role("link", name="Entry").first.click()
    expect(page.get_by_text("It fits what is recorded.")).to_be_visible()
    expect(page.get_by_text("Errors went up.").first).to_be_visible()

    page.goto("/record/?model=iris")
    page.get_by_role("button", name="Export these entries").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("What is it for?").fill("The yearly audit.")
    dialog.get_by_role("button", name="Export").click()
    page.locator("#main").get_by_text("Waiting for a worker").wait_for()
    export_jobs.run(ExportJob.objects.get().pk, clock=timezone.now)
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download").click()
    lines = downloading.value.path().read_bytes().splitlines()
    assert len(lines) == AuditEntry.objects.filter(model="iris").exclude(action="record_exported").count()

    page.goto("/models/iris/versions/2/")
    page.get_by_role("link", name="dossier").first.click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_text("What the record says").first).to_be_visible()
    for word in ("Approve", "Roll back", "Ask to move"):
        expect(page.get_by_role("button", name=word)).to_have_count(0)


# ---------------------------------------------------------------- the platform engineer


def test_a_platform_engineer_brings_somebody_in(world, at_portal):
    page = at_portal("ada")
    menu(page, "People and teams")
    page.get_by_label("User name").fill("nora")
    page.get_by_label("Name", exact=True).fill("Nora de Vries")
    page.get_by_label("Why?").fill("She joins.")
    page.get_by_role("button", name="Add the person").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Nora de Vries")
    page.locator("select[name=role]").select_option("ml_engineer")
    page.get_by_role("region", name="Give a role").get_by_label("Why?").fill("She trains models.")
    page.get_by_role("button", name="Give the role").click()
    expect(page.get_by_role("status").first).to_be_visible()
    assert RoleAssignment.objects.get(user__username="nora").role == Role.ML_ENGINEER
    page.get_by_label("Why do they need one?").fill("She is new.")
    page.get_by_role("button", name="Make a link").click()
    expect(page.get_by_role("heading", name="Pass this link on to Nora de Vries")).to_be_visible()

    page.goto("/settings/teams/")
    page.get_by_label("Name", exact=True).fill("Fraud")
    page.get_by_label("Why?").fill("They own it.")
    page.get_by_role("button", name="Add the team").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Fraud")
    here = page.get_by_role("region", name="Give somebody a role here")
    here.get_by_label("User name").fill("nora")
    here.locator("select[name=role]").select_option("product_owner")
    here.get_by_label("Why?").fill("She decides there.")
    here.get_by_role("button", name="Give the role").click()
    expect(page.get_by_role("link", name="Nora de Vries").first).to_be_visible()
    assert User.objects.get(username="nora").role_assignments.filter(team=Team.objects.get()).exists()

    menu(page, "API tokens")
    page.goto("/account/tokens/?whose=everybody")
    form = page.get_by_role("region", name="New token for a service")
    form.locator("[name=account]").fill("ci")
    form.get_by_label("Name of the token").fill("nightly")
    form.get_by_label("Record evidence").check()
    form.get_by_label("Why is it needed?").fill("CI reports.")
    form.get_by_role("button", name="Create the token and show it").click()
    expect(page.locator("code", has_text="sg_")).to_be_visible()
    assert ApiToken.objects.get().name == "nightly"


def test_a_platform_engineer_changes_a_policy_and_looks_after_the_system(world, at_portal):
    page = at_portal("ada")
    page.get_by_role("link", name="Policies").click()
    page.get_by_role("link", name="Change").first.click()
    text = page.locator("#policy")
    text.fill(text.input_value().replace("warm_window: 10m", "warm_window: 20m"))
    page.get_by_role("button", name="Check what it changes").click()
    expect(page.get_by_role("heading", name="This changes 1 value")).to_be_visible()
    changed = page.get_by_role("row", name="warm")
    expect(changed).to_contain_text("10")
    expect(changed).to_contain_text("20")
    page.get_by_label("Why is it changed?").fill("Rollbacks are to be fast for longer.")
    page.get_by_role("button", name="Put it in force").click()
    expect(page.get_by_role("status").first).to_contain_text("Policy 2 is in force")
    assert Policy.objects.latest("number").values.warm_window == timedelta(minutes=20)

    menu(page, "System status")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.goto("/freezes/")
    page.get_by_role("link", name="Plan a freeze").click()
    page.locator("[name=name]").fill("End of the quarter")
    page.locator("[name=starts]").fill("2026-03-10T08:00")
    page.locator("[name=ends]").fill("2026-03-12T08:00")
    page.get_by_label("Why?").fill("The books are closed.")
    page.get_by_role("button", name="Plan the freeze").click()
    expect(page.get_by_text("End of the quarter").first).to_be_visible()
