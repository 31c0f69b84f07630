"""The network address that a request came from, and the address that it asks for."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import unquote

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str:
    """As the outermost of our own proxies saw it; "" where the server does not say.

    ``X-Forwarded-For`` can be written by anybody: each of the STAGEGATE_TRUSTED_PROXIES proxies appends the address
    that it saw, so that many entries from the right can be believed, and none before them.
    """
    direct = request.META.get("REMOTE_ADDR", "")
    proxies: int = settings.TRUSTED_PROXIES
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    if not proxies or len(forwarded) < proxies:
        return _cleaned(direct)
    return _cleaned(forwarded[-proxies]) or _cleaned(direct)


def _cleaned(text: str) -> str:
    try:
        address = ip_address(text.strip())
    except ValueError:
        return ""
    return address.compressed.partition("%")[0]


def holds_nul(request: HttpRequest) -> bool:
    """Whether the character NUL is asked for, which is in no name, and at which PostgreSQL would give up."""
    return "\0" in request.path or "\0" in unquote(request.META.get("QUERY_STRING", ""))


def passkeys_work(request: HttpRequest) -> bool:
    """Whether browsers allow passkeys at the address that was asked: by name, over HTTPS or on this machine."""
    host = request.get_host().rpartition(":")[0] or request.get_host()
    named = not _cleaned(host.strip("[]"))
    return named and (request.is_secure() or host == "localhost" or host.endswith(".localhost"))
