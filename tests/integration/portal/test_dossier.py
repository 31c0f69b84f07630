"""The dossier of a version: everything about its way to its stage, on one page and as a PDF."""

from datetime import timedelta

import pytest
from django.urls import reverse

from lifecycle import dossier, operations
from lifecycle.adapters import typesetting
from lifecycle.audit import record, recording
from lifecycle.domain.document import Table, dump, texts
from lifecycle.domain.permissions import STAGEGATE
from lifecycle.domain.stages import Stage
from lifecycle.models import AuditEntry, Checkpoint, ModelVersion, Transition
from tests.support.rollouts import counts, observe
from tests.support.world import NAME

PAGE = reverse("dossier", args=[NAME, 2])
PDF = reverse("dossier-pdf", args=[NAME, 2])
HOSTILE = '#panic("no") *b* <script>alert(1)</script> \u202eabc\u2066 中文 ' + "x" * 300


@pytest.fixture
def promoted(world):
    """1.1.0 went to Production over its steps, after one yes that was taken back."""
    world.in_production(1)
    world.drive(world.approved(2, Stage.STAGING))
    row = world.request(2, Stage.PRODUCTION, reason=HOSTILE)
    world.approve(row, "mia")
    operations.take_back(transition=row, reason="I looked at the wrong run.", actor=world.people["mia"], now=world.now)
    world.approve(row, "priya", "mia")
    world.drive(row)
    row.refresh_from_db()
    for number, errors in ((1, 2), (2, 9)):
        for at in range(6):
            since = row.started_at + timedelta(seconds=10 * at)
            observe(world.version(number), since, since + timedelta(seconds=10), counts(100, errors))
    world.row = row
    return world


def test_the_page_tells_the_whole_way(promoted, signed_in):
    answer = signed_in("aron").get(PAGE)
    page = answer.content.decode()
    for said in ("I looked at the wrong run.", "taken back", "5 %", "25 %", "policy", promoted.row.digest, "polyline"):
        assert said in page, said
    assert "<script>alert" not in page
    last = AuditEntry.objects.filter(model=NAME, version=2).latest("seq")
    assert last.hash in page
    assert "No checkpoint covers" in page
    titles = [section.title for section in answer.context["document"].sections]
    assert titles[0] == "The version"
    assert titles[-1] == "What the record says"
    assert f"Transition {promoted.row.pk}: promotion, Staging to Production" in titles


def test_a_checkpoint_that_covers_the_entries_is_told(promoted, signed_in):
    last = AuditEntry.objects.latest("seq")
    statement = {"key_id": "ab" * 32, "signature": "cd" * 64}
    for seq in (last.seq, last.seq + 5):
        Checkpoint.objects.create(seq=seq, hash=last.hash, at=promoted.now, statement=statement)
    page = signed_in("aron").get(PAGE).content.decode()
    assert "ab" * 32 in page
    assert f"<bdi>{last.seq}</bdi>" in page


def test_a_bypass_and_its_review_are_told(promoted):
    values = {"bypassed_at": promoted.now, "bypassed_by_name": "ada", "bypass_reason": "It burns."}
    Transition.objects.filter(pk=promoted.row.pk).update(**values, bypass_missing=["product owner"])
    told = " ".join(texts(dump(dossier.dossier_of(promoted.version(2), now=promoted.now, by="aron"))))
    assert "Approvals bypassed by  ada strong" in told
    assert "It burns." in told
    assert "not yet" in told


def test_the_pdf_is_made_whatever_the_texts_say(promoted, signed_in):
    answer = signed_in("aron").get(PDF)
    assert answer.content.startswith(b"%PDF-")
    assert answer.headers["Content-Type"] == "application/pdf"
    assert f"dossier-{NAME}-version-2.pdf" in answer.headers["Content-Disposition"]


def test_a_pdf_that_takes_too_long_is_given_up_and_says_what_to_do(promoted, signed_in, monkeypatch):
    monkeypatch.setattr(typesetting, "SECONDS", 0.001)
    answer = signed_in("aron").get(PDF)
    assert answer.status_code == 503
    assert "Print the page instead" in answer.content.decode()


def test_what_is_left_out_of_a_long_record_is_said(world, monkeypatch):
    monkeypatch.setattr(dossier, "MOST_ENTRIES", 20)
    version = ModelVersion.objects.get(model__name=NAME, version=3)
    with recording():
        for number in range(30):
            record("check_started", actor=STAGEGATE, now=world.now, version=version, reason=str(number))
    document = dossier.dossier_of(version, now=world.now, by="aron")
    (table,) = [part for part in document.sections[-1].parts if isinstance(part, Table)]
    assert len(table.rows) == 20
    assert table.rows[-1][4].text == "29"
    assert "The latest 20 are shown" in document.sections[-1].parts[0].text


def test_nobody_reads_a_dossier_without_signing_in(client, world):
    assert client.get(PAGE).status_code == 302
    assert client.get(PDF).status_code == 302
