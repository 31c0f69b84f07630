"""Every address."""

from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from portal.web import (
    checks,
    compare,
    evidence,
    evidence_pages,
    health,
    home,
    models,
    policies,
    record,
    retention,
    rollbacks,
    rollouts,
    semantic_version,
    tokens,
    transitions,
    versions,
)

handler403 = "portal.web.answers.forbidden"
handler404 = "portal.web.answers.not_found"
handler500 = "portal.web.answers.failed"

urlpatterns = [
    path("", home.home, name="home"),
    path("inbox/", home.inbox, name="inbox"),
    path("models/", models.model_list, name="models"),
    path("models/<str:slug>/", models.model_detail, name="model"),
    path("models/<str:slug>/compare/", compare.compare, name="compare"),
    path("models/<str:slug>/compare/<str:of>/", compare.text, name="compare-text"),
    path("models/<str:slug>/roll-back/", rollbacks.roll_back, name="model-roll-back"),
    path("models/<str:slug>/drill/", rollbacks.drill, name="drill"),
    path("models/<str:slug>/put-right/", rollbacks.put_right, name="put-right"),
    path("models/<str:slug>/ask/<str:what>/", rollbacks.ask, name="ask"),
    path("models/<str:slug>/versions/<int:version>/withdraw/", rollbacks.withdraw, name="withdraw"),
    path("transitions/<int:pk>/review/", rollbacks.review, name="review-rollback"),
    path("models/<str:slug>/versions/<int:version>/", versions.version_detail, name="version"),
    path("models/<str:slug>/versions/<int:version>/request/", versions.request_transition, name="request-transition"),
    path("models/<str:slug>/versions/<int:version>/checks/", checks.start, name="start-check"),
    path("models/<str:slug>/versions/<int:version>/evidence/", evidence.record, name="record-evidence"),
    path(
        "models/<str:slug>/versions/<int:version>/evidence/<int:pk>/", evidence_pages.evidence_detail, name="evidence"
    ),
    path("models/<str:slug>/versions/<int:version>/waivers/", evidence.waive, name="grant-waiver"),
    path("waivers/<int:pk>/revoke/", evidence.revoke, name="revoke-waiver"),
    path("checks/<int:pk>/cancel/", checks.cancel, name="cancel-check"),
    path(
        "models/<str:slug>/versions/<int:version>/semantic-version/",
        semantic_version.accept,
        name="accept-semantic-version",
    ),
    path("transitions/<int:pk>/", transitions.transition_detail, name="transition"),
    path("transitions/<int:pk>/approve/", transitions.approve, name="approve"),
    path("transitions/<int:pk>/reject/", transitions.reject, name="reject"),
    path("transitions/<int:pk>/cancel/", transitions.cancel, name="cancel"),
    path("transitions/<int:pk>/roll-back/", transitions.roll_back, name="roll-back"),
    path("transitions/<int:pk>/another-way/", rollbacks.replace, name="replace-rollback"),
    path("transitions/<int:pk>/charts/", rollouts.transition_charts, name="transition-charts"),
    path("transitions/<int:pk>/pause/", rollouts.pause, name="rollout-pause"),
    path("transitions/<int:pk>/resume/", rollouts.resume, name="rollout-resume"),
    path("transitions/<int:pk>/skip/", rollouts.skip, name="rollout-skip"),
    path("transitions/<int:pk>/promote/", rollouts.promote, name="rollout-promote"),
    path("transitions/<int:pk>/continue/", rollouts.let_go_on, name="rollout-continue"),
    path("models/<str:slug>/versions/<int:version>/charts/", rollouts.version_charts, name="version-charts"),
    path("policies/", policies.policy_list, name="policies"),
    path("policies/edit/", policies.edit, name="edit-policy"),
    path("policies/withdraw/", policies.withdraw, name="withdraw-policy"),
    path("policies/<int:number>/", policies.policy_detail, name="policy"),
    path("policies/<int:number>/policy.yaml", policies.export, name="policy-file"),
    path("retention/", retention.retention, name="retention"),
    path("retention/run/", retention.run, name="run-clean-up"),
    path("models/<str:slug>/versions/<int:version>/hold/", retention.hold, name="place-hold"),
    path("models/<str:slug>/versions/<int:version>/hold/release/", retention.release, name="release-hold"),
    path("record/", record.record, name="record"),
    path("account/tokens/", tokens.tokens, name="tokens"),
    path("account/tokens/<int:pk>/revoke/", tokens.revoke, name="revoke-token"),
    path(
        "sign-in/",
        LoginView.as_view(template_name="accounts/sign_in.html", redirect_authenticated_user=True),
        name="sign-in",
    ),
    path("sign-out/", LogoutView.as_view(), name="sign-out"),
    path("api/v1/", include("portal.api.urls")),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", health.metrics, name="metrics"),
]
