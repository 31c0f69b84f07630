"""When a transition has the approvals that its policy asks for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lifecycle.domain.permissions import Role


@dataclass(frozen=True, slots=True)
class Approver:
    """A person who said yes, or could, with the roles they have for the model.

    ``identities`` are what tells that two accounts are one person; ``shared`` marks an account that several people use.
    """

    user_id: int
    roles: frozenset[Role]
    identities: frozenset[str] = frozenset()
    shared: bool = False

    def is_same_person(self, other: Approver) -> bool:
        return self.user_id == other.user_id or bool(self.identities & other.identities)


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
    *, approver: Approver, asked_by: Iterable[Approver], decided_by: Iterable[Approver], required: Sequence[Role]
) -> None:
    """Raises ApprovalRefusedError when this person may not decide on this transition.

    ``asked_by`` is everybody who stands behind the request, ``decided_by`` everybody whose decision stands.
    """
    if approver.shared:
        raise ApprovalRefusedError(
            "Several people use this account, so its yes would be nobody's. Sign in with your own account to decide."
        )
    for asker in asked_by:
        if asker.shared:
            raise ApprovalRefusedError(
                "Several people use the account that asked for this, so nobody can tell that you did not ask for it. "
                "Have it cancelled, and asked for by one person."
            )
        if asker.user_id == approver.user_id:
            raise ApprovalRefusedError("You asked for this transition, so somebody else has to decide on it.")
        if asker.is_same_person(approver):
            raise ApprovalRefusedError(
                "You asked for this transition with another account of yours, so somebody else has to decide on it."
            )
    if any(other.is_same_person(approver) for other in decided_by):
        raise ApprovalRefusedError(
            "You have approved this transition already; the next yes has to come from somebody else."
        )
    if not approver.roles & set(required):
        wanted = " and ".join(role.label for role in required)
        raise ApprovalRefusedError(
            f"This transition needs a yes from: {wanted}. You have none of these roles: ask "
            "an administrator, or leave it to somebody who has one."
        )
