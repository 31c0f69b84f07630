"""What was asked and answered under an idempotency key."""

from __future__ import annotations

from django.db import models


class KeyedRequest(models.Model):
    """One request that came with the header ``Idempotency-Key``, and the answer to it once there is one.

    ``caller`` is ``token:`` or ``user:`` and a primary key; ``digest`` is the SHA-256 of method, address and body.
    ``status`` is None while the request is being carried out. ``claimed_at`` is when that began.
    """

    caller = models.CharField(max_length=40)
    key = models.CharField(max_length=200)
    digest = models.CharField(max_length=64)
    claimed_at = models.DateTimeField(db_index=True)
    status = models.PositiveSmallIntegerField(null=True)
    content_type = models.CharField(max_length=100, blank=True, default="")
    body = models.TextField(blank=True, default="")

    class Meta:
        constraints = (models.UniqueConstraint(fields=("caller", "key"), name="a_key_once_a_caller"),)

    def __str__(self) -> str:
        return f"{self.caller}: {self.key}"
