"""Searching models as one types: the rows and the address follow, and the hands stay where they are."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from lifecycle import mirror

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_list_follows_what_is_typed_and_chosen(at_portal, world):
    for name in ("fraud-rules", "fraud-scores", "churn"):
        world.registry.add_model(name, tags={"domain": name.partition("-")[0]})
    world.registry.add_version("fraud-rules", stage="Staging")
    mirror.full_pass(world.registry, world.now)
    page = at_portal("priya", "/models/")
    search = page.get_by_label("Search by name, description or tag")
    expect(search).to_have_attribute("placeholder", "Press / to search")
    page.keyboard.press("Control+/")
    expect(search).not_to_be_focused()
    page.keyboard.press("/")
    expect(search).to_be_focused()
    page.keyboard.type("fraud")
    expect(page.get_by_role("row")).to_have_count(3)
    expect(page.get_by_role("status").filter(has_text="2 models match")).to_be_visible()
    expect(search).to_be_focused()
    expect(page).to_have_url("**/models/?search=fraud".replace("**", page.url.partition("/models/")[0]))
    page.get_by_label("With a version in").select_option("Staging")
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_label("Tag", exact=True).fill("domain:fraud")
    page.keyboard.press("Enter")
    page.wait_for_url("**/models/?search=fraud&stage=Staging&tag=domain%3Afraud")
    page.get_by_role("link", name="Version in Staging : take this filter away").click()
    page.wait_for_url("**/models/?search=fraud&tag=domain%3Afraud")
    expect(page.get_by_role("row")).to_have_count(3)
    page.get_by_role("link", name="Model", exact=True).click()
    expect(page.get_by_role("columnheader", name="Model")).to_have_attribute("aria-sort", "descending")
    page.get_by_role("link", name="Clear all").click()
    expect(page.get_by_role("row")).to_have_count(5)
