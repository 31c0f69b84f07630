"""Which roles a transition's policy asks for, and which of them have not said yes."""

from __future__ import annotations

from lifecycle.domain.approval import Approver, missing_roles
from lifecycle.domain.permissions import Role
from lifecycle.domain.stages import Stage
from lifecycle.models import Transition


def still_missing(transition: Transition) -> tuple[Role, ...]:
    """The roles whose yes the transition still waits for."""
    approvers = [
        Approver(approval.person_id, frozenset(Role(role) for role in approval.roles))
        for approval in transition.approvals.all()
        if approval.approved
    ]
    return missing_roles(required_roles(transition), approvers)


def required_roles(transition: Transition) -> tuple[Role, ...]:
    return transition.policy.values.approvals(Stage(transition.to_stage))
