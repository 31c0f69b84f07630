"""How a program proves who it is: ``Authorization: Bearer``, and nothing else (no address, no cookie, no body)."""

from __future__ import annotations

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from portal.accounts.models import ApiToken, User
from portal.accounts.tokens import BadTokenError, recognise


class BearerToken(BaseAuthentication):
    """A request without the header is left to the session; one with a wrong token is refused, session or not."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        scheme, _, text = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            return None
        try:
            token = recognise(text.strip(), timezone.now())
        except BadTokenError as error:
            raise AuthenticationFailed(str(error)) from error
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        shown = get_authorization_header(request)[:6].lower() == b"bearer"
        return 'Bearer realm="stagegate"' + (', error="invalid_token"' if shown else "")
