import pytest

from lifecycle.domain.approval import ApprovalRefusedError, Approver, check_approver, missing_roles
from lifecycle.domain.permissions import Role

PO, ML, AUDITOR = Role.PRODUCT_OWNER, Role.ML_ENGINEER, Role.AUDITOR


def person(number, *roles):
    return Approver(number, frozenset(roles))


@pytest.mark.parametrize(
    ("approvers", "missing"),
    [
        ([], (PO, ML)),
        ([person(1, PO)], (ML,)),
        ([person(1, AUDITOR)], (PO, ML)),
        ([person(1, PO), person(2, ML)], ()),
        ([person(1, PO, ML)], (ML,)),
        ([person(1, PO, ML), person(2, PO)], ()),
        ([person(1, PO, ML), person(2, PO), person(3, PO)], ()),
        ([person(1, PO), person(2, PO)], (ML,)),
    ],
)
def test_each_person_fills_one_role_and_the_most_roles_are_filled(approvers, missing):
    assert missing_roles((PO, ML), approvers) == missing


def test_the_requester_cannot_decide():
    with pytest.raises(ApprovalRefusedError, match="somebody else"):
        check_approver(approver=person(1, PO, ML), requester_id=1, decided_by=[], required=(ML,))


def test_nobody_decides_twice():
    with pytest.raises(ApprovalRefusedError, match="already"):
        check_approver(approver=person(2, ML), requester_id=1, decided_by=[2], required=(ML, ML))


def test_a_role_that_was_not_asked_for_does_not_count():
    with pytest.raises(ApprovalRefusedError, match="product owner"):
        check_approver(approver=person(2, ML), requester_id=1, decided_by=[], required=(PO,))
