"""Checkpoints: signed when something happened, and brought to places outside of the database."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import obstore
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from moto.server import ThreadedMotoServer
from obstore.store import from_url

import verify_audit
from lifecycle import adapters, checkpoints
from lifecycle.audit import record, recording
from lifecycle.domain.checkpoints import key_id, public_pem
from lifecycle.domain.permissions import Actor
from lifecycle.models import Checkpoint
from lifecycle.system_checks import check_key
from lifecycle.tasks import checkpoint
from tests.integration.adapters.services import free_port
from tests.support.record import exported, made_key, verified

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def key(settings, tmp_path) -> Iterator[str]:
    yield made_key(settings, tmp_path)
    adapters.forget()


def happens(count=1, **values):
    for _ in range(count):
        with recording():
            record("test", actor=Actor("Emil"), now=NOW, **values)


def use(settings, **places):
    for name, value in places.items():
        setattr(settings, f"CHECKPOINT_{name}", value)
    adapters.forget()


# ---------------------------------------------------------------- when one is signed


def test_one_is_signed_when_something_happened_and_only_then():
    assert checkpoints.make(now=NOW) is None
    happens(3)
    first = checkpoints.make(now=NOW)
    assert (first.seq, first.statement["at"]) == (3, "2026-03-01T09:00:00.000000Z")
    assert checkpoints.make(now=NOW + MINUTE) is None
    happens()
    assert checkpoints.make(now=NOW + 2 * MINUTE).seq == 4


def test_the_task_signs_and_delivers_and_the_auditor_can_check_it(tmp_path, key):
    happens(3)
    checkpoint()
    happens(2)
    checkpoint()
    (tmp_path / "export.jsonl").write_bytes(b"".join(exported()))
    given = [str(tmp_path / "export.jsonl"), str(tmp_path / "checkpoints"), "--public-key", key]
    assert verify_audit.main(given) == 0
    (public,) = (tmp_path / "checkpoints").glob("*.pem")
    assert verify_audit.read_key(str(public)) == key


def test_without_a_key_nothing_is_signed_and_what_waits_is_delivered(settings, tmp_path, caplog):
    happens()
    checkpoints.make(now=NOW)
    happens()
    settings.CHECKPOINT_KEY_FILE.unlink()
    checkpoints.run(now=NOW)
    assert "Make a key with manage.py make_checkpoint_key" in caplog.text
    assert Checkpoint.objects.get().complete
    settings.CHECKPOINT_KEY_FILE.write_text("nothing")
    with pytest.raises(checkpoints.NoKeyError, match="not a private key"):
        checkpoints.make(now=NOW)


def forge(sql):
    """What only somebody who can take the triggers away can do."""
    triggers = {
        "sqlite": [f"DROP TRIGGER record_no_{name}" for name in ("update", "delete")],
        "postgresql": ["ALTER TABLE lifecycle_auditentry DISABLE TRIGGER USER"],
    }
    with connection.cursor() as cursor:
        for statement in (*triggers[connection.vendor], sql):
            cursor.execute(statement)


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        (f"UPDATE lifecycle_auditentry SET hash = '{'f' * 64}' WHERE seq = 2", "entry 2 is not the one"),
        ("DELETE FROM lifecycle_auditentry WHERE seq > 1", "entry 2 is not the one"),
        (
            "UPDATE lifecycle_checkpoint SET statement = "
            "replace(CAST(statement AS text), '\"seq\": 2', '\"seq\": 1'){jsonb}",
            "not what was signed",
        ),
    ],
)
def test_a_record_that_was_rewritten_gets_no_signature(sql, why, caplog):
    happens(2)
    checkpoints.run(now=NOW)
    forge(sql.format(jsonb="::jsonb" if connection.vendor == "postgresql" else ""))
    happens(reason="Something else.")
    checkpoints.run(now=NOW + MINUTE)
    assert Checkpoint.objects.count() == 1
    assert why in checkpoints.state().problem
    assert "CRITICAL" in caplog.text


# ---------------------------------------------------------------- places


def test_a_folder_gets_whole_files_and_keeps_what_it_has(tmp_path, settings):
    happens()
    made = checkpoints.make(now=NOW)
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / "checkpoint-000000000001.json").write_text("another history")
    checkpoints.deliver(now=NOW)
    state = checkpoints.state()
    assert (state.newest, state.waiting) == (made, 1)
    assert "has another checkpoint-000000000001.json already" in state.problem
    assert (folder / "checkpoint-000000000001.json").read_text() == "another history"
    (folder / "checkpoint-000000000001.json").unlink()
    checkpoints.deliver(now=NOW + MINUTE)
    assert json.loads((folder / "checkpoint-000000000001.json").read_bytes()) == made.statement
    assert sorted(path.name[:10] for path in folder.iterdir()) == ["checkpoint", "public-key"]


@pytest.fixture
def object_store() -> Iterator[dict[str, str]]:
    """A real S3 server without buckets; obstore's options for it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {"endpoint": f"http://{host}:{port}", "region": "us-east-1", "access_key_id": "a", "secret_access_key": "b"}
    server.stop()


def test_an_object_store_gets_them_and_keeps_what_it_has(settings, object_store, key):
    name = "checkpoint-000000000001.json"
    use(settings, FOLDER=None, STORE="s3://records/stagegate", STORE_OPTIONS=object_store)
    happens()
    made = checkpoints.make(now=NOW)
    checkpoints.deliver(now=NOW)
    assert "object store refuses the checkpoint" in checkpoints.state().problem
    httpx.put(f"{object_store['endpoint']}/records").raise_for_status()
    checkpoints.deliver(now=NOW + MINUTE)
    assert Checkpoint.objects.get().delivered == ["s3://records/stagegate"]
    bucket = from_url("s3://records/stagegate", config=object_store, client_options={"allow_http": True})
    assert json.loads(bytes(obstore.get(bucket, name).bytes())) == made.statement
    assert bytes(obstore.get(bucket, f"public-key-{key[:16]}.pem").bytes()).decode() == public_pem(key)
    # Again is no harm; over another one it is refused.
    Checkpoint.objects.update(delivered=[])
    checkpoints.deliver_again()
    checkpoints.deliver(now=NOW)
    assert Checkpoint.objects.get().complete
    obstore.put(bucket, name, b"another history")
    Checkpoint.objects.update(delivered=[])
    checkpoints.deliver_again()
    checkpoints.deliver(now=NOW)
    assert f"has another {name} already" in checkpoints.state().problem
    assert bytes(obstore.get(bucket, name).bytes()) == b"another history"


@pytest.mark.parametrize(
    ("url", "options", "why"),
    [
        (
            "s3://records",
            {"endpoint": "http://127.0.0.1:9", "region": "x", "skip_signature": "true"},
            "can't be written",
        ),
        ("s3://records", {"endpiont": "x"}, "Configuration key: 'endpiont'"),
        ("nothing://records", {}, "STAGEGATE_CHECKPOINT_STORE can't be used"),
    ],
)
def test_a_store_that_cannot_be_used_says_why_and_holds_up_no_other_place(settings, tmp_path, url, options, why):
    use(settings, STORE=url, STORE_OPTIONS=options)
    happens()
    checkpoints.run(now=NOW)
    assert why in checkpoints.state().problem
    assert Checkpoint.objects.get().delivered == ["folder"]


@contextmanager
def receiver(answers):
    """A real server that answers each request with the next of these statuses; gives its address, and what it got."""
    got, left = [], list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(left.pop(0))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/secret-path", got
        finally:
            server.shutdown()
            thread.join()


def test_a_webhook_gets_them_again_until_it_takes_them(settings, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with receiver([503, 302, 204]) as (url, got):
        use(settings, FOLDER=None, WEBHOOK=url, WEBHOOK_TOKEN="sesame")
        happens()
        made = checkpoints.make(now=NOW)
        said = []
        for minutes in (0, 1, 3):
            # Too early, so nothing is sent.
            checkpoints.deliver(now=NOW + minutes * MINUTE - timedelta(seconds=1))
            checkpoints.deliver(now=NOW + minutes * MINUTE)
            said.append(checkpoints.state().problem)
    assert said == ["the webhook answers with status 503", "the webhook refuses the checkpoint with status 302", ""]
    assert Checkpoint.objects.get().attempts == len(got) == 3
    headers, sent = got[-1]
    assert json.loads(sent) == made.statement
    assert headers["Authorization"] == "Bearer sesame"
    assert headers["X-Stagegate-File"] == "checkpoint-000000000001.json"


def test_a_place_that_is_down_is_asked_once_a_turn_and_named_without_its_secrets(settings):
    use(settings, WEBHOOK=f"http://127.0.0.1:{free_port()}/secret-path")
    for _ in range(3):
        happens()
        checkpoints.make(now=NOW)
    asked = []
    places = [Counted(place, asked) for place in adapters.checkpoint_places()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adapters, "checkpoint_places", lambda: tuple(places))
        checkpoints.deliver(now=NOW)
    assert asked.count("webhook") == 1
    rows = Checkpoint.objects.order_by("seq")
    assert [row.delivered for row in rows] == [["folder"]] * 3
    assert {row.last_error for row in rows} == {"the webhook does not answer"}
    assert checkpoints.state().waiting == 3


class Counted:
    """A place that writes down when it is asked to keep a checkpoint."""

    def __init__(self, place, asked):
        self.place, self.asked = place, asked
        self.name, self.keeps_files = place.name, False

    def keep(self, file, content):
        self.asked.append(self.name)
        self.place.keep(file, content)


def test_what_is_no_checkpoint_any_more_is_not_delivered_and_holds_up_no_other(tmp_path):
    for _ in range(2):
        happens()
        checkpoints.make(now=NOW)
    Checkpoint.objects.filter(seq=1).update(statement={"seq": 1})
    checkpoints.deliver(now=NOW)
    assert [path.name for path in (tmp_path / "checkpoints").glob("*.json")] == ["checkpoint-000000000002.json"]
    assert checkpoints.state().problem == "the checkpoint in the database is not what was signed"


def test_a_turn_ends_and_the_next_goes_on():
    for _ in range(3):
        happens()
        checkpoints.make(now=NOW)
    times = iter((0.0, 1.0, 70.0))
    checkpoints.deliver(now=NOW, clock=lambda: next(times))
    assert checkpoints.state().waiting == 2
    checkpoints.deliver(now=NOW)
    assert checkpoints.state().waiting == 0


def test_a_new_place_gets_them_all_by_a_command(settings, tmp_path, capsys):
    for _ in range(3):
        happens()
        checkpoints.run(now=NOW)
    use(settings, FOLDER=tmp_path / "new")
    Checkpoint.objects.update(delivered=["s3://records"])
    call_command("deliver_checkpoints")
    assert "3 checkpoints are in every place" in capsys.readouterr().out
    assert len(list((tmp_path / "new").glob("*.json"))) == 3
    use(settings, FOLDER=tmp_path / "checkpoint_key.pem" / "below")
    Checkpoint.objects.update(delivered=[])
    with pytest.raises(CommandError, match="3 of 3 checkpoints are not in every place"):
        call_command("deliver_checkpoints")


# ---------------------------------------------------------------- the key


def test_a_key_is_made_once_and_for_its_owner_alone(settings, tmp_path, capsys):
    settings.CHECKPOINT_KEY_FILE = file = tmp_path / "secrets" / "key.pem"
    assert [each.id for each in check_key()] == ["lifecycle.W001"]
    call_command("make_checkpoint_key")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    made = file.read_bytes()
    assert public_pem(key_id(checkpoints.private_key())) in capsys.readouterr().out
    assert check_key() == []
    with pytest.raises(CommandError, match="is there already"):
        call_command("make_checkpoint_key")
    assert file.read_bytes() == made
    file.chmod(0o640)
    assert [each.id for each in check_key()] == ["lifecycle.W003"]
    file.write_text("nothing")
    assert [each.id for each in check_key()] == ["lifecycle.W002"]


def test_a_process_that_does_not_sign_needs_no_key(settings):
    settings.CHECKPOINT_KEY_FILE = None
    assert check_key() == []
    happens()
    with pytest.raises(checkpoints.NoKeyError, match="is none"):
        checkpoints.make(now=NOW)
    with pytest.raises(CommandError, match="is none"):
        call_command("make_checkpoint_key")


def test_people_see_the_key_without_having_it(settings, key):
    assert checkpoints.state() == checkpoints.State(None, 0, "", "")
    happens()
    made = checkpoints.make(now=NOW)
    settings.CHECKPOINT_KEY_FILE.unlink()
    state = checkpoints.state()
    assert (state.newest, state.key_id) == (made, key)
    assert verified().count == 1
