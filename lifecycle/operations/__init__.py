"""Every write that a person can ask for.

Each operation checks the person's role, then the rules, then writes the change and its audit entry in one transaction.
What is refused is recorded too, and changes nothing else.
"""

from lifecycle.operations.checks import cancel_check, start_check
from lifecycle.operations.evidence import grant_waiver, record_evidence, revoke_waiver
from lifecycle.operations.policies import PolicyRefusedError, change_policy, preview_policy, withdraw_policy
from lifecycle.operations.retention import place_hold, release_hold, start_clean_up
from lifecycle.operations.transitions import (
    approve,
    cancel,
    reject,
    request_transition,
    roll_back,
    roll_back_transition,
)
from lifecycle.operations.versions import accept_semantic_version
from lifecycle.operations.webhooks import take_webhook
from lifecycle.transitions import RefusedError

__all__ = [
    "PolicyRefusedError",
    "RefusedError",
    "accept_semantic_version",
    "approve",
    "cancel",
    "cancel_check",
    "change_policy",
    "grant_waiver",
    "place_hold",
    "preview_policy",
    "record_evidence",
    "reject",
    "release_hold",
    "request_transition",
    "revoke_waiver",
    "roll_back",
    "roll_back_transition",
    "start_check",
    "start_clean_up",
    "take_webhook",
    "withdraw_policy",
]
