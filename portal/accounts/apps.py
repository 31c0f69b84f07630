from importlib import import_module

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "portal.accounts"
    label = "accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Listen to sign-ins: what listens cannot be imported before the models are there."""
        import_module("portal.accounts.sessions")
