"""The record in a browser: filter, export, progress, download."""

import pytest
from django.utils import timezone

from lifecycle import export_jobs, exports
from lifecycle.models import ExportJob, ExportStatus
from tests.support.many_entries import write_entries

HOSTILE = "=cmd|' /C calc'!A0 <script>alert(1)</script> \u202eevil"


@pytest.mark.browser
def test_filter_export_progress_download(at_portal, world, settings, tmp_path, monkeypatch):
    settings.EXPORTS_DIR = tmp_path
    monkeypatch.setattr(exports, "WINDOW", 10)
    write_entries(120, transition=None)
    write_entries(
        60, model="a-long-name-" * 20, actor=HOSTILE, reason=HOSTILE, details={HOSTILE: HOSTILE}, transition=None
    )
    page = at_portal("aron", "/record/")
    page.get_by_label("Who").fill("=cmd")
    page.get_by_label("How it went").select_option("carried out")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**refused=false**")
    page.get_by_text("59 entries", exact=True).wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    page.get_by_role("button", name="Export these entries").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Export 59 entries?").wait_for()
    dialog.get_by_label("CSV").check()
    dialog.get_by_label("What is it for?").fill("The yearly audit.")
    dialog.get_by_role("button", name="Export").click()
    page.locator("#main").get_by_text("Waiting for a worker").wait_for()
    job = ExportJob.objects.get()
    export_jobs.run(job.pk, clock=timezone.now, slice_seconds=0.0)
    job.refresh_from_db()
    assert job.status == ExportStatus.RUNNING
    page.locator("#main").get_by_text(f"{job.rows} of 59 entries").wait_for()
    assert page.get_by_role("progressbar").get_attribute("max") == "59"
    export_jobs.run(job.pk, clock=timezone.now)
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download").click()
    file = downloading.value.path().read_bytes()
    assert file.startswith(b"\xef\xbb\xbf")
    assert file.count(b"\"'=cmd|") == 2 * 59
    page.goto("/record/150/")
    page.get_by_text("It fits what is recorded.").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
