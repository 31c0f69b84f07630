"""What MLflow tells us."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from lifecycle.dispatch import wake_mirror
from lifecycle.domain.webhooks import Delivery, names_of
from lifecycle.models import WebhookDelivery

KEPT_DELIVERIES = timedelta(hours=1)
"""How long a webhook's id is remembered: longer than its signature stays valid."""


def take_webhook(*, delivery: Delivery, now: datetime) -> bool:
    """Have whatever a genuine delivery is about read afresh. False, and nothing else, for one that was taken before."""
    with transaction.atomic():
        WebhookDelivery.objects.filter(received_at__lt=now - KEPT_DELIVERIES).delete()
        _, first = WebhookDelivery.objects.get_or_create(delivery_id=delivery.id, defaults={"received_at": now})
        subject = names_of(delivery)
        if first and subject is not None:
            wake_mirror(subject.model, subject.version)
    return first
