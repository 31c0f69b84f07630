"""The receiver of MLflow's webhooks. It only makes the mirror faster: what it says is read afresh from MLflow."""

from __future__ import annotations

import logging

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from lifecycle import operations
from lifecycle.domain.webhooks import RefusedDeliveryError, verify
from portal.api.errors import MEDIA_TYPE, details

logger = logging.getLogger(__name__)
MAX_BYTES = 256 * 1024


@csrf_exempt
@login_not_required
@require_POST
def mlflow(request: HttpRequest) -> JsonResponse:
    """202 once the delivery is taken; 403 for a forged, stale or replayed one; 413 for a huge one."""
    if int(request.META.get("CONTENT_LENGTH") or 0) > MAX_BYTES:
        return _problem(413, "too_large", f"A delivery is at most {MAX_BYTES} bytes.")
    if not settings.WEBHOOK_SECRET:
        return _problem(403, "no_secret", "Webhooks are off: STAGEGATE_WEBHOOK_SECRET is not set.")
    now = timezone.now()
    try:
        delivery = verify(settings.WEBHOOK_SECRET, request.headers, request.body, now)
        operations.take_webhook(delivery=delivery, now=now)
    except (RefusedDeliveryError, operations.RefusedError) as error:
        logger.warning("webhook refused: %s", error)
        return _problem(403, "webhook", str(error))
    return JsonResponse({"status": "taken"}, status=202)


def _problem(status: int, rule: str, detail: str) -> JsonResponse:
    return JsonResponse(details(status, rule, detail), status=status, content_type=MEDIA_TYPE)
