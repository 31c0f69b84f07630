"""``Idempotency-Key``: a request that is sent again with its key is answered again, and carried out once.

1. The first request with a key claims it: a row, unique by caller and key, committed before anything else happens.
2. The view runs, in transactions of its own.
3. Its answer is kept with the row. A 5xx is not, nor is being asked who one is: the claim is given back, so that the
   next try is carried out.

A process that dies between 2 and 3 leaves a claim without an answer. After ``ABANDONED`` the next request with the key
takes it over and runs the view again. Nothing is done twice by that, because every operation checks the state that it
changes: the second run finds the change made, and is refused as it would be without a key.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timedelta

from django.db.models import QuerySet
from django.http import HttpResponse
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response

from portal.api.models import KeyedRequest
from portal.api.parsers import check_size
from portal.api.throttling import caller_of

HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotency-Replayed"
KEPT = timedelta(hours=24)
ABANDONED = timedelta(minutes=1)
"""As long as the portal's server lets a request run: whoever has held a claim for longer is dead."""
CONFIRM_AGAIN = "confirm_again"
"""The rule by which an old sign-in is no yes."""
LONGEST_KEY = 200
_KEY = re.compile(rf"[\x21-\x7e]{{1,{LONGEST_KEY}}}")


class BadKeyError(APIException):
    status_code = 400
    default_code = "idempotency_key"
    default_detail = f"An {HEADER} is 1 to {LONGEST_KEY} visible ASCII characters, without spaces."


class OtherRequestError(APIException):
    status_code = 422
    default_code = "idempotency_key_reused"
    default_detail = (
        f"This {HEADER} came with another request before. Give every new request a key of its own; only a request that "
        "is sent again keeps its key."
    )


class StillRunningError(APIException):
    status_code = 409
    default_code = "still_running"
    default_detail = f"The first request with this {HEADER} is still being carried out. Send it again in a moment."
    wait = 1
    """Seconds, told in the header Retry-After."""


class Replayed(Exception):  # noqa: N818 - not an error: it ends the view with the answer that was given before
    def __init__(self, row: KeyedRequest) -> None:
        super().__init__(row)
        self.row = row

    def response(self) -> HttpResponse:
        again = HttpResponse(self.row.body, status=self.row.status, content_type=self.row.content_type)
        again.headers[REPLAYED_HEADER] = "true"
        return again


def claim(request: Request, now: datetime) -> KeyedRequest | None:
    """The row that is now this request's to answer; None without the header.

    Raises Replayed where there is an answer already, BadKeyError, OtherRequestError or StillRunningError.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise BadKeyError
    digest = _digest(request)
    KeyedRequest.objects.filter(claimed_at__lte=now - KEPT).delete()
    row, first = KeyedRequest.objects.get_or_create(
        caller=caller_of(request), key=key, defaults={"digest": digest, "claimed_at": now}
    )
    return row if first else _again(row, digest, now)


def _again(row: KeyedRequest, digest: str, now: datetime) -> KeyedRequest:
    if row.digest != digest:
        raise OtherRequestError
    if row.status is not None:
        raise Replayed(row)
    abandoned = KeyedRequest.objects.filter(pk=row.pk, status=None, claimed_at__lte=now - ABANDONED)
    if abandoned.update(claimed_at=now) != 1:
        raise StillRunningError
    row.claimed_at = now
    return row


def keep(row: KeyedRequest, response: Response) -> None:
    """Keep an answer that settles the request, unless somebody has taken the claim over; else give the claim back."""
    if not _settles(response):
        give_back(row)
        return
    _held(row).update(
        status=response.status_code, content_type=response.headers["Content-Type"], body=response.content.decode()
    )


def _settles(response: Response) -> bool:
    """Not a 5xx, and not the wish to see once more who it is: that changes with the person, not with the request."""
    body = response.data if response.status_code == 403 else None
    asked_again = isinstance(body, dict) and body.get("rule") == CONFIRM_AGAIN
    return response.status_code < 500 and not asked_again


def give_back(row: KeyedRequest) -> None:
    _held(row).delete()


def _held(row: KeyedRequest) -> QuerySet[KeyedRequest]:
    return KeyedRequest.objects.filter(pk=row.pk, status=None, claimed_at=row.claimed_at)


def _digest(request: Request) -> str:
    """Raises TooLargeError before a body is read that no view would read either."""
    check_size(request.META)
    sent = request._request
    head = f"{sent.method} {sent.get_full_path()}\n".encode()
    return hashlib.sha256(head + sent.body).hexdigest()
