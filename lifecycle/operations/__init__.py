"""Every write that a person can ask for.

Each operation checks the person's role, then the rules, then writes the change and its audit entry in one transaction.
What is refused is recorded too, and changes nothing else.
"""

from lifecycle.operations.transitions import (
    approve,
    cancel,
    reject,
    request_transition,
    roll_back,
    roll_back_transition,
)
from lifecycle.operations.webhooks import take_webhook
from lifecycle.transitions import RefusedError

__all__ = [
    "RefusedError",
    "approve",
    "cancel",
    "reject",
    "request_transition",
    "roll_back",
    "roll_back_transition",
    "take_webhook",
]
