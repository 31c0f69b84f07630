"""Every write that a person can ask for.

Each operation checks the person's role, then the rules, then writes the change and its audit entry in one transaction.
What is refused is recorded too, and changes nothing else.
"""

from lifecycle.operations.checks import cancel_check, start_check
from lifecycle.operations.evidence import grant_waiver, record_evidence, revoke_waiver
from lifecycle.operations.metrics import BusinessReport, report_business_metrics
from lifecycle.operations.policies import PolicyRefusedError, change_policy, preview_policy, withdraw_policy
from lifecycle.operations.retention import place_hold, release_hold, start_clean_up
from lifecycle.operations.rollbacks import (
    drill,
    reconcile,
    replace_rollback,
    review_rollback,
    roll_back,
    roll_back_transition,
    withdraw,
)
from lifecycle.operations.rollouts import abort, let_go_on, pause, promote, resume, skip
from lifecycle.operations.transitions import approve, cancel, reject, request_transition
from lifecycle.operations.versions import accept_semantic_version
from lifecycle.operations.webhooks import take_webhook
from lifecycle.transitions import RefusedError

__all__ = [
    "BusinessReport",
    "PolicyRefusedError",
    "RefusedError",
    "abort",
    "accept_semantic_version",
    "approve",
    "cancel",
    "cancel_check",
    "change_policy",
    "drill",
    "grant_waiver",
    "let_go_on",
    "pause",
    "place_hold",
    "preview_policy",
    "promote",
    "reconcile",
    "record_evidence",
    "reject",
    "release_hold",
    "replace_rollback",
    "report_business_metrics",
    "request_transition",
    "resume",
    "review_rollback",
    "revoke_waiver",
    "roll_back",
    "roll_back_transition",
    "skip",
    "start_check",
    "start_clean_up",
    "take_webhook",
    "withdraw",
    "withdraw_policy",
]
