"""A rollout's page in the browser: charts that stay as people look at them, and buttons that steer.

The portal runs in the test's own process, on rows as the engine and the judge write them.
"""

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from lifecycle.domain.permissions import Role
from lifecycle.models import ModelVersion, Policy, RegisteredModel, Transition
from portal.accounts.models import RoleAssignment, User
from tests.support import rollouts

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

PHONE = {"width": 390, "height": 844}
RANGE = "document.querySelector('[data-course-chart=errors] .chart-canvas').layout.xaxis.range"
COLOUR = "document.querySelector('[data-course-chart=errors] .chart-canvas').data[1].line.color"


@pytest.fixture
def rollout(chromium, transactional_db):
    now = timezone.now()
    emil = User.objects.create_user("emil", password="emil")
    RoleAssignment.objects.create(user=emil, role=Role.ML_ENGINEER)
    policy = Policy.objects.order_by("-number").first() or Policy.objects.create(
        number=1, body={}, reason="test", created_by="test", created_at=now
    )
    model = RegisteredModel.objects.create(name="iris", slug="iris")
    stable, canary = (
        ModelVersion.objects.create(
            model=model, version=number, stage=stage, tags={"semantic_version": f"1.{number}.0"}
        )
        for number, stage in ((0, "Production"), (1, "Staging"))
    )
    row = rollouts.running(canary, stable, policy, now)
    rollouts.judged(row, rollouts.HOLD, now)
    observe(canary, now)
    observe(stable, now)
    return row


def observe(version, until, count=30):
    for place in range(count):
        end = until - place * rollouts.HOUR / 60
        rollouts.observe(version, end - rollouts.HOUR / 60, end, rollouts.counts(200, 1))


@pytest.fixture
def page(rollout, live_server, chromium, complaints):
    context = chromium.new_context(base_url=live_server.url)
    page = context.new_page()
    page.set_default_timeout(15_000)
    complaints.watch(page)
    page.goto("/sign-in/")
    page.get_by_label("Name").fill("emil")
    page.get_by_label("Password").fill("emil")
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("navigation", name="Main").wait_for()
    page.goto(f"/transitions/{rollout.pk}/")
    yield page
    context.close()


def next_charts(page):
    with page.expect_response("**/charts/", timeout=12_000) as answer:
        pass
    assert answer.value.ok
    page.wait_for_timeout(200)


def test_charts_follow_the_rollout_in_place_and_the_theme(page, rollout):
    errors = page.locator("[data-course-chart=errors]")
    expect(errors.locator(".main-svg").first).to_be_visible()
    expect(errors.get_by_text("25 %")).to_be_visible()
    expect(errors.locator("figcaption")).to_contain_text("of requests failed last")

    whole = page.evaluate(RANGE)
    part = [whole[1][:10] + " 00:00", whole[1]]
    page.evaluate(
        "part => window.Plotly.relayout(document.querySelector('[data-course-chart=errors] .chart-canvas'),"
        " {'xaxis.range': part})",
        part,
    )
    zoomed = page.evaluate(RANGE)
    observe(rollout.version, timezone.now(), count=1)
    next_charts(page)
    assert page.evaluate(RANGE) == zoomed

    # The same figures as a table, which follows as well.
    errors.get_by_text("The same as a table").press("Enter")
    expect(errors.get_by_role("columnheader", name="1.1.0")).to_be_visible()
    assert errors.get_by_role("row").count() > 30
    expect(errors.get_by_role("cell", name="0.5 %").first).to_be_visible()

    before = page.evaluate(COLOUR)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"{COLOUR} !== '{before}'")


def test_steering_by_a_dialog_that_says_what_will_happen(page, rollout):
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], "the page scrolls sideways"
    page.get_by_role("button", name="Go to 50 % now").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("50 % of requests go to 1.1.0 (now 25 %) at once.")).to_be_visible()
    dialog.get_by_label("Why not wait?").fill("The drift is known.")
    dialog.get_by_role("button", name="Go to 50 % now").click()
    expect(page.get_by_text("Somebody has sent it on; it goes there now.")).to_be_visible()
    assert Transition.objects.get(pk=rollout.pk).released == 2
