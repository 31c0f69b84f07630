"""Where a request came from, and where passkeys work."""

import pytest
from django.test import RequestFactory

from portal.addresses import client_address, passkeys_work


@pytest.mark.parametrize(
    ("proxies", "forwarded", "seen"),
    [
        (0, None, "10.0.0.9"),
        (0, "6.6.6.6", "10.0.0.9"),
        (1, "6.6.6.6, 192.0.2.1", "192.0.2.1"),
        (2, "6.6.6.6, 192.0.2.1, 10.0.0.1", "192.0.2.1"),
        (2, "192.0.2.1", "10.0.0.9"),
        (1, "nobody", "10.0.0.9"),
        (1, "", "10.0.0.9"),
        (1, "2001:DB8::1", "2001:db8::1"),
        (1, "fe80::1%" + "x" * 200, "fe80::1"),
    ],
)
def test_only_our_own_proxies_are_believed(settings, proxies, forwarded, seen):
    settings.TRUSTED_PROXIES = proxies
    headers = {"X-Forwarded-For": forwarded} if forwarded is not None else {}
    assert client_address(RequestFactory().get("/", headers=headers, REMOTE_ADDR="10.0.0.9")) == seen


def test_a_server_that_does_not_say(settings):
    settings.TRUSTED_PROXIES = 0
    assert client_address(RequestFactory().get("/", REMOTE_ADDR="")) == ""


@pytest.mark.parametrize(
    ("host", "secure", "works"),
    [
        ("localhost:8000", False, True),
        ("gate.example.com", True, True),
        ("gate.example.com", False, False),
        ("127.0.0.1:8000", False, False),
        ("192.0.2.1", True, False),
        ("[::1]:8000", True, False),
    ],
)
def test_where_passkeys_work(settings, host, secure, works):
    settings.ALLOWED_HOSTS = ["*"]
    assert passkeys_work(RequestFactory().get("/", headers={"Host": host}, secure=secure)) is works
