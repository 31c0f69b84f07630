from django.apps import AppConfig


class ApiConfig(AppConfig):
    """An app of its own, because what was answered under an idempotency key is a table."""

    name = "portal.api"
    label = "api"
