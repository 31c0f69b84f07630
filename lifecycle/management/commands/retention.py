"""Delete what has outlived its policy now, or say what would go."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from lifecycle import queries_retention, retention
from lifecycle.domain.permissions import Actor
from lifecycle.domain.retention import Delete, Flag, Verdict
from lifecycle.domain.stages import Stage
from lifecycle.models import RetentionRun
from lifecycle.retention_queue import begin

COMMAND = Actor(name="Stagegate (manage.py retention)")


class Command(BaseCommand):
    help = "Delete archived versions whose time is over, with their files, and flag long stays in Staging."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would go, when, or why not; change nothing"
        )

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        now = timezone.now()
        if dry_run:
            self._preview(now)
        else:
            self._clean_up(now)

    def _preview(self, now: datetime) -> None:
        counts = {"goes": 0, "stays": 0, "flagged": 0}
        for version, verdict in queries_retention.judged(now):
            what, words = _in_words(verdict, version.domain_stage)
            counts[what] += 1
            self.stdout.write(f"{version.model.name} version {version.version}: {words}")
        for deletion in queries_retention.stuck():
            self.stdout.write(f"{deletion.version}: tried again, stuck with: {deletion.last_error}")
        self.stdout.write(
            f"{counts['goes']} would be deleted, {counts['stays']} would stay, {counts['flagged']} would be flagged. "
            "Nothing was changed."
        )

    def _clean_up(self, now: datetime) -> None:
        row = begin(requested_by=COMMAND, now=now) or queries_retention.running_clean_up()
        if row is None:
            raise CommandError("A clean-up has just ended; run this again.")
        while row.running:
            retention.run(row.pk, clock=timezone.now)
            row = RetentionRun.objects.get(pk=row.pk)
            self.stdout.write(_progress(row))
            if row.running and row.lease_until is not None:
                self.stdout.write("A worker goes on with it; its progress is on the page Retention.")
                return
        if row.error:
            raise CommandError(row.error)


def _in_words(verdict: Verdict, stage: Stage) -> tuple[str, str]:
    if isinstance(verdict, Delete):
        return "goes", f"would be deleted; its time was over on {verdict.since:%Y-%m-%d %H:%M} UTC"
    if isinstance(verdict, Flag):
        return "flagged", f"would be flagged; in Staging since {verdict.since:%Y-%m-%d %H:%M} UTC"
    if verdict.until is not None:
        return "stays", f"stays until {verdict.until:%Y-%m-%d %H:%M} UTC"
    if stage == Stage.STAGING:
        return "stays", "stays: it is in Staging"
    return "stays", f"stays: {verdict.why.label if verdict.why else ''}"


def _progress(row: RetentionRun) -> str:
    return (
        f"{row.deleted} of {row.planned} deleted, {row.freed_bytes:,} bytes freed, {row.stuck} stuck, "
        f"{row.flagged} flagged in Staging."
    )
