"""What every address takes: the one table of pages and API endpoints.

``ENDPOINTS`` names each address (its name in ``urls.py``) and each method that it answers, with what that takes:
``PUBLIC``, ``SIGNED_IN``, or an action of ``lifecycle.domain.permissions``, where the roles for it stand. HEAD is as
GET. What is not here is not served: a missing address is a 404, a missing method a 405.

Reading is checked at the door (``portal.middleware_permissions`` for pages, ``portal.api.permissions`` for the API).
What changes something is checked by its operation, for the model that it is about, which records the refusal; the door
asks that somebody is signed in and may at least look.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from enum import StrEnum

from lifecycle.domain.permissions import Action, Actor, may, require
from lifecycle.operations.common import recorded


class Gate(StrEnum):
    PUBLIC = "public"
    SIGNED_IN = "signed_in"


Needs = Gate | Action
PUBLIC = Gate.PUBLIC
SIGNED_IN = Gate.SIGNED_IN
READING = frozenset({"GET", "HEAD"})
RECORDED_READS = frozenset({Action.EXPORT_RECORD})
"""What is asked for with GET and yet carried out by an operation, which records its refusals."""


def _reads(needs: Needs = Action.VIEW) -> dict[str, Needs]:
    return {"GET": needs}


def _does(needs: Needs) -> dict[str, Needs]:
    return {"POST": needs}


_OPEN_FORM: dict[str, Needs] = {"GET": PUBLIC, "POST": PUBLIC}
_OWN_FORM: dict[str, Needs] = {"GET": SIGNED_IN, "POST": SIGNED_IN}

PAGES: dict[str, dict[str, Needs]] = {
    "home": _reads(),
    "inbox": _reads(),
    "inbox-count": _reads(),
    "status": _reads(),
    # ------------------------------------------------------------ models and versions
    "models": _reads(),
    "model": _reads(),
    "live": _reads(),
    "versions": _reads(),
    "dossier": _reads(),
    "dossier-pdf": _reads(),
    "compare": _reads(),
    "compare-text": _reads(),
    "version": _reads(),
    "evidence": _reads(),
    "version-charts": _reads(),
    "model-metrics": _reads(),
    "pictures": _reads(),
    "picture": _reads(),
    "lineage": _reads(),
    "from-mlflow-version": _reads(),
    "from-mlflow-run": _reads(),
    "start-check": _does(Action.START_CHECK),
    "cancel-check": _does(Action.START_CHECK),
    "record-evidence": _does(Action.RECORD_EVIDENCE),
    "grant-waiver": _does(Action.GRANT_WAIVER),
    "revoke-waiver": _does(Action.GRANT_WAIVER),
    "accept-semantic-version": _does(Action.ACCEPT_SEMANTIC_VERSION),
    "place-hold": _does(Action.PLACE_HOLD),
    "release-hold": _does(Action.PLACE_HOLD),
    # ------------------------------------------------------------ transitions
    "request-transition": _does(Action.REQUEST_TRANSITION),
    "transition": _reads(),
    "transition-charts": _reads(),
    "approve": _does(Action.APPROVE),
    "reject": _does(Action.REJECT),
    "take-back": _does(Action.TAKE_BACK),
    "bypass": _does(Action.BYPASS),
    "review-bypass": _does(Action.REVIEW_BYPASS),
    "override-freeze": _does(Action.OVERRIDE_FREEZE),
    "freezes": _reads(),
    "plan-freeze": {"GET": Action.VIEW, "POST": Action.PLAN_FREEZE},
    "remove-freeze": _does(Action.PLAN_FREEZE),
    "cancel": _does(Action.CANCEL),
    "roll-back": _does(Action.ROLL_BACK),
    "rollout-pause": _does(Action.STEER_ROLLOUT),
    "rollout-resume": _does(Action.STEER_ROLLOUT),
    "rollout-skip": _does(Action.ADVANCE_ROLLOUT),
    "rollout-promote": _does(Action.ADVANCE_ROLLOUT),
    "rollout-continue": _does(Action.ADVANCE_ROLLOUT),
    # ------------------------------------------------------------ rolling back
    "ask": _reads(),
    "model-roll-back": _does(Action.ROLL_BACK),
    "replace-rollback": _does(Action.ROLL_BACK),
    "withdraw": _does(Action.ROLL_BACK),
    "drill": _does(Action.DRILL),
    "put-right": _does(Action.RECONCILE),
    "review-rollback": _does(Action.APPROVE),
    # ------------------------------------------------------------ policies, retention, the record
    "policies": _reads(),
    "policy": _reads(),
    "policy-file": _reads(),
    "edit-policy": {"GET": Action.CHANGE_POLICY, "POST": Action.CHANGE_POLICY},
    "withdraw-policy": _does(Action.CHANGE_POLICY),
    "retention": _reads(),
    "run-clean-up": _does(Action.RUN_CLEAN_UP),
    "record": _reads(Action.READ_RECORD),
    "record-entry": _reads(Action.READ_RECORD),
    "exports": {"GET": Action.READ_RECORD, "POST": Action.EXPORT_RECORD},
    "cancel-export": _does(Action.EXPORT_RECORD),
    "download-export": _reads(Action.READ_RECORD),
    # ------------------------------------------------------------ people
    "profile": _reads(),
    "people-named": _reads(),
    "people": {"GET": Action.MANAGE_PEOPLE, "POST": Action.MANAGE_PEOPLE},
    "person": {"GET": Action.MANAGE_PEOPLE, "POST": Action.MANAGE_PEOPLE},
    "second-factors-off": _does(Action.MANAGE_PEOPLE),
    "give-role": _does(Action.MANAGE_PEOPLE),
    "password-link": _does(Action.MANAGE_PEOPLE),
    "take-role": _does(Action.MANAGE_PEOPLE),
    "teams": {"GET": Action.VIEW, "POST": Action.MANAGE_PEOPLE},
    "team": {"GET": Action.VIEW, "POST": Action.MANAGE_PEOPLE},
    "team-members": _does(Action.MANAGE_PEOPLE),
    "model-team": _does(Action.MANAGE_PEOPLE),
    "notices": {"GET": SIGNED_IN, "POST": Action.VIEW},
    "test-notices": _does(Action.VIEW),
    "channels": {"GET": Action.MANAGE_CHANNELS, "POST": Action.MANAGE_CHANNELS},
    "change-channel": _does(Action.MANAGE_CHANNELS),
    "test-channel": _does(Action.MANAGE_CHANNELS),
    "remove-channel": _does(Action.MANAGE_CHANNELS),
    "delivery": _reads(Action.MANAGE_CHANNELS),
    "notice-again": _does(Action.MANAGE_CHANNELS),
    "tokens": {"GET": SIGNED_IN, "POST": Action.CREATE_TOKENS},
    "revoke-token": _does(Action.CREATE_TOKENS),
    # ------------------------------------------------------------ signing in, and one's own account
    "sign-in": _OPEN_FORM,
    "account_login": _OPEN_FORM,
    "mfa_authenticate": _OPEN_FORM,
    "mfa_login_webauthn": _OPEN_FORM,
    "provider-sign-in": _does(PUBLIC),
    "provider-callback": _reads(PUBLIC),
    "account_inactive": _reads(PUBLIC),
    "set-password": _OPEN_FORM,
    "sign-out": _does(PUBLIC),
    "csp-report": _does(PUBLIC),
    "account": _OWN_FORM,
    "mfa_index": _OWN_FORM,
    "account_change_password": _OWN_FORM,
    "mfa_activate_totp": _OWN_FORM,
    "mfa_deactivate_totp": _OWN_FORM,
    "mfa_view_recovery_codes": _reads(SIGNED_IN),
    "mfa_generate_recovery_codes": _OWN_FORM,
    "mfa_add_webauthn": _OWN_FORM,
    "mfa_edit_webauthn": _OWN_FORM,
    "mfa_remove_webauthn": _OWN_FORM,
    "connect-provider": _does(SIGNED_IN),
    "disconnect-provider": _does(SIGNED_IN),
    "account_reauthenticate": _OWN_FORM,
    "mfa_reauthenticate": _OWN_FORM,
    "mfa_reauthenticate_webauthn": _OWN_FORM,
    "confirm-with-provider": _OWN_FORM,
    "api-docs": _reads(SIGNED_IN),
    # ------------------------------------------------------------ for the machines
    "healthz": _reads(PUBLIC),
    "readyz": _reads(PUBLIC),
    "metrics": _reads(PUBLIC),
}

API: dict[str, dict[str, Needs]] = {
    # ------------------------------------------------------------ models and versions
    "api-models": _reads(),
    "api-model": _reads(),
    "api-compare": _reads(),
    "api-live": _reads(),
    "api-versions": _reads(),
    "api-business-metrics": _does(Action.REPORT_METRICS),
    "api-version": _reads(),
    "api-semantic-version": {"GET": Action.VIEW, "POST": Action.ACCEPT_SEMANTIC_VERSION},
    "api-evidence": {"GET": Action.VIEW, "POST": Action.RECORD_EVIDENCE},
    "api-gate": _reads(),
    "api-waivers": {"GET": Action.VIEW, "POST": Action.GRANT_WAIVER},
    "api-revoke-waiver": _does(Action.GRANT_WAIVER),
    "api-checks": {"GET": Action.VIEW, "POST": Action.START_CHECK},
    "api-cancel-check": _does(Action.START_CHECK),
    "api-place-hold": _does(Action.PLACE_HOLD),
    "api-release-hold": _does(Action.PLACE_HOLD),
    # ------------------------------------------------------------ transitions and rollouts
    "api-transitions": {"GET": Action.VIEW, "POST": Action.REQUEST_TRANSITION},
    "api-transition": _reads(),
    "api-approve": _does(Action.APPROVE),
    "api-reject": _does(Action.REJECT),
    "api-cancel": _does(Action.CANCEL),
    "api-take-back": _does(Action.TAKE_BACK),
    "api-bypass": _does(Action.BYPASS),
    "api-review-bypass": _does(Action.REVIEW_BYPASS),
    "api-override-freeze": _does(Action.OVERRIDE_FREEZE),
    "api-inbox": _reads(),
    "api-freezes": {"GET": Action.VIEW, "POST": Action.PLAN_FREEZE},
    "api-freeze": _reads(),
    "api-remove-freeze": _does(Action.PLAN_FREEZE),
    "api-rollout": _reads(),
    "api-rollout-pause": _does(Action.STEER_ROLLOUT),
    "api-rollout-resume": _does(Action.STEER_ROLLOUT),
    "api-rollout-skip": _does(Action.ADVANCE_ROLLOUT),
    "api-rollout-promote": _does(Action.ADVANCE_ROLLOUT),
    "api-rollout-continue": _does(Action.ADVANCE_ROLLOUT),
    "api-rollout-abort": _does(Action.ROLL_BACK),
    # ------------------------------------------------------------ rolling back
    "api-rollback": _does(Action.ROLL_BACK),
    "api-withdraw-version": _does(Action.ROLL_BACK),
    "api-drill": _does(Action.DRILL),
    "api-reconcile": _does(Action.RECONCILE),
    "api-review": _does(Action.APPROVE),
    # ------------------------------------------------------------ policies, retention, the record
    "api-policies": {"GET": Action.VIEW, "POST": Action.CHANGE_POLICY},
    "api-withdraw-policy": _does(Action.CHANGE_POLICY),
    "api-policy": _reads(),
    "api-retention": _reads(),
    "api-clean-up": _does(Action.RUN_CLEAN_UP),
    "api-record": _reads(Action.READ_RECORD),
    "api-export-record": _reads(Action.EXPORT_RECORD),
    # ------------------------------------------------------------ people
    "api-people": {"GET": Action.MANAGE_PEOPLE, "POST": Action.MANAGE_PEOPLE},
    "api-person": {"GET": Action.MANAGE_PEOPLE, "PATCH": Action.MANAGE_PEOPLE},
    "api-give-role": _does(Action.MANAGE_PEOPLE),
    "api-take-role": _does(Action.MANAGE_PEOPLE),
    "api-teams": {"GET": Action.VIEW, "POST": Action.MANAGE_PEOPLE},
    "api-team": {"GET": Action.VIEW, "PATCH": Action.MANAGE_PEOPLE},
    "api-model-team": {"GET": Action.VIEW, "POST": Action.MANAGE_PEOPLE},
    "api-schema": {"GET": SIGNED_IN},
    "api-notices": _reads(Action.MANAGE_CHANNELS),
    "api-status": _reads(),
    # ------------------------------------------------------------ for the machines: it checks a signature
    "hook-mlflow": _does(PUBLIC),
}

ENDPOINTS: Mapping[str, Mapping[str, Needs]] = {**PAGES, **API}


def needs(name: str, method: str) -> Needs | None:
    """What this takes; None when the table does not have it."""
    return ENDPOINTS.get(name, {}).get("GET" if method == "HEAD" else method)


def methods(name: str) -> list[str]:
    return sorted(ENDPOINTS.get(name, {}))


def check(actor: Actor, method: str, needed: Needs, now: datetime) -> None:
    """What the door checks of somebody who is signed in. Raises NotAllowedError, and RefusedError where it is recorded.

    Whoever may not even look would be turned away by the page before its operation has recorded anything, so here it
    is recorded at once.
    """
    if not isinstance(needed, Action):
        return
    if method in READING and needed not in RECORDED_READS:
        _require_anywhere(actor, needed)
    elif not may(actor, Action.VIEW):
        with recorded(needed, actor, now):
            require(actor, Action.VIEW)


def _require_anywhere(actor: Actor, action: Action) -> None:
    """A role for some models is enough at the door: which of them are shown is for the page."""
    require(replace(actor, roles=actor.any_roles), action)
