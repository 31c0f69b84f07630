"""What is done regularly without being asked: traffic is counted, old counts are added up, idle servers are stopped."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Max, Min, Q, Sum
from django.db.models.functions import TruncHour

from lifecycle import adapters
from lifecycle.audit import record
from lifecycle.domain.permissions import STAGEGATE
from lifecycle.domain.stages import Stage, to_mlflow
from lifecycle.models import (
    ACTIVE,
    CounterReading,
    ModelVersion,
    Observation,
    RegisteredModel,
    Transition,
    Variant,
    VariantRole,
)
from lifecycle.ports import PortError, RequestCounts, VersionRef

logger = logging.getLogger(__name__)

KEPT_OBSERVATIONS = timedelta(hours=48)
HOUR = timedelta(hours=1)


def observe_traffic(*, now: datetime) -> None:
    """Write down what every serving version answered since the last look."""
    for model in RegisteredModel.objects.filter(variants__isnull=False).distinct():
        try:
            counts = adapters.traffic().counts(model.slug)
        except PortError as error:
            logger.info("no counts of %s: %s", model.slug, error)
            continue
        for variant in Variant.objects.filter(model=model).select_related("version"):
            seen = counts.get(variant.version.version)
            if seen is not None:
                _observe(variant.version, seen, now)


def _observe(version: ModelVersion, seen: RequestCounts, now: datetime) -> None:
    """Add the growth since the last reading; counters that went down started again from zero.

    The new reading is written only if nobody else has moved the old one, so no request is counted twice.
    """
    with transaction.atomic():
        reading, first = CounterReading.objects.get_or_create(
            version=version, defaults={"read_at": now, "requests": seen.requests, "errors": seen.errors}
        )
        if first:
            return
        mine = CounterReading.objects.filter(pk=reading.pk, read_at=reading.read_at)
        if mine.update(read_at=now, requests=seen.requests, errors=seen.errors) != 1:
            return
        restarted = seen.requests < reading.requests
        Observation.objects.create(
            model_id=version.model_id,
            version=version,
            since=reading.read_at,
            until=now,
            requests=seen.requests - (0 if restarted else reading.requests),
            errors=max(0, seen.errors - (0 if restarted else reading.errors)),
        )


def tidy_observations(*, now: datetime) -> None:
    """Let go of observations older than KEPT_OBSERVATIONS.

    While a version serves in Staging, those of its model stay for its whole stay, because its gate looks at all of
    them: added up, so that there is one a version and hour. Of several versions in Staging, one whose stay began within
    such an hour is seen to begin with the next one.
    """
    old = Observation.objects.filter(until__lt=now - KEPT_OBSERVATIONS)
    staged = Variant.objects.filter(version__stage=to_mlflow(Stage.STAGING), version__stage_since__isnull=False)
    stays = dict(staged.values_list("model").annotate(Min("version__stage_since")).order_by())
    old.exclude(model__in=stays).delete()
    for model, since in stays.items():
        old.filter(model=model).filter(Q(until__lte=since) | Q(requests=0)).delete()
        _add_up(model, now - KEPT_OBSERVATIONS)


def _add_up(model: int, before: datetime) -> None:
    """Make one observation of all those of a version and a full hour that ended before then."""
    hours = Observation.objects.filter(model=model, until__lt=before.replace(minute=0, second=0, microsecond=0))
    groups = hours.annotate(hour=TruncHour("until", tzinfo=UTC)).values("version", "hour").order_by()
    sums = groups.annotate(
        rows=Count("pk"), first=Min("since"), last=Max("until"), total=Sum("requests"), failed=Sum("errors")
    )
    for group in sums.filter(rows__gt=1):
        _replace(model, dict(group))


def _replace(model: int, group: dict[str, Any]) -> None:
    """Exactly the rows that were added up must go, or nothing changes: somebody else has been here."""
    within = {"until__gte": group["hour"], "until__lt": group["hour"] + HOUR}
    with transaction.atomic():
        gone, _ = Observation.objects.filter(model=model, version=group["version"], **within).delete()
        if gone != group["rows"]:
            transaction.set_rollback(True)
            return
        Observation.objects.create(
            model_id=model,
            version_id=group["version"],
            since=group["first"],
            until=group["last"],
            requests=group["total"],
            errors=group["failed"],
        )


def retire_idle(*, now: datetime) -> int:
    """Stop the servers of versions that have no role, no traffic and no request in flight; return how many.

    A version is marked before its server is stopped, so a transition that wants it meanwhile waits and starts it anew;
    a mark left behind by a killed process is taken up by the next call.
    """
    expired = Q(role=VariantRole.WARM, warm_until__lt=now)
    unused = Q(role=VariantRole.NONE)
    drained = now - timedelta(seconds=settings.DRAIN_SECONDS)
    idle = Variant.objects.filter(Q(retiring=True) | expired | unused, weight=0, idle_since__lt=drained)
    return sum(_retire(variant, now) for variant in idle.select_related("version__model"))


def _retire(variant: Variant, now: datetime) -> bool:
    version, model = variant.version, variant.version.model
    ref = VersionRef(model.name, version.version)
    try:
        if (adapters.traffic().weights(model.slug) or {}).get(version.version, 0):
            logger.warning("the gateway sends requests to %s, which should get none; its server stays", ref)
            return False
        if adapters.serving().status(ref, slug=model.slug).in_flight:
            return False
        if not _mark(variant):
            return False
        adapters.serving().remove(ref, slug=model.slug)
    except PortError as error:
        logger.warning("%s is still to be stopped: %s", ref, error)
        return False
    with transaction.atomic():
        Variant.objects.filter(pk=variant.pk).delete()
        record("server_stopped", actor=STAGEGATE, now=now, version=version, reason="idle and drained")
    return True


def _mark(variant: Variant) -> bool:
    """Claim the server for stopping, unless a transition of its model is active or has just changed the variant."""
    busy = Transition.objects.filter(status__in=ACTIVE).values("model")
    unchanged = Variant.objects.filter(pk=variant.pk, role=variant.role, weight=0)
    return unchanged.filter(Q(retiring=True) | ~Q(model__in=busy)).update(retiring=True) == 1
