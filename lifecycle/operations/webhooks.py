"""What MLflow tells us."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from lifecycle.dispatch import wake_mirror
from lifecycle.domain.webhooks import Delivery, names_of
from lifecycle.models import WebhookDelivery
from lifecycle.transitions import RefusedError

KEPT_DELIVERIES = timedelta(hours=1)
"""How long a webhook's id is remembered: longer than its signature stays valid."""


def take_webhook(*, delivery: Delivery, now: datetime) -> None:
    """Have whatever a genuine delivery is about read afresh. Raises RefusedError for a replayed one."""
    with transaction.atomic():
        WebhookDelivery.objects.filter(received_at__lt=now - KEPT_DELIVERIES).delete()
        _, first = WebhookDelivery.objects.get_or_create(delivery_id=delivery.id, defaults={"received_at": now})
        if not first:
            raise RefusedError("This delivery has been taken already.", rule="replayed", status=403)
        subject = names_of(delivery)
        if subject is not None:
            wake_mirror(subject.model, subject.version)
