"""The receiver of MLflow's webhooks. It only makes the mirror faster: what it says is read afresh from MLflow."""

from __future__ import annotations

import logging

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from lifecycle import operations
from lifecycle.domain.webhooks import RefusedDeliveryError, verify
from portal.api.errors import plain_problem
from portal.api.parsers import MAX_BYTES, TooLargeError, check_size
from portal.api.throttling import TOO_OFTEN, count_stranger

logger = logging.getLogger(__name__)


@csrf_exempt
@login_not_required
@require_POST
def mlflow(request: HttpRequest) -> HttpResponse:
    """202 once the delivery is taken; 403 for a forged or stale one, 413 for a huge one.

    A delivery that was taken before gets 200 and has no effect. MLflow sends one again, with the same id, timestamp and
    signature, when the answer to it was lost: it cannot be told from one that somebody else replays, and to MLflow a
    refusal would be a failure.
    """
    try:
        check_size(request.META)
    except TooLargeError:
        return plain_problem(request, 413, "too_large", f"A delivery is at most {MAX_BYTES // 1024} KiB.")
    if not settings.WEBHOOK_SECRET:
        return _refused(request, "no_secret", "Webhooks are off: STAGEGATE_WEBHOOK_SECRET is not set.")
    now = timezone.now()
    try:
        delivery = verify(settings.WEBHOOK_SECRET, request.headers, request.body, now)
    except RefusedDeliveryError as error:
        logger.warning("webhook refused: %s", error)
        return _refused(request, "webhook", str(error))
    first = operations.take_webhook(delivery=delivery, now=now)
    return JsonResponse({"status": "taken"}, status=202) if first else JsonResponse({"status": "taken already"})


def _refused(request: HttpRequest, rule: str, detail: str) -> HttpResponse:
    """Whoever goes on forging is told to wait; MLflow's own deliveries are not counted."""
    allowance = count_stranger(request)
    if not allowance.exceeded:
        return plain_problem(request, 403, rule, detail)
    answer = plain_problem(request, 429, "throttled", TOO_OFTEN)
    for name, value in {**allowance.headers(), "Retry-After": str(allowance.reset)}.items():
        answer.headers[name] = value
    return answer
