"""Every write that a person can ask for.

Each operation checks the person's role, then the rules, then writes the change and its audit entry in one transaction.
What is refused is recorded too, and changes nothing else.
"""

from lifecycle.operations.checks import cancel_check, start_check
from lifecycle.operations.emergencies import bypass, override_freeze, review_bypass
from lifecycle.operations.evidence import grant_waiver, record_evidence, revoke_waiver
from lifecycle.operations.exports import cancel_export, export_record, request_export
from lifecycle.operations.freezes import FreezeRefusedError, plan_freeze, remove_freeze
from lifecycle.operations.metrics import BusinessReport, report_business_metrics
from lifecycle.operations.notices import (
    add_channel,
    change_channel,
    choose_notices,
    remove_channel,
    send_test_to_channel,
    send_test_to_self,
    try_again,
)
from lifecycle.operations.people import (
    add_person,
    add_team,
    change_person,
    give_model,
    give_role,
    rename_team,
    take_role,
)
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
from lifecycle.operations.transitions import approve, cancel, reject, request_transition, take_back
from lifecycle.operations.versions import accept_semantic_version
from lifecycle.operations.webhooks import take_webhook
from lifecycle.transitions import RefusedError

__all__ = [
    "BusinessReport",
    "FreezeRefusedError",
    "PolicyRefusedError",
    "RefusedError",
    "abort",
    "accept_semantic_version",
    "add_channel",
    "add_person",
    "add_team",
    "approve",
    "bypass",
    "cancel",
    "cancel_check",
    "cancel_export",
    "change_channel",
    "change_person",
    "change_policy",
    "choose_notices",
    "drill",
    "export_record",
    "give_model",
    "give_role",
    "grant_waiver",
    "let_go_on",
    "override_freeze",
    "pause",
    "place_hold",
    "plan_freeze",
    "preview_policy",
    "promote",
    "reconcile",
    "record_evidence",
    "reject",
    "release_hold",
    "remove_channel",
    "remove_freeze",
    "rename_team",
    "replace_rollback",
    "report_business_metrics",
    "request_export",
    "request_transition",
    "resume",
    "review_bypass",
    "review_rollback",
    "revoke_waiver",
    "roll_back",
    "roll_back_transition",
    "send_test_to_channel",
    "send_test_to_self",
    "skip",
    "start_check",
    "start_clean_up",
    "take_back",
    "take_role",
    "take_webhook",
    "try_again",
    "withdraw",
    "withdraw_policy",
]
