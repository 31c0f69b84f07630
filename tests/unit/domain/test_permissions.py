import pytest

from lifecycle.domain.approval import ApprovalRefusedError, Approver, check_approver, missing_roles
from lifecycle.domain.permissions import (
    ALLOWED,
    IN_PERSON,
    STAGEGATE,
    TOKEN_SCOPES,
    Action,
    Actor,
    NotAllowedError,
    Role,
    may,
    require,
)

EXPECTED = {
    Role.PRODUCT_OWNER: {
        "view", "approve", "reject", "take_back", "cancel", "roll_back", "read_record",
        "steer_rollout", "advance_rollout", "report_metrics", "review_bypass", "plan_freeze",
        "record_evidence", "start_check", "grant_waiver", "place_hold", "create_tokens",
    },
    Role.ML_ENGINEER: {
        "view", "request_transition", "approve", "reject", "take_back", "bypass", "cancel", "roll_back", "read_record",
        "steer_rollout", "advance_rollout", "drill", "reconcile", "report_metrics",
        "record_evidence", "start_check", "grant_waiver", "accept_semantic_version", "place_hold", "create_tokens",
    },
    Role.AUDITOR: {"view", "read_record", "export_record", "review_bypass", "place_hold", "create_tokens"},
    Role.ADMINISTRATOR: {
        "steer_rollout", "drill", "reconcile",
        "view", "cancel", "roll_back", "read_record", "grant_waiver", "change_policy", "place_hold", "run_clean_up",
        "create_tokens", "manage_tokens", "manage_people", "manage_channels", "export_record",
        "bypass", "review_bypass", "override_freeze", "plan_freeze",
    },
    Role.SERVICE: {"view", "read_record", "record_evidence", "start_check", "report_metrics"},
}  # fmt: skip
ALL_ROLES = frozenset(Role)


@pytest.mark.parametrize("role", Role)
def test_each_role_may_do_exactly_this(role):
    actor = Actor("Somebody", 1, frozenset({role}))
    assert {action.value for action in Action if may(actor, action)} == EXPECTED[role]


def test_every_action_is_in_the_table():
    assert set(ALLOWED) == set(Action)


def test_a_refusal_names_the_roles_that_may():
    with pytest.raises(NotAllowedError, match="ML engineer or product owner"):
        require(Actor("Aron", 1, frozenset({Role.AUDITOR})), Action.APPROVE)


def test_without_a_role_nothing_is_allowed():
    assert not any(may(STAGEGATE, action) for action in Action)


# ---------------------------------------------------------------- tokens


@pytest.mark.parametrize("action", Action)
def test_a_token_with_every_scope_still_does_nothing_that_takes_a_person(action):
    bearer = Actor("CI", 1, ALL_ROLES, scopes=frozenset(Action))
    assert may(bearer, action) == (action not in IN_PERSON)
    assert (action in IN_PERSON) == (action != Action.VIEW and action not in TOKEN_SCOPES)


@pytest.mark.parametrize("action", Action)
def test_a_token_without_scopes_looks_and_does_no_more(action):
    assert may(Actor("CI", 1, ALL_ROLES, scopes=frozenset()), action) == (action == Action.VIEW)


def test_a_scope_gives_nothing_that_the_owner_may_not():
    bearer = Actor("Aron's script", 1, frozenset({Role.AUDITOR}), scopes=frozenset({Action.REQUEST_TRANSITION}))
    with pytest.raises(NotAllowedError, match="you need the role ML engineer"):
        require(bearer, Action.REQUEST_TRANSITION)


@pytest.mark.parametrize(
    ("action", "why"),
    [(Action.APPROVE, "takes a person who has signed in"), (Action.ROLL_BACK, "not among its scopes")],
)
def test_a_refused_token_is_told_why(action, why):
    with pytest.raises(NotAllowedError, match=why):
        require(Actor("CI", 1, ALL_ROLES, scopes=frozenset({Action.APPROVE})), action)


def test_service_accounts_take_no_part_in_approvals():
    service = frozenset({Role.SERVICE})
    assert not any(service & ALLOWED[action] for action in IN_PERSON)
    required = (Role.PRODUCT_OWNER, Role.ML_ENGINEER)
    assert missing_roles(required, [Approver(1, service)]) == required
    with pytest.raises(ApprovalRefusedError, match="none of these roles"):
        check_approver(approver=Approver(1, service), asked_by=(), decided_by=(), required=required)
