"""The record: append-only, written by ``lifecycle.audit.record`` alone."""

from __future__ import annotations

from django.db import models


class AuditEntry(models.Model):
    """One line of the record. Names are copied, not linked, so that the line outlives what it speaks of."""

    at = models.DateTimeField(db_index=True)
    action = models.CharField(max_length=60, db_index=True)
    refused = models.BooleanField(default=False)
    actor = models.CharField(max_length=200, db_index=True)
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
    transition = models.BigIntegerField(null=True, db_index=True)
    policy = models.PositiveIntegerField(null=True)

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "audit entries"

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor}: {self.action}"
