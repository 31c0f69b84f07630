"""The page of retention, its buttons, the API and the command."""

import io
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from lifecycle import mirror, retention
from lifecycle.domain.permissions import STAGEGATE
from lifecycle.models import AuditEntry, Deletion, Hold, ModelVersion, RetentionRun, StagingFlag
from lifecycle.ports import NotFoundError, PermanentError, VersionRef
from lifecycle.retention_queue import begin

LISTS = ["next", "stuck", "protected", "holds", "staging", "deleted", "runs", "nonsense"]
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def archived(world):
    """Version 1 is due, version 2 in ten days, version 3 is held."""
    for number, days in ((1, 100), (2, 80), (3, 100)):
        world.registry.set_stage(VersionRef("iris", number), "Archived")
        mirror.full_pass(world.registry, world.now)
        since = world.now - timedelta(days=days)
        ModelVersion.objects.filter(version=number).update(stage="Archived", stage_since=since)
    Hold.objects.create(
        version=world.version(3), reason=HOSTILE, placed_by="Aron", placed_at=world.now - timedelta(days=1)
    )
    return world


def clean_up(world):
    row = begin(requested_by=STAGEGATE, now=world.now)
    retention.run(row.pk, clock=lambda: world.now)


@pytest.mark.parametrize("name", ["priya", "emil", "aron", "ada"])
@pytest.mark.parametrize("show", LISTS)
def test_every_list_opens_for_every_role(archived, signed_in, name, show):
    source = archived.version(1).source
    archived.registry.undeletable[source] = PermanentError(f"no: {HOSTILE}")
    StagingFlag.objects.create(version=archived.version(2), stage_since=archived.now, flagged_at=archived.now)
    clean_up(archived)
    response = signed_in(name).get(f"/retention/?show={show}")
    page = response.content.decode()
    assert response.status_code == 200
    assert "<img" not in page
    assert " style=" not in page
    assert "<script>" not in page


def test_the_page_says_what_goes_and_when(archived, signed_in):
    page = signed_in("priya").get("/retention/").content.decode()
    assert "1 version can be deleted now" in page
    assert "1 more within 30 days" in page
    assert "with the next clean-up" in page
    assert "Run the clean-up now" not in page
    assert "A hold keeps it." in signed_in("priya").get("/retention/?show=protected").content.decode()


def test_the_button_says_how_many_go(archived, signed_in):
    page = signed_in("ada").get("/retention/").content.decode()
    assert "Delete 1 version now?" in page
    assert "Nobody can bring them back" in page


def test_a_clean_up_by_button(archived, signed_in):
    ada = signed_in("ada")
    assert ada.post("/retention/run/", {"reason": "The disk is full."})["Location"] == "/retention/"
    row = RetentionRun.objects.get()
    assert (row.running, row.requested_by_name) == (True, "ada")
    progress = ada.get("/retention/", headers={"HX-Request": "true"}).content.decode()
    assert "A clean-up is running" in progress
    assert "<html" not in progress
    again = ada.post("/retention/run/", {"reason": "Twice."}, follow=True)
    assert b"A clean-up runs already" in again.content
    retention.run(row.pk, clock=lambda: archived.now)
    progress = ada.get("/retention/", headers={"HX-Request": "true"}).content.decode()
    assert "data-live-end" in progress
    entry = AuditEntry.objects.get(action="clean_up_started")
    assert (entry.actor, entry.reason) == ("ada", "The disk is full.")
    assert AuditEntry.objects.get(action="version_deleted").details["requested_by"] == "ada"


@pytest.mark.parametrize("name", ["priya", "emil", "aron"])
def test_only_administrators_start_it(archived, signed_in, name):
    signed_in(name).post("/retention/run/", {"reason": "I want to."})
    assert not RetentionRun.objects.exists()
    assert AuditEntry.objects.get(action="run_clean_up").refused


@pytest.mark.parametrize(
    "address", ["/retention/run/", "/models/iris/versions/1/hold/", "/models/iris/versions/3/hold/release/"]
)
def test_without_a_reason_nothing_happens_and_links_change_nothing(archived, signed_in, address):
    ada = signed_in("ada")
    assert ada.get(address).status_code == 405
    assert b"Say why" in ada.post(address, {"reason": " "}, follow=True).content
    assert not RetentionRun.objects.exists()
    assert [hold.version.version for hold in Hold.objects.filter(released_at=None)] == [3]


def test_holds_by_button(archived, signed_in):
    aron = signed_in("aron")
    aron.post("/models/iris/versions/1/hold/", {"reason": "A court asked."})
    assert b"A hold keeps this version already" in (
        aron.post("/models/iris/versions/1/hold/", {"reason": "Twice."}, follow=True).content
    )
    assert b"A court asked." in aron.get("/retention/?show=holds").content
    aron.post("/models/iris/versions/1/hold/release/", {"reason": "It is over."})
    assert b"No hold keeps this version" in (
        aron.post("/models/iris/versions/1/hold/release/", {"reason": "Twice."}, follow=True).content
    )
    hold = Hold.objects.get(version__version=1)
    assert (hold.placed_by, hold.released_by, hold.released_reason) == ("aron", "aron", "It is over.")


def test_what_is_gone_cannot_be_held(archived, signed_in):
    clean_up(archived)
    response = signed_in("aron").post("/models/iris/versions/1/hold/", {"reason": "Too late."}, follow=True)
    assert b"MLflow no longer has this version" in response.content


# ---------------------------------------------------------------- API


def post(browser, address, **body):
    return browser.post(f"/api/v1/{address}", body, content_type="application/json")


def test_the_preview(archived, signed_in):
    answer = signed_in("emil").get("/api/v1/retention/").json()
    assert (answer["due"], answer["within_30_days"], answer["protected"], answer["stuck"]) == (1, 1, 1, [])
    assert [(row["version"], row["due"]) for row in answer["results"]] == [(1, True), (2, False)]
    assert (answer["next_page"], answer["last_clean_up"]) == (None, None)
    assert signed_in("emil").get("/api/v1/retention/?page=x").status_code == 400


def test_the_clean_up_and_holds_by_api(archived, signed_in):
    ada, aron = signed_in("ada"), signed_in("aron")
    held = post(aron, "models/iris/versions/1/hold/", reason="Audit.")
    assert (held.status_code, held.json()["placed_by"]) == (201, "aron")
    assert post(aron, "models/iris/versions/1/hold/", reason="Audit.").json()["type"] == "urn:stagegate:held_already"
    released = post(aron, "models/iris/versions/1/hold/release/", reason="Done.")
    assert (released.status_code, released.json()["released_by"]) == (200, "aron")
    assert post(aron, "retention/run/", reason="Now.").status_code == 403
    assert post(ada, "retention/run/", reason="").status_code == 422
    started = post(ada, "retention/run/", reason="Now.")
    assert (started.status_code, started.json()["running"]) == (202, True)
    assert post(ada, "retention/run/", reason="Now.").json()["type"] == "urn:stagegate:clean_up_runs"
    assert post(ada, "models/iris/versions/99/hold/", reason="?").status_code == 404


# ---------------------------------------------------------------- the command


def command(*arguments):
    output = io.StringIO()
    call_command("retention", *arguments, stdout=output)
    return output.getvalue()


def test_a_dry_run_says_what_would_go_and_changes_nothing(archived):
    before = dict(archived.registry.calls)
    said = command("--dry-run")
    assert "iris version 1: would be deleted" in said
    assert "iris version 2: stays until 2026-03-11" in said
    assert "iris version 3: stays: A hold keeps it." in said
    assert "1 would be deleted, 2 would stay, 0 would be flagged. Nothing was changed." in said
    assert dict(archived.registry.calls) == before
    assert not RetentionRun.objects.exists()
    assert not Deletion.objects.exists()


def test_the_command_deletes(archived):
    assert "1 of 1 deleted" in command()
    with pytest.raises(NotFoundError):
        archived.registry.version(VersionRef("iris", 1))
    assert RetentionRun.objects.get().requested_by_name == "Stagegate (manage.py retention)"


def test_the_command_leaves_a_running_clean_up_to_its_worker(archived):
    row = begin(requested_by=STAGEGATE, now=archived.now)
    RetentionRun.objects.filter(pk=row.pk).update(lease_until=archived.now + timedelta(minutes=5))
    assert "A worker goes on with it" in command()
    archived.pass_time(minutes=6)
    assert "1 of 1 deleted" in command()


def test_the_command_says_what_went_wrong(archived):
    archived.registry.down = True
    with pytest.raises(CommandError, match="could not be looked at"):
        command()


@pytest.mark.parametrize(
    "address", ["/retention/run/", "/models/iris/versions/1/hold/", "/models/iris/versions/3/hold/release/"]
)
def test_a_reason_that_no_database_can_hold_is_none(archived, signed_in, address):
    response = signed_in("ada").post(address, {"reason": "be\x00cause"}, follow=True)
    assert response.status_code == 200
    assert "Say why" in response.content.decode()
    assert (Hold.objects.filter(released_at=None).count(), RetentionRun.objects.count()) == (1, 0)
