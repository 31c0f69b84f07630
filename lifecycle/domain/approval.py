"""When a transition has the approvals that its policy asks for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lifecycle.domain.permissions import Role


@dataclass(frozen=True, slots=True)
class Approver:
    """A person who said yes, with the roles they had then."""

    user_id: int
    roles: frozenset[Role]


class ApprovalRefusedError(ValueError):
    """This person's decision cannot count. ``str(error)`` says why."""


def missing_roles(required: Sequence[Role], approvers: Iterable[Approver]) -> tuple[Role, ...]:
    """The required roles that nobody fills yet, each person filling one role at most.

    People are matched to roles so that as many roles as possible are filled: somebody with two roles never
    takes a place that only they could have filled elsewhere (augmenting paths, Kuhn 1955).
    """
    people = list(approvers)
    holder: dict[int, int] = {}

    def place(person: int, tried: set[int]) -> bool:
        for seat, role in enumerate(required):
            if seat in tried or role not in people[person].roles:
                continue
            tried.add(seat)
            if seat not in holder or place(holder[seat], tried):
                holder[seat] = person
                return True
        return False

    for person in range(len(people)):
        place(person, set())
    return tuple(role for seat, role in enumerate(required) if seat not in holder)


def check_approver(
    *, approver: Approver, requester_id: int | None, decided_by: Iterable[int], required: Sequence[Role]
) -> None:
    """Raises ApprovalRefusedError when this person may not decide on this transition."""
    if approver.user_id == requester_id:
        raise ApprovalRefusedError("You asked for this transition, so somebody else has to decide on it.")
    if approver.user_id in set(decided_by):
        raise ApprovalRefusedError(
            "You have approved this transition already; the next yes has to come from somebody else."
        )
    if not approver.roles & set(required):
        wanted = " and ".join(role.label for role in required)
        raise ApprovalRefusedError(f"This transition needs a yes from: {wanted}. You have none of these roles.")
