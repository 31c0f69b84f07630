"""The gate on the version's and the transition's page, and the pages of evidence."""

import re
import subprocess
from datetime import timedelta
from hashlib import sha256
from html import unescape

import pytest
from django.urls import reverse

from lifecycle import operations
from lifecycle.domain.criteria import Criterion
from lifecycle.domain.digests import manifest_digest
from lifecycle.domain.stages import Stage
from lifecycle.models import CheckRun, CheckStatus, Evidence, Policy, Waiver

PAGE = "/models/iris/versions/1/"
ASKED = ["unit_tests", "code_review", "artifact_scan", "semantic_version"]
BODY = {
    "criteria": {"to_staging": ASKED, "to_production": ["load_test", "approvals"], "to_archived": []},
    "checks": {"in_development": [], "in_staging": []},
}
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def strict(world):
    """A policy that asks for something."""
    Policy.objects.create(number=2, body=BODY, reason="test", created_by="test", created_at=world.now)
    return world


def evidence(world, criterion, passed=True, number=1, **values):
    version = world.version(number)
    bound = {"run_id": version.run_id, "source": version.source, "artifact_digest": version.artifact_digest}
    known = {"origin": "ci", "recorded_by": "CI of iris", "recorded_at": world.now, **bound, **values}
    return Evidence.objects.create(version=version, criterion=criterion, passed=passed, **known)


def waiver(world, criterion, **values):
    version = world.version(1)
    bound = {"run_id": version.run_id, "source": version.source, "artifact_digest": version.artifact_digest}
    known = {"granted_by": "priya", "granted_at": world.now, "expires_at": world.now + timedelta(days=7)}
    known |= {"reason": "Trial run.", **bound, **values}
    return Waiver.objects.create(version=version, criterion=criterion, **known)


def fulfilled(world):
    for criterion, origin in (("unit_tests", "ci"), ("code_review", "person"), ("artifact_scan", "check")):
        evidence(world, criterion, origin=origin)


def text_of(response):
    assert response.status_code == 200
    return response.content.decode()


# ---------------------------------------------------------------- the version's page


def test_a_closed_gate_says_what_is_missing_and_offers_no_request(strict, signed_in):
    evidence(strict, "unit_tests", passed=False, detail="2 of 312 failed")
    page = text_of(signed_in("emil").get(PAGE))
    assert "3 of 4 criteria keep it from Staging" in page
    assert "It cannot be asked for yet." in page
    assert "Ask to move it to Staging" not in page
    for words in ("Do the unit tests of its code pass?", "2 of 312 failed", "Scan its files", "Record evidence"):
        assert words in page


def test_an_open_gate_offers_the_request_and_says_who_has_to_agree(strict, signed_in):
    fulfilled(strict)
    page = text_of(signed_in("emil").get(PAGE))
    assert "Ready for Staging" in page
    assert "Ask to move it to Staging" in page
    assert "It takes a yes from one ML engineer, and not from you." in page
    assert "Policy 2 applies" in page


@pytest.mark.parametrize(
    ("name", "seen", "unseen"),
    [
        ("emil", ["Record evidence", "Scan its files"], ["Waive it"]),
        ("priya", ["Record evidence", "Scan its files", "Waive it"], []),
        ("aron", [], ["Record evidence", "Scan its files", "Waive it"]),
        ("ada", [], ["Record evidence", "Scan its files", "Waive it"]),
    ],
)
def test_everybody_is_offered_what_they_may_do(strict, signed_in, name, seen, unseen):
    page = text_of(signed_in(name).get(PAGE))
    assert all(words in page for words in seen)
    assert not any(words in page for words in unseen)


def test_what_nobody_may_waive_is_not_offered(strict, signed_in):
    page = text_of(signed_in("priya").get(PAGE))
    assert 'id="waive-staging-code_review"' in page
    assert 'id="waive-staging-artifact_scan"' not in page


def test_a_waiver_is_marked_and_stays_for_good(strict, signed_in):
    waiver(strict, "code_review")
    waiver(strict, "unit_tests", expires_at=strict.now - timedelta(days=1), reason="Long over.")
    ended = {"revoked_at": strict.now, "revoked_by": "mia", "revoked_reason": "A real fault."}
    waiver(strict, "artifact_scan", reason="Ended early.", **ended)
    page = text_of(signed_in("aron").get(PAGE))
    assert re.search(r"Waived by <a [^>]*><bdi>priya</bdi></a>", page)
    assert "1 waived" in page
    for words in ("Long over.", "Ended early.", "A real fault.", "mia"):
        assert words in page


def test_evidence_that_no_longer_counts_says_why(strict, signed_in):
    evidence(strict, "unit_tests", run_id="another")
    page = text_of(signed_in("emil").get(PAGE))
    assert "only evidence that no longer counts" in page
    assert "The version belongs to another run since." in page


@pytest.fixture
def running(strict):
    return CheckRun.objects.create(
        version=strict.version(1),
        criterion="artifact_scan",
        status=CheckStatus.RUNNING,
        progress=42,
        phase="looking into its files",
        policy=Policy.objects.get(number=2),
        requested_by_name="emil",
        requested_at=strict.now,
    )


def test_a_running_check_shows_its_progress_and_can_be_cancelled(running, signed_in):
    page = text_of(signed_in("emil").get(PAGE, headers={"HX-Request": "true"}))
    assert "<html" not in page
    assert 'value="42"' in page
    assert "looking into its files" in page
    assert "Start the artifact scan." not in page
    assert f'action="{reverse("cancel-check", args=[running.pk])}"' in page
    assert 'data-live-pace="2"' in page
    assert "Scan its files" not in page


def test_the_stage_beside_the_name_moves_with_the_gates(running, signed_in):
    page = text_of(signed_in("emil").get(PAGE, headers={"HX-Request": "true"}))
    assert page.count('id="version-headline"') == 1
    whole = text_of(signed_in("emil").get(PAGE))
    assert whole.count('id="version-headline"') == 1
    assert 'hx-select-oob="#version-headline,#history"' in whole


def test_a_check_that_came_to_nothing_says_why(running, signed_in):
    CheckRun.objects.update(status=CheckStatus.BROKEN, error="MLflow answered 503.", finished_at=running.requested_at)
    page = text_of(signed_in("emil").get(PAGE))
    assert "MLflow answered 503." in page
    assert "Scan its files again" in page
    assert 'data-live-pace="10"' in page


def test_a_gate_that_asks_nothing_is_open(world, signed_in):
    page = text_of(signed_in("emil").get(PAGE))
    assert "Ready for Staging" in page
    assert "asks for nothing before a version enters Staging" in page


def test_from_staging_both_ways_are_shown_the_main_one_first(strict, signed_in):
    fulfilled(strict)
    strict.drive(strict.approve(strict.request(1, Stage.STAGING), "mia"))
    page = text_of(signed_in("emil").get(PAGE))
    assert page.index("1 of 1 criteria keeps it from Production") < page.index("Ready to be archived")
    assert "Approvals can be given once the change has been asked for." in page


def test_evidence_comes_in_pages(strict, signed_in, django_assert_max_num_queries):
    version = strict.version(1)
    rows = [
        Evidence(version=version, criterion="unit_tests", passed=True, origin="ci", recorded_by="CI", recorded_at=at)
        for at in (strict.now - timedelta(minutes=count) for count in range(1000))
    ]
    Evidence.objects.bulk_create(rows)
    emil = signed_in("emil")
    with django_assert_max_num_queries(40):
        page = text_of(emil.get(PAGE, {"page": 2}))
    assert "Page 2 of 50" in page
    assert len(page) < 120_000


def test_texts_from_elsewhere_stay_texts(strict, signed_in):
    row = evidence(strict, "unit_tests", passed=False, detail=HOSTILE, recorded_by=HOSTILE, unit=HOSTILE, value=1.0)
    waiver(strict, "unit_tests", reason=HOSTILE, granted_by=HOSTILE)
    priya = signed_in("priya")
    for address in (PAGE, f"{PAGE}evidence/{row.pk}/"):
        page = text_of(priya.get(address))
        assert HOSTILE not in page
        assert "&lt;script&gt;" in page


def test_the_forms_of_the_page_do_what_they_say(strict, signed_in):
    priya = signed_in("priya")
    form = {"criterion": "code_review", "outcome": "passed", "url": "https://git.example.org/1", "detail": ""}
    priya.post(f"{PAGE}evidence/", form)
    priya.post(f"{PAGE}waivers/", {"criterion": "unit_tests", "days": 7, "reason": "Flaky."})
    page = text_of(priya.get(PAGE))
    assert "1 waived" in page
    assert "2 passed" in page


# ---------------------------------------------------------------- the transition's page


@pytest.fixture
def asked(strict):
    fulfilled(strict)
    waiver(strict, "code_review", reason="Read it over the shoulder.")
    Evidence.objects.filter(criterion="code_review").delete()
    return strict.request(1, Stage.STAGING)


def test_the_gate_stands_before_the_answers_with_its_waivers(asked, signed_in):
    page = text_of(signed_in("mia").get(f"/transitions/{asked.pk}/"))
    assert page.index("Ready for Staging") < page.index('id="approve"')
    assert page.index("Read it over the shoulder.") < page.index('id="approve"')
    assert "in spite of 1 waived criterion" in page
    assert "Changed since it was asked for" not in page


def test_a_gate_that_has_closed_since_takes_the_yes_away(strict, asked, signed_in):
    evidence(strict, "unit_tests", passed=False, recorded_at=strict.now + timedelta(seconds=1))
    page = text_of(signed_in("mia").get(f"/transitions/{asked.pk}/"))
    assert "It cannot be approved now" in page
    assert "Changed since it was asked for" in page
    assert 'disabled aria-describedby="gate-has-closed"' in page
    with pytest.raises(operations.RefusedError, match="Unit tests"):
        strict.approve(asked, "mia")


def test_afterwards_the_gate_is_kept_as_it_was(strict, asked, signed_in):
    strict.drive(strict.approve(asked, "mia"))
    page = text_of(signed_in("aron").get(f"/transitions/{asked.pk}/"))
    assert "The gate, as it was when this was asked for" in page
    assert "Read it over the shoulder." in page


# ---------------------------------------------------------------- evidence


LOAD = {
    "throughput": 640.0,
    "p50": 0.01,
    "p95": 1.4,
    "p99": 1.9,
    "failed": 0.0,
    "users": 16,
    "ramp_seconds": 1.0,
    "steady_seconds": 2.0,
    "series": [[1, 40, 0, 0.01, 0.9, 8], [2, 640, 1, 0.01, 1.4, 16]],
    "failures": [{"reason": "500", "count": 3, "example": HOSTILE}],
    "policy": 1,
}
MALFORMED = {
    "rejected": 97.5,
    "sent": 200,
    "failed": 0.0,
    "by_class": {"wrong type": {"sent": 20, "rejected": 15}},
    "failing": [{"class": "wrong type", "body": HOSTILE, "content_type": "text/xml", "status": 200, "answer": "[1]"}],
}
SCAN = {
    "total_files": 2,
    "total_bytes": 4096,
    "manifest": {"MLmodel": "ab" * 32},
    "files": [
        {"path": f"{HOSTILE}.pkl", "size": 96, "format": "", "verdict": "failed", "why": "is of a format"},
        {"path": "MLmodel", "size": 4000, "format": "MLmodel", "verdict": "passed", "why": ""},
    ],
    "formats": ["MLmodel"],
}
FEATURE = {"feature": HOSTILE, "distance": 0.42, "edges": [1.0], "reference": [0.5, 0.5], "seen": [0, 1]}
DRIFT = {
    "value": 0.42,
    "rows": 1000,
    "distributions": [{**FEATURE, "categories": []}],
    "not_compared": {"width": "was given in 3 rows only"},
}


@pytest.mark.parametrize(
    ("criterion", "measured", "words"),
    [
        ("load_test", LOAD, ["at most 1 s", 'data-chart="course"', "1.400", "3 times", "plotly-basic.min.js"]),
        ("malformed_input", MALFORMED, ["wrong type", "5 not", "text/xml", "97.5 %"]),
        ("artifact_scan", SCAN, ["ab" * 32, "is of a format", "sha256sum", "4.0"]),
        ("drift", DRIFT, ['data-chart="distances"', 'data-chart="worst"', "was given in 3 rows only", "0.420"]),
    ],
)
def test_a_check_shows_what_it_measured(world, signed_in, criterion, measured, words):
    row = evidence(world, criterion, passed=False, origin="check", measurements=measured, value=measured.get("value"))
    page = text_of(signed_in("aron").get(f"{PAGE}evidence/{row.pk}/"))
    for each in words:
        assert each in page, each
    assert HOSTILE not in page


@pytest.mark.parametrize("criterion", list(Criterion))
def test_evidence_for_anything_can_be_opened_whatever_was_measured(world, signed_in, criterion):
    row = evidence(world, criterion, measurements={"series": 3, "files": [None], "by_class": [], "distributions": {}})
    page = text_of(signed_in("aron").get(f"{PAGE}evidence/{row.pk}/"))
    assert criterion.about.question in page
    assert "plotly" not in page


def test_reported_evidence_leads_to_where_it_comes_from(world, signed_in):
    row = evidence(world, "unit_tests", url="https://ci.example.org/builds/7", detail="312 passed", value=312.0)
    page = text_of(signed_in("aron").get(f"{PAGE}evidence/{row.pk}/"))
    assert 'href="https://ci.example.org/builds/7"' in page
    assert 'rel="noreferrer nofollow external"' in page
    assert "ci.example.org" in page


def test_evidence_says_whether_it_still_counts(world, signed_in):
    old = evidence(world, "unit_tests", source="elsewhere")
    replaced = evidence(world, "code_review")
    evidence(world, "code_review", passed=False, recorded_at=world.now + timedelta(minutes=1))
    aron = signed_in("aron")
    assert "It no longer counts." in text_of(aron.get(f"{PAGE}evidence/{old.pk}/"))
    assert "There is newer evidence" in text_of(aron.get(f"{PAGE}evidence/{replaced.pk}/"))


@pytest.mark.parametrize("address", ["/models/iris/versions/2/evidence/{}/", "/models/iris/versions/1/evidence/999{}/"])
def test_evidence_of_another_version_is_not_there(world, signed_in, address):
    row = evidence(world, "unit_tests")
    assert signed_in("aron").get(address.format(row.pk)).status_code == 404


def test_evidence_is_shown_to_nobody_who_has_not_signed_in(world, client):
    row = evidence(world, "unit_tests")
    assert client.get(f"{PAGE}evidence/{row.pk}/")["Location"].startswith("/sign-in/")


def test_the_command_on_the_page_prints_the_digest(world, signed_in, tmp_path):
    """Whoever doubts the digest computes it again with what every system has."""
    for name, text in {"MLmodel": "flavors: {}", "code/prepare.py": "pass", "a name.txt": "x", "é.json": "{}"}.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    found = {path.relative_to(tmp_path).as_posix(): path for path in tmp_path.rglob("*") if path.is_file()}
    digest = manifest_digest({name: sha256(path.read_bytes()).hexdigest() for name, path in found.items()})
    row = evidence(world, "artifact_scan", artifact_digest=digest)
    page = text_of(signed_in("aron").get(f"{PAGE}evidence/{row.pk}/"))
    command = unescape(re.search(r'aria-label="Command">(.*?)</pre>', page, re.DOTALL).group(1))
    printed = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert printed.split()[0] == digest
    assert digest in page
