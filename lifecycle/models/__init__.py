"""The tables, one module a concept."""

from lifecycle.models.audit import AuditEntry
from lifecycle.models.evidence import UNFINISHED_CHECKS, CheckRun, CheckStatus, Evidence, Waiver
from lifecycle.models.observation import CounterReading, Disagreement, MetricReport, Observation, Trial, Verdict
from lifecycle.models.policy import Policy
from lifecycle.models.registry import MirrorState, ModelVersion, RegisteredModel, WebhookDelivery
from lifecycle.models.retention import Deletion, DeletionStatus, Hold, RetentionRun, StagingFlag
from lifecycle.models.transition import (
    ACTIVE,
    EXECUTING,
    Approval,
    Effect,
    Kind,
    Status,
    Strategy,
    Transition,
    Variant,
    VariantRole,
)

__all__ = [
    "ACTIVE",
    "EXECUTING",
    "UNFINISHED_CHECKS",
    "Approval",
    "AuditEntry",
    "CheckRun",
    "CheckStatus",
    "CounterReading",
    "Deletion",
    "DeletionStatus",
    "Disagreement",
    "Effect",
    "Evidence",
    "Hold",
    "Kind",
    "MetricReport",
    "MirrorState",
    "ModelVersion",
    "Observation",
    "Policy",
    "RegisteredModel",
    "RetentionRun",
    "StagingFlag",
    "Status",
    "Strategy",
    "Transition",
    "Trial",
    "Variant",
    "VariantRole",
    "Verdict",
    "Waiver",
    "WebhookDelivery",
]
