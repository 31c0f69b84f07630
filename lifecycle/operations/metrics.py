"""Business metrics, as the systems that know them report them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from lifecycle.domain.observations import Counts, Moments, dump
from lifecycle.domain.permissions import Action, Actor
from lifecycle.domain.stages import Stage
from lifecycle.models import (
    EXECUTING,
    Kind,
    MetricReport,
    ModelVersion,
    RegisteredModel,
    Transition,
    Trial,
    Variant,
    VariantRole,
)
from lifecycle.operations.common import need_registered, recorded
from lifecycle.transitions import RefusedError

MOST_REPORTS = 100
MOST_METRICS = 50
"""Business metrics that a model has at once: each takes its part of the judge's confidence, and of its time."""
LATEST = 1000
"""Reports that wait to be counted, of which the names are looked at."""
LONGEST_NAME = 100
LONGEST_KEY = 200
LARGEST = 1e15
"""Sums beyond it lose whole units to rounding."""
OLDEST = timedelta(hours=48)
LONGEST_TIME = timedelta(hours=48)
CLOCKS_APART = timedelta(seconds=60)
STABLE, CANARY = "stable", "canary"
VARIANTS = (STABLE, CANARY)


@dataclass(frozen=True, slots=True)
class BusinessReport:
    """Values of one business metric of one version: how many, their sum, and the sum of their squares.

    ``version`` is MLflow's number; instead of it, ``variant`` is STABLE for the version that serves Production, or
    CANARY for the one that is tried out. ``until`` is when the last of the values arose, ``since`` the first. ``key``
    names the report: one of the same name is not counted again.
    """

    metric: str
    count: float
    total: float
    squares: float
    version: int | None = None
    variant: str = ""
    since: datetime | None = None
    until: datetime | None = None
    key: str = ""


def report_business_metrics(
    *, model: RegisteredModel, reports: Sequence[BusinessReport], key: str = "", actor: Actor, now: datetime
) -> int:
    """Have business metrics counted at the next look; how many of the reports were new. All of them count, or none.

    They wait until then, so that however many are sent, a version has one observation a look. Raises RefusedError.

    Only who is not allowed to report is recorded: numbers come all day long, each changes no more than a figure, and a
    record full of them would hide what people did. ``key`` names all the reports together.
    """
    for report in reports:
        _check(report, now)
    _check_reports(reports, key)
    _check_names(model, {report.metric for report in reports})
    with recorded(Action.REPORT_METRICS, actor, now, model=model) as actor:
        versions = _versions(model, reports)
        rows = [
            _row(versions[each.version or each.variant], each, _row_key(key, reports, number), actor, now)
            for number, each in enumerate(reports)
        ]
        return sum(_add(row) for row in rows)


# ---------------------------------------------------------------- what can be counted


def _check_reports(reports: Sequence[BusinessReport], key: str) -> None:
    if not 1 <= len(reports) <= MOST_REPORTS:
        raise _refusal("reports", f"Send 1 to {MOST_REPORTS} reports at once.")
    for each in (key, *(report.key for report in reports)):
        if len(each) > LONGEST_KEY or not each.isprintable():
            raise _refusal("key", f"The key of a report is at most {LONGEST_KEY} printable characters.")


def _check_names(model: RegisteredModel, names: set[str]) -> None:
    """Whoever puts an order's number into a name would have the judge compare every order by itself."""
    judged = Trial.objects.filter(model=model, until=None).values_list("canary__business", "stable_counts__business")
    known = {name for both in judged for metrics in both for name in metrics or ()}
    if names <= known:
        return
    waiting = MetricReport.objects.filter(model=model, counted_at=None).order_by("-pk")
    known |= {
        name for metrics in waiting.values_list("details__business", flat=True)[:LATEST] for name in metrics or ()
    }
    if len(known | names) > MOST_METRICS:
        raise _refusal(
            "metric",
            f"A model has {MOST_METRICS} business metrics at most, and this one would have {len(known | names)}. Give "
            "all values of one kind the same name.",
        )


def _check(report: BusinessReport, now: datetime) -> None:
    name = report.metric
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise _refusal("metric", f"The metric's name is 1 to {LONGEST_NAME} printable characters.")
    if (report.version is None) == (report.variant == ""):
        raise _refusal("version", "Give either a version or a variant.")
    if report.variant and report.variant not in VARIANTS:
        raise _refusal("version", f"A variant is {STABLE} or {CANARY}.")
    _check_numbers(report)
    _check_times(report, now)


def _check_numbers(report: BusinessReport) -> None:
    numbers = (report.count, report.total, report.squares)
    if not all(math.isfinite(number) and abs(number) <= LARGEST for number in numbers):
        raise _refusal("value", f"Count, sum and sum of squares are numbers up to {LARGEST:g}.")
    if report.count <= 0:
        raise _refusal("value", "The count is more than 0: without values there is nothing to report.")
    least = report.total * report.total / report.count
    if report.squares < least * (1 - 1e-9):
        raise _refusal(
            "value",
            f"{report.count:g} values that sum up to {report.total:g} have a sum of squares of {least:g} at least, not "
            f"{report.squares:g}.",
        )


def _check_times(report: BusinessReport, now: datetime) -> None:
    until = report.until or now
    if until > now + CLOCKS_APART:
        raise _refusal("time", "“until” lies in the future.")
    if until < now - OLDEST:
        raise _refusal("time", "“until” is more than 48 hours ago; nothing is decided on values that old.")
    if report.since is not None and not until - LONGEST_TIME <= report.since < until:
        raise _refusal("time", "“since” lies before “until”, by 48 hours at most.")


def _refusal(rule: str, message: str) -> RefusedError:
    return RefusedError(message, rule=rule, status=422)


# ---------------------------------------------------------------- whose they are


def _versions(model: RegisteredModel, reports: Iterable[BusinessReport]) -> dict[int | str, ModelVersion]:
    """By number, or by variant. Raises RefusedError."""
    wanted = {report.version or report.variant for report in reports}
    return {each: _named(model, each) if isinstance(each, str) else _numbered(model, each) for each in wanted}


def _numbered(model: RegisteredModel, number: int) -> ModelVersion:
    found = model.versions.select_related("model").filter(version=number).first()
    if found is None:
        raise RefusedError(
            f"{model.name} has no version {number}. Name one that its page lists.", rule="not_found", status=404
        )
    need_registered(found)
    return found


def _named(model: RegisteredModel, variant: str) -> ModelVersion:
    role = VariantRole.PRODUCTION if variant == STABLE else VariantRole.STAGING
    serving = Variant.objects.filter(model=model).select_related("version__model")
    promoted = Transition.objects.filter(
        model=model, kind=Kind.PROMOTION, status__in=EXECUTING, to_stage=Stage.PRODUCTION
    ).values("version")
    tried = serving.filter(version__in=promoted).first() if variant == CANARY else None
    found = tried or serving.filter(role=role).order_by("-weight_since").first()
    if found is None:
        which = "serves Production" if variant == STABLE else "is tried out"
        raise RefusedError(f"No version of {model.name} {which} now; name the version.", rule="variant")
    return found.version


# ---------------------------------------------------------------- writing


def _row(
    version: ModelVersion, report: BusinessReport, key: tuple[str | None, str], actor: Actor, now: datetime
) -> MetricReport:
    """It waits there for the next look. A sender's clock may be ahead: what is said to begin later began now."""
    moments = Moments(report.count, report.total, report.squares)
    return MetricReport(
        model_id=version.model_id,
        version=version,
        key=key[0],
        digest=key[1],
        details=dump(Counts(business={report.metric: moments})),
        since=min(report.since, now) if report.since else None,
        reported_by=actor.name,
        reported_at=now,
    )


def _row_key(key: str, reports: Sequence[BusinessReport], number: int) -> tuple[str | None, str]:
    """The name under which a report is known, and the digest of everything that was said under it."""
    if key:
        return f"all:{number}:{key}", _digest(reports)
    own = reports[number]
    return (f"one:{own.key}", _digest([own])) if own.key else (None, "")


def _digest(reports: Sequence[BusinessReport]) -> str:
    said = [{name: str(value) for name, value in asdict(report).items()} for report in reports]
    return sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _add(row: MetricReport) -> bool:
    """Whether it is new. Raises RefusedError for the name of another report."""
    if row.key is None:
        row.save(force_insert=True)
        return True
    values = {
        name: getattr(row, name) for name in ("version", "digest", "details", "since", "reported_by", "reported_at")
    }
    known, created = MetricReport.objects.get_or_create(model_id=row.model_id, key=row.key, defaults=values)
    if known.digest != row.digest:
        raise RefusedError(
            "This key has named another report already; give this one a key of its own.", rule="idempotency_key"
        )
    return created
