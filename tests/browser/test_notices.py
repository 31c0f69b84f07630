"""Setting up a channel, in a browser: the address is typed once and never shown again."""

from lifecycle.models import Channel, Notice
from tests.support.notices import with_addresses


def test_a_channel_is_added_tested_and_removed(at_portal, settings, world):
    settings.MAIL_URL = "mailto://127.0.0.1:9?from=stagegate@example.org"
    with_addresses()
    page = at_portal("ada", path="/account/notices/")
    page.get_by_role("link", name="Channels").click()
    page.get_by_label("Name", exact=True).fill("Ops room")
    page.get_by_label("Address", exact=False).last.fill("jsons://hooks.example.org/very-secret-path")
    page.get_by_label("Why is it needed?").fill("To be told at night.")
    page.get_by_role("button", name="Add the channel").click()
    page.get_by_text("hears of what you chose").wait_for()
    assert "very-secret" not in page.content()
    page.get_by_role("button", name="Send a test to Ops room").click()
    page.get_by_text("A test is on its way").wait_for()
    assert Notice.objects.get().channel.name == "Ops room"
    page.goto("/settings/channels/")
    page.get_by_role("button", name="Remove Ops room").click()
    dialog = page.get_by_role("dialog", name="Remove the channel")
    dialog.get_by_label("Why?").fill("Nobody reads it.")
    dialog.get_by_role("button", name="Remove the channel").click()
    page.get_by_text("There is no channel yet.").wait_for()
    assert Channel.objects.filter(removed_at=None).count() == 0
