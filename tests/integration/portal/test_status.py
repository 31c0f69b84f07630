"""How the system is: signs of life, the page of every part, the front page, the count in the frame, and monitoring."""

import html
import re
import threading
from datetime import timedelta
from unittest.mock import Mock

import pytest
import redis
from celery.app.trace import build_tracer
from celery.worker.request import Request
from django.core.cache import cache
from django.utils import timezone
from kombu import Connection

from lifecycle import dispatch, health, heartbeats, tasks
from lifecycle.dispatch import QUEUES
from lifecycle.domain.stages import Stage
from lifecycle.models import CheckRun, CheckStatus, Heartbeat, MirrorState, Notice, NoticeState, Policy
from lifecycle.ports import VersionRef
from portal.celery import app
from tests.support import rollouts, served


@pytest.fixture
def broker(monkeypatch):
    """How many messages wait in each queue."""
    lengths = dict.fromkeys(QUEUES, 0)
    monkeypatch.setattr(health, "_queue_lengths", lambda: dict(lengths))
    return lengths


@pytest.fixture
def alive(world, broker):
    beat()
    return world


def beat():
    for queue in QUEUES:
        heartbeats.note(queue, sent_at=None, worker=f"{queue}@host", now=timezone.now())


def silence(*queues, for_=timedelta(minutes=7)):
    Heartbeat.objects.filter(queue__in=queues).update(seen_at=timezone.now() - for_)


def words(response):
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode())))


def part(client):
    return words(client.get("/status/", headers={"HX-Request": "true"}))


# ---------------------------------------------------------------- signs of life


@pytest.fixture
def take(monkeypatch):
    """Send a message as Celery does, and let a worker take it ``waited`` seconds later."""

    def take(task, *args, queue, waited=0):
        with Connection("memory://") as connection:
            with monkeypatch.context() as patch:
                patch.setattr(dispatch, "timezone", Mock(now=lambda: timezone.now() - timedelta(seconds=waited)))
                app.send_task(task.name, args=args, queue=queue, connection=connection)
            with connection.SimpleQueue(queue) as waiting:
                message = waiting.get_nowait()
                message.ack()
        received = Request(message, app=app, hostname=f"{queue}@host", eventer=Mock())
        build_tracer(task.name, app.tasks[task.name], app=app)(received.id, list(args), {}, received.request_dict)

    return take


@pytest.fixture
def sent(monkeypatch):
    """What is sent on: (task, its queue, after how many seconds it expires)."""
    seen = []
    monkeypatch.setattr(
        heartbeats, "send", lambda task, asked, *, queue, expires: seen.append((task, asked, queue, expires))
    )
    monkeypatch.setattr(heartbeats, "_noted", {})
    return seen


def test_beat_sends_one_sign_of_life_that_is_worth_something_for_minutes():
    (entry,) = [each for each in app.conf.beat_schedule.values() if each["task"] == "lifecycle.pulse"]
    assert entry["schedule"] == heartbeats.EVERY.total_seconds()
    assert entry["options"]["queue"] == "default"
    assert entry["options"]["expires"] == heartbeats.KEPT.total_seconds() == 900


def test_the_general_worker_asks_those_whose_queues_are_short_and_looks_around_once_for_a_heap(
    world, broker, sent, take
):
    broker |= {"checks": 9, "rollbacks": 10, "default": 30}
    for _ in range(5):
        take(tasks.pulse, queue="default")
    assert sent == [("lifecycle.heartbeat", queue, queue, 900) for queue in ("checks", "observations")]
    assert [row.queue for row in Heartbeat.objects.all()] == ["default"]
    found = health.latest(timezone.now())
    assert (found.waiting["checks"], [name for name, each in found.answers.items() if each.error]) == (9, [])


def test_nobody_is_asked_while_it_is_not_known_what_waits(world, monkeypatch, sent, take):
    def refuse():
        raise redis.ConnectionError("connection refused")

    monkeypatch.setattr(health, "_queue_lengths", refuse)
    take(tasks.pulse, queue="default")
    assert (sent, Heartbeat.objects.get().queue) == ([], "default")


def test_a_worker_writes_down_how_long_its_messages_wait(world, sent, take):
    for waited in (1, 600):
        take(tasks.heartbeat, "rollbacks", queue="rollbacks", waited=waited)
        row = Heartbeat.objects.get()
        assert (row.queue, row.worker) == ("rollbacks", "rollbacks@host")
        assert round((row.seen_at - row.sent_at).total_seconds()) == waited


def test_whoever_works_off_a_long_queue_is_late_and_not_dead(alive, broker, signed_in, sent, take):
    """No sign of life reaches a queue where much waits: what its worker takes of it is the sign."""
    silence("rollbacks")
    broker["rollbacks"] = 50
    for waited in (90, 91):
        take(tasks.tick, 999, queue="rollbacks", waited=waited)
    row = Heartbeat.objects.get(queue="rollbacks")
    assert round((row.seen_at - row.sent_at).total_seconds()) == 90, "one a while is enough"
    found = part(signed_in("mia"))
    assert "1 part needs attention The queue rollbacks is late" in found
    assert "what its worker took last had waited 90 s." in found


def test_by_signs_of_its_own_alone_it_is_told_whether_beat_is_there(world, sent, take):
    take(tasks.tick, 999, queue="default")
    assert not Heartbeat.objects.exists()


def test_whatever_hangs_is_waited_for_no_longer_than_the_deadline(world, broker, monkeypatch):
    monkeypatch.setattr(health, "DEADLINE_SECONDS", 0.05)
    release, asked = threading.Event(), []
    monkeypatch.setattr(world.traffic, "weights", lambda slug: asked.append(slug) or release.wait(5))
    try:
        first = health.look(timezone.now())
        second = health.look(timezone.now() + timedelta(seconds=10))
    finally:
        release.set()
    assert "no answer" in first.answers["gateway"].error
    assert second.answers["gateway"].since == first.at.replace(microsecond=first.at.microsecond // 1000 * 1000)
    assert asked == ["no-such-route"]


# ---------------------------------------------------------------- the page


def test_everything_works(alive, signed_in, django_assert_max_num_queries):
    health.look(timezone.now())
    for person in ("mia", "aron", "ada"):
        browser = signed_in(person)
        with django_assert_max_num_queries(12):
            page = words(browser.get("/status/"))
        assert "Everything works" in page
        assert "rollbacks@host" in page


def test_the_page_waits_for_nobody_and_its_part_asks(alive, signed_in, django_assert_max_num_queries):
    alive.registry.down = True
    browser = signed_in("mia")
    first = browser.get("/status/").content.decode()
    assert "data-live-now" in first
    assert "does not answer" not in first
    with django_assert_max_num_queries(12):
        found = part(browser)
    assert "1 part needs attention MLflow does not answer" in found
    assert "data-live-now" not in browser.get("/status/").content.decode()


def test_the_page_says_itself_that_nobody_works(alive, signed_in, broker):
    browser = signed_in("mia")
    silence("rollbacks")
    assert "1 part needs attention No worker takes rollbacks , since 7 minutes ago" in part(browser)
    silence(*QUEUES)
    assert "Beat sends nothing, so nothing is carried out" in part(browser)
    broker["rollbacks"] = 3
    cache.clear()
    assert "Beat sends nothing, so nothing is carried out , since 7 minutes ago No worker takes rollbacks" in part(
        browser
    )
    broker["default"] = 3
    cache.clear()
    found = part(browser)
    assert "2 parts need attention No worker takes rollbacks , since 7 minutes ago No worker carries" in found
    assert "the worker of the queue default asks no other for a sign of life" in found


def test_a_long_check_is_no_dead_worker(alive, signed_in):
    silence("checks")
    CheckRun.objects.create(
        version=alive.version(1),
        criterion="load_test",
        status=CheckStatus.RUNNING,
        policy=Policy.objects.latest("number"),
        requested_by_name="emil",
        requested_at=timezone.now(),
        started_at=timezone.now(),
        lease_until=timezone.now() + timedelta(seconds=50),
    )
    found = part(signed_in("mia"))
    assert "Everything works" in found
    assert "Its worker is busy: it carries a check out." in found


def test_broker_and_model_servers(alive, signed_in, monkeypatch):
    served.staged(alive)
    alive.serving.crash(VersionRef("iris", 1), "killed by signal 9")

    def refuse():
        raise redis.ConnectionError("connection refused")

    monkeypatch.setattr(health, "_queue_lengths", refuse)
    found = part(signed_in("mia"))
    assert "iris 1.0.0: killed by signal 9" in found
    assert "The broker does not answer, so no work is done" in found


def test_where_notices_were_given_up_administrators_are_led_to_them(alive, signed_in, people):
    now = timezone.now()
    Notice.objects.create(
        event="waiting", key="1", person_id=people["emil"].user_id, state=NoticeState.FAILED, created_at=now, due_at=now
    )
    address = 'href="/settings/notices/"'
    pages = {name: signed_in(name).get("/status/").content.decode() for name in ("ada", "mia")}
    assert "1 notice was given up" in pages["mia"]
    assert [name for name, page in pages.items() if address in page.split("system-parts", 1)[1]] == ["ada"]


def test_an_address_shows_no_credentials(alive, signed_in, settings):
    settings.MLFLOW_PUBLIC_URL = "https://emil:secret@mlflow.example.org/team"
    page = signed_in("mia").get("/status/").content.decode()
    assert "https://mlflow.example.org/team" in page
    assert "secret" not in page


# ---------------------------------------------------------------- the front page


def test_the_front_page_names_what_is_unhealthy(alive, signed_in, django_assert_max_num_queries):
    served.staged(alive)
    beat()
    browser = signed_in("mia")
    assert "Nothing is unhealthy." in words(browser.get("/"))
    silence("rollbacks")
    MirrorState.objects.update(last_success_at=timezone.now() - timedelta(hours=1))
    with django_assert_max_num_queries(12):
        page = words(browser.get("/"))
    assert "2 things need attention" in page
    assert "No worker takes rollbacks" in page
    assert "The registry has not been read" in page


def test_the_front_page_shows_how_a_rollout_stands(alive, signed_in, django_assert_max_num_queries):
    now, until = alive.now, timedelta(seconds=90)
    row = rollouts.running(
        alive.version(2), alive.version(1), Policy.objects.get(), now, waiting_for="25 %.", waiting_until=now + until
    )
    rollouts.judged(row, rollouts.HOLD, now)
    browser = signed_in("mia")
    with django_assert_max_num_queries(12):
        page = browser.get("/").content.decode()
    assert f'id="running-{row.pk}"' in page
    assert 'aria-label="Share of requests: 1.0.0 75 %, 1.1.0 25 %"' in page
    assert rollouts.HOLD.why in html.unescape(page)
    assert (now + until).isoformat() in page


def test_a_rollback_that_does_not_come_up(alive, signed_in):
    served.production(alive)
    alive.roll_back()
    alive.pass_time(minutes=5)
    page = words(signed_in("mia").get("/"))
    assert "1 rollback does not come up" in page
    assert "Its traffic is not back" in page


# ---------------------------------------------------------------- the count in the frame, and monitoring


def test_the_count_of_the_inbox_is_a_few_words(alive, signed_in, client, django_assert_max_num_queries):
    browser = signed_in("mia")
    assert words(browser.get("/inbox/count/")).strip() == "Inbox"
    alive.request(1, Stage.STAGING)
    with django_assert_max_num_queries(7):
        counted = browser.get("/inbox/count/")
    assert words(counted).split() == ["Inbox", "1", "waiting", "for", "you"]
    assert len(counted.content) < 400
    assert client.get("/inbox/count/").status_code == 302


def test_monitoring_sees_the_same(alive, client, broker, signed_in):
    broker["checks"] = 2
    health.look(timezone.now())
    silence("checks")
    text = client.get("/metrics").content.decode()
    assert re.search(r'stagegate_heartbeat_age_seconds{queue="checks"} 42\d\.', text)
    assert 'stagegate_queue_length{queue="checks"} 2.0' in text
    body = signed_in("mia").get("/api/v1/status/").json()
    assert (body["works"], body["needs_attention"]) == (False, ["queue:checks"])
    assert {each["part"] for each in body["parts"]} >= {"registry", "gateway", "broker", "beat", "mirror", "record"}
