"""What is done regularly without being asked: idle servers are stopped."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from lifecycle import adapters
from lifecycle.audit import record
from lifecycle.domain.permissions import STAGEGATE
from lifecycle.models import ACTIVE, Transition, Variant, VariantRole
from lifecycle.ports import PortError, VersionRef

logger = logging.getLogger(__name__)


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
