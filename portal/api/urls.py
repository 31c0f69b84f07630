from __future__ import annotations

from django.urls import path

from portal.api import hooks, views

urlpatterns = [
    path("models/", views.Models.as_view(), name="api-models"),
    path("models/<str:name>/", views.ModelDetail.as_view(), name="api-model"),
    path("models/<str:name>/versions/<int:version>/", views.VersionDetail.as_view(), name="api-version"),
    path("models/<str:name>/rollback/", views.Rollback.as_view(), name="api-rollback"),
    path("transitions/", views.Transitions.as_view(), name="api-transitions"),
    path("transitions/<int:pk>/", views.TransitionDetail.as_view(), name="api-transition"),
    path("transitions/<int:pk>/approve/", views.Approve.as_view(), name="api-approve"),
    path("transitions/<int:pk>/reject/", views.Reject.as_view(), name="api-reject"),
    path("transitions/<int:pk>/cancel/", views.Cancel.as_view(), name="api-cancel"),
    path("audit/", views.Record.as_view(), name="api-record"),
    path("hooks/mlflow/", hooks.mlflow, name="hook-mlflow"),
]
