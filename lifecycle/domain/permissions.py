"""Who may do what: the one table of actions and roles."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    PRODUCT_OWNER = "product_owner"
    ML_ENGINEER = "ml_engineer"
    AUDITOR = "auditor"
    ADMINISTRATOR = "administrator"

    @property
    def label(self) -> str:
        return _ROLE_LABELS[self]


_ROLE_LABELS = {
    Role.PRODUCT_OWNER: "product owner",
    Role.ML_ENGINEER: "ML engineer",
    Role.AUDITOR: "auditor",
    Role.ADMINISTRATOR: "administrator",
}


class Action(StrEnum):
    VIEW = "view"
    REQUEST_TRANSITION = "request_transition"
    APPROVE = "approve"
    REJECT = "reject"
    CANCEL = "cancel"
    ROLL_BACK = "roll_back"
    READ_RECORD = "read_record"

    @property
    def label(self) -> str:
        return _ACTION_LABELS.get(self, self.value)


_ACTION_LABELS = {
    Action.REQUEST_TRANSITION: "ask for a transition",
    Action.ROLL_BACK: "roll back",
    Action.READ_RECORD: "read the record",
}

_EVERYBODY = frozenset(Role)
_DELIVERERS = frozenset({Role.PRODUCT_OWNER, Role.ML_ENGINEER})

ALLOWED: dict[Action, frozenset[Role]] = {
    Action.VIEW: _EVERYBODY,
    Action.REQUEST_TRANSITION: frozenset({Role.ML_ENGINEER}),
    Action.APPROVE: _DELIVERERS,
    Action.REJECT: _DELIVERERS,
    Action.CANCEL: frozenset({Role.ML_ENGINEER, Role.PRODUCT_OWNER, Role.ADMINISTRATOR}),
    Action.ROLL_BACK: frozenset({Role.ML_ENGINEER, Role.PRODUCT_OWNER, Role.ADMINISTRATOR}),
    Action.READ_RECORD: _EVERYBODY,
}


@dataclass(frozen=True, slots=True)
class Actor:
    """A person or service that acts.

    ``user_id`` is None for Stagegate itself and for changes made elsewhere; ``signed_in_by`` says how the person
    proved who they are (``password``, ``token``, ``system``); ``address`` is the network address they came from.
    """

    name: str
    user_id: int | None = None
    roles: frozenset[Role] = field(default_factory=frozenset)
    signed_in_by: str = "system"
    address: str = ""


STAGEGATE = Actor(name="Stagegate")
"""The engine acting by policy, without a person."""


class NotAllowedError(Exception):
    """The actor's roles do not include the action. ``str(error)`` says which role would."""


def may(actor: Actor, action: Action) -> bool:
    return bool(actor.roles & ALLOWED[action])


def require(actor: Actor, action: Action) -> None:
    if not may(actor, action):
        raise NotAllowedError(f"To {action.label}, you need the role {_listed(ALLOWED[action])}.")


def _listed(roles: frozenset[Role]) -> str:
    labels = sorted(role.label for role in roles)
    return labels[0] if len(labels) == 1 else ", ".join(labels[:-1]) + " or " + labels[-1]
