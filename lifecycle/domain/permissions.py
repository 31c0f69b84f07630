"""Who may do what: the one table of actions and roles."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    PRODUCT_OWNER = "product_owner"
    ML_ENGINEER = "ml_engineer"
    AUDITOR = "auditor"
    ADMINISTRATOR = "administrator"
    SERVICE = "service"

    @property
    def label(self) -> str:
        return _ROLE_LABELS[self]


_ROLE_LABELS = {
    Role.PRODUCT_OWNER: "product owner",
    Role.ML_ENGINEER: "ML engineer",
    Role.AUDITOR: "auditor",
    Role.ADMINISTRATOR: "administrator",
    Role.SERVICE: "service account",
}


class Action(StrEnum):
    VIEW = "view"
    REQUEST_TRANSITION = "request_transition"
    APPROVE = "approve"
    REJECT = "reject"
    CANCEL = "cancel"
    ROLL_BACK = "roll_back"
    STEER_ROLLOUT = "steer_rollout"
    ADVANCE_ROLLOUT = "advance_rollout"
    DRILL = "drill"
    RECONCILE = "reconcile"
    REPORT_METRICS = "report_metrics"
    READ_RECORD = "read_record"
    RECORD_EVIDENCE = "record_evidence"
    START_CHECK = "start_check"
    GRANT_WAIVER = "grant_waiver"
    ACCEPT_SEMANTIC_VERSION = "accept_semantic_version"
    CHANGE_POLICY = "change_policy"
    PLACE_HOLD = "place_hold"
    RUN_CLEAN_UP = "run_clean_up"
    CREATE_TOKENS = "create_tokens"
    MANAGE_TOKENS = "manage_tokens"

    @property
    def label(self) -> str:
        return _ACTION_LABELS.get(self, self.value)


_ACTION_LABELS = {
    Action.VIEW: "look at everything",
    Action.REQUEST_TRANSITION: "ask for a transition",
    Action.CANCEL: "cancel a transition",
    Action.ROLL_BACK: "roll back",
    Action.STEER_ROLLOUT: "pause or resume a rollout",
    Action.ADVANCE_ROLLOUT: "let a rollout go on",
    Action.DRILL: "drill a rollback",
    Action.RECONCILE: "put right what was changed elsewhere",
    Action.REPORT_METRICS: "report business metrics",
    Action.READ_RECORD: "read the record",
    Action.RECORD_EVIDENCE: "record evidence",
    Action.START_CHECK: "start a check",
    Action.GRANT_WAIVER: "waive a criterion",
    Action.ACCEPT_SEMANTIC_VERSION: "give a version its semantic version",
    Action.CHANGE_POLICY: "change a policy",
    Action.PLACE_HOLD: "place or release a hold",
    Action.RUN_CLEAN_UP: "start the clean-up",
    Action.CREATE_TOKENS: "create tokens",
    Action.MANAGE_TOKENS: "manage service accounts and other people's tokens",
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
    Action.STEER_ROLLOUT: _DELIVERERS | {Role.ADMINISTRATOR},
    Action.ADVANCE_ROLLOUT: _DELIVERERS,
    Action.DRILL: frozenset({Role.ML_ENGINEER, Role.ADMINISTRATOR}),
    Action.RECONCILE: frozenset({Role.ML_ENGINEER, Role.ADMINISTRATOR}),
    Action.REPORT_METRICS: frozenset({Role.ML_ENGINEER, Role.PRODUCT_OWNER, Role.SERVICE}),
    Action.READ_RECORD: _EVERYBODY,
    Action.RECORD_EVIDENCE: frozenset({Role.ML_ENGINEER, Role.PRODUCT_OWNER, Role.SERVICE}),
    Action.START_CHECK: frozenset({Role.ML_ENGINEER, Role.PRODUCT_OWNER, Role.SERVICE}),
    # Which of these roles may waive is the policy's to say.
    Action.GRANT_WAIVER: frozenset({Role.PRODUCT_OWNER, Role.ML_ENGINEER, Role.ADMINISTRATOR}),
    Action.ACCEPT_SEMANTIC_VERSION: frozenset({Role.ML_ENGINEER}),
    Action.CHANGE_POLICY: frozenset({Role.ADMINISTRATOR}),
    Action.PLACE_HOLD: frozenset({Role.ML_ENGINEER, Role.PRODUCT_OWNER, Role.AUDITOR, Role.ADMINISTRATOR}),
    Action.RUN_CLEAN_UP: frozenset({Role.ADMINISTRATOR}),
    Action.CREATE_TOKENS: _EVERYBODY - {Role.SERVICE},
    Action.MANAGE_TOKENS: frozenset({Role.ADMINISTRATOR}),
}

IN_PERSON = frozenset(
    {
        Action.APPROVE,
        Action.REJECT,
        Action.ADVANCE_ROLLOUT,
        Action.GRANT_WAIVER,
        Action.CHANGE_POLICY,
        Action.CREATE_TOKENS,
        Action.MANAGE_TOKENS,
    }
)
"""What takes a person who has signed in: a token does none of it, whatever its scopes say."""

TOKEN_SCOPES = tuple(action for action in Action if action not in IN_PERSON and action != Action.VIEW)
"""What a token can be limited to. Every token may look at everything besides."""


@dataclass(frozen=True, slots=True)
class Actor:
    """A person or service that acts.

    ``user_id`` is None for Stagegate itself and for changes made elsewhere; ``signed_in_by`` says how the person
    proved who they are (``password``, ``token``, ``system``); ``address`` is the network address they came from.
    ``scopes`` are the actions that a token is limited to, None for a person who signed in; ``signed_in_by`` is
    ``token:`` and the token's name then.
    """

    name: str
    user_id: int | None = None
    roles: frozenset[Role] = field(default_factory=frozenset)
    signed_in_by: str = "system"
    address: str = ""
    scopes: frozenset[Action] | None = None


STAGEGATE = Actor(name="Stagegate")
"""The engine acting by policy, without a person."""


class NotAllowedError(Exception):
    """The actor's roles do not include the action. ``str(error)`` says which role would."""


def may(actor: Actor, action: Action) -> bool:
    return in_scope(actor, action) and bool(actor.roles & ALLOWED[action])


def in_scope(actor: Actor, action: Action) -> bool:
    if actor.scopes is None:
        return True
    return action == Action.VIEW or (action in actor.scopes and action not in IN_PERSON)


def require(actor: Actor, action: Action) -> None:
    """Raises NotAllowedError."""
    if actor.scopes is not None and action in IN_PERSON:
        raise NotAllowedError(f"A token cannot {action.label}: that takes a person who has signed in.")
    if not in_scope(actor, action):
        raise NotAllowedError(f"This token may not {action.label}: that is not among its scopes.")
    if not may(actor, action):
        raise NotAllowedError(f"To {action.label}, you need the role {_listed(ALLOWED[action])}.")


def _listed(roles: frozenset[Role]) -> str:
    labels = sorted(role.label for role in roles)
    return labels[0] if len(labels) == 1 else ", ".join(labels[:-1]) + " or " + labels[-1]
