"""The portal's own figures, read from the database when they are asked for: the same from every process."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils import timezone
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from lifecycle import queries, queries_status
from portal.web.csp import reports_counted


class LifecycleCollector(Collector):
    def collect(self) -> Iterator[Metric]:
        figures = queries.figures(timezone.now())
        transitions = GaugeMetricFamily("stagegate_transitions", "Transitions by status.", labels=["status"])
        for status, count in figures.transitions.items():
            transitions.add_metric([status], count)
        yield transitions
        yield GaugeMetricFamily("stagegate_registered_models", "Registered models in the mirror.", value=figures.models)
        yield GaugeMetricFamily("stagegate_model_versions", "Model versions in the mirror.", value=figures.versions)
        yield GaugeMetricFamily(
            "stagegate_overdue_transitions", "Transitions due for over 30 s.", value=figures.overdue
        )
        yield GaugeMetricFamily(
            "stagegate_mirror_age_seconds", "Time since the mirror last succeeded.", value=figures.mirror_age
        )
        yield from _pulse()
        yield CounterMetricFamily(
            "stagegate_csp_reports", "What browsers reported of the content security policy.", value=reports_counted()
        )


def _pulse() -> Iterator[Metric]:
    """Of each queue; how many messages wait is left out where nobody has asked the broker lately."""
    pulse = queries_status.pulse(timezone.now())
    ages = GaugeMetricFamily(
        "stagegate_heartbeat_age_seconds", "Time since a worker of the queue gave a sign of life.", labels=["queue"]
    )
    lengths = GaugeMetricFamily("stagegate_queue_length", "Messages that wait in the queue.", labels=["queue"])
    for family, figures in ((ages, pulse.ages), (lengths, pulse.lengths)):
        for queue, value in figures.items():
            family.add_metric([queue], value)
    yield ages
    yield lengths


REGISTRY = CollectorRegistry()
REGISTRY.register(LifecycleCollector())
