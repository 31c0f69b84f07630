"""An OpenID provider over real HTTP, with people whose claims a test can change."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from django.http import HttpResponse
from django.test import Client
from oidc_provider_mock import run_server_in_thread

CLIENT = {"OIDC_CLIENT_ID": "stagegate", "OIDC_CLIENT_SECRET": "only-for-tests"}
GOING_ON = re.compile(r'http-equiv="refresh" content="0;url=([^"]+)"')


@dataclass
class IdentityProvider:
    url: str

    def know(self, subject: str, **claims: Any) -> None:
        httpx.put(f"{self.url}/users/{subject}", json=claims, trust_env=False).raise_for_status()

    def settings(self, **more: Any) -> dict[str, Any]:
        """What a portal is told so that it uses this provider."""
        app = {
            "provider_id": "oidc",
            "name": "Acme",
            "client_id": CLIENT["OIDC_CLIENT_ID"],
            "secret": CLIENT["OIDC_CLIENT_SECRET"],
            "settings": {"server_url": self.url},
        }
        providers = {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": [app]}}
        return {"OIDC_URL": self.url, "OIDC_NAME": "Acme", "SOCIALACCOUNT_PROVIDERS": providers, **CLIENT, **more}

    def let_in(self, browser: Client, subject: str, page: HttpResponse) -> HttpResponse:
        """Sign in at the provider, where ``page`` sends the browser, and come back to the portal."""
        back = self.answer(subject, page)
        return browser.get(back.partition("testserver")[2])

    def answer(self, subject: str, page: HttpResponse) -> str:
        """The address to which the provider sends the browser back."""
        return httpx.post(asked(page), data={"sub": subject}, trust_env=False).headers["Location"]


def asked(page: HttpResponse) -> str:
    """The address at the provider to which a page of the portal goes on."""
    found = GOING_ON.search(page.content.decode())
    assert found, page.content.decode()
    return html.unescape(found.group(1))


@contextmanager
def running_provider() -> Iterator[IdentityProvider]:
    with run_server_in_thread() as server:
        yield IdentityProvider(f"http://localhost:{server.server_port}")
