"""Read the whole registry once, and ask MLflow to tell us of changes."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from lifecycle import adapters, mirror
from lifecycle.ports import PortError


class Command(BaseCommand):
    help = "Mirror the whole MLflow registry and register Stagegate's webhook with MLflow."

    def handle(self, *args: Any, **options: Any) -> None:
        registry = adapters.registry()
        try:
            mirror.full_pass(registry, timezone.now())
        except PortError as error:
            raise CommandError(f"MLflow at {settings.MLFLOW_TRACKING_URI} cannot be read: {error}") from error
        self._register_webhook(registry)

    def _register_webhook(self, registry: Any) -> None:
        """Polling finds everything anyway, so a server without webhooks is told, not fatal."""
        if not settings.WEBHOOK_SECRET:
            self.stdout.write("No webhook: STAGEGATE_WEBHOOK_SECRET is not set. Changes are found by polling.")
            return
        try:
            registry.ensure_webhook(f"{settings.PUBLIC_URL}/api/v1/hooks/mlflow/", settings.WEBHOOK_SECRET)
        except PortError as error:
            self.stdout.write(f"MLflow refuses the webhook, changes are found by polling: {error}")
