from importlib import import_module

from django.apps import AppConfig


class LifecycleConfig(AppConfig):
    name = "lifecycle"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Its checks speak of models, which are there only now."""
        import_module("lifecycle.system_checks")
