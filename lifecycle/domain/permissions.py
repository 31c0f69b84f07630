"""Who may do what: the one table of actions and roles."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
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
    TAKE_BACK = "take_back"
    BYPASS = "bypass"
    REVIEW_BYPASS = "review_bypass"
    OVERRIDE_FREEZE = "override_freeze"
    PLAN_FREEZE = "plan_freeze"
    CANCEL = "cancel"
    ROLL_BACK = "roll_back"
    STEER_ROLLOUT = "steer_rollout"
    ADVANCE_ROLLOUT = "advance_rollout"
    DRILL = "drill"
    RECONCILE = "reconcile"
    REPORT_METRICS = "report_metrics"
    READ_RECORD = "read_record"
    EXPORT_RECORD = "export_record"
    RECORD_EVIDENCE = "record_evidence"
    START_CHECK = "start_check"
    GRANT_WAIVER = "grant_waiver"
    ACCEPT_SEMANTIC_VERSION = "accept_semantic_version"
    CHANGE_POLICY = "change_policy"
    PLACE_HOLD = "place_hold"
    RUN_CLEAN_UP = "run_clean_up"
    CREATE_TOKENS = "create_tokens"
    MANAGE_TOKENS = "manage_tokens"
    MANAGE_PEOPLE = "manage_people"
    MANAGE_CHANNELS = "manage_channels"

    @property
    def label(self) -> str:
        return _ACTION_LABELS.get(self, self.value)


_ACTION_LABELS = {
    Action.VIEW: "look at everything",
    Action.REQUEST_TRANSITION: "ask for a transition",
    Action.TAKE_BACK: "take back an approval",
    Action.BYPASS: "let a transition go on without its approvals",
    Action.REVIEW_BYPASS: "review a bypass",
    Action.OVERRIDE_FREEZE: "let a transition go on during a freeze",
    Action.PLAN_FREEZE: "plan or remove a freeze",
    Action.CANCEL: "cancel a transition",
    Action.ROLL_BACK: "roll back",
    Action.STEER_ROLLOUT: "pause or resume a rollout",
    Action.ADVANCE_ROLLOUT: "let a rollout go on",
    Action.DRILL: "drill a rollback",
    Action.RECONCILE: "put right what was changed elsewhere",
    Action.REPORT_METRICS: "report business metrics",
    Action.READ_RECORD: "read the record",
    Action.EXPORT_RECORD: "export the record",
    Action.RECORD_EVIDENCE: "record evidence",
    Action.START_CHECK: "start a check",
    Action.GRANT_WAIVER: "waive a criterion",
    Action.ACCEPT_SEMANTIC_VERSION: "give a version its semantic version",
    Action.CHANGE_POLICY: "change a policy",
    Action.PLACE_HOLD: "place or release a hold",
    Action.RUN_CLEAN_UP: "start the clean-up",
    Action.CREATE_TOKENS: "create tokens",
    Action.MANAGE_TOKENS: "manage service accounts and other people's tokens",
    Action.MANAGE_PEOPLE: "manage people, roles and teams",
    Action.MANAGE_CHANNELS: "manage where notices go",
}

_EVERYBODY = frozenset(Role)
_DELIVERERS = frozenset({Role.PRODUCT_OWNER, Role.ML_ENGINEER})

ALLOWED: dict[Action, frozenset[Role]] = {
    Action.VIEW: _EVERYBODY,
    Action.REQUEST_TRANSITION: frozenset({Role.ML_ENGINEER}),
    Action.APPROVE: _DELIVERERS,
    Action.REJECT: _DELIVERERS,
    Action.TAKE_BACK: _DELIVERERS,
    Action.BYPASS: frozenset({Role.ML_ENGINEER, Role.ADMINISTRATOR}),
    Action.REVIEW_BYPASS: frozenset({Role.PRODUCT_OWNER, Role.AUDITOR, Role.ADMINISTRATOR}),
    Action.OVERRIDE_FREEZE: frozenset({Role.ADMINISTRATOR}),
    Action.PLAN_FREEZE: frozenset({Role.PRODUCT_OWNER, Role.ADMINISTRATOR}),
    Action.CANCEL: frozenset({Role.ML_ENGINEER, Role.PRODUCT_OWNER, Role.ADMINISTRATOR}),
    Action.ROLL_BACK: frozenset({Role.ML_ENGINEER, Role.PRODUCT_OWNER, Role.ADMINISTRATOR}),
    Action.STEER_ROLLOUT: _DELIVERERS | {Role.ADMINISTRATOR},
    Action.ADVANCE_ROLLOUT: _DELIVERERS,
    Action.DRILL: frozenset({Role.ML_ENGINEER, Role.ADMINISTRATOR}),
    Action.RECONCILE: frozenset({Role.ML_ENGINEER, Role.ADMINISTRATOR}),
    Action.REPORT_METRICS: frozenset({Role.ML_ENGINEER, Role.PRODUCT_OWNER, Role.SERVICE}),
    Action.READ_RECORD: _EVERYBODY,
    Action.EXPORT_RECORD: frozenset({Role.AUDITOR, Role.ADMINISTRATOR}),
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
    Action.MANAGE_PEOPLE: frozenset({Role.ADMINISTRATOR}),
    Action.MANAGE_CHANNELS: frozenset({Role.ADMINISTRATOR}),
}

OF_NO_MODEL = frozenset({Action.VIEW, Action.READ_RECORD, Action.EXPORT_RECORD, Action.CREATE_TOKENS})
"""What concerns no single model: a role that somebody has for a team alone counts for it too."""
TEAM_ROLES = frozenset({Role.PRODUCT_OWNER, Role.ML_ENGINEER})
"""The roles that can be given for one team's models; the others are for everything."""

IN_PERSON = frozenset(
    {
        Action.APPROVE,
        Action.REJECT,
        Action.TAKE_BACK,
        Action.BYPASS,
        Action.REVIEW_BYPASS,
        Action.OVERRIDE_FREEZE,
        Action.PLAN_FREEZE,
        Action.ADVANCE_ROLLOUT,
        Action.GRANT_WAIVER,
        Action.CHANGE_POLICY,
        Action.CREATE_TOKENS,
        Action.MANAGE_TOKENS,
        Action.MANAGE_PEOPLE,
        Action.MANAGE_CHANNELS,
    }
)
"""What takes a person who has signed in: a token does none of it, whatever its scopes say."""

TOKEN_SCOPES = tuple(action for action in Action if action not in IN_PERSON and action != Action.VIEW)
"""What a token can be limited to. Every token may look at everything besides."""


@dataclass(frozen=True, slots=True)
class Actor:
    """A person or service that acts.

    ``user_id`` is None for Stagegate itself and for changes made elsewhere; ``signed_in_by`` says how the person
    proved who they are (``password``, ``password+totp``, ``passkey``, ``oidc:`` and the provider, ``token:`` and the
    token's name, ``system``), ``confirmed_at`` when they last did; ``address`` is the network address they came from.
    ``scopes`` are the actions that a token is limited to, None for a person who signed in.

    ``roles`` are held for every model; ``team_roles`` pairs a team's key with a role held for its models alone.
    ``stands_for`` are the users behind whatever this actor asks for: themselves, and whoever made the token or the
    service account that they act by. ``identities`` are what tells that two accounts are one person. ``shared`` marks
    an account that several people use.
    """

    name: str
    user_id: int | None = None
    roles: frozenset[Role] = field(default_factory=frozenset)
    signed_in_by: str = "system"
    address: str = ""
    scopes: frozenset[Action] | None = None
    team_roles: frozenset[tuple[int, Role]] = frozenset()
    stands_for: frozenset[int] = frozenset()
    identities: frozenset[str] = frozenset()
    shared: bool = False
    confirmed_at: datetime | None = None

    @property
    def any_roles(self) -> frozenset[Role]:
        """The roles they have for all models or for some."""
        return self.roles | {role for _, role in self.team_roles}

    @property
    def accounts(self) -> frozenset[int]:
        """Every account behind what this actor asks for, their own included."""
        return self.stands_for | ({self.user_id} if self.user_id is not None else set())

    def at(self, team: int | None) -> Actor:
        """The same person with the roles that count for the models of this team; None: for models of no team."""
        return replace(self, roles=self.roles | {role for key, role in self.team_roles if key == team})


STAGEGATE = Actor(name="Stagegate")
"""The engine acting by policy, without a person."""
STAGEGATE_ASKED_BY = f"{STAGEGATE.name}, asked by "
"""How the name begins of whoever records what Stagegate measured because a person, whose name follows, asked for it."""
COMMAND_LINE = "Command line"
"""The name of whoever acts by a command on the machine itself."""


class NotAllowedError(Exception):
    """The actor's roles do not include the action. ``str(error)`` says which role would."""


def may(actor: Actor, action: Action) -> bool:
    roles = actor.any_roles if action in OF_NO_MODEL else actor.roles
    return in_scope(actor, action) and bool(roles & ALLOWED[action])


def in_scope(actor: Actor, action: Action) -> bool:
    if actor.scopes is None:
        return True
    return action == Action.VIEW or (action in actor.scopes and action not in IN_PERSON)


def require(actor: Actor, action: Action) -> None:
    """Raises NotAllowedError."""
    if actor.scopes is not None and action in IN_PERSON:
        raise NotAllowedError(
            f"A token cannot {action.label}: that takes a person who has signed in. Do it in the portal."
        )
    if not in_scope(actor, action):
        raise NotAllowedError(f"This token may not {action.label}: that is not among its scopes. Create one that may.")
    if not may(actor, action):
        raise NotAllowedError(
            f"To {action.label}, you need the role {_listed(ALLOWED[action])}. Ask an administrator for it."
        )


def _listed(roles: frozenset[Role]) -> str:
    labels = sorted(role.label for role in roles)
    return labels[0] if len(labels) == 1 else ", ".join(labels[:-1]) + " or " + labels[-1]
