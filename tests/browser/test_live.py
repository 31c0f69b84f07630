"""Pages that keep themselves up to date: the count in the frame, the inbox, and a connection that is lost and back."""

import pytest
from playwright.sync_api import expect

from lifecycle import mirror, operations
from lifecycle.domain.stages import Stage
from lifecycle.models import ModelVersion
from lifecycle.ports import VersionRef

pytestmark = pytest.mark.browser
LOST = "Connection lost. What you see may be out of date; trying again…"


def asked_for(world, name):
    """Somebody asks for a change of another model."""
    world.registry.add_model(name)
    world.registry.add_version(name)
    mirror.refresh_version(world.registry, VersionRef(name, 1), world.now)
    return operations.request_transition(
        version=ModelVersion.objects.get(model__name=name),
        to_stage=Stage.STAGING,
        reason="It is better.",
        actor=world.people["emil"],
        now=world.now,
    )


def test_pages_stay_up_to_date_and_say_when_they_cannot(world, at_portal, complaints):
    page = at_portal("mia", "/policies/")
    connection = page.locator("#connection")
    page.clock.install()
    page.reload()
    expect(page).to_have_title("Policies · Stagegate")

    # The count, on a page that has nothing else to ask for.
    first = world.request(1, Stage.STAGING)
    page.clock.fast_forward(16_000)
    expect(page).to_have_title("(1) Policies · Stagegate")
    expect(page.get_by_role("navigation", name="Main").get_by_text("1waiting for you")).to_be_visible()

    # Lost at once, back without a reload, and whatever came meanwhile is there.
    page.context.set_offline(True)
    expect(connection).to_have_text(LOST)
    asked_for(world, "wine")
    page.context.set_offline(False)
    expect(connection).to_be_hidden()
    expect(page).to_have_title("(2) Policies · Stagegate")

    # In the inbox nothing moves by itself; what is focused stays focused.
    page.goto("/inbox/")
    here = page.locator(f"#ask-{first.pk}")
    here.focus()
    page.clock.fast_forward(11_000)
    expect(here).to_be_focused()
    third = asked_for(world, "roses")
    page.clock.fast_forward(11_000)
    news = page.get_by_role("button", name="1 more decision waits: show it")
    expect(news).to_be_visible()
    expect(page.locator("[data-case]")).to_have_count(2)
    expect(here).to_be_focused()
    news.click()
    expect(page.locator("[data-case]")).to_have_count(3)
    expect(page.locator(f"#ask-{third.pk}")).to_be_focused()
    expect(page).to_have_title("(3) Inbox · Stagegate")
    expect(news).to_be_hidden()

    # A server that does not answer is said, too.
    page.route("**/inbox/**", lambda route: route.abort())
    page.clock.fast_forward(16_000)
    expect(connection).to_have_text(LOST)
    page.unroute("**/inbox/**")
    page.clock.fast_forward(16_000)
    expect(connection).to_be_hidden()
    complaints.seen[:] = [each for each in complaints.seen if "net::ERR" not in each and "htmx" not in each]
