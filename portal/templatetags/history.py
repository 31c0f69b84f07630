"""How templates draw the course of a metric, and say where a version comes from."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from lifecycle.domain.differences import MetricLine
from lifecycle.metric_history import History, Metric
from lifecycle.models import ModelVersion
from portal.sparklines import sparkline
from portal.templatetags.comparing import change
from portal.templatetags.stagegate import plain, without_credentials

register = template.Library()

RADIUS = {"this": 3.5, "production": 5}


@register.simple_tag
def course(metric: Metric, history: History) -> SafeString:
    """The metric's course as a picture, with its words; "" where there is none."""
    drawn = sparkline(metric.name, metric.course, history.versions, history.version)
    if drawn is None:
        return SafeString("")
    return format_html(
        '<svg class="spark" viewBox="0 0 {} {}" width="{}" height="{}" role="img"><title>{}</title>{}{}</svg>',
        drawn.width,
        drawn.height,
        drawn.width,
        drawn.height,
        drawn.words,
        format_html_join("", '<polyline class="spark-line" points="{}"></polyline>', ((each,) for each in drawn.lines)),
        format_html_join(
            "",
            '<circle class="spark-{}" cx="{}" cy="{}" r="{}"></circle>',
            ((each.kind, each.x, each.y, RADIUS[each.kind]) for each in drawn.dots),
        ),
    )


@register.filter
def difference(line: MetricLine | None) -> str:
    """ "+0.012 (+1.3 %)"; "" where there is nothing to tell, or no metric."""
    return change(line) if line is not None else ""


# ---------------------------------------------------------------- where a version comes from


DESCRIBING = (
    ("Data", "data_version"),
    ("Features", "feature_set_version"),
    ("Schema", "schema_version"),
    ("Trained on", "training_date"),
    ("Trained by", "trainer_email"),
    ("Framework", "framework"),
)
"""What the lifecycle strategy asks every version to say of itself, by its tags; the rest is shown where it belongs."""


@dataclass(frozen=True, slots=True)
class Described:
    """A tag that says what a version is made of; ``value`` "" when the version does not have it."""

    label: str
    name: str
    value: str


@register.filter
def described(version: ModelVersion) -> list[Described]:
    return [Described(label, name, plain(version.tags.get(name, ""))) for label, name in DESCRIBING]


@register.simple_tag
def experiment_link(registry_url: str, version: ModelVersion) -> str:
    """Where MLflow's own pages show the experiment; "" when they cannot."""
    base = _web_address(registry_url)
    return f"{base}/#/experiments/{quote(version.experiment_id, safe='')}" if base and version.experiment_id else ""


@register.simple_tag
def parent_link(registry_url: str, version: ModelVersion, run_id: str) -> str:
    """Where MLflow's own pages show the run that the version's run belongs to; "" when they cannot."""
    experiment = experiment_link(registry_url, version)
    return f"{experiment}/runs/{quote(run_id, safe='')}" if experiment else ""


def _web_address(registry_url: str) -> str:
    return without_credentials(registry_url) if registry_url.startswith(("http://", "https://")) else ""
