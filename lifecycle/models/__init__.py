"""The tables, one module a concept."""

from lifecycle.models.audit import UNFINISHED_EXPORTS, AuditEntry, Checkpoint, ExportJob, ExportStatus
from lifecycle.models.evidence import UNFINISHED_CHECKS, CheckRun, CheckStatus, Evidence, Waiver
from lifecycle.models.health import Heartbeat
from lifecycle.models.notice import Channel, Notice, NoticeCursor, NoticeSetting, NoticeState
from lifecycle.models.observation import CounterReading, Disagreement, MetricReport, Observation, Trial, Verdict
from lifecycle.models.policy import Policy
from lifecycle.models.registry import (
    MirrorState,
    ModelIndex,
    ModelTag,
    ModelVersion,
    RegisteredModel,
    Team,
    WebhookDelivery,
)
from lifecycle.models.retention import Deletion, DeletionStatus, Hold, RetentionRun, StagingFlag
from lifecycle.models.transition import (
    ACTIVE,
    EXECUTING,
    Approval,
    Effect,
    FreezeWindow,
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
    "UNFINISHED_EXPORTS",
    "Approval",
    "AuditEntry",
    "Channel",
    "CheckRun",
    "CheckStatus",
    "Checkpoint",
    "CounterReading",
    "Deletion",
    "DeletionStatus",
    "Disagreement",
    "Effect",
    "Evidence",
    "ExportJob",
    "ExportStatus",
    "FreezeWindow",
    "Heartbeat",
    "Hold",
    "Kind",
    "MetricReport",
    "MirrorState",
    "ModelIndex",
    "ModelTag",
    "ModelVersion",
    "Notice",
    "NoticeCursor",
    "NoticeSetting",
    "NoticeState",
    "Observation",
    "Policy",
    "RegisteredModel",
    "RetentionRun",
    "StagingFlag",
    "Status",
    "Strategy",
    "Team",
    "Transition",
    "Trial",
    "Variant",
    "VariantRole",
    "Verdict",
    "Waiver",
    "WebhookDelivery",
]
