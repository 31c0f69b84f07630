"""The door: every address is looked up in the table of permissions before its view runs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import resolve_url
from django.utils import timezone
from rest_framework.views import APIView

from lifecycle.domain.permissions import NotAllowedError
from lifecycle.operations import RefusedError
from portal.access import actor_of
from portal.permissions import ENDPOINTS, PUBLIC, READING, Needs, check, methods, needs
from portal.web.answers import SESSION_ENDED, came_from, forbidden, not_allowed

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
            return not_allowed(request, methods(name))
        if needed == PUBLIC:
            return None
        if not request.user.is_authenticated:
            return self._to_sign_in(request, view)
        return _why_not(request, needed)

    def _to_sign_in(self, request: HttpRequest, view: View) -> HttpResponseBase:
        """After signing in, somebody who sent a form is back on its page: the form's own address opens nothing."""
        if request.method in READING:
            answer: HttpResponse = self.handle_no_permission(request, view)
            return answer
        messages.error(request, SESSION_ENDED)
        return redirect_to_login(came_from(request), resolve_url(settings.LOGIN_URL))


def _why_not(request: HttpRequest, needed: Needs) -> HttpResponse | None:
    try:
        check(actor_of(request), request.method or "", needed, timezone.now())
    except (NotAllowedError, RefusedError) as error:
        return forbidden(request, error)
    return None
