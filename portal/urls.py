"""Every address."""

from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from portal.web import health, home, models, record, transitions, versions

handler403 = "portal.web.answers.forbidden"
handler404 = "portal.web.answers.not_found"
handler500 = "portal.web.answers.failed"

urlpatterns = [
    path("", home.home, name="home"),
    path("inbox/", home.inbox, name="inbox"),
    path("models/", models.model_list, name="models"),
    path("models/<str:slug>/", models.model_detail, name="model"),
    path("models/<str:slug>/roll-back/", models.roll_back, name="model-roll-back"),
    path("models/<str:slug>/versions/<int:version>/", versions.version_detail, name="version"),
    path("models/<str:slug>/versions/<int:version>/request/", versions.request_transition, name="request-transition"),
    path("transitions/<int:pk>/", transitions.transition_detail, name="transition"),
    path("transitions/<int:pk>/approve/", transitions.approve, name="approve"),
    path("transitions/<int:pk>/reject/", transitions.reject, name="reject"),
    path("transitions/<int:pk>/cancel/", transitions.cancel, name="cancel"),
    path("transitions/<int:pk>/roll-back/", transitions.roll_back, name="roll-back"),
    path("record/", record.record, name="record"),
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
