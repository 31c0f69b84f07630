"""The door: every address is looked up in the table of permissions before its view runs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed
from django.utils import timezone
from rest_framework.views import APIView

from lifecycle.domain.permissions import NotAllowedError
from lifecycle.operations import RefusedError
from portal.access import actor_of
from portal.permissions import ENDPOINTS, PUBLIC, Needs, check, methods, needs
from portal.web.answers import forbidden

View = Callable[..., HttpResponseBase]
logger = logging.getLogger(__name__)


class PermissionTable(LoginRequiredMiddleware):
    """Pages: whoever is not signed in is sent to sign in, and whoever may not read is refused.

    The API's views are only looked up: they check for themselves, when they have read the token.
    """

    def process_view(self, request: HttpRequest, view: View, args: Any, kwargs: Any) -> HttpResponseBase | None:
        name = request.resolver_match.view_name if request.resolver_match else ""
        if name not in ENDPOINTS:
            logger.error("%r is not in the table of permissions, so it is not served", name)
            raise Http404
        if issubclass(getattr(view, "cls", object), APIView):
            return None
        needed = needs(name, request.method or "")
        if needed is None:
            return HttpResponseNotAllowed(methods(name))
        if needed == PUBLIC:
            return None
        if not request.user.is_authenticated:
            answer: HttpResponse = self.handle_no_permission(request, view)
            return answer
        return _why_not(request, needed)


def _why_not(request: HttpRequest, needed: Needs) -> HttpResponse | None:
    try:
        check(actor_of(request), request.method or "", needed, timezone.now())
    except (NotAllowedError, RefusedError) as error:
        return forbidden(request, error)
    return None
