from __future__ import annotations

from django.urls import path

from portal.api import evidence, hooks, policies, retention, versions, views

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
    path("models/<str:name>/rollback/", views.Rollback.as_view(), name="api-rollback"),
    path("transitions/", views.Transitions.as_view(), name="api-transitions"),
    path("transitions/<int:pk>/", views.TransitionDetail.as_view(), name="api-transition"),
    path("transitions/<int:pk>/approve/", views.Approve.as_view(), name="api-approve"),
    path("transitions/<int:pk>/reject/", views.Reject.as_view(), name="api-reject"),
    path("transitions/<int:pk>/cancel/", views.Cancel.as_view(), name="api-cancel"),
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
