"""Policies: numbered and never edited in place."""

from __future__ import annotations

from django.db import models

from lifecycle.domain import policy as values
from lifecycle.models.registry import RegisteredModel


class Policy(models.Model):
    """Policy ``number`` for one model, or for all models when ``model`` is None. The newest one applies."""

    number = models.PositiveIntegerField(unique=True)
    model = models.ForeignKey(RegisteredModel, null=True, on_delete=models.PROTECT, related_name="policies")
    body = models.JSONField()
    reason = models.TextField()
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("-number",)
        verbose_name_plural = "policies"

    def __str__(self) -> str:
        return f"policy {self.number}"

    @property
    def values(self) -> values.Policy:
        return values.load(self.body)
