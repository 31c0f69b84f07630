"""What every view of the API is made of: the framework's views, with rates and idempotency keys."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar, cast

from django.db import DatabaseError
from django.db.models import Model
from django.http.response import HttpResponseBase
from django.utils import timezone
from rest_framework import generics, views
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated, Throttled
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response

from portal.api.idempotency import Replayed, claim, give_back, keep
from portal.api.models import KeyedRequest
from portal.api.throttling import Allowance, count_stranger

Row = TypeVar("Row", bound=Model)
if TYPE_CHECKING:
    _View = views.APIView
else:
    _View = object


class Limited(_View):
    """Says what is left of the caller's rate, and counts those who are nobody."""

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, NotAuthenticated | AuthenticationFailed):
            allowance = count_stranger(self.request)
            self.request._request.allowance = allowance  # type: ignore[attr-defined]  # as PerCaller leaves it
            if allowance.exceeded:
                exc = Throttled(allowance.reset)
        return super().handle_exception(exc)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Response:
        final = super().finalize_response(request, response, *args, **kwargs)
        allowance: Allowance | None = getattr(request._request, "allowance", None)
        for name, value in (allowance.headers() if allowance else {}).items():
            final.headers[name] = value
        return final


class Idempotent(_View):
    """Carries a request with an idempotency key out once. ``idempotent_by_itself``: the view uses the key itself."""

    idempotent_by_itself = False
    _claim: KeyedRequest | None = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.method not in SAFE_METHODS and not self.idempotent_by_itself:
            self._claim = claim(request, timezone.now())

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, Replayed):
            return cast(Response, exc.response())
        try:
            return super().handle_exception(exc)
        except Exception:
            if self._claim is not None:
                with suppress(DatabaseError):
                    give_back(self._claim)
            raise

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Response:
        final = super().finalize_response(request, response, *args, **kwargs)
        if self._claim is not None:
            _keep_when_rendered(final, self._claim)
        return final


def _keep_when_rendered(response: HttpResponseBase, row: KeyedRequest) -> None:
    """What streams cannot be kept: such a request is carried out anew each time."""
    if isinstance(response, Response):
        response.add_post_render_callback(lambda rendered: keep(row, rendered))
    else:
        give_back(row)


class APIView(Idempotent, Limited, views.APIView):
    pass


class ListAPIView(Idempotent, Limited, generics.ListAPIView[Row]):
    pass
