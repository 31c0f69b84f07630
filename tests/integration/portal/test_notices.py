"""The pages of notices and channels, and the API that shows what has become of them."""

import re

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import resolve

from lifecycle import notices, operations
from lifecycle.domain.permissions import Actor, Role
from lifecycle.domain.stages import Stage
from lifecycle.models import AuditEntry, Channel, Notice, NoticeSetting, NoticeState, Team
from lifecycle.sealing import unseal
from portal.accounts.models import RoleAssignment, User
from tests.support.notices import EVENTS, channel, with_addresses

ADDRESS = "jsons://bot:hunter2@hooks.example.org/very-secret-path"
FORM = {"name": "Ops room", "address": ADDRESS, "events": ["held", "rolled_back"], "team": "", "reason": "To be told."}


@pytest.fixture
def browser(world, settings):
    settings.MAIL_URL = "mailto://127.0.0.1:9?from=stagegate@example.org"
    with_addresses()

    def signed_in(name):
        client = Client()
        assert client.login(username=name, password=name)
        return client

    return signed_in


def said(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


def page(client, address):
    response = client.get(address)
    assert response.status_code == 200
    return response.content.decode()


def test_a_person_chooses_what_to_hear_of(browser):
    emil = browser("emil")
    text = page(emil, "/account/notices/")
    assert "emil@example.org" in text
    assert len(re.findall(r'name="events"[^>]*\schecked', text)) == len(EVENTS)
    response = emil.post("/account/notices/", {"events": ["rolled_back", "held"], "reason": "The rest is noise."})
    assert response.status_code == 302
    assert set(NoticeSetting.objects.get().muted) == set(EVENTS) - {"rolled_back", "held"}
    assert len(re.findall(r'name="events"[^>]*\schecked', page(emil, "/account/notices/"))) == 2
    entry = AuditEntry.objects.get(action="notices_chosen")
    assert (entry.actor, entry.reason) == ("emil", "The rest is noise.")


def test_a_choice_needs_a_reason_and_the_refusal_is_recorded(browser):
    response = browser("emil").post("/account/notices/", {"events": [], "reason": " "})
    assert said(response) == ["Say why: a reason is part of the record."]
    assert not NoticeSetting.objects.exists()
    assert AuditEntry.objects.get(refused=True).details["refusal"].startswith("Say why")


def test_a_person_sees_their_own_notices_alone_and_can_ask_for_a_test(browser, world):
    notices.collect(now=world.now)
    world.request(1, Stage.STAGING)
    notices.collect(now=world.now)
    assert "Move iris 1.0.0 to Staging" in page(browser("mia"), "/account/notices/")
    assert "Move iris 1.0.0 to Staging" not in page(browser("emil"), "/account/notices/")
    assert browser("emil").post("/account/notices/test/").status_code == 302
    assert said(browser("emil").post("/account/notices/test/")) == ["A test is on its way already; wait a minute."]
    assert Notice.objects.filter(event="test").count() == 1


@pytest.mark.parametrize(
    ("mail_url", "email", "words"), [("", "e@x.org", "sends no e-mail"), ("mailto://x", "", "no e-mail address here")]
)
def test_a_person_is_told_why_nothing_can_be_sent(browser, world, settings, mail_url, email, words):
    settings.MAIL_URL = mail_url
    User.objects.filter(username="emil").update(email=email)
    assert words in page(browser("emil"), "/account/notices/")
    assert browser("emil").post("/account/notices/test/").status_code == 302
    assert not Notice.objects.exists()


def test_an_administrator_adds_changes_tests_and_removes_a_channel(browser):
    ada = browser("ada")
    assert ada.post("/settings/channels/", FORM).status_code == 302
    row = Channel.objects.get()
    assert unseal(row.url) == ADDRESS
    text = page(ada, "/settings/channels/")
    assert "Webhook at hooks.example.org" in text
    assert "hunter2" not in text
    assert "very-secret" not in text
    team = Team.objects.create(name="fraud", slug="fraud")
    changed = {"events": ["held"], "team": team.pk, "address": "", "reason": "Theirs."}
    assert ada.post(f"/settings/channels/{row.pk}/", changed).status_code == 302
    row.refresh_from_db()
    assert (row.events, row.team, unseal(row.url)) == (["held"], team, ADDRESS)
    assert ada.post(f"/settings/channels/{row.pk}/test/").status_code == 302
    assert Notice.objects.get().channel == row
    assert ada.post(f"/settings/channels/{row.pk}/remove/", {"reason": "Nobody reads it."}).status_code == 302
    assert "There is no channel yet." in page(ada, "/settings/channels/")
    assert ada.post("/settings/channels/", FORM).status_code == 302
    actions = ["channel_added", "channel_changed", "notice_test_sent", "channel_removed", "channel_added"]
    entries = AuditEntry.objects.order_by("seq")
    assert [entry.action for entry in entries] == actions
    assert all("secret" not in str(entry.details) for entry in entries)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"address": "file:///etc/very-secret-path"}, "not the address of a service"),
        ({"address": f"{ADDRESS}?template=/etc/passwd"}, "may not have the parameter"),
        ({"address": ""}, "not the address of a service"),
        ({"events": []}, "Choose at least one thing"),
        ({"events": ["nonsense"]}, "Choose from the lists."),
        ({"name": " "}, "Give the channel a name"),
        ({"name": "room"}, "called “room” already"),
        ({"reason": ""}, "Say why"),
        ({"team": "99"}, "Choose from the lists."),
    ],
)
def test_a_channel_that_cannot_be_is_refused_without_repeating_its_address(browser, world, change, problem):
    channel(ADDRESS, name="room", at=world.now)
    response = browser("ada").post("/settings/channels/", {**FORM, **change})
    text = response.content.decode()
    assert response.status_code in (409, 422)
    assert problem in text
    assert "very-secret" not in text
    assert "hunter2" not in text
    assert Channel.objects.count() == 1


def test_only_administrators_manage_channels_and_see_what_has_become_of_notices(browser, world):
    row = channel(ADDRESS, at=world.now)
    emil = browser("emil")
    for address in ("/settings/channels/", "/settings/notices/", "/api/v1/notices/"):
        assert emil.get(address).status_code == 403
    emil.post("/settings/channels/", FORM)
    emil.post(f"/settings/channels/{row.pk}/remove/", {"reason": "Mine."})
    assert Channel.objects.filter(removed_at=None).count() == 1
    assert AuditEntry.objects.filter(refused=True, actor="emil", action="manage_channels").count() == 2


def test_what_did_not_arrive_is_seen_and_sent_again(browser, world):
    row = channel(ADDRESS, at=world.now)
    failed = {"state": NoticeState.FAILED, "attempts": 19, "last_error": "error=<500>."}
    facts = {"what": "Move <iris> to Staging", "link": "/transitions/1/"}
    made = {"created_at": world.now, "due_at": world.now, "facts": facts}
    notice = Notice.objects.create(event="held", key="held:1", channel=row, **made, **failed)
    ada = browser("ada")
    text = page(ada, "/settings/notices/")
    for words in ("given up", "tried 19 times", "error=&lt;500&gt;.", "Move &lt;iris&gt; to Staging"):
        assert words in text
    [shown] = ada.get("/api/v1/notices/?state=failed").json()["results"]
    assert (shown["event"], shown["to"], shown["attempts"], shown["last_error"]) == ("held", "room", 19, "error=<500>.")
    assert ada.get("/api/v1/notices/?state=nonsense").status_code == 400
    assert ada.post(f"/settings/notices/{notice.pk}/again/", {"reason": "It is back."}).status_code == 302
    notice.refresh_from_db()
    assert notice.state == NoticeState.WAITING
    assert AuditEntry.objects.get(action="notice_tried_again").reason == "It is back."
    Notice.objects.update(state=NoticeState.SENT, sent_at=world.now)
    again = ada.post(f"/settings/notices/{notice.pk}/again/", {"reason": "Again."})
    assert said(again)[-1] == "This notice is not waiting to be sent. Look at its line for what has become of it."
    assert "Everything has arrived." in page(ada, "/settings/notices/")
    assert "sent" in page(ada, "/settings/notices/?show=sent")


def test_links_in_notices_lead_to_pages(world):
    for address in ("/transitions/1/", "/models/iris/", "/models/iris/versions/1/", "/retention/"):
        assert resolve(address).url_name in ("transition", "model", "version", "retention")
    for address in ("/account/notices/", "/settings/channels/"):
        assert resolve(address).url_name in ("notices", "channels")


def test_a_service_account_gets_no_notices(world, browser):
    robot = User.objects.create_user("ci", email="ci@example.org")
    RoleAssignment.objects.create(user=robot, role=Role.SERVICE)
    actor = Actor("ci", robot.pk, frozenset({Role.SERVICE}))
    with pytest.raises(operations.RefusedError, match="Only people"):
        operations.choose_notices(wanted=[], reason="x", actor=actor, now=world.now)
