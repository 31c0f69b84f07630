"""Which policy applies to a model."""

from __future__ import annotations

from datetime import datetime

from lifecycle.domain import policy as policy_values
from lifecycle.models import Policy, RegisteredModel


def current_policy(model: RegisteredModel, now: datetime) -> Policy:
    """The newest policy of the model, else the newest one for all models; the first use writes the defaults."""
    found = Policy.objects.filter(model=model).first() or Policy.objects.filter(model=None).first()
    if found is not None:
        return found
    default, _ = Policy.objects.get_or_create(
        number=1,
        defaults={
            "body": policy_values.dump(policy_values.Policy()),
            "reason": "The values of the model lifecycle strategy.",
            "created_by": "Stagegate",
            "created_at": now,
        },
    )
    return default
