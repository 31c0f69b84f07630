"""Sending: over real SMTP and HTTP, outside of transactions, again and again until it arrives or is given up."""

import io
import logging
import threading
from datetime import timedelta

import pytest
from django.core import serializers
from django.db import connection

from lifecycle import adapters, notice_delivery, notices, operations, tasks
from lifecycle.adapters.apprise_messages import AppriseMessages
from lifecycle.domain.stages import Stage
from lifecycle.models import AuditEntry, Channel, Notice, NoticeState
from lifecycle.ports import TemporaryError
from tests.support.notices import EVENTS, channel, chat_room, free_port, mail_server, with_addresses


@pytest.fixture(scope="module")
def _box():
    with mail_server() as box:
        yield box


@pytest.fixture
def box(_box, settings):
    _box.mails.clear()
    _box.refused.clear()
    settings.MAIL_URL = _box.url
    return _box


@pytest.fixture
def room():
    with chat_room() as room:
        yield room


@pytest.fixture
def asked(world):
    """emil asks, which is told to mia."""
    with_addresses()
    notices.collect(now=world.now)

    def ask():
        row = world.request(1, Stage.STAGING)
        notices.collect(now=world.now)
        return row

    return ask


def deliver(world):
    return notice_delivery.deliver(clock=lambda: world.now)


def test_it_is_sent_to_a_mail_server_and_a_chat_room_outside_of_any_transaction(
    transactional_db, world, box, room, asked, monkeypatch
):
    seen = []
    send, write_down = AppriseMessages.send, notice_delivery._send_all
    monkeypatch.setattr(
        AppriseMessages, "send", lambda *args, **more: (seen.append(threading.current_thread()), send(*args, **more))
    )
    monkeypatch.setattr(
        notice_delivery, "_send_all", lambda parcels: (seen.append(connection.in_atomic_block), write_down(parcels))[1]
    )
    channel(room.url, at=world.now)
    asked()
    assert deliver(world) == 2
    assert seen[0] is False
    assert threading.main_thread() not in seen
    [mail], [message] = box.mails, room.taken
    assert mail["To"] == "mia@example.org"
    assert mail["From"] == "Stagegate <stagegate@example.org>"
    assert mail["Subject"] == message["title"] == "Move iris 1.0.0 to Staging: waits for approval"
    assert mail["X-Stagegate-Notice"].startswith(f"{Notice.objects.get(channel=None).pk}.waiting:")
    assert mail["Auto-Submitted"] == "auto-generated"
    link = f"http://127.0.0.1:8000/transitions/{Notice.objects.get(channel=None).transition_id}/"
    for part in ("plain", "html"):
        assert link in mail.get_body((part,)).get_content()
    assert link in message["message"]
    assert message["type"] == "warning"
    assert {row.state for row in Notice.objects.all()} == {NoticeState.SENT}
    assert deliver(world) == 0


def test_nothing_is_sent_within_a_transaction(transactional_db, world, box, asked):
    asked()
    with notice_delivery.transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        deliver(world)
    assert box.mails == []


def test_what_fails_is_tried_again_later_and_given_up_after_a_day(world, room, asked, settings):
    settings.MAIL_URL = ""
    channel(room.url, at=world.now)
    room.status = 500
    asked()
    tries = []
    for _ in range(40):
        deliver(world)
        row = Notice.objects.get()
        if row.state != NoticeState.WAITING:
            break
        tries.append(row.due_at - world.now)
        world.now = row.due_at
    assert row.state == NoticeState.FAILED
    assert row.attempts == len(tries) + 1
    assert tries[:3] == [timedelta(minutes=minutes) for minutes in (1, 2, 4)]
    assert "error=500" in row.last_error
    room.status = 200
    operations.try_again(notice=row, reason="It is back.", actor=world.people["ada"], now=world.now)
    assert deliver(world) == 1
    assert len(room.taken) == 1


def test_a_recipient_who_is_refused_keeps_no_other_mail_back(world, box, asked):
    with_addresses()
    operations.send_test_to_self(actor=world.people["emil"], now=world.now)
    operations.send_test_to_self(actor=world.people["ada"], now=world.now)
    box.refused.add("emil@example.org")
    deliver(world)
    assert [mail["Subject"] for mail in box.to("ada")] == ["A test from Stagegate"]
    failed = Notice.objects.get(person__username="emil", event="test")
    assert failed.state == NoticeState.WAITING
    assert failed.due_at == world.now + timedelta(minutes=1)
    assert "550" in failed.last_error


def test_a_mail_server_that_is_away_keeps_no_channel_back(world, room, asked, settings):
    settings.MAIL_URL = f"mailto://127.0.0.1:{free_port()}?from=stagegate@example.org"
    channel(room.url, at=world.now)
    asked()
    assert deliver(world) == 1
    assert len(room.taken) == 1
    assert "Connection refused" in Notice.objects.get(channel=None).last_error


def test_a_channel_that_hangs_keeps_no_other_back_and_nobody_waits_for_it(world, box, asked, monkeypatch):
    monkeypatch.setattr(notice_delivery, "TURN", timedelta(seconds=0.5))
    with chat_room() as hanging:
        hanging.answers.clear()
        channel(hanging.url, at=world.now)
        asked()
        assert deliver(world) == 1
        assert len(box.mails) == 1
    assert Notice.objects.exclude(channel=None).get().last_error == notice_delivery.NO_ANSWER


def test_who_dies_while_sending_leaves_it_to_be_sent_again(world, box, asked, monkeypatch):
    asked()
    with monkeypatch.context() as killed:
        killed.setattr(notice_delivery, "_write_down", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            deliver(world)
    assert deliver(world) == 0
    world.pass_time(minutes=4)
    assert deliver(world) == 1
    assert len({mail["X-Stagegate-Notice"] for mail in box.mails}) == 1


def test_two_tasks_at_once_send_once(world, box, asked, monkeypatch):
    asked()
    packed = notice_delivery._packed

    def slow(key, now):
        assert deliver(world) == 0
        return packed(key, now)

    monkeypatch.setattr(notice_delivery, "_packed", slow)
    assert deliver(world) == 1
    assert len(box.mails) == 1


def test_what_a_library_raises_is_not_repeated(world, room, asked, monkeypatch, settings):
    settings.MAIL_URL = ""
    channel(room.url, at=world.now)
    asked()

    def burst(self, address, message, *, to=""):
        raise ValueError(address)

    monkeypatch.setattr(AppriseMessages, "send", burst)
    deliver(world)
    assert Notice.objects.get().last_error == "It failed unexpectedly (ValueError)."


def test_an_address_nobody_can_decrypt_any_more_is_given_up_at_once(world, room, asked, settings):
    settings.MAIL_URL = ""
    channel(room.url, at=world.now)
    asked()
    settings.SECRET_KEY = "another-" + "y" * 40
    deliver(world)
    row = Notice.objects.get()
    assert row.state == NoticeState.FAILED
    assert "STAGEGATE_SECRET_KEY_FALLBACKS" in row.last_error


@pytest.fixture
def log():
    """What an installation that logs everything writes. pytest's own would listen to Apprise itself too."""
    written, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(written), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield written
    root.removeHandler(handler)
    root.setLevel(level)


def test_the_secret_of_a_channel_is_nowhere_to_be_found(world, box, room, asked, log):
    """In no table, no entry of the record and no line of the log, whether it is taken or not."""
    ada = world.people["ada"]
    common = {"reason": "Test.", "actor": ada, "now": world.now, "team": None}
    row = operations.add_channel(name="room", address=room.url, events=EVENTS, **common)
    operations.change_channel(channel=row, events=["waiting"], address=room.url, **common)
    with pytest.raises(operations.RefusedError):
        operations.change_channel(channel=row, events=["waiting"], address=f"{room.url}&template=x", **common)
    asked()
    tasks.notify()
    room.status = 401
    operations.send_test_to_channel(channel=row, actor=ada, now=world.now)
    tasks.notify()
    with pytest.raises(TemporaryError) as refused:
        adapters.messages().send(room.url, message=notice_delivery.message_of(Notice.objects.first()))
    assert len(room.taken) == 1
    assert log.getvalue()
    assert row.shown == f"Webhook at 127.0.0.1:{room.port}"
    tables = serializers.serialize("json", [*Channel.objects.all(), *Notice.objects.all(), *AuditEntry.objects.all()])
    for secret in ("hunter2", "very-secret", "header-key"):
        assert secret not in tables
        assert secret not in log.getvalue()
        assert secret not in str(refused.value)
        assert secret.encode() not in bytes(Channel.objects.get().url)
    operations.remove_channel(channel=row, reason="Test.", actor=ada, now=world.now)
    assert bytes(Channel.objects.get().url) == b""
