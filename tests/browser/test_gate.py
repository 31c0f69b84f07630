"""What people do about a gate in the browser: record evidence, waive, run a check and look at what it measured."""

import pytest
from playwright.sync_api import expect

from tests.support.installation import MODEL

pytestmark = [pytest.mark.browser, pytest.mark.timeout(420)]

VERSION = 6
PAGE = f"/models/{MODEL}/versions/{VERSION}/"
NOTHING_BY_ITSELF = {"in_development": [], "in_staging": []}


@pytest.fixture
def asked_for(installation):
    """Puts a policy into force that asks for these criteria before Staging; afterwards it asks for nothing again."""
    installation.await_ready()
    with installation.gated(
        criteria={"to_staging": ["code_review", "security_scan", "load_test"]}, checks=NOTHING_BY_ITSELF
    ):
        yield


def row_of(page, criterion):
    return page.locator(f"#staging-{criterion}")


def state_of(page, criterion):
    return row_of(page, criterion).locator(".criterion-state")


def press(page, criterion, button):
    """The button of a criterion, which is folded away where the criterion is fulfilled."""
    row = row_of(page, criterion)
    if not row.get_by_role("button", name=button).count():
        row.locator("summary").click()
    row.get_by_role("button", name=button).first.click()


def record(page, criterion, outcome, note):
    page.goto(PAGE)
    press(page, criterion, "Record evidence")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label(outcome).check()
    dialog.get_by_placeholder("https://").fill("https://git.example.org/reviews/1")
    dialog.get_by_label("Note").fill(note)
    dialog.get_by_role("button", name="Record it").click()
    expect(page.get_by_role("status").filter(has_text="Recorded")).to_be_visible()


def test_evidence_by_hand_turns_a_criterion_and_a_waiver_is_marked(asked_for, person):
    mia, priya = person("mia"), person("priya")

    record(mia, "code_review", "Failed", "The loop is off by one.")
    expect(state_of(mia, "code_review")).to_have_text("Failed")
    expect(row_of(mia, "code_review").locator(".criterion-why")).to_contain_text("The loop is off by one.")
    record(mia, "code_review", "Passed", "Mended.")
    expect(state_of(mia, "code_review")).to_have_text("Passed")

    priya.goto(PAGE)
    press(priya, "security_scan", "Waive it")
    dialog = priya.get_by_role("dialog")
    dialog.get_by_label("Why is it all right without?").fill("The scanner is down until Friday.")
    dialog.get_by_role("button", name="Waive it").click()
    expect(state_of(priya, "security_scan")).to_have_text("Waived")

    mia.goto(PAGE)
    expect(mia.get_by_text("The scanner is down until Friday.")).to_be_visible()
    press(mia, "security_scan", "End this waiver")
    dialog = mia.get_by_role("dialog")
    dialog.get_by_label("Why does it end?").fill("It is up again.")
    dialog.get_by_role("button", name="End the waiver").click()
    expect(state_of(mia, "security_scan")).to_have_text("Missing")
    expect(mia.get_by_text("The scanner is down until Friday.")).to_be_visible()


def test_a_check_runs_while_people_watch_and_shows_what_it_measured(asked_for, person):
    emil = person("emil")
    emil.goto(PAGE)
    press(emil, "load_test", "Run the load test")
    row = row_of(emil, "load_test")
    expect(row.get_by_role("progressbar")).to_be_visible()
    row.locator("summary").click()
    expect(row.get_by_role("progressbar")).to_have_count(0, timeout=120_000)

    expect(row.locator("details")).to_have_attribute("open", "")
    expect(row.get_by_role("cell", name="answers/s").first).to_be_visible()
    row.get_by_role("link", name="Look at the evidence").click()
    expect(emil.get_by_role("heading", level=1)).to_have_text("Load test")
    expect(emil.locator(".chart-canvas .main-svg").first).to_be_visible()
    emil.get_by_text("The same as a table").click()
    expect(emil.get_by_role("columnheader", name="p95 in s")).to_be_visible()
    expect(emil.get_by_text("SHA-256 of their manifest")).to_be_visible()
