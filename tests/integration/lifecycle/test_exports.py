"""Exports of the record: what is in them, who may have them, and the worker that writes them."""

import csv
import io
import json
import os
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone

from lifecycle import export_jobs, exports, operations
from lifecycle.domain import chain, checkpoints
from lifecycle.domain.exporting import COLUMNS, ExportFormat
from lifecycle.domain.permissions import TOKEN_SCOPES, Action
from lifecycle.models import AuditEntry, ExportJob, ExportStatus
from lifecycle.operations import exports as asking
from lifecycle.queries import RecordFilter
from portal.accounts.models import User
from tests.support.many_entries import START, write_entries

VERIFIER = Path(settings.BASE_DIR) / "verify_audit.py"
WHOLE = RecordFilter()


def lines(data: bytes) -> list[dict]:
    return [json.loads(line) for line in data.splitlines()]


def exported(wanted=WHOLE, form=ExportFormat.JSONL) -> bytes:
    return b"".join(exports.stream(wanted, form))


@pytest.fixture
def folder(tmp_path, settings):
    settings.EXPORTS_DIR = tmp_path / "exports"
    return settings.EXPORTS_DIR


@pytest.fixture
def woken(world, monkeypatch):
    """The jobs that a worker was asked to look at."""
    calls = []
    for module in (asking, export_jobs):
        monkeypatch.setattr(module, "wake_export", calls.append)
    return calls


def asked(world, by="aron", form=ExportFormat.JSONL, wanted=WHOLE) -> ExportJob:
    return operations.request_export(
        wanted=wanted, form=form, reason="The yearly audit.", actor=world.people[by], now=world.now
    )


def work(world, job, slice_seconds=60.0) -> ExportJob:
    export_jobs.run(job.pk, clock=lambda: world.now, slice_seconds=slice_seconds)
    job.refresh_from_db()
    return job


# ---------------------------------------------------------------- what is in them


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (WHOLE, range(1, 121)),
        (RecordFilter(model="model-3"), [seq for seq in range(1, 121) if seq % 20 == 3]),
        (RecordFilter(model="model-3", version=24), [23]),
        (RecordFilter(actor="person 7"), [7, 47, 87]),
        (RecordFilter(action="approved", model="model-1"), [1, 61]),
        (RecordFilter(refused=True), [50, 100]),
        (RecordFilter(refused=False, transition=4), [48, 49, *range(51, 60)]),
        (RecordFilter(since=START + timedelta(seconds=3), until=START + timedelta(seconds=6)), [3, 4, 5]),
        (RecordFilter(last_seq=2), [1, 2]),
        (RecordFilter(model="nobody's"), []),
    ],
)
def test_filters(db, monkeypatch, wanted, expected):
    monkeypatch.setattr(exports, "WINDOW", 7)
    write_entries(120)
    assert [entry["seq"] for entry in lines(exported(wanted))] == list(expected)
    rows = list(csv.DictReader(io.StringIO(exported(wanted, ExportFormat.CSV).decode("utf-8-sig"), newline="")))
    assert [int(row["seq"]) for row in rows] == list(expected)
    scope = exports.scope(wanted)
    ends = [expected[0], expected[-1]] if expected else [0, 0]
    assert [scope.rows, scope.first, scope.last] == [len(expected), *ends]
    assert exports.load_filter(json.loads(json.dumps(exports.dump_filter(wanted)))) == wanted


def test_an_empty_record_is_a_file_without_entries(db):
    assert exported() == b""
    assert exported(form=ExportFormat.CSV).decode("utf-8-sig").count("\r\n") == 1


def test_every_line_is_the_canonical_entry_with_its_hash(db):
    write_entries(3)
    write_entries(2, details={"share": 0.1, "名": 1.0, "b": [1e-7, {"z": None}]}, reason="a\u2028\n\u202e=1")
    previous = chain.FIRST
    for line in exported().splitlines():
        entry = json.loads(line)
        assert tuple(sorted(entry)) == tuple(sorted(COLUMNS))
        assert line == chain.canonical(entry)
        assert (entry["previous_hash"], entry["hash"]) == (previous, chain.entry_hash(entry))
        previous = entry["hash"]


def test_the_verifier_takes_an_export(db, tmp_path):
    write_entries(30)
    key = checkpoints.load_key(checkpoints.new_key())
    newest = AuditEntry.objects.get(seq=30)
    statement = checkpoints.sign(key, seq=30, entry_hash=newest.hash, at=newest.at, previous=None)
    folder, file = tmp_path / "checkpoints", tmp_path / "export.jsonl"
    folder.mkdir()
    (folder / checkpoints.file_name(statement)).write_bytes(checkpoints.content(statement))
    command = [sys.executable, str(VERIFIER), str(file), str(folder), "--public-key", checkpoints.key_id(key)]
    file.write_bytes(exported())
    passed = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    file.write_bytes(exported().replace(b'"version":12}', b'"version":13}'))
    failed = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert failed.returncode == 1
    assert "entry 11" in failed.stdout


def test_memory_stays_flat(db, monkeypatch):
    monkeypatch.setattr(exports, "WINDOW", 50)
    write_entries(1500)
    for form in ExportFormat:
        exported(RecordFilter(last_seq=1), form)
        tracemalloc.start()
        try:
            size = sum(map(len, exports.stream(WHOLE, form)))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < size / 2


def test_whoever_stops_reading_stops_the_queries(db, monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(exports, "WINDOW", 10)
    write_entries(50)
    pieces = exports.stream(RecordFilter(last_seq=50), ExportFormat.JSONL)
    with django_assert_num_queries(2):
        assert (next(pieces), len(lines(next(pieces))), len(lines(next(pieces)))) == (b"", 10, 10)
        pieces.close()


# ---------------------------------------------------------------- recorded first, or refused


@pytest.mark.parametrize("by", ["aron", "ada"])
def test_an_export_is_recorded_before_anything_is_handed_out(world, by):
    write_entries(5)
    wanted = RecordFilter(model="model-2", since=START)
    given = operations.export_record(
        wanted=wanted, form=ExportFormat.CSV, reason=" The audit. ", actor=world.people[by], now=world.now
    )
    entry = AuditEntry.objects.get(action="record_exported")
    assert (entry.actor, entry.reason, entry.refused) == (by, "The audit.", False)
    assert entry.details["filters"] == {"model": "model-2", "since": "2026-01-01T00:00:00.000000Z"}
    assert (entry.details["format"], entry.details["last_entry"]) == ("csv", entry.seq - 1)
    assert given == replace(wanted, last_seq=entry.seq - 1)


@pytest.mark.parametrize("operation", [operations.export_record, operations.request_export])
@pytest.mark.parametrize(
    ("by", "reason"), [("priya", "Please."), ("emil", "Please."), ("aron", " "), ("ada", "x" * 2001)]
)
def test_others_are_refused_and_so_is_who_gives_no_reason(world, operation, by, reason):
    with pytest.raises(operations.RefusedError):
        operation(wanted=WHOLE, form=ExportFormat.CSV, reason=reason, actor=world.people[by], now=world.now)
    assert AuditEntry.objects.latest("seq").action == "export_record"
    assert AuditEntry.objects.latest("seq").refused
    assert not ExportJob.objects.exists()


def test_a_token_needs_the_scope(world):
    limited = replace(world.people["aron"], scopes=frozenset({Action.READ_RECORD}))
    with pytest.raises(operations.RefusedError, match="scopes"):
        operations.export_record(wanted=WHOLE, form=ExportFormat.CSV, reason="r", actor=limited, now=world.now)
    assert Action.EXPORT_RECORD in TOKEN_SCOPES


# ---------------------------------------------------------------- the worker


@pytest.mark.parametrize("form", list(ExportFormat))
def test_a_worker_writes_the_file(world, woken, folder, form):
    write_entries(30)
    job = asked(world, form=form, wanted=RecordFilter(version=None, model="model-3"))
    assert woken == [job.pk]
    work(world, job)
    assert (job.status, job.rows, job.total) == (ExportStatus.FINISHED, 2, 2)
    place = exports.place_of(job.file)
    assert place.read_bytes() == exported(exports.load_filter(job.filters), form)
    assert job.bytes == place.stat().st_size
    assert (place.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    assert job.expires_at == world.now + timedelta(days=1)


def test_nothing_that_comes_later_is_in_the_file(world, woken, folder):
    write_entries(10)
    job = asked(world)
    write_entries(10)
    work(world, job)
    assert [entry["seq"] for entry in lines(exports.place_of(job.file).read_bytes())] == list(
        range(1, job.last_seq + 1)
    )
    assert AuditEntry.objects.get(action="record_exported").seq == job.last_seq + 1


def test_an_export_without_entries(world, woken, folder):
    job = work(world, asked(world, form=ExportFormat.CSV, wanted=RecordFilter(model="nobody's")))
    assert (job.status, job.total) == (ExportStatus.FINISHED, 0)
    assert exports.place_of(job.file).read_bytes() == ExportFormat.CSV.head


@pytest.mark.parametrize("form", list(ExportFormat))
def test_slice_by_slice(world, woken, folder, monkeypatch, form):
    monkeypatch.setattr(exports, "WINDOW", 8)
    write_entries(20)
    job = asked(world, form=form)
    seen = []
    while job.status != ExportStatus.FINISHED:
        seen.append(work(world, job, slice_seconds=0.0).rows)
        assert len(seen) < 20
    assert seen[:2] == [8, 16]
    assert exports.place_of(job.file).read_bytes() == exported(exports.load_filter(job.filters), form)
    assert len(woken) == len(seen)


class Killed(BaseException):
    """As SIGKILL: nothing is tidied up."""


@pytest.mark.parametrize("lost", [False, True], ids=["same disk", "another machine"])
def test_a_killed_workers_job_is_taken_over(world, woken, folder, monkeypatch, lost):
    monkeypatch.setattr(exports, "WINDOW", 8)
    monkeypatch.setattr(export_jobs, "PROGRESS_SECONDS", 0.0)
    write_entries(30)
    job = asked(world)
    usual, calls = export_jobs._save, []

    def killed(*args):
        calls.append(args)
        if len(calls) == 3:
            raise Killed
        usual(*args)

    with monkeypatch.context() as patch:
        patch.setattr(export_jobs, "_save", killed)
        with pytest.raises(Killed):
            work(world, job)
    job.refresh_from_db()
    assert (job.status, job.rows) == (ExportStatus.RUNNING, 16)
    assert exports.place_of(job.file).stat().st_size > job.bytes
    woken.clear()
    export_jobs.sweep(now=world.now)
    assert work(world, job).rows == 16, "its lease still runs"
    world.pass_time(minutes=3)
    export_jobs.sweep(now=world.now)
    assert woken == [job.pk]
    if lost:
        exports.place_of(job.file).unlink()
    work(world, job)
    assert job.status == ExportStatus.FINISHED
    assert exports.place_of(job.file).read_bytes() == exported(exports.load_filter(job.filters))


def test_a_worker_that_was_believed_dead_does_no_harm(world, woken, folder, monkeypatch):
    monkeypatch.setattr(exports, "WINDOW", 8)
    write_entries(30)
    job = asked(world)
    usual = export_jobs._save

    def overtaken(worker, file, rows):
        monkeypatch.setattr(export_jobs, "_save", usual)
        world.pass_time(minutes=3)
        work(world, ExportJob.objects.get(pk=job.pk))
        usual(worker, file, rows)

    monkeypatch.setattr(export_jobs, "_save", overtaken)
    work(world, job)
    assert job.status == ExportStatus.FINISHED
    assert exports.place_of(job.file).read_bytes() == exported(exports.load_filter(job.filters))


def test_cancelled_while_it_is_written(world, woken, folder, monkeypatch):
    monkeypatch.setattr(exports, "WINDOW", 8)
    write_entries(30)
    job = work(world, asked(world), slice_seconds=0.0)
    usual = export_jobs._save

    def cancelled(worker, file, rows):
        operations.cancel_export(job=job, actor=world.people["aron"], now=world.now)
        usual(worker, file, rows)

    monkeypatch.setattr(export_jobs, "_save", cancelled)
    work(world, job)
    assert (job.status, job.file, os.listdir(folder)) == (ExportStatus.CANCELLED, "", [])
    assert AuditEntry.objects.get(action="export_cancelled").details == {"export": job.pk}
    with pytest.raises(operations.RefusedError, match="ended already"):
        operations.cancel_export(job=job, actor=world.people["aron"], now=world.now)


def test_one_at_a_time_a_person(world, woken, folder):
    job = asked(world)
    with pytest.raises(operations.RefusedError, match="has not ended yet"):
        asked(world)
    asked(world, by="ada")
    work(world, job)
    asked(world)


def test_a_disk_that_is_full_is_said(world, woken, folder, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    job = work(world, asked(world))
    assert (job.status, os.listdir(folder)) == (ExportStatus.FAILED, [])
    assert "No space left on device" in job.error


def test_what_breaks_off_is_said(world, woken, folder, monkeypatch):
    job = asked(world)
    monkeypatch.setattr(exports, "scope", lambda wanted: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        work(world, job)
    job.refresh_from_db()
    assert job.status == ExportStatus.FAILED
    assert "Ask for it again" in job.error


def test_files_go_after_a_day_and_rows_after_a_month(world, woken, folder):
    job = work(world, asked(world))
    world.pass_time(hours=23)
    export_jobs.sweep(now=world.now)
    job.refresh_from_db()
    assert exports.place_of(job.file).exists()
    world.pass_time(hours=2)
    export_jobs.sweep(now=world.now)
    job.refresh_from_db()
    assert (job.file, os.listdir(folder)) == ("", [])
    world.pass_time(days=31)
    export_jobs.sweep(now=world.now)
    assert not ExportJob.objects.exists()
    assert AuditEntry.objects.filter(action="record_exported").exists()


def test_what_no_worker_takes_fails_after_a_day(world, woken, folder):
    job = asked(world)
    world.pass_time(days=1, seconds=1)
    export_jobs.sweep(now=world.now)
    job.refresh_from_db()
    assert job.status == ExportStatus.FAILED
    assert "whether the workers run" in job.error


def test_nobodys_files_go(world, woken, folder):
    job = work(world, asked(world))
    name = job.file
    User.objects.filter(pk=job.person_id).update(is_active=False)
    ExportJob.objects.all().delete()
    export_jobs.sweep(now=world.now)
    assert os.listdir(folder) == [name]
    old = (world.now - timedelta(days=2)).timestamp()
    os.utime(exports.place_of(name), (old, old))
    export_jobs.sweep(now=timezone.now())
    assert os.listdir(folder) == []
