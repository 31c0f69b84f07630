"""What people do in the browser, from a request to a rollback, on real traffic."""

import pytest
from playwright.sync_api import expect

from tests.support.installation import MODEL
from tests.support.registry import client_of

pytestmark = [pytest.mark.browser, pytest.mark.timeout(420)]

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


@pytest.fixture(autouse=True)
def version_one_serves(installation):
    installation.await_ready()
    installation.back_to_first()


def ask(page, version, stage, reason):
    """On the version's page: ask for the stage; ends on the transition's page."""
    page.goto(f"/models/{MODEL}/versions/{version}/")
    page.get_by_role("button", name=f"Ask to move it to {stage}").click()
    page.get_by_role("dialog").get_by_label("Why should it move?").fill(reason)
    page.get_by_role("dialog").get_by_role("button", name=f"Ask for {stage}").click()
    page.wait_for_url("**/transitions/*/")


def approve(page, address, reason, button):
    page.goto(address)
    page.get_by_role("button", name="Approve").click()
    page.get_by_role("dialog").get_by_label("Why is it good to go?").fill(reason)
    page.get_by_role("dialog").get_by_role("button", name=button).click()
    page.wait_for_url("**/transitions/*/")


def has_status(page, words):
    """The badge beside the heading, which follows without a reload."""
    expect(page.locator(".headline .badge").first).to_have_text(words, timeout=60_000)


def seen_shares(page, wanted, seconds=60):
    """Watch the traffic bar, without a reload, until it has shown the wanted share of the new version."""
    expect(page.locator("svg.bar").first).to_have_attribute("aria-label", wanted, timeout=seconds * 1000)


def test_from_a_request_to_a_rollback(installation, person):
    emil, mia, priya = person("emil"), person("mia"), person("priya")

    if installation.team["emil"].get(f"models/{MODEL}/versions/2/")["stage"] != "Staging":
        ask(emil, 2, "Staging", "Fixes the preprocessing.")
        approve(mia, emil.url, "Metrics are up.", "Approve and start")
        has_status(mia, "finished")

    ask(emil, 2, "Production", "A day in Staging without an error.")
    expect(emil.get_by_text("somebody else has to decide")).to_be_visible()
    expect(emil.get_by_role("button", name="Approve")).to_have_count(0)
    address = emil.url

    priya.goto("/inbox/")
    priya.get_by_role("link", name="1.0.1").first.click()
    approve(priya, address, "The business agrees.", "Approve")
    expect(priya.get_by_text("You have approved this transition already")).to_be_visible()
    with installation.load(100):
        approve(mia, address, "The tests are green.", "Approve and start")
        emil.goto(address)
        for stable, canary in ((80, 20), (50, 50)):
            seen_shares(emil, f"Share of requests: 1.0.0 {stable} %, 1.0.1 {canary} %")
        seen_shares(emil, "Share of requests: 1.0.1 100 %")
        has_status(emil, "finished")

    button = emil.get_by_role("button", name="Roll back")
    expect(button).to_contain_text(f"100 % of {MODEL} goes back to 1.0.0 at once")
    button.click()
    emil.get_by_role("dialog").get_by_label("What is wrong?").fill("Errors went up.")
    emil.get_by_role("dialog").get_by_role("button", name="Roll back to 1.0.0").click()
    seen_shares(emil, "Share of requests: 1.0.0 100 %", seconds=10)
    has_status(emil, "finished")
    assert installation.serving_weights() == {1: 100}


def test_a_rollback_from_a_phone_while_it_runs(installation, person):
    installation.into_staging(2)
    pk = installation.team.approved(MODEL, 2, "Production")
    installation.team.await_transition(pk, until=lambda row: row["step_since"])
    emil = person("emil", **PHONE)
    emil.goto(f"/transitions/{pk}/")
    emil.get_by_role("button", name="Roll back").click()
    emil.get_by_role("dialog").get_by_label("What is wrong?").fill("Latency.")
    emil.get_by_role("dialog").get_by_role("button", name="Roll back to 1.0.0").click()
    has_status(emil, "rolled back")
    assert installation.serving_weights() == {1: 100}
    width = emil.evaluate("document.documentElement.scrollWidth")
    assert width <= 390, "the page scrolls sideways on a phone"


def test_a_rejection_ends_the_request_and_shows_why(installation, person):
    installation.into_staging(2)
    pk = installation.team.ask(MODEL, 2, "Production")
    priya = person("priya")
    priya.goto(f"/transitions/{pk}/")
    priya.get_by_role("button", name="Reject").click()
    priya.get_by_role("dialog").get_by_role("textbox").fill("Not before the holidays.")
    priya.get_by_role("dialog").get_by_role("button", name="Reject").click()
    has_status(priya, "rejected")
    expect(priya.get_by_text("Not before the holidays.").first).to_be_visible()


def test_a_dialog_survives_the_polling(installation, person):
    installation.into_staging(2)
    pk = installation.team.approved(MODEL, 2, "Production")
    emil = person("emil")
    emil.goto(f"/transitions/{pk}/")
    emil.get_by_role("button", name="Roll back").click()
    reason = emil.get_by_role("dialog").get_by_label("What is wrong?")
    reason.fill("I am still typing")
    with emil.expect_response(lambda response: f"/transitions/{pk}/" in response.url, timeout=10_000):
        pass
    installation.team["mia"].post(f"rollouts/{pk}/promote/", reason="The page goes on meanwhile.")
    installation.team.await_transition(pk)
    has_status(emil, "finished")
    expect(reason).to_be_visible()
    expect(reason).to_have_value("I am still typing")


def test_an_auditor_reads_everything_and_changes_nothing(installation, person):
    aron = person("aron")
    aron.goto("/record/")
    expect(aron.get_by_role("link", name="Transition finished").first).to_be_visible()
    for address in ("/", "/inbox/", "/models/", f"/models/{MODEL}/", f"/models/{MODEL}/versions/1/"):
        aron.goto(address)
        expect(aron.get_by_role("heading", level=1)).to_be_visible()
        for word in ("Ask to move", "Approve", "Reject", "Roll back"):
            expect(aron.get_by_role("button", name=word)).to_have_count(0)


def test_the_list_of_models_and_a_version_show_what_mlflow_says(installation, person):
    emil = person("emil")
    emil.goto("/models/")
    emil.get_by_role("link", name=MODEL).first.click()
    emil.wait_for_url(f"**/models/{MODEL}/")
    emil.goto(f"/models/{MODEL}/versions/1/")
    registry = client_of(installation)
    run = registry.get_run(registry.get_model_version(MODEL, "1").run_id)
    for name in (*run.data.metrics, *run.data.params):
        expect(emil.get_by_text(name, exact=True).first).to_be_visible()
    expect(emil.get_by_text("trainer_email").first).to_be_visible()


def test_hostile_text_from_mlflow_stays_text(installation, person):
    hostile = "<img src=x onerror=alert(1)>"
    registry = client_of(installation)
    registry.create_registered_model(hostile, tags={"note": hostile}, description=hostile)
    emil = person("emil")
    dialogs = []
    emil.on("dialog", lambda dialog: dialogs.append(dialog.message))
    # In the table: the search itself is a link too, which takes it away.
    found = emil.get_by_role("table").get_by_role("link", name="onerror")
    for _ in range(60):
        emil.goto("/models/?search=onerror")
        if found.count():
            break
        emil.wait_for_timeout(1_000)
    found.first.click()
    expect(emil.get_by_role("heading", level=1)).to_contain_text(hostile)
    assert emil.locator("img[src=x]").count() == 0
    assert dialogs == []


def test_what_does_not_exist_and_what_is_forbidden_say_so(installation, person, complaints):
    complaints.expected |= {404}
    emil = person("emil")
    emil.goto("/models/no-such-model/")
    expect(emil.get_by_role("heading", level=1)).to_be_visible()
    expect(emil.get_by_text("There is no registered model called “no-such-model”")).to_be_visible()


def test_signing_in_with_a_wrong_password_says_so(installation, chromium, complaints):
    page = chromium.new_page(base_url=installation.portal)
    complaints.watch(page)
    page.goto("/")
    page.get_by_label("Name").fill("emil")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.close()
