"""How templates put values into words: times, durations, weights, roles, signatures, and links to MLflow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from lifecycle.domain.permissions import Role
from lifecycle.domain.stages import Stage
from lifecycle.models import Kind, ModelVersion, Transition

register = template.Library()

RELATIVE_FOR = timedelta(days=7)
"""A moment further away than this is shown as a date."""

_UNITS = ((86400, "day", "d"), (3600, "hour", "h"), (60, "minute", "min"), (1, "second", "s"))


# ---------------------------------------------------------------- pictures


@register.simple_tag
@lru_cache(maxsize=500)
def icon(name: str) -> SafeString:
    """A picture of the sprite. It is decoration: the words beside it carry the meaning."""
    return format_html(
        '<svg class="icon" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>',
        static("icons/sprite.svg"),
        name,
    )


# ---------------------------------------------------------------- time


@register.simple_tag
def when(moment: datetime | None, form: str = "relative") -> SafeString:
    """A ``<time>`` in the viewer's zone, with the exact UTC on hover.

    ``form`` is ``relative`` ("3 minutes ago", kept true by the page's script; the date when long ago) or ``exact``.
    """
    if moment is None:
        return SafeString('<span class="unknown">at a time not known</span>')
    now, utc = timezone.now(), moment.astimezone(UTC)
    relative = form == "relative" and abs(now - moment) < RELATIVE_FOR
    exactly = utc.isoformat(timespec="milliseconds").removesuffix("+00:00")
    words = ago(now - moment) if relative else _local(moment, now, seconds=form == "exact")
    kept_true = " data-relative" if relative else ""
    # Digits and words of our own: a page has up to a hundred, and nothing in them has to be escaped.
    return SafeString(f'<time datetime="{exactly}Z" title="{exact_utc(utc)}"{kept_true}>{words}</time>')


@register.simple_tag
def until(moment: datetime) -> SafeString:
    """A ``<time>`` of today that the page's script counts down to: "until 14:05:00", later "2 min 3 s left"."""
    return format_html('<time datetime="{0}" title="{1}" data-until="{0}">until {2}</time>', *_today(moment))


@register.simple_tag
def clock(moment: datetime) -> SafeString:
    """A ``<time>`` of today by the viewer's clock, to the second."""
    return format_html('<time datetime="{}" title="{}">{}</time>', *_today(moment))


def _today(moment: datetime) -> tuple[str, str, str]:
    return moment.isoformat(timespec="seconds"), exact_utc(moment), f"{timezone.localtime(moment):%H:%M:%S}"


def exact_utc(moment: datetime) -> str:
    """What every time has on hover."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(sep=' ', timespec='seconds')} UTC"


def _local(moment: datetime, now: datetime, *, seconds: bool) -> str:
    """Date and time in the viewer's zone; the date alone without ``seconds``."""
    zone = timezone.get_current_timezone()
    local = moment.astimezone(zone)
    day = "today" if local.date() == now.astimezone(zone).date() else f"{local:%-d %b %Y}"
    return f"{day}, {local.time().isoformat(timespec='seconds')}" if seconds else day


def ago(since: timedelta) -> str:
    """ "3 minutes ago", "in 2 hours", or "just now" within five seconds."""
    seconds = round(abs(since.total_seconds()))
    if seconds < 5:
        return "just now"
    size, name = next((size, name) for size, name, _ in _UNITS if seconds >= size)
    count = seconds // size
    words = f"{count} {name}" + ("s" if count != 1 else "")
    return f"{words} ago" if since > timedelta(0) else f"in {words}"


@register.filter
def duration(length: timedelta | float) -> str:
    """A length of time with its units, "2 h" or "1 min 30 s"; plain numbers are seconds."""
    seconds = length.total_seconds() if isinstance(length, timedelta) else float(length)
    if 0 < seconds < 10:
        return f"{seconds:.2g} s"
    left, words = round(seconds), []
    for size, _, unit in _UNITS:
        count, left = divmod(left, size)
        if count:
            words.append(f"{count} {unit}")
    return " ".join(words[:2]) or "0 s"


@register.filter
def since(later: datetime, earlier: datetime) -> timedelta:
    """How long after the earlier moment the later one came."""
    return later - earlier


# ---------------------------------------------------------------- transitions


@register.simple_tag
def title(transition: Transition, with_model: bool = False) -> SafeString:
    """What the transition is, in a few words; names from the registry are kept apart from the words around them."""
    what = _isolated(transition.version.label)
    if with_model:
        what = format_html("{} {}", _isolated(transition.model.name), what)
    if transition.kind == Kind.ARCHIVAL:
        return format_html("Archive {}", what)
    if transition.kind == Kind.RECONCILIATION:
        return format_html("Put {} right", what)
    if transition.kind == Kind.PROMOTION:
        return format_html("Move {} to {}", what, transition.to_stage)
    return _title_back(transition, what)


def _title_back(transition: Transition, what: SafeString) -> SafeString:
    other = _isolated(transition.previous.label) if transition.previous else ""
    if transition.kind == Kind.DRILL:
        return format_html("Drill a rollback of {} to {}", what, other)
    if transition.from_stage == Stage.STAGING:
        return format_html("Take {} out of Staging", what)
    return format_html("Roll back {} to {}", what, other) if other else format_html("Stop serving {}", what)


def _isolated(name: str) -> SafeString:
    """A name whose direction of writing cannot reach the text around it."""
    return format_html("<bdi>{}</bdi>", name)


@register.filter
def weights(steps: Sequence[Mapping[str, Any]]) -> str:
    """The rollout's plan in one line: "5 → 25 → 50 → 100 %"."""
    return " → ".join(str(step["weight"]) for step in steps) + " %"


@register.filter
def total_minimum(steps: Sequence[Mapping[str, Any]]) -> timedelta:
    """How long the rollout takes at least."""
    return timedelta(seconds=sum(step["minimum"] for step in steps))


@register.filter
def step_weight(transition: Transition) -> int | None:
    """The percentage of requests that the current step gives to the new version."""
    return transition.steps[transition.step]["weight"] if transition.step < len(transition.steps) else None


@register.filter
def rest(weight: int) -> int:
    """The percentage of requests that is left for the other variant."""
    return 100 - weight


@dataclass(frozen=True, slots=True)
class MetricPair:
    """One metric of two versions; None where a version has not measured it."""

    name: str
    stable: Any
    canary: Any


@register.filter
def metrics_beside(version: ModelVersion, stable: ModelVersion | None) -> tuple[MetricPair, ...]:
    """The metrics of a version beside those of the version that serves now."""
    now = stable.metrics if stable else {}
    return tuple(MetricPair(name, now.get(name), value) for name, value in sorted(version.metrics.items()))


# ---------------------------------------------------------------- words


@register.filter
def words(name: str) -> str:
    """An identifier as words: "transition_requested" -> "Transition requested"."""
    text = str(name).replace("_", " ")
    return text[:1].upper() + text[1:]


@register.filter
def role_labels(roles: Iterable[str]) -> str:
    """Roles in words, in the order of the roles: "product owner, ML engineer"."""
    given = set(roles)
    return ", ".join(role.label for role in Role if role in given) or "no role"


@register.filter
def figure(value: Any) -> str:
    """A metric to six significant digits, as people write it; what is no number stays as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


@register.filter
def plain(value: Any) -> str:
    """A value of a JSON column as text: texts as they are, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


_MOMENT = re.compile(r"[12]\d{3}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)")


@register.filter
def detail(value: Any) -> str:
    """A detail of an audit entry as people write it: "yes", "5" for 5.0, lists and pairs with commas, moments as times.

    "" when it says nothing.
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value in ("", [], {}):
        return ""
    if isinstance(value, list):
        return format_html_join(", ", "{}", ((detail(each),) for each in value))
    if isinstance(value, Mapping) and not any(isinstance(each, Mapping | list) for each in value.values()):
        return format_html_join(", ", "{}: {}", ((name, detail(each)) for name, each in value.items()))
    if moment := _moment(value):
        return when(moment, "exact")
    return figure(value) if isinstance(value, float) else plain(value)


def _moment(value: Any) -> datetime | None:
    """A moment as details keep it: ISO 8601 with its zone. None for everything else."""
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return None


@register.filter
def shares(value: Any) -> str:
    """A detail that says which version got what percentage of requests: "95 % to version 1, 5 % to version 2"."""
    if not isinstance(value, Mapping):
        return detail(value)
    return ", ".join(f"{detail(share)} % to version {number}" for number, share in value.items()) or "none"


# ---------------------------------------------------------------- signatures


@dataclass(frozen=True, slots=True)
class Field:
    """One input, output or parameter of a model. ``note`` says what its type leaves out."""

    name: str
    type: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class SignaturePart:
    title: str
    fields: tuple[Field, ...]


@register.filter
def signature_parts(signature: Mapping[str, Any] | None) -> tuple[SignaturePart, ...]:
    """MLflow's signature as tables. What is written in no form we know appears as it is."""
    given = signature or {}
    parts = (
        (title, given.get(key))
        for key, title in (("inputs", "Inputs"), ("outputs", "Outputs"), ("params", "Parameters"))
    )
    return tuple(SignaturePart(title, _fields(part)) for title, part in parts if part)


def _fields(part: Any) -> tuple[Field, ...]:
    columns = part if isinstance(part, list) else [part]
    return tuple(_field(column, position) for position, column in enumerate(columns))


def _field(column: Any, position: int) -> Field:
    if not isinstance(column, Mapping):
        return Field(str(position), plain(column))
    name = str(column.get("name") or position)
    if column.get("type") == "tensor":
        tensor = column.get("tensor-spec") or {}
        return Field(name, f"tensor of {tensor.get('dtype', '?')}", f"shape {plain(tensor.get('shape'))}")
    notes = ["optional"] if column.get("required") is False else []
    notes += [f"default {plain(column['default'])}"] if "default" in column else []
    return Field(name, _type(column), ", ".join(notes))


def _type(column: Mapping[str, Any]) -> str:
    kind = plain(column.get("type", column.get("dtype", "?")))
    items = column.get("items")
    return f"{kind} of {_type(items)}" if isinstance(items, Mapping) else kind


# ---------------------------------------------------------------- links to MLflow


@register.simple_tag
def run_link(registry_url: str, version: ModelVersion) -> str:
    """Where MLflow's own pages show the version's run; "" when they cannot."""
    base = _web_address(registry_url)
    if not (base and version.run_id and version.experiment_id):
        return ""
    return f"{base}/#/experiments/{quote(version.experiment_id, safe='')}/runs/{quote(version.run_id, safe='')}"


@register.simple_tag
def registry_link(registry_url: str, version: ModelVersion) -> str:
    """Where MLflow's own pages show the version; "" when they cannot."""
    base = _web_address(registry_url)
    return f"{base}/#/models/{quote(version.model.name, safe='')}/versions/{version.version}" if base else ""


@register.filter
def without_credentials(address: str) -> str:
    """An address that may be shown: without the user and password that it can carry."""
    parts = urlsplit(address or "")
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="")).rstrip("/")


def _web_address(registry_url: str) -> str:
    """The registry's address for links; "" unless it is one that a browser opens."""
    return without_credentials(registry_url) if registry_url.startswith(("http://", "https://")) else ""
