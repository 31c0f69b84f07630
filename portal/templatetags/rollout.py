"""How templates put a rollout into words and pictures: verdicts, measures with their intervals, and shares."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from django import template

from lifecycle.domain import compare, words
from lifecycle.domain.compare import Measure, MeasureState, Trial, VerdictKind
from lifecycle.domain.course import quantile
from lifecycle.domain.drift import Distribution
from lifecycle.models import AuditEntry

register = template.Library()

LONGEST_NAME = 60
MINUS = "\N{MINUS SIGN}"
FINEST = 1000
"""Into how many parts of its limit a figure is told."""

_STATES = {
    MeasureState.CLEAR: "Clear",
    MeasureState.UNDECIDED: "Undecided",
    MeasureState.BREACHED: "Breached",
    MeasureState.UNMEASURED: "Not measured",
}
_VERDICTS = {
    VerdictKind.PROCEED: "Go on",
    VerdictKind.HOLD: "Wait",
    VerdictKind.ROLL_BACK: "Take it back",
}
_SERVING = {
    VerdictKind.PROCEED: "It does well",
    VerdictKind.HOLD: "Not sure yet",
    VerdictKind.ROLL_BACK: "It does harm",
}
_ON_BREACH = {
    "hold": "it waits for a person",
    "roll_back": "it is taken back",
    "emergency": "it is taken back at once",
}


# ---------------------------------------------------------------- words


@register.filter
def state_words(state: str) -> str:
    return _STATES[MeasureState(state)]


@register.filter
def verdict_words(kind: str, trial: str = "") -> str:
    """What a rollout does by this verdict; of a version that only serves, whether it does well."""
    words = _SERVING if trial in (Trial.STAGING, Trial.PRODUCTION) else _VERDICTS
    return words[VerdictKind(kind)]


@register.filter
def breach_words(measure: Measure) -> str:
    """What happens to the version when the limit is breached."""
    return _ON_BREACH.get(measure.on_breach, measure.on_breach)


@register.filter
def gravest_first(measures: Iterable[Measure]) -> list[Measure]:
    """What is breached, then what is not decided, then the rest, each as it was given."""
    order = (MeasureState.BREACHED, MeasureState.UNDECIDED, MeasureState.CLEAR, MeasureState.UNMEASURED)
    return sorted(measures, key=lambda each: order.index(each.state))


@register.filter
def in_unit(value: float | None, measure: Measure) -> str:
    """A value of a measure as people write it; "" where it cannot be told."""
    if value is None or math.isnan(value):
        return ""
    if math.isinf(value):
        return f"{MINUS if value < 0 else ''}∞"
    shown = _rounded(value, measure.limit)
    return (MINUS if shown < 0 else "") + _with_unit(abs(shown), measure.unit)


def _with_unit(value: float, unit: str) -> str:
    return words.seconds(value) if unit == "s" else f"{words.figure(value)} {unit}".rstrip()


def _rounded(value: float, limit: float | None = None) -> float:
    """Three significant digits and no more than matters beside the limit, but never the limit itself when it is not."""
    if value.is_integer():
        return value
    shown = float(f"{value:.3g}")
    if limit:
        shown = round(shown, max(math.ceil(-math.log10(abs(limit) / FINEST)), 0))
    return value if shown == limit else shown


@register.filter
def shortened(name: object) -> str:
    """A name from the registry, cut where it would push everything else aside."""
    text = str(name)
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…"


@register.filter
def percent_of(part: float, whole: float) -> float:
    return 100 * part / whole if whole else 0.0


# ---------------------------------------------------------------- the picture of an interval

_AT_LEAST = frozenset({"agreement"})
"""Measures that must not be below their limit."""
_EXPECTED = frozenset({"sample_ratio"})
"""Measures that are to be about what their limit says."""


def _kind_of_limit(measure: Measure) -> str:
    if measure.name in _AT_LEAST:
        return "at least"
    if measure.name in _EXPECTED:
        return "about"
    return "±" if measure.name.startswith("business") else "at most"


@register.filter
def limit_words(measure: Measure) -> str:
    """ "at most 2 points"; "" where there is no limit."""
    limit = in_unit(measure.limit, measure)
    return f"{_kind_of_limit(measure)} {limit}" if limit else ""


@register.filter
def between(measure: Measure) -> str:
    """The interval in words; one of its ends may not be known yet."""
    low, high = in_unit(measure.low, measure), in_unit(measure.high, measure)
    if low and high:
        alike = measure.unit and measure.unit != "s"
        return f"{low.removesuffix(measure.unit).rstrip() if alike else low} to {high}"
    return f"over {low}" if low else f"under {high}" if high else ""


@register.filter
def measures_kept(verdict: object) -> tuple[Measure, ...]:
    """The measures of a verdict as the record keeps it; none where it cannot be read."""
    try:
        return compare.load(verdict).measures if isinstance(verdict, Mapping) else ()
    except (KeyError, TypeError, ValueError):
        return ()


@register.filter
def with_facts(record: Iterable[AuditEntry]) -> AuditEntry | None:
    """The newest entry that keeps the measures by which something was taken back; None without any."""
    return next((entry for entry in record if measures_kept(entry.details.get("verdict"))), None)


@register.filter
def in_short(measure: Measure) -> str:
    """ "breached, 18.8 points (2.02 to 54.1 points), at most 2 points"."""
    found, around = in_unit(measure.estimate, measure), between(measure)
    shown = f"{found} ({around})" if found and around else found
    return ", ".join(filter(None, [state_words(measure.state).lower(), shown, limit_words(measure)]))


@dataclass(frozen=True, slots=True)
class Picture:
    """An interval against its limit, in percent of the width.

    ``more_left`` and ``more_right`` say that it goes on beyond the picture. ``zero`` is where "no difference" is, None
    where no value can be negative.
    """

    low: float
    high: float
    estimate: float | None
    limits: tuple[float, ...]
    zero: float | None
    more_left: bool
    more_right: bool

    @property
    def width(self) -> float:
        return max(self.high - self.low, 1.0)


EDGE = 4.0
"""What lies beyond the picture stands this near its side, in percent of the width."""

Scale = tuple[float, float]
"""Where 0 is, and how far apart 0 and 1 are, in percent of the width."""


@register.filter
def picture(measure: Measure) -> Picture | None:
    """None where there is no interval, or no limit to draw it against."""
    limit = measure.limit
    if limit is None or not limit > 0 or (measure.low is None and measure.high is None):
        return None
    kind = _kind_of_limit(measure)
    signed = kind == "±" or (kind == "at most" and (measure.low is None or measure.low < 0))
    origin, step = _scale(kind, limit, signed=signed)
    low, high = (
        end if value is None else origin + value * step for value, end in ((measure.low, -1.0), (measure.high, 101.0))
    )
    estimate = None if measure.estimate is None else _inside(origin + measure.estimate * step, EDGE)
    limits = (origin + limit * step, *((origin - limit * step,) if kind == "±" else ()))
    zero = origin if signed else None
    return Picture(min(_inside(low), 100 - EDGE), _inside(high), estimate, limits, zero, low < 0, high > 100)


def _scale(kind: str, limit: float, *, signed: bool) -> Scale:
    """Limits of one kind stand below each other, whatever they are."""
    if kind == "about":
        return 50.0 - 80.0, 80.0 / limit
    if kind == "at least":
        step = 65.0 / max(100.0 - limit, 1.0)
        return 30.0 - limit * step, step
    zero = 50.0 if kind == "±" else 40.0 if signed else 0.0
    end = 80.0 if kind == "±" else 70.0
    return zero, (end - zero) / limit


def _inside(place: float, edge: float = 0.0) -> float:
    return round(min(max(place, edge), 100.0 - edge), 2)


# ---------------------------------------------------------------- what is in the details of a measure


@dataclass(frozen=True, slots=True)
class FeatureDistance:
    name: str
    distance: float


@register.filter
def farthest(measure: Measure) -> Sequence[FeatureDistance]:
    """The three features that lie farthest from the training data, where the measure names them."""
    found = measure.details.get("features")
    rows = [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []
    named = ((str(row.get("name", "")), row.get("estimate")) for row in rows)
    return tuple(FeatureDistance(name, float(value)) for name, value in named if _is_number(value))[:3]


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


# ---------------------------------------------------------------- latency


@register.filter
def quantiles(latency: Distribution | None) -> tuple[str, str, str]:
    """p50, p95 and p99 in words; "" where nothing was measured."""
    p50, p95, p99 = (quantile(latency, part) for part in (0.5, 0.95, 0.99))
    return _latency(p50), _latency(p95), _latency(p99)


def _latency(value: float | None) -> str:
    return "" if value is None else words.seconds(_rounded(value))
