import pytest

from lifecycle.domain.permissions import ALLOWED, STAGEGATE, Action, Actor, NotAllowedError, Role, may, require

EXPECTED = {
    Role.PRODUCT_OWNER: {"view", "approve", "reject", "cancel", "roll_back", "read_record"},
    Role.ML_ENGINEER: {"view", "request_transition", "approve", "reject", "cancel", "roll_back", "read_record"},
    Role.AUDITOR: {"view", "read_record"},
    Role.ADMINISTRATOR: {"view", "cancel", "roll_back", "read_record"},
}


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
