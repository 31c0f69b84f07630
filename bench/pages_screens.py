"""Every screen that ``bench.pages`` asks for, by the name of its address, and why it does not ask for the others.

In the paths, ``{model}`` and its like stand for what ``bench.pages_seed`` has written.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

OWNER, ENGINEER, AUDITOR, ADMIN, NOBODY = "owner", "engineer", "auditor", "admin", ""


@dataclass(frozen=True, slots=True)
class Screen:
    """``page`` is the address's name in ``portal.permissions.PAGES``; ``who`` looks at it. ``part`` is what htmx asks
    for instead of the whole page."""

    name: str
    page: str
    path: str
    who: str = OWNER
    part: bool = False


def _filter(text: str) -> str:
    return f"/versions/?filter={quote(text)}"


SCREENS: tuple[Screen, ...] = (
    # ------------------------------------------------------------ where people begin
    Screen("front page", "home", "/"),
    Screen("front page, administrator", "home", "/", ADMIN),
    Screen("inbox", "inbox", "/inbox/"),
    Screen("inbox, engineer", "inbox", "/inbox/", ENGINEER),
    Screen("inbox, its count", "inbox-count", "/inbox/count/"),
    Screen("system status", "status", "/status/"),
    # ------------------------------------------------------------ models
    Screen("models", "models", "/models/"),
    Screen("models, page 2", "models", "/models/?page=2"),
    Screen("models, last page", "models", "/models/?page=200"),
    Screen("models, page 100", "models", "/models/?page=100"),
    Screen("models, searched", "models", "/models/?search=churn"),
    Screen("models, searched, one", "models", "/models/?search=limit-00007"),
    Screen("models, searched, none", "models", "/models/?search=nothing+like+this"),
    Screen("models, in Staging", "models", "/models/?stage=Staging"),
    Screen("models, with a tag", "models", "/models/?tag=criticality%3Dhigh"),
    Screen("models, of a framework", "models", "/models/?framework=xgboost"),
    Screen("models, of a team", "models", "/models/?owner=team-03"),
    Screen("models, newest first", "models", "/models/?sort=newest"),
    Screen("models, rows", "models", "/models/?search=churn", part=True),
    Screen("model", "model", "/models/{model}/"),
    Screen("model, small", "model", "/models/{other}/"),
    Screen("model, part", "model", "/models/{model}/", part=True),
    Screen("live", "live", "/models/{model}/live/"),
    Screen("live, then", "live", "/models/{model}/live/?at={at}"),
    Screen("compare", "compare", "/models/{model}/compare/?a={stable}&b={version}"),
    Screen("compare, text", "compare-text", "/models/{model}/compare/params/?a={stable}&b={version}&name=seed"),
    Screen("ask, roll back", "ask", "/models/{model}/ask/roll-back/"),
    Screen("ask, part", "ask", "/models/{model}/ask/roll-back/", part=True),
    # ------------------------------------------------------------ versions
    Screen("versions", "versions", "/versions/"),
    Screen("versions, page 20", "versions", "/versions/?page=20"),
    Screen("versions, with a tag", "versions", _filter("tags.framework = 'xgboost'")),
    Screen("versions, one tag", "versions", _filter("tags.semantic_version = '1.150.0'")),
    Screen("versions, in Production", "versions", _filter("stage = 'Production'")),
    Screen("versions, by alias", "versions", _filter("alias = 'production'")),
    Screen("versions, by name", "versions", _filter("name LIKE 'churn%'")),
    Screen("version", "version", "/models/{model}/versions/{version}/", ENGINEER),
    Screen("version, archived", "version", "/models/{model}/versions/{archived}/", ENGINEER),
    Screen("version, part", "version", "/models/{model}/versions/{version}/", ENGINEER, part=True),
    Screen("version, serving", "version", "/models/{model}/versions/{stable}/", ENGINEER),
    Screen("version, charts", "version-charts", "/models/{model}/versions/{stable}/charts/"),
    Screen("metrics over versions", "model-metrics", "/models/{model}/metrics/"),
    Screen("lineage", "lineage", "/models/{model}/versions/{version}/lineage/", ENGINEER, part=True),
    Screen("evidence", "evidence", "/models/{model}/versions/{version}/evidence/{evidence}/"),
    Screen("dossier", "dossier", "/models/{model}/versions/{version}/dossier/", AUDITOR),
    # ------------------------------------------------------------ transitions
    Screen("decision", "transition", "/transitions/{waiting}/"),
    Screen("decision, part", "transition", "/transitions/{waiting}/", part=True),
    Screen("rollout", "transition", "/transitions/{running}/"),
    Screen("rollout, part", "transition", "/transitions/{running}/", part=True),
    Screen("rollout, charts", "transition-charts", "/transitions/{running}/charts/"),
    Screen("transition, finished", "transition", "/transitions/{finished}/"),
    Screen("transition, rolled back", "transition", "/transitions/{rolled_back}/"),
    Screen("freezes", "freezes", "/freezes/"),
    Screen("plan a freeze", "plan-freeze", "/freezes/plan/"),
    # ------------------------------------------------------------ policies, retention, the record
    Screen("policies", "policies", "/policies/"),
    Screen("policy", "policy", "/policies/{policy}/"),
    Screen("policy, a model's", "policy", "/policies/{own_policy}/"),
    Screen("edit a policy", "edit-policy", "/policies/edit/", ADMIN),
    Screen("retention", "retention", "/retention/"),
    Screen("retention, page 4", "retention", "/retention/?page=4"),
    Screen("retention, protected", "retention", "/retention/?show=protected"),
    Screen("retention, deleted", "retention", "/retention/?show=deleted"),
    Screen("retention, part", "retention", "/retention/", part=True),
    Screen("record", "record", "/record/", AUDITOR),
    Screen("record, deep", "record", "/record/?before={before}", AUDITOR),
    Screen("record, by model", "record", "/record/?model={model}", AUDITOR),
    Screen("record, by person", "record", "/record/?actor=Person+17+Lindqvist-Andersson", AUDITOR),
    Screen("record, by nobody", "record", "/record/?actor=Somebody+Else", AUDITOR),
    Screen("record, by action", "record", "/record/?action=transition_finished", AUDITOR),
    Screen("record, by rare action", "record", "/record/?action=policy_changed", AUDITOR),
    Screen("record, refused", "record", "/record/?refused=true", AUDITOR),
    Screen("record, since a month", "record", "/record/?since={month}", AUDITOR),
    Screen("record, until a month ago", "record", "/record/?until={month}", AUDITOR),
    Screen("record, a model's refused", "record", "/record/?model={model}&refused=true", AUDITOR),
    Screen("record, of a transition", "record", "/record/?transition={waiting}", AUDITOR),
    Screen("entry", "record-entry", "/record/{entry}/", AUDITOR),
    Screen("exports", "exports", "/record/exports/", AUDITOR),
    Screen("exports, part", "exports", "/record/exports/", AUDITOR, part=True),
    # ------------------------------------------------------------ people
    Screen("people", "people", "/settings/people/", ADMIN),
    Screen("people, searched", "people", "/settings/people/?search=person-01", ADMIN),
    Screen("people, rows", "people", "/settings/people/?search=lindqvist&kind=people", ADMIN, part=True),
    Screen("person", "person", "/settings/people/{person}/", ADMIN),
    Screen("profile", "profile", "/people/{person}/"),
    Screen("teams", "teams", "/settings/teams/"),
    Screen("team", "team", "/settings/teams/team-03/"),
    Screen("notices", "notices", "/account/notices/"),
    Screen("channels", "channels", "/settings/channels/", ADMIN),
    Screen("delivery", "delivery", "/settings/notices/", ADMIN),
    Screen("delivery, sent", "delivery", "/settings/notices/?show=sent", ADMIN),
    Screen("tokens", "tokens", "/account/tokens/"),
    Screen("tokens, all", "tokens", "/account/tokens/?show=all", ADMIN),
    Screen("account", "account", "/account/"),
    Screen("sign in", "sign-in", "/sign-in/", NOBODY),
    Screen("API's documentation", "api-docs", "/api/docs/"),
)

_SAME = "the same page by the name that the sign-in library gives it"
_FORM = "a form of one's own account: the frame and a few fields, whatever the size of the installation"
_MACHINE = "for machines, which ask for it seldom"
_FILE = "a file that is made when somebody asks for it"
_LEADS_ON = "looks something up, and leads to its page"
NOT_MEASURED: dict[str, str] = {
    "from-mlflow-version": _LEADS_ON,
    "from-mlflow-run": _LEADS_ON,
    "people-named": _LEADS_ON,
    "pictures": "asks MLflow what there is, so its time is MLflow's",
    "picture": "a file that is read from MLflow",
    "account_inactive": "a sentence to somebody who has not signed in",
    "account_login": _SAME,
    "mfa_index": _SAME,
    "dossier-pdf": _FILE + ": the dossier, set by another program",
    "policy-file": _FILE,
    "download-export": _FILE,
    "set-password": "takes a link that is used once",
    "provider-callback": "comes back from a provider, and leads to another page",
    "mfa_authenticate": "a form in the middle of signing in",
    "mfa_login_webauthn": "what a browser asks for to use a passkey",
    "account_reauthenticate": _FORM,
    "mfa_reauthenticate": _FORM,
    "mfa_reauthenticate_webauthn": _FORM,
    "confirm-with-provider": _FORM,
    "account_change_password": _FORM,
    "mfa_activate_totp": _FORM,
    "mfa_deactivate_totp": _FORM,
    "mfa_view_recovery_codes": _FORM,
    "mfa_generate_recovery_codes": _FORM,
    "mfa_add_webauthn": _FORM,
    "mfa_edit_webauthn": _FORM,
    "mfa_remove_webauthn": _FORM,
    "healthz": _MACHINE,
    "readyz": _MACHINE,
    "metrics": _MACHINE,
}
