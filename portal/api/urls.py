from __future__ import annotations

from django.urls import path

from portal.api import (
    compare,
    evidence,
    hooks,
    metrics,
    policies,
    retention,
    rollbacks,
    rollouts,
    versions,
    views,
)

urlpatterns = [
    path("models/", views.Models.as_view(), name="api-models"),
    path("models/<str:name>/", views.ModelDetail.as_view(), name="api-model"),
    path("models/<str:name>/versions/<int:version>/", views.VersionDetail.as_view(), name="api-version"),
    path(
        "models/<str:name>/versions/<int:version>/semantic-version/",
        versions.SemanticVersion.as_view(),
        name="api-semantic-version",
    ),
    path("models/<str:name>/versions/<int:version>/evidence/", evidence.EvidenceOf.as_view(), name="api-evidence"),
    path("models/<str:name>/versions/<int:version>/gate/", evidence.GateOf.as_view(), name="api-gate"),
    path("models/<str:name>/versions/<int:version>/waivers/", evidence.WaiversOf.as_view(), name="api-waivers"),
    path("models/<str:name>/versions/<int:version>/checks/", evidence.ChecksOf.as_view(), name="api-checks"),
    path("waivers/<int:pk>/revoke/", evidence.RevokeWaiver.as_view(), name="api-revoke-waiver"),
    path("checks/<int:pk>/cancel/", evidence.CancelCheck.as_view(), name="api-cancel-check"),
    path("models/<str:name>/compare/", compare.Compare.as_view(), name="api-compare"),
    path("models/<str:name>/business-metrics/", metrics.BusinessMetrics.as_view(), name="api-business-metrics"),
    path("models/<str:name>/live/", rollouts.Live.as_view(), name="api-live"),
    path("models/<str:name>/rollback/", rollbacks.Rollback.as_view(), name="api-rollback"),
    path("models/<str:name>/drill/", rollbacks.Drill.as_view(), name="api-drill"),
    path("models/<str:name>/reconcile/", rollbacks.Reconcile.as_view(), name="api-reconcile"),
    path(
        "models/<str:name>/versions/<int:version>/withdraw/", rollbacks.Withdraw.as_view(), name="api-withdraw-version"
    ),
    path("transitions/<int:pk>/review/", rollbacks.Review.as_view(), name="api-review"),
    path("transitions/", views.Transitions.as_view(), name="api-transitions"),
    path("transitions/<int:pk>/", views.TransitionDetail.as_view(), name="api-transition"),
    path("transitions/<int:pk>/approve/", views.Approve.as_view(), name="api-approve"),
    path("transitions/<int:pk>/reject/", views.Reject.as_view(), name="api-reject"),
    path("transitions/<int:pk>/cancel/", views.Cancel.as_view(), name="api-cancel"),
    path("rollouts/<int:pk>/", rollouts.RolloutDetail.as_view(), name="api-rollout"),
    path("rollouts/<int:pk>/pause/", rollouts.Pause.as_view(), name="api-rollout-pause"),
    path("rollouts/<int:pk>/resume/", rollouts.Resume.as_view(), name="api-rollout-resume"),
    path("rollouts/<int:pk>/skip/", rollouts.Skip.as_view(), name="api-rollout-skip"),
    path("rollouts/<int:pk>/promote/", rollouts.Promote.as_view(), name="api-rollout-promote"),
    path("rollouts/<int:pk>/continue/", rollouts.Continue.as_view(), name="api-rollout-continue"),
    path("rollouts/<int:pk>/abort/", rollouts.Abort.as_view(), name="api-rollout-abort"),
    path("policies/", policies.Policies.as_view(), name="api-policies"),
    path("policies/withdraw/", policies.Withdrawal.as_view(), name="api-withdraw-policy"),
    path("policies/<int:number>/", policies.PolicyDetail.as_view(), name="api-policy"),
    path("models/<str:name>/versions/<int:version>/hold/", retention.PlaceHold.as_view(), name="api-place-hold"),
    path(
        "models/<str:name>/versions/<int:version>/hold/release/",
        retention.ReleaseHold.as_view(),
        name="api-release-hold",
    ),
    path("retention/", retention.Preview.as_view(), name="api-retention"),
    path("retention/run/", retention.CleanUp.as_view(), name="api-clean-up"),
    path("audit/", views.Record.as_view(), name="api-record"),
    path("hooks/mlflow/", hooks.mlflow, name="hook-mlflow"),
]
