"""The record: append-only, written by ``lifecycle.audit.record`` alone, and what shows that it was."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q


class AuditEntry(models.Model):
    """One line of the record. Names are copied, not linked, so that the line outlives what it speaks of.

    ``seq`` counts from 1 without gaps; ``previous_hash`` is the ``hash`` of the entry before, as
    ``lifecycle.domain.chain`` computes it. ``evidence_digest`` names what a decision was bound to. The database refuses
    to change or delete a row.
    """

    seq = models.BigIntegerField(unique=True)
    at = models.DateTimeField()
    action = models.CharField(max_length=60)
    refused = models.BooleanField(default=False)
    actor = models.CharField(max_length=200)
    actor_id = models.BigIntegerField(null=True)
    actor_roles = models.JSONField(default=list)
    signed_in_by = models.CharField(max_length=40)
    address = models.CharField(max_length=64, blank=True, default="")
    model = models.TextField(blank=True, default="")
    version = models.PositiveIntegerField(null=True)
    semantic_version = models.CharField(max_length=100, blank=True, default="")
    from_stage = models.CharField(max_length=16, blank=True, default="")
    to_stage = models.CharField(max_length=16, blank=True, default="")
    reason = models.TextField(blank=True, default="")
    details = models.JSONField(default=dict)
    transition = models.BigIntegerField(null=True)
    policy = models.PositiveIntegerField(null=True)
    evidence_digest = models.CharField(max_length=64, blank=True, default="")
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        ordering = ("-seq",)
        verbose_name_plural = "audit entries"
        # Each gives the newest of what it finds first: a page takes its rows from there, however many there are.
        indexes = (
            models.Index(fields=("at", "seq"), name="record_by_time"),
            models.Index(fields=("action", "seq"), name="record_by_action"),
            models.Index(fields=("actor", "seq"), name="record_by_actor"),
            models.Index(fields=("model", "version", "seq"), name="record_by_version"),
            models.Index(fields=("model", "seq"), name="record_by_model"),
            models.Index(fields=("transition", "seq"), name="record_by_transition"),
            models.Index(fields=("seq",), name="record_of_refusals", condition=Q(refused=True)),
        )

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor}: {self.action}"


class Checkpoint(models.Model):
    """A signed statement that the record had the entry ``seq`` with ``hash`` at a time; kept outside the database too.

    ``statement`` is what was signed and the signature, as ``lifecycle.domain.checkpoints`` describes it. ``delivered``
    lists the places that have it; ``last_error`` says what kept it from the others, "" when nothing did.
    """

    seq = models.BigIntegerField(unique=True)
    hash = models.CharField(max_length=64)
    at = models.DateTimeField()
    statement = models.JSONField()
    delivered = models.JSONField(default=list)
    complete = models.BooleanField(default=False, db_index=True)
    attempts = models.PositiveIntegerField(default=0)
    last_error = models.TextField(blank=True, default="")

    class Meta:
        ordering = ("-seq",)

    def __str__(self) -> str:
        return f"checkpoint at entry {self.seq}"


class ExportStatus(models.TextChoices):
    WAITING = "waiting", "waiting"
    RUNNING = "running", "running"
    FINISHED = "finished", "finished"
    FAILED = "failed", "failed"
    CANCELLED = "cancelled", "cancelled"


UNFINISHED_EXPORTS = (ExportStatus.WAITING, ExportStatus.RUNNING)


class ExportJob(models.Model):
    """An export of the record that a person asked for in the browser: a file, written by a worker.

    ``filters`` are those of the record's page; ``last_seq`` is the last entry that was there when it was asked for;
    ``rows`` of ``total`` have been written. The file is removed at ``expires_at``.
    """

    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    format = models.CharField(max_length=5, choices=(("csv", "CSV"), ("jsonl", "JSON lines")))
    filters = models.JSONField(default=dict)
    last_seq = models.BigIntegerField()
    status = models.CharField(max_length=10, choices=ExportStatus, default=ExportStatus.WAITING)
    total = models.BigIntegerField(default=0)
    rows = models.BigIntegerField(default=0)
    bytes = models.BigIntegerField(default=0)
    file = models.CharField(max_length=100, blank=True, default="")
    error = models.TextField(blank=True, default="")
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(db_index=True)
    lease_until = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"export {self.pk}: {self.format}, {self.status}"
