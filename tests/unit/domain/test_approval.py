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


ASKER = Approver(1, frozenset({ML}), frozenset({"email:emil@example.org", "oidc:https://id.example.org|7"}))


def check(approver, decided_by=(), required=(ML,)):
    check_approver(approver=approver, asked_by=[ASKER], decided_by=decided_by, required=required)


@pytest.mark.parametrize(
    ("approver", "why"),
    [
        (person(1, PO, ML), "You asked for this transition, so somebody else"),
        (Approver(2, frozenset({ML}), frozenset({"email:emil@example.org"})), "with another account of yours"),
        (Approver(2, frozenset({ML}), frozenset({"oidc:https://id.example.org|7"})), "with another account of yours"),
        (Approver(2, frozenset({ML}), shared=True), "Several people use this account"),
    ],
    ids=["the same account", "the same address", "the same identity", "a shared account"],
)
def test_the_requester_cannot_decide(approver, why):
    with pytest.raises(ApprovalRefusedError, match=why):
        check(approver)


def test_somebody_else_can():
    check(Approver(2, frozenset({ML}), frozenset({"email:mia@example.org"})))


@pytest.mark.parametrize("again", [person(2, ML), Approver(3, frozenset({ML}), frozenset({"email:mia@example.org"}))])
def test_nobody_decides_twice(again):
    before = Approver(2, frozenset({ML}), frozenset({"email:mia@example.org"}))
    with pytest.raises(ApprovalRefusedError, match="already"):
        check(again, decided_by=[before], required=(ML, ML))


def test_a_role_that_was_not_asked_for_does_not_count():
    with pytest.raises(ApprovalRefusedError, match="product owner"):
        check(person(2, ML), required=(PO,))
