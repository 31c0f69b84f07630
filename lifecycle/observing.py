"""What every version answers is written down regularly, and later merged into less of it.

Counters are cumulative, and whoever counts may start anew, miss a look, or be read by two collectors at once. So the
last reading of each counter is kept, every request counts as part of the growth since then, and the growth is written
together with the new reading by whoever finds the last one unmoved.
"""

from __future__ import annotations

import functools
import logging
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef

from lifecycle import adapters
from lifecycle.domain import compare, shadow
from lifecycle.domain.observations import Counts, add, dump, growth, load
from lifecycle.domain.stages import Stage, to_mlflow
from lifecycle.models import CounterReading, MetricReport, ModelVersion, Observation, RegisteredModel, Trial, Variant
from lifecycle.policies import current_policy
from lifecycle.ports import PortError, Reading, ServerAnswer

logger = logging.getLogger(__name__)

KEPT_AS_COUNTED = timedelta(hours=48)
MERGED_LENGTH = timedelta(minutes=5)
KEPT_KEYS = timedelta(hours=48)
"""For as long a report of business metrics may be sent again without being counted again."""
WITH_THE_INTERVAL = timedelta(minutes=1)
"""Business metrics are reported after the fact: those that are older than an interval by no more count with it."""
BATCH = 900
"""Rows that are merged in one transaction: below the number of values that SQLite takes in one query."""

CLOCK_STEPS = 2.0
"""Seconds: the start of a process is told to the second, from a clock that may be corrected by one."""
CLOCKS_APART = 60.0
"""Seconds by which another machine's clock may be late."""


# ---------------------------------------------------------------- collecting


def collect(*, now: datetime) -> None:
    """Write down what every version that has a server answered since the last look.

    A model whose numbers cannot be read is left for the next look, and keeps no other from being looked at.
    """
    reported = Exists(MetricReport.objects.filter(model=OuterRef("pk"), counted_at=None))
    serving = Exists(Variant.objects.filter(model=OuterRef("pk")))
    for model in RegisteredModel.objects.filter(serving | reported):
        try:
            _collect(model, now)
        except PortError as error:
            logger.info("no counts of %s: %s", model.slug, error)
        except _OvertakenError:
            logger.info("the counts of %s were written down by somebody else", model.slug)
        except Exception:
            logger.exception("the counts of %s could not be written down", model.slug)


def _collect(model: RegisteredModel, now: datetime) -> None:
    """The last readings are looked up before the counters are asked: a reading that is moved in between shows that
    somebody else has asked later, so that these counts may be the older ones."""
    variants = list(Variant.objects.filter(model=model).select_related("version"))
    known = _last_readings(variants)
    reports = _reports(model)
    watched = _Shadow.of(model, variants)
    servers = {variant.version.version: variant.url for variant in variants}
    readings = adapters.metrics().read(model.slug, servers, current_policy(model, now).values.metrics)
    of_version: defaultdict[int, list[Reading]] = defaultdict(list)
    for reading in readings:
        of_version[reading.version].append(reading)
    for variant in variants:
        counted = of_version[variant.version.version]
        grown = [each for reading in counted if (each := _grown(reading, known, variant, now)) is not None]
        if len(grown) < len(counted):
            continue
        copied = watched if watched is not None and watched.trial.version_id == variant.version_id else None
        _write(variant, _Interval(grown, copied, reports.get(variant.version_id, ())), now)
    for version in reports.keys() - {variant.version_id for variant in variants}:
        with transaction.atomic():
            _write_apart(model.pk, version, reports[version], now)


ReadingKey = tuple[int, str, str]


def _last_readings(variants: Sequence[Variant]) -> dict[ReadingKey, CounterReading]:
    rows = CounterReading.objects.filter(version__in=[variant.version_id for variant in variants])
    return {(row.version_id, row.counter, row.instance): row for row in rows}


@dataclass(frozen=True, slots=True)
class _Grown:
    """What one counter has counted since its last reading; ``last`` is None for the first one ever."""

    reading: Reading
    last: CounterReading | None
    counts: Counts
    since: datetime


def _grown(
    reading: Reading, known: Mapping[ReadingKey, CounterReading], variant: Variant, now: datetime
) -> _Grown | None:
    """None when a later look has been here already."""
    last = known.get((variant.version_id, reading.counter, reading.instance))
    if last is None:
        return _Grown(reading, None, reading.counts, _began(variant, reading.epoch, now))
    if last.read_at >= now:
        return None
    new = None if _started_anew(last, reading.epoch) else growth(load(last.counts), reading.counts)
    return _Grown(reading, last, reading.counts if new is None else new, last.read_at)


def _began(variant: Variant, epoch: float, now: datetime) -> datetime:
    """When the first counts of a counter began: nothing was counted before it started, or before any request came."""
    started = datetime.fromtimestamp(epoch, UTC) if epoch else None
    known = [each for each in (variant.weight_since, started) if each is not None and each < now]
    return max(known, default=now - timedelta(seconds=settings.OBSERVE_SECONDS))


def _started_anew(last: CounterReading, epoch: float) -> bool:
    """Whether the counter began after its last reading. One that only tells its start differently, because a clock was
    corrected, goes on: to take everything that it has ever counted for new would be worse than to miss a little."""
    if not last.epoch or epoch <= last.epoch + CLOCK_STEPS:
        return False
    return epoch > last.read_at.timestamp() - CLOCKS_APART


@dataclass(frozen=True, slots=True)
class _Interval:
    """What there is to write down of one version."""

    grown: Sequence[_Grown]
    copied: _Shadow | None
    reports: Sequence[MetricReport]


def _write(variant: Variant, interval: _Interval, now: datetime) -> None:
    """One row for the version, of the counters whose last reading nobody else has moved.

    An idle server that nothing is sent to is left out. The answers of a shadow and what was reported go with the
    version's counters: whoever moves those has them too. Reports of longer ago are a row of their own, or this one
    would seem to have begun then.
    """
    with transaction.atomic():
        mine = [each for each in interval.grown if _move(variant, each, now)]
        if len(mine) < len(interval.grown) and not mine:
            return
        since = min((each.since for each in mine), default=now)
        counts = functools.reduce(add, (each.counts for each in mine), Counts())
        if len(mine) == len(interval.grown):
            recent = [each for each in interval.reports if mine and _began_within(each, since)]
            older = [each for each in interval.reports if each not in recent]
            counts = add(replace(counts, answers=_answers_of(interval.copied)), _taken(recent, now))
            _write_apart(variant.model_id, variant.version_id, older, now)
        if not mine or not (variant.weight or interval.copied or dump(counts)):
            return
        row = {"model_id": variant.model_id, "version_id": variant.version_id, "since": since, "until": now}
        Observation.objects.create(**row, **columns(counts))


def _move(variant: Variant, grown: _Grown, now: datetime) -> bool:
    """Put the new reading in place of the last one, unless somebody else has."""
    reading = grown.reading
    values = {"read_at": now, "epoch": reading.epoch, "counts": dump(reading.counts)}
    if grown.last is not None:
        unmoved = CounterReading.objects.filter(pk=grown.last.pk, read_at=grown.last.read_at)
        return unmoved.update(**values) == 1
    _, created = CounterReading.objects.get_or_create(
        version_id=variant.version_id, counter=reading.counter, instance=reading.instance, defaults=values
    )
    return created


def columns(counts: Counts) -> dict[str, Any]:
    """The counts as columns of an Observation."""
    details = dump(replace(counts, requests=0, errors=0))
    return {"requests": counts.requests, "errors": counts.errors, "details": details}


# ---------------------------------------------------------------- the answers of a shadow


@dataclass(frozen=True, slots=True)
class _Shadow:
    """What joining the latest answers of a shadow with those that users got gave; ``pending`` is what now waits."""

    trial: Trial
    answers: Mapping[str, int] = field(default_factory=dict)
    pending: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, model: RegisteredModel, variants: Sequence[Variant]) -> _Shadow | None:
        """None while no version of the model is compared as a shadow."""
        trial = Trial.objects.filter(model=model, kind=compare.Trial.SHADOW, until=None).first()
        if trial is None:
            return None
        urls = {variant.version_id: variant.url for variant in variants}
        before = shadow.load(trial.pending)
        stable = _answers(urls.get(trial.stable_id or 0, ""), before.stable_seen)
        copies = _answers(urls.get(trial.version_id, ""), before.shadow_seen)
        answers, after = shadow.match(before, stable, copies)
        return cls(trial, answers, shadow.dump(after))


def _answers(url: str, after: int) -> tuple[ServerAnswer, ...]:
    """None of a server that does not answer: it remembers them until the next look."""
    try:
        return adapters.metrics().answers(url, after=after) if url else ()
    except PortError as error:
        logger.info("no answers of %s: %s", url, error)
        return ()


def _answers_of(copied: _Shadow | None) -> Mapping[str, int]:
    if copied is None:
        return {}
    Trial.objects.filter(pk=copied.trial.pk).update(pending=copied.pending)
    return copied.answers


# ---------------------------------------------------------------- business metrics that were reported


class _OvertakenError(Exception):
    """Somebody else has counted one of the reports."""


def _reports(model: RegisteredModel) -> dict[int, list[MetricReport]]:
    """What waits to be counted, by version; the oldest, when there is more than one transaction should take."""
    reports: defaultdict[int, list[MetricReport]] = defaultdict(list)
    for report in MetricReport.objects.filter(model=model, counted_at=None).order_by("pk")[:BATCH]:
        reports[report.version_id].append(report)
    return dict(reports)


def _began_within(report: MetricReport, since: datetime) -> bool:
    return report.since is None or report.since >= since - WITH_THE_INTERVAL


def _write_apart(model: int, version: int, reports: Sequence[MetricReport], now: datetime) -> None:
    if not reports:
        return
    known = [report.since for report in reports if report.since is not None]
    since = min(known, default=now - timedelta(seconds=settings.OBSERVE_SECONDS))
    counts = _taken(reports, now)
    Observation.objects.create(model_id=model, version_id=version, since=since, until=now, **columns(counts))


def _taken(reports: Sequence[MetricReport], now: datetime) -> Counts:
    """What they say together, each counted once. Raises _OvertakenError, which undoes all that was written with it."""
    waiting = MetricReport.objects.filter(pk__in=[report.pk for report in reports], counted_at=None)
    marked = waiting.filter(key__isnull=False).update(counted_at=now)
    gone, _ = waiting.filter(key=None).delete()
    if marked + gone != len(reports):
        raise _OvertakenError
    return functools.reduce(add, (load(report.details) for report in reports), Counts())


# ---------------------------------------------------------------- merging


def merge(*, now: datetime) -> None:
    """Make one row of all those of a version that ended within the same five minutes, 48 hours ago or earlier.

    They are kept as long as the version. Where the stay in Staging of a version of the model began within such minutes,
    those before and those after it stay apart: its gate looks at the counts of its stay alone. So do rows that are
    longer, as after a missed look, or of business metrics that were reported for a whole day.
    """
    MetricReport.objects.filter(counted_at__isnull=False, reported_at__lt=now - KEPT_KEYS).delete()
    before = _whole_minutes(now - KEPT_AS_COUNTED)
    old = Observation.objects.filter(merged=False, until__lt=before)
    for version in ModelVersion.objects.filter(pk__in=old.values("version")):
        stays = _stays(version)
        while rows := list(old.filter(version=version).order_by("until", "pk")[:BATCH]):
            if not _replace(version, _groups(_whole(rows), stays)):
                break


def _whole_minutes(moment: datetime) -> datetime:
    """The beginning of the five minutes that the moment falls into."""
    seconds = MERGED_LENGTH.total_seconds()
    return datetime.fromtimestamp(moment.timestamp() // seconds * seconds, UTC)


def _stays(version: ModelVersion) -> list[datetime]:
    staged = ModelVersion.objects.filter(model=version.model_id, stage=to_mlflow(Stage.STAGING))
    return sorted(since for since in staged.values_list("stage_since", flat=True) if since is not None)


def _whole(rows: Sequence[Observation]) -> Sequence[Observation]:
    """Without the last five minutes of a full batch, which may go on in the next one."""
    last = _whole_minutes(rows[-1].until)
    before = [row for row in rows if _whole_minutes(row.until) != last]
    return before if before and len(rows) == BATCH else rows


def _groups(rows: Sequence[Observation], stays: Sequence[datetime]) -> list[list[Observation]]:
    """Those that become one row each."""
    groups: defaultdict[tuple[datetime, int, bool], list[Observation]] = defaultdict(list)
    for row in rows:
        is_long = row.until - row.since > MERGED_LENGTH
        groups[_whole_minutes(row.until), bisect_right(stays, row.since), is_long].append(row)
    return list(groups.values())


def _replace(version: ModelVersion, groups: Sequence[Sequence[Observation]]) -> bool:
    """Exactly the rows that were added up must go, or nothing changes: somebody else has been here."""
    merged = [
        Observation(
            model_id=version.model_id,
            version=version,
            since=min(row.since for row in group),
            until=max(row.until for row in group),
            merged=True,
            **columns(functools.reduce(add, (row.counts for row in group))),
        )
        for group in groups
    ]
    keys = [row.pk for group in groups for row in group]
    with transaction.atomic():
        gone, _ = Observation.objects.filter(pk__in=keys).delete()
        if gone != len(keys):
            transaction.set_rollback(True)
            return False
        Observation.objects.bulk_create(merged)
    return True
