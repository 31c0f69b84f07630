"""The OpenID provider: what is asked of it, and what of its answers is believed.

The library carries the exchange (state, PKCE, the code). What it leaves open is done here: the nonce, the signature
of the ID token against the provider's keys, its issuer and audience, and who the provider asked, when.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import jwt
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialLogin, SocialToken
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from lifecycle.domain import chain
from portal.accounts.sessions import proven_elsewhere

PROVIDER = "oidc"
"""There is one provider, and its key in the library's tables is this."""
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""With a key of its own that only the provider has. ``none``, and what is signed with a shared secret, is refused."""
LEEWAY = 60
"""Seconds by which the provider's clock may differ from ours."""
CONFIRM = "confirm"
LONGEST_UID = 191


def account_key(issuer: str, subject: str) -> str:
    """What an account is found by: a subject of another issuer is somebody else, also after a change of provider."""
    key = f"{issuer}|{subject}"
    return key if len(key) <= LONGEST_UID else hashlib.sha256(key.encode()).hexdigest()


def claims_of(login: SocialLogin) -> dict[str, Any]:
    """The verified claims that a sign-in came with."""
    claims: dict[str, Any] = login.account.extra_data["id_token"]
    return claims


def account_of(user_id: int) -> SocialAccount | None:
    return SocialAccount.objects.filter(user_id=user_id, provider=PROVIDER).first()


class Provider(OpenIDConnectOAuth2Adapter):
    """One exchange with the provider. ``stashed`` is what was noted in the session when it began."""

    stashed: Mapping[str, Any]

    def __init__(self, request: HttpRequest, provider_id: str = PROVIDER) -> None:
        super().__init__(request, provider_id)
        self.stashed = {}

    def get_provider(self) -> OpenIDConnectProvider:
        """The library's, which in turn asks this class."""
        provider: OpenIDConnectProvider = super().get_provider()
        provider.oauth2_adapter_class = Provider
        return provider

    def ask(self, *, process: str, next_url: str | None, confirm: bool = False) -> HttpResponse:
        """Send the browser to the provider. Raises OSError or OAuth2Error when it cannot be asked.

        With ``max_age`` a provider has to say when it asked the person; to confirm, it has to ask again.
        """
        nonce = secrets.token_urlsafe(24)
        fresh = {"prompt": "login", "max_age": "0"} if confirm else {"max_age": str(settings.SESSION_COOKIE_AGE)}
        answer: HttpResponse = self.get_provider().redirect(
            self.request,
            process=process,
            next_url=next_url,
            data=CONFIRM if confirm else None,
            auth_params={"nonce": nonce, **fresh},
            nonce=nonce,
            asked_at=time.time(),
        )
        return answer

    @property
    def openid_config(self) -> dict[str, Any]:
        config: dict[str, Any] = super().openid_config
        missing = {"issuer", "authorization_endpoint", "token_endpoint", "jwks_uri"} - set(config)
        if missing:
            raise OAuth2Error(f"the provider's configuration lacks {', '.join(sorted(missing))}")
        if config["issuer"].rstrip("/") != settings.OIDC_URL:
            raise OAuth2Error(f"the provider says that it is {config['issuer']}, which is not STAGEGATE_OIDC_URL")
        return config

    def get_callback_url(self, request: HttpRequest, app: SocialApp) -> str:
        return request.build_absolute_uri(reverse("provider-callback"))

    def complete_login(self, request: HttpRequest, app: SocialApp, token: SocialToken, **kwargs: Any) -> SocialLogin:
        """Who signed in. Raises OAuth2Error when the answer is not to be believed."""
        signed = self._verified(kwargs["response"].get("id_token", ""))
        claims = chain.plain({**self._more_about(signed["sub"], token), **signed})
        self._check_time(claims)
        login: SocialLogin = self.get_provider().sociallogin_from_response(request, {"id_token": claims})
        login.account.uid = account_key(claims["iss"], claims["sub"])
        login.email_addresses = []
        return login

    def _verified(self, id_token: str) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                id_token,
                key=self._key(id_token),
                algorithms=list(ALGORITHMS),
                audience=settings.OIDC_CLIENT_ID,
                issuer=self.openid_config["issuer"],
                leeway=LEEWAY,
                options={"require": ["iss", "sub", "aud", "exp", "iat"]},
            )
        except jwt.PyJWTError as error:
            raise OAuth2Error(f"the ID token is not valid: {error}") from error
        if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and claims.get("azp") != settings.OIDC_CLIENT_ID:
            raise OAuth2Error("the ID token was issued to somebody else")
        if not hmac.compare_digest(str(claims.get("nonce")).encode(), str(self.stashed.get("nonce")).encode()):
            raise OAuth2Error("the ID token answers another request than ours")
        return claims

    def _key(self, id_token: str) -> jwt.PyJWK:
        """The provider's key that the token names; where there is only one, it need not name it."""
        with get_adapter().get_requests_session() as session:
            answer = session.get(self.openid_config["jwks_uri"])
            answer.raise_for_status()
            keys = jwt.PyJWKSet.from_dict(answer.json()).keys
        wanted = jwt.get_unverified_header(id_token).get("kid")
        fitting = [key for key in keys if key.key_id == wanted or (wanted is None and len(keys) == 1)]
        if not fitting:
            raise OAuth2Error("the ID token is signed with a key that the provider does not publish")
        return fitting[0]

    def _more_about(self, subject: str, token: SocialToken) -> dict[str, Any]:
        """What the provider tells of the person beside the ID token: claims, of this very person."""
        if "userinfo_endpoint" not in self.openid_config:
            return {}
        claims: dict[str, Any] = self._fetch_user_info(token.token)
        if claims.get("sub") != subject:
            raise OAuth2Error("the provider told about somebody else than who signed in")
        return claims

    def _check_time(self, claims: Mapping[str, Any]) -> None:
        """Note when the provider asked the person; to confirm, that has to be after we sent them there."""
        at = claims.get("auth_time")
        asked = datetime.fromtimestamp(at, UTC) if isinstance(at, int | float) else None
        proven_elsewhere(self.request, asked)
        if self.stashed.get("data") == CONFIRM and (asked is None or at < self.stashed["asked_at"] - LEEWAY):
            raise OAuth2Error("the provider did not ask you again, or does not say that it did")


class Callback(OAuth2CallbackView):
    """As the library's, and remembers what was noted when the exchange began."""

    adapter: Provider

    def _get_state(self, request: HttpRequest, provider: Any) -> tuple[dict[str, Any] | None, HttpResponse | None]:
        state, answer = super()._get_state(request, provider)
        self.adapter.stashed = state or {}
        return state, answer
