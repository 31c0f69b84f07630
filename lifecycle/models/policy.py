"""Policies: numbered and never edited in place."""

from __future__ import annotations

import json
from functools import lru_cache

from django.db import models
from django.db.models import Q
from django.utils.functional import cached_property

from lifecycle.domain import policy as values
from lifecycle.models.registry import RegisteredModel

KEPT_PARSED = 256
"""How many policies are kept as they were parsed. A model may have one of its own; all of these take a megabyte."""


class Policy(models.Model):
    """Policy ``number`` for one model, or for all models when ``model`` is None. The newest one applies.

    ``body`` None withdraws the model's own policy: from then on the model follows the one of all models again.
    """

    number = models.PositiveIntegerField(unique=True)
    model = models.ForeignKey(RegisteredModel, null=True, on_delete=models.PROTECT, related_name="policies")
    body = models.JSONField(null=True)
    reason = models.TextField()
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("-number",)
        verbose_name_plural = "policies"
        constraints = (
            models.CheckConstraint(
                condition=Q(body__isnull=False) | Q(model__isnull=False), name="only_a_models_policy_is_withdrawn"
            ),
        )

    def __str__(self) -> str:
        return f"policy {self.number}"

    @property
    def withdrawn(self) -> bool:
        return self.body is None

    @cached_property
    def values(self) -> values.Policy:
        """Raises PolicyError for a withdrawal: it has no values, and rules no transition."""
        return _parsed(json.dumps(self.body, sort_keys=True))


@lru_cache(maxsize=KEPT_PARSED)
def _parsed(body: str) -> values.Policy:
    """By its text: a policy is checked once instead of for each row of each page, and never changes."""
    return values.load(json.loads(body))
