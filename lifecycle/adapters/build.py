"""The adapters as the settings describe them: what ``settings.ADAPTERS`` names by default."""

from __future__ import annotations

from django.conf import settings

from lifecycle import adapters
from lifecycle.adapters.local_gateway import TraefikTraffic
from lifecycle.adapters.local_metrics import LocalMetrics
from lifecycle.adapters.local_serving import SupervisorServing
from lifecycle.adapters.mlflow_registry import MlflowRegistry
from lifecycle.adapters.prometheus import PrometheusMetrics
from lifecycle.ports import Metrics

DOWNLOAD_SECONDS = 200
"""Below the task's time limit, which would cut a download off without a word."""


def registry() -> MlflowRegistry:
    return MlflowRegistry(
        settings.MLFLOW_TRACKING_URI,
        timeout_seconds=settings.MLFLOW_TIMEOUT_SECONDS,
        download_seconds=DOWNLOAD_SECONDS,
    )


def traffic() -> TraefikTraffic:
    return TraefikTraffic(settings.GATEWAY_CONFIG_DIR, settings.GATEWAY_API)


def metrics() -> Metrics:
    """A Prometheus where there is one, else the gateway and the model servers themselves."""
    if settings.PROMETHEUS_URL:
        return PrometheusMetrics(settings.PROMETHEUS_URL)
    return LocalMetrics(settings.GATEWAY_API)


def serving() -> SupervisorServing:
    return SupervisorServing(
        url=settings.SUPERVISOR_URL,
        user=settings.SUPERVISOR_USER,
        password=settings.SUPERVISOR_PASSWORD,
        servers_dir=settings.SERVERS_DIR,
        model_store=settings.MODEL_STORE,
        ports=settings.MODEL_PORTS,
        log_dir=settings.HOME / "log",
        fetch=lambda ref, destination: adapters.registry().download(ref, destination),
    )
