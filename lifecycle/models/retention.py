"""Retention: holds, flags, and the journal of deletions."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from lifecycle.models.registry import ModelVersion


class Hold(models.Model):
    """Keeps a version from deletion while it is not released."""

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="holds")
    reason = models.TextField()
    placed_by = models.CharField(max_length=200)
    placed_by_id = models.BigIntegerField(null=True)
    placed_at = models.DateTimeField()
    released_at = models.DateTimeField(null=True)
    released_by = models.CharField(max_length=200, blank=True, default="")
    released_reason = models.TextField(blank=True, default="")

    class Meta:
        ordering = ("-placed_at", "-id")
        constraints = (
            models.UniqueConstraint(
                fields=("version",), condition=Q(released_at=None), name="one_hold_in_force_a_version"
            ),
        )

    def __str__(self) -> str:
        return f"{self.version} held by {self.placed_by}"


class StagingFlag(models.Model):
    """A version stayed in Staging for longer than its policy allows: one flag for every stay."""

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="staging_flags")
    stage_since = models.DateTimeField()
    flagged_at = models.DateTimeField()

    class Meta:
        constraints = (models.UniqueConstraint(fields=("version", "stage_since"), name="one_flag_a_stay"),)

    def __str__(self) -> str:
        return f"{self.version} in Staging since {self.stage_since:%Y-%m-%d}"


class DeletionStatus(models.TextChoices):
    PLANNED = "planned", "about to be deleted"
    UNREGISTERED = "unregistered", "removed from MLflow, files still there"
    DONE = "done", "deleted"
    STUCK = "stuck", "files could not be deleted"


class Deletion(models.Model):
    """The journal of one version's deletion, written before anything is deleted.

    ``source`` is where its files are, kept here because MLflow forgets it with the version. ``files`` and
    ``freed_bytes`` are what was found and deleted there; ``kept_because`` says why files stayed although the version
    went. ``attempted_at`` is when the clean-up last worked on it.
    """

    version = models.OneToOneField(ModelVersion, on_delete=models.CASCADE, related_name="deletion")
    status = models.CharField(max_length=14, choices=DeletionStatus, default=DeletionStatus.PLANNED, db_index=True)
    source = models.TextField(blank=True, default="")
    run_id = models.CharField(max_length=64, blank=True, default="")
    policy = models.PositiveIntegerField(null=True)
    archived_since = models.DateTimeField(null=True)
    files = models.PositiveIntegerField(default=0)
    freed_bytes = models.PositiveBigIntegerField(default=0)
    kept_because = models.TextField(blank=True, default="")
    planned_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    attempted_at = models.DateTimeField(null=True)
    last_error = models.TextField(blank=True, default="")

    class Meta:
        ordering = ("-planned_at", "-id")
        indexes = (models.Index(fields=("status", "-finished_at", "-id"), name="deletions_latest_first"),)

    def __str__(self) -> str:
        return f"{self.version}: {self.get_status_display()}"


class RetentionRun(models.Model):
    """One pass of the clean-up, with its progress. At most one runs at a time."""

    running = models.BooleanField(default=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    requested_by_name = models.CharField(max_length=200)
    lease_until = models.DateTimeField(null=True)
    planned = models.PositiveIntegerField(default=0)
    deleted = models.PositiveIntegerField(default=0)
    stuck = models.PositiveIntegerField(default=0)
    flagged = models.PositiveIntegerField(default=0)
    freed_bytes = models.PositiveBigIntegerField(default=0)
    error = models.TextField(blank=True, default="")

    class Meta:
        ordering = ("-started_at", "-id")
        constraints = (
            models.UniqueConstraint(fields=("running",), condition=Q(running=True), name="one_running_clean_up"),
        )

    def __str__(self) -> str:
        return f"clean-up of {self.started_at:%Y-%m-%d %H:%M}"
