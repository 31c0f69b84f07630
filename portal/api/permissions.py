"""The API's door: the table of permissions, once the framework knows who asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils import timezone
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from portal.access import actor_of
from portal.permissions import PUBLIC, check, needs

if TYPE_CHECKING:  # the framework's views import their permissions
    from rest_framework.views import APIView


class PermissionTable(BasePermission):
    """Raises MethodNotAllowed, NotAllowedError and RefusedError. False is a 401: nobody has said who they are."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        name = request.resolver_match.view_name if request.resolver_match else ""
        method = request.method or ""
        needed = needs(name, method)
        if needed is None:
            raise MethodNotAllowed(method)
        if needed == PUBLIC:
            return True
        if not (request.user and request.user.is_authenticated):
            return False
        check(actor_of(request), method, needed, timezone.now())
        return True
