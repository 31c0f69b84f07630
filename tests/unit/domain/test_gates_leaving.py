"""Criteria of people and of archiving: approvals, replaced, time in Production."""

from datetime import timedelta

import pytest

from lifecycle.domain.criteria import Criterion
from lifecycle.domain.gates import ApprovalFacts, State
from lifecycle.domain.permissions import Role
from tests.support.facts import NOW, finding

BOTH = (Role.PRODUCT_OWNER, Role.ML_ENGINEER)
MONTH = timedelta(days=30)
MICRO = timedelta(microseconds=1)


def approvals(given):
    return finding(Criterion.APPROVALS, approvals=given)


def test_approvals_can_be_given_once_the_change_has_been_asked_for():
    found = approvals(None)
    assert (found.state, found.why) == (
        State.MISSING,
        "Approvals can be given once the change has been asked for.",
    )


@pytest.mark.parametrize(
    ("missing", "given", "state"),
    [
        (BOTH, (), State.MISSING),
        ((Role.PRODUCT_OWNER,), ("Mia",), State.MISSING),
        ((), ("Mia", "Priya"), State.PASSED),
    ],
)
def test_everybody_whom_the_policy_names_has_to_say_yes(missing, given, state):
    found = approvals(ApprovalFacts(required=BOTH, missing=missing, given=given, last_at=NOW))
    assert found.state == state
    assert [each.passed for each in found.measures] == [role not in missing for role in BOTH]


def test_who_is_waited_for_is_said():
    found = approvals(ApprovalFacts(required=BOTH, missing=(Role.PRODUCT_OWNER,), given=("Mia",)))
    assert found.why == "Waiting for a yes from: product owner."


def test_of_two_seats_of_one_role_one_can_be_filled():
    twice = (Role.ML_ENGINEER, Role.ML_ENGINEER)
    found = approvals(ApprovalFacts(required=twice, missing=twice[:1], given=("Mia",)))
    assert sorted(each.passed for each in found.measures) == [False, True]


def test_a_policy_that_asks_for_no_approval():
    assert approvals(ApprovalFacts()).state == State.PASSED


@pytest.mark.parametrize(
    ("facts", "state", "words"),
    [
        ({}, State.PASSED, "nothing to replace"),
        ({"rolled_back": "Errors."}, State.PASSED, "rolled back: Errors."),
        ({"production_since": NOW - MONTH, "replaced_by": "1.1.0"}, State.PASSED, "1.1.0 serves in its place"),
        ({"production_since": NOW - MONTH}, State.FAILED, "nothing serves in its place"),
        ({"production_since": NOW - MONTH, "serves_production": True}, State.FAILED, "serves Production"),
        ({"production_since": NOW - MONTH, "kept_warm": True, "replaced_by": "1.1.0"}, State.FAILED, "kept warm"),
        ({"serves_production": True, "rolled_back": "Errors."}, State.FAILED, "serves Production"),
        ({"kept_warm": True, "rolled_back": "Errors."}, State.FAILED, "kept warm"),
    ],
)
def test_something_else_does_its_work(facts, state, words):
    found = finding(Criterion.REPLACED, **facts)
    assert found.state == state
    assert words in found.measured


@pytest.mark.parametrize(
    ("stayed", "state"),
    [(MONTH - MICRO, State.FAILED), (MONTH, State.PASSED), (MONTH + MICRO, State.PASSED)],
)
def test_thirty_days_in_production(stayed, state):
    assert finding(Criterion.TIME_IN_PRODUCTION, production_since=NOW - stayed).state == state


def test_how_much_longer():
    found = finding(Criterion.TIME_IN_PRODUCTION, production_since=NOW - timedelta(days=20, hours=2))
    assert (found.measured, found.wanted) == (
        "20 d 2 h in Production",
        "at least 30 days, unless it was rolled back",
    )
    assert found.why.startswith("9 d 22 h to go.")


@pytest.mark.parametrize("facts", [{}, {"rolled_back": "Errors.", "production_since": NOW}])
def test_what_never_was_in_production_or_was_rolled_back_waits_for_nothing(facts):
    assert finding(Criterion.TIME_IN_PRODUCTION, **facts).state == State.PASSED
