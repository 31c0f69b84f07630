"""The record's pages, its export over the API, and the exports that a browser asks for."""

import json

import pytest
from django.test import Client
from django.utils import timezone

from lifecycle import export_jobs, exports
from lifecycle.models import AuditEntry, Checkpoint, ExportJob, ExportStatus
from portal.accounts.models import User
from tests.support.many_entries import write_entries

HOSTILE = "<img src=x onerror=alert(1)>\u202e=cmd"


@pytest.fixture
def folder(tmp_path, settings):
    settings.EXPORTS_DIR = tmp_path
    return tmp_path


def text(response) -> str:
    return response.content.decode()


def streamed(response) -> bytes:
    return b"".join(response.streaming_content)


def asks(browser: Client, **values):
    return browser.post("/record/exports/", {"format": "jsonl", "reason": "The audit.", **values})


# ---------------------------------------------------------------- the pages


@pytest.mark.parametrize("name", ["priya", "emil", "aron", "ada"])
def test_every_role_reads_the_record_and_some_may_export_it(world, signed_in, name):
    write_entries(3, actor=HOSTILE, reason=HOSTILE, model=HOSTILE, details={HOSTILE: [HOSTILE]}, transition=None)
    may = name in ("aron", "ada")
    for address in ("/record/", "/record/2/", "/record/exports/"):
        page = text(signed_in(name).get(address))
        assert "<img" not in page
        assert " style=" not in page
        assert "<script>" not in page
    assert ("dialog-export" in text(signed_in(name).get("/record/"))) == may
    assert ("you need the role administrator or auditor" in page) != may


def test_pages_of_a_long_record(world, signed_in):
    write_entries(125, transition=None)
    browser = signed_in("aron")
    newest = text(browser.get("/record/"))
    assert "125 entries" in newest
    assert "/record/125/" in newest
    assert "/record/75/" not in newest
    assert "?before=76" in newest
    middle = text(browser.get("/record/?before=76"))
    assert "/record/75/" in middle
    assert "?after=75" in middle
    assert "/record/76/" in text(browser.get("/record/?after=75"))
    assert "/record/125/" in text(browser.get("/record/?after=75"))
    last = text(browser.get("/record/?before=26"))
    assert "/record/1/" in last
    assert "Older" not in last
    filtered = text(browser.get("/record/?model=model-3&before=100"))
    assert "7 entries" in filtered
    assert "/record/83/" in filtered
    assert browser.get("/record/?before=nonsense&after=" + "9" * 40).status_code == 200


def test_filters_live_in_the_address(world, signed_in):
    write_entries(60, transition=None)
    browser = signed_in("aron")
    page = text(browser.get("/record/?model=model-10&refused=true&actor=Person+10&action=weights_changed"))
    assert "1 entry" in page
    assert 'value="model-10"' in page
    assert '<option value="true" selected>refused' in " ".join(page.split())
    assert "No entry matches" in text(browser.get("/record/?model=nobody"))
    assert "Enter a whole number" in text(browser.get("/record/?version=x"))
    assert "dialog-export" not in text(browser.get("/record/?version=x"))


def test_since_is_in_the_viewers_time_zone(world, signed_in):
    write_entries(10)
    User.objects.filter(username="aron").update(time_zone="Asia/Tokyo")
    page = text(signed_in("aron").get("/record/?since=2026-01-01T09:00:05"))
    assert "6 entries" in page
    assert "Since (Asia/Tokyo)" in page


@pytest.mark.parametrize(
    "time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00", "2201-01-02"]
)
def test_times_outside_of_every_record_are_not_looked_for(world, signed_in, time):
    browser = signed_in("aron")
    for name in ("since", "until"):
        page = browser.get("/record/", {name: time})
        assert (page.status_code, "Choose a time in the years from 1970 to 2200" in text(page)) == (200, True)
        assert asks(browser, **{name: time})["Location"] == "/record/"
    assert not ExportJob.objects.exists()


def test_a_page_says_how_far_the_record_is_proved(world, signed_in):
    browser = signed_in("aron")
    write_entries(5)
    signed = {row.seq: {"seq": row.seq, "hash": row.hash, "at": world.now} for row in AuditEntry.objects.all()}
    assert "No checkpoint is kept outside" in text(browser.get("/record/"))
    Checkpoint.objects.create(**signed[2], statement={}, complete=True)
    assert "No checkpoint is kept outside" in text(browser.get("/record/"))
    Checkpoint.objects.create(**signed[3], statement={"key_id": "d" * 64}, complete=True, delivered=["folder"])
    page = " ".join(text(browser.get("/record/")).split())
    assert "entry 3</a> by the checkpoint of" in page
    assert "2 entries came after it" in page
    assert "verify_audit.py" in page
    assert "d" * 64 in page
    assert "at entry 3" in text(browser.get("/record/2/"))
    assert "None covers it yet" in text(browser.get("/record/4/"))
    Checkpoint.objects.create(**signed[4], statement={}, last_error=HOSTILE)
    page = " ".join(text(browser.get("/record/")).split())
    assert "1 checkpoint has not reached every place" in page
    assert "<img" not in page
    Checkpoint.objects.create(**{**signed[5], "hash": "a" * 64}, statement={}, complete=True, delivered=["folder"])
    page = text(browser.get("/record/"))
    assert "Somebody has rewritten it" in page
    assert "Proved up to" not in page


def test_one_entry(world, signed_in):
    write_entries(3)
    browser = signed_in("priya")
    page = text(browser.get("/record/2/"))
    entry = AuditEntry.objects.get(seq=2)
    for value in (entry.hash, entry.previous_hash, entry.evidence_digest, "password+totp", "192.0.2.7", "Policy 4"):
        assert value in page
    assert "It fits what is recorded" in page
    assert "Entry after" in page
    assert "Entry after" not in text(browser.get("/record/3/"))
    assert "It is the first entry" in text(browser.get("/record/1/"))
    assert browser.get("/record/4/").status_code == 404
    assert browser.get("/record/" + "9" * 30 + "/").status_code == 404


def test_an_entry_that_does_not_fit_says_so(world, signed_in):
    write_entries(2)
    forged = AuditEntry.objects.get(seq=2)
    forged.pk, forged.seq, forged.previous_hash = None, 3, forged.hash
    forged.save(force_insert=True)
    page = text(signed_in("aron").get("/record/3/"))
    assert "Its hash does not fit" in page
    assert "It fits what is recorded" not in page


# ---------------------------------------------------------------- the API


def address(**values) -> str:
    query = {"format": "jsonl", "reason": "The audit.", **values}
    return "/api/v1/audit/export/?" + "&".join(f"{name}={value}" for name, value in query.items() if value is not None)


def test_the_api_streams(world, signed_in):
    write_entries(30)
    response = signed_in("aron").get(address(model="model-3"))
    assert response.streaming
    assert response["Content-Type"] == "application/jsonl"
    assert response["Content-Disposition"] == 'attachment; filename="stagegate-record-to-30.jsonl"'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert [json.loads(line)["seq"] for line in streamed(response).splitlines()] == [3, 23]
    entry = AuditEntry.objects.get(action="record_exported")
    assert (entry.actor, entry.reason, entry.details["filters"]) == ("aron", "The audit.", {"model": "model-3"})
    as_csv = signed_in("ada").get(address(format="csv"))
    assert as_csv["Content-Type"].startswith("text/csv")
    assert streamed(as_csv).decode("utf-8-sig").count("\r\n") == 32


@pytest.mark.parametrize(
    ("given", "status", "words"),
    [
        ({"reason": None}, 422, "Say why"),
        ({"format": None}, 400, "format"),
        ({"format": "xlsx"}, 400, "format"),
        ({"version": "x"}, 400, "version"),
        ({"since": "yesterday"}, 400, "since"),
        ({"model": "x" * 501}, 400, "model"),
    ],
)
def test_the_api_says_what_is_wrong(world, signed_in, given, status, words):
    response = signed_in("aron").get(address(**given))
    assert (response.status_code, response["Content-Type"]) == (status, "application/problem+json")
    assert words in text(response)
    assert not AuditEntry.objects.filter(action="record_exported").exists()


@pytest.mark.parametrize("name", ["priya", "emil"])
def test_the_api_refuses_others_and_records_it(world, signed_in, name):
    assert signed_in(name).get(address()).status_code == 403
    assert AuditEntry.objects.get(action="export_record").refused
    assert Client().get(address()).status_code == 401


def test_no_link_of_another_site_exports(world, signed_in):
    aron = signed_in("aron")
    assert aron.get(address(), headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert aron.get(address(), headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200
    assert aron.head(address()).status_code == 405
    assert AuditEntry.objects.filter(action="record_exported").count() == 1


# ---------------------------------------------------------------- exports of the browser


def test_from_the_dialog_to_the_file(world, signed_in, folder):
    write_entries(40)
    aron = signed_in("aron")
    assert "You have exported nothing yet" in text(aron.get("/record/exports/"))
    assert asks(aron, model="model-3", format="csv")["Location"] == "/record/exports/"
    job = ExportJob.objects.get()
    assert (job.filters, job.format) == ({"model": "model-3", "last_seq": 40}, "csv")
    waiting = text(aron.get("/record/exports/", headers={"HX-Request": "true"}))
    assert "Waiting for a worker" in waiting
    assert "data-live-end" not in waiting
    assert "<html" not in waiting
    assert aron.get(f"/record/exports/{job.pk}/file").status_code == 404
    export_jobs.run(job.pk, clock=timezone.now)
    finished = text(aron.get("/record/exports/", headers={"HX-Request": "true"}))
    assert "data-live-end" in finished
    assert "2 entries" in finished
    response = aron.get(f"/record/exports/{job.pk}/file")
    assert response["Content-Disposition"].startswith("attachment; filename=")
    assert response["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in response["Cache-Control"]
    assert streamed(response).startswith(b"\xef\xbb\xbf")
    assert signed_in("ada").get(f"/record/exports/{job.pk}/file").status_code == 404
    assert signed_in("ada").post(f"/record/exports/{job.pk}/cancel/").status_code == 404
    assert "model-3" not in text(signed_in("ada").get("/record/exports/"))
    exports.place_of(ExportJob.objects.get().file).unlink()
    assert "Ask for the export again" in text(aron.get(f"/record/exports/{job.pk}/file"))


def test_progress_is_said_in_words(world, signed_in, folder):
    aron = signed_in("aron")
    asks(aron)
    ExportJob.objects.update(status=ExportStatus.RUNNING, total=1_000_000, rows=340_000, file="export-x.jsonl")
    page = " ".join(text(aron.get("/record/exports/")).split())
    assert "340,000 of 1,000,000 entries" in page
    assert 'max="1000000" value="340000"' in page


def test_cancelled_failed_and_removed(world, signed_in, folder):
    aron = signed_in("aron")
    asks(aron, action="approved", since="2026-01-01T00:00", refused="false")
    job = ExportJob.objects.get()
    assert b"has not ended yet" in aron.post("/record/exports/", {"format": "csv", "reason": "r"}, follow=True).content
    aron.post(f"/record/exports/{job.pk}/cancel/")
    page = text(aron.get("/record/exports/"))
    assert "You cancelled it" in page
    again = "action=approved&amp;refused=false&amp;since=2026-01-01T00%3A00%3A00.000000Z"
    assert again in page
    assert "Approved" in page
    assert 'value="2026-01-01T00:00:00"' in text(aron.get("/record/?" + again.replace("&amp;", "&")))
    assert b"ended already" in aron.post(f"/record/exports/{job.pk}/cancel/", follow=True).content
    ExportJob.objects.update(status=ExportStatus.FAILED, error=HOSTILE)
    page = text(aron.get("/record/exports/"))
    assert "It failed" in page
    assert "<img" not in page
    ExportJob.objects.update(status=ExportStatus.FINISHED, file="")
    assert "the file has been removed" in text(aron.get("/record/exports/"))


@pytest.mark.parametrize(
    ("given", "words"),
    [({"reason": ""}, "Say why"), ({"format": "xlsx"}, "Select a valid choice"), ({"version": "x"}, "whole number")],
)
def test_what_cannot_be_exported_is_said(world, signed_in, given, words):
    answer = signed_in("aron").post("/record/exports/", {"format": "csv", "reason": "r", **given}, follow=True)
    assert words in text(answer)
    assert not ExportJob.objects.exists()


def test_whoever_lost_the_role_loses_the_file(world, signed_in, folder):
    aron = signed_in("aron")
    asks(aron)
    job = ExportJob.objects.get()
    export_jobs.run(job.pk, clock=timezone.now)
    User.objects.get(username="aron").role_assignments.all().delete()
    assert signed_in("aron").get(f"/record/exports/{job.pk}/file").status_code == 403
