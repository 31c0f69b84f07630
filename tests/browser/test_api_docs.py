"""The page of the API in a browser: the search, links that open what they lead to, copying, and a narrow screen."""

from playwright.sync_api import expect


def test_the_documentation_is_searched_and_copied_from(at_portal):
    page = at_portal("aron", "/api/docs/", permissions=["clipboard-read", "clipboard-write"])
    endpoint = page.locator("#rollBack")
    expect(endpoint).to_be_visible()

    page.get_by_label("Search").fill("rollback models")
    expect(endpoint).to_be_visible()
    expect(page.locator("#listPolicies")).to_be_hidden()
    endpoint.locator("summary").first.click()
    endpoint.get_by_role("button", name="Copy").click()
    expect(endpoint.get_by_text("Copied")).to_be_visible()
    assert "/rollback/" in page.evaluate("navigator.clipboard.readText()")

    endpoint.get_by_role("link", name="Transition", exact=True).click()
    shown = page.locator("#object-Transition")
    expect(shown).to_have_attribute("open", "")
    expect(shown).to_be_in_viewport()
    expect(page.get_by_label("Search")).to_have_value("")

    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_link_to_an_endpoint_opens_it(at_portal):
    page = at_portal("aron", "/api/docs/#approveTransition")
    expect(page.locator("#approveTransition")).to_have_attribute("open", "")
    expect(page.locator("#approveTransition").get_by_text("neither can a token")).to_be_visible()
