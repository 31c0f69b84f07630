"""The tables, one module a concept."""

from lifecycle.models.audit import AuditEntry
from lifecycle.models.policy import Policy
from lifecycle.models.registry import MirrorState, ModelVersion, RegisteredModel, WebhookDelivery
from lifecycle.models.transition import (
    ACTIVE,
    EXECUTING,
    Approval,
    CounterReading,
    Effect,
    Kind,
    Observation,
    Status,
    Strategy,
    Transition,
    Variant,
    VariantRole,
)

__all__ = [
    "ACTIVE",
    "EXECUTING",
    "Approval",
    "AuditEntry",
    "CounterReading",
    "Effect",
    "Kind",
    "MirrorState",
    "ModelVersion",
    "Observation",
    "Policy",
    "RegisteredModel",
    "Status",
    "Strategy",
    "Transition",
    "Variant",
    "VariantRole",
    "WebhookDelivery",
]
