"""Which roles a transition's policy asks for, and which of them have not said yes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lifecycle import people
from lifecycle.domain.approval import Approver, missing_roles
from lifecycle.domain.permissions import Actor, Role
from lifecycle.domain.stages import Stage
from lifecycle.models import Approval, Transition


def still_missing(transition: Transition) -> tuple[Role, ...]:
    """The roles whose yes the transition still waits for; none once it was let go on without them."""
    return () if transition.bypassed_at is not None else unfilled(transition)


def unfilled(transition: Transition) -> tuple[Role, ...]:
    """The roles that the policy asks for and that nobody's standing yes fills."""
    return unfilled_by([each for each in standing(transition) if each.approved], transition)


def unfilled_by(yeses: Iterable[Approval], transition: Transition) -> tuple[Role, ...]:
    """The roles that the policy asks for and that none of these fills."""
    approvers = [Approver(each.person_id, frozenset(Role(role) for role in each.roles)) for each in yeses]
    return missing_roles(required_roles(transition), approvers)


def standing(transition: Transition) -> list[Approval]:
    """The decisions that count: neither void nor taken back, and about what is shown now."""
    return [each for each in transition.approvals.all() if each.stands and each.digest == transition.digest]


def behind(transition: Transition) -> frozenset[int]:
    """The accounts of everybody who stands behind the request: none of these people can say yes to it."""
    named = {transition.requested_by_id} if transition.requested_by_id else set()
    return frozenset(transition.asked_by) | named


def took_part_in_bypass(transition: Transition, actor: Actor, known: Mapping[int, Approver] | None = None) -> bool:
    """Whether this person let the transition go on without its approvals, or asked for it, by whatever account."""
    took_part = behind(transition) | ({transition.bypassed_by_id} if transition.bypassed_by_id else set())
    return bool(people.same_people(actor.accounts, took_part, known))


def required_roles(transition: Transition) -> tuple[Role, ...]:
    return transition.policy.values.approvals(Stage(transition.to_stage))
