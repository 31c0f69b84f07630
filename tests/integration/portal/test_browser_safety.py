"""What browsers are told: which scripts run, where to report, and how to keep the cookies."""

import json
import logging
import os
import re
import subprocess
import sys

import pytest
from django.conf import settings as current
from django.test import Client
from redis.exceptions import ConnectionError as RedisDownError

from portal.cache import SharedOrLocal

NONCE = re.compile(r"'nonce-([\w+/=]+)'")
PRODUCTION = {
    "STAGEGATE_PUBLIC_URL": "https://gate.example.com",
    "STAGEGATE_ALLOWED_HOSTS": "gate.example.com",
    "STAGEGATE_SECRET_KEY": "a long and random enough secret of an installation 0123456789",
    "STAGEGATE_CHECKPOINT_KEY_FILE": "none",
}
IN_PRODUCTION = """
import json, django
from django.conf import settings
settings.STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"
django.setup()
from django.core.management import call_command
from django.test import Client
call_command("check", deploy=True, fail_level="WARNING")
browser = Client(headers={"host": "gate.example.com"})
page, plain, probe = browser.get("/sign-in/", secure=True), browser.get("/sign-in/"), browser.get("/healthz")
print(json.dumps({
    "headers": dict(page.headers),
    "cookie": page.cookies["__Host-stagegate_csrf"].OutputString(),
    "session": settings.SESSION_COOKIE_NAME,
    "plain": [plain.status_code, plain["Location"]],
    "probe": probe.status_code,
}))
"""


@pytest.fixture(scope="module")
def in_production(tmp_path_factory):
    """What a process with the production settings says: of itself, and to a browser over HTTPS."""
    environment = {**os.environ, **PRODUCTION, "STAGEGATE_HOME": str(tmp_path_factory.mktemp("home"))}
    environment |= {"DJANGO_SETTINGS_MODULE": "portal.settings", "PYTHONWARNINGS": "ignore"}
    # The last one is set for as long as these tests have a browser.
    for name in ("STAGEGATE_DEMO", "STAGEGATE_DEBUG", "DATABASE_URL", "DJANGO_ALLOW_ASYNC_UNSAFE"):
        environment.pop(name, None)
    return subprocess.run(
        [sys.executable, "-c", IN_PRODUCTION],
        env=environment,
        cwd=current.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_the_deployment_check_has_nothing_to_say(in_production):
    assert (in_production.returncode, "WARNINGS" in in_production.stderr) == (0, False), in_production.stderr
    assert "no issues" in in_production.stdout


def test_over_https_browsers_are_bound_to_it(in_production):
    shown = json.loads(in_production.stdout.splitlines()[-1])
    headers = shown["headers"]
    assert headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
    assert headers["Reporting-Endpoints"] == 'csp="/csp-report/"'
    assert "report-to csp" in headers["Content-Security-Policy"]
    assert shown["session"] == "__Host-stagegate_session"
    assert {"HttpOnly", "Path=/", "SameSite=Lax", "Secure"} <= set(shown["cookie"].split("; "))
    assert "Domain" not in shown["cookie"]
    assert shown["plain"] == [301, "https://gate.example.com/sign-in/"]
    assert shown["probe"] == 200


@pytest.mark.parametrize("address", ["/", "/account/", "/api/v1/models/", "/nowhere/", "/healthz"])
def test_every_answer_says_what_may_run(world, signed_in, address):
    response = signed_in("emil").get(address)
    policy = response["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "report-uri /csp-report/" in policy
    assert (response["X-Frame-Options"], response["X-Content-Type-Options"]) == ("DENY", "nosniff")


def test_only_scripts_with_the_nonce_of_this_very_page_run(world, signed_in):
    browser = signed_in("emil")
    seen = set()
    for _ in range(2):
        response = browser.get("/")
        nonces = NONCE.findall(response["Content-Security-Policy"])
        assert len(nonces) == 1
        assert "script-src 'nonce-" in response["Content-Security-Policy"]
        page = response.content.decode()
        assert page.count("<script") == page.count(f'nonce="{nonces[0]}"') > 2
        seen.add(nonces[0])
    assert len(seen) == 2


def test_a_session_cookie_is_not_for_scripts(world, client):
    client.post("/sign-in/", {"username": "emil", "password": "emil"})
    cookie = client.cookies["stagegate_session"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
    assert 0 < cookie["max-age"] <= 12 * 3600


# ---------------------------------------------------------------- reports


def report(body, **more):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Client(enforce_csrf_checks=True).post("/csp-report/", content, content_type="application/csp-report", **more)


OLD = {
    "csp-report": {
        "effective-directive": "script-src",
        "blocked-uri": "https://evil.example/x.js?token=secret",
        "document-uri": "https://gate.example.com/models/\nforged line",
    }
}
NEW = [{"type": "csp-violation", "body": {"effectiveDirective": "img-src", "blockedURL": "inline", "documentURL": "/"}}]


def test_a_report_is_one_line_and_one_more_in_the_figures(db, caplog, client):
    with caplog.at_level(logging.WARNING, "portal.web.csp"):
        assert report(OLD).status_code == report(NEW).status_code == 204
    first, second = [record.getMessage() for record in caplog.records if record.name == "portal.web.csp"]
    assert "effective-directive='script-src' blocked-uri='https://evil.example/x.js'" in first
    assert "\n" not in first
    assert "effective-directive='img-src'" in second
    assert "stagegate_csp_reports_total 2.0" in client.get("/metrics").content.decode()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"\xff", 400),
        (b"{" * 5000, 400),
        (b"[" * 16_000, 400),
        (b" " * (16 * 1024 + 1), 413),
        ([], 204),
        ({}, 204),
        ([1, None, {"body": 5}], 204),
    ],
)
def test_whatever_is_sent_is_answered(db, client, body, status):
    assert report(body).status_code == status
    assert "stagegate_csp_reports_total 0.0" in client.get("/metrics").content.decode()


def test_reports_do_not_flood_the_log(db):
    statuses = [report(OLD).status_code for _ in range(32)]
    assert statuses == [204] * 30 + [429] * 2
    assert report(OLD, REMOTE_ADDR="192.0.2.9").status_code == 204


# ---------------------------------------------------------------- the cache that limits are counted in


@pytest.fixture
def cache():
    return SharedOrLocal("redis://127.0.0.1:1/0", {"OPTIONS": {"socket_connect_timeout": 0.5}})


def test_without_the_shared_cache_each_process_counts_for_itself(cache, caplog):
    assert cache.get("a", 5) == 5
    assert cache.add("a", 1, timeout=60)
    assert not cache.add("a", 2, timeout=60)
    assert cache.incr("a", 2) == 3
    cache.delete("a")
    assert cache.get("a") is None
    assert len([record for record in caplog.records if "cannot be reached" in record.message]) == 1


def test_when_the_shared_cache_is_back_it_is_used_again(cache, monkeypatch):
    asked = []

    def get(*args, **kwargs):
        asked.append(args)
        if len(asked) == 1:
            raise RedisDownError
        return "shared"

    monkeypatch.setattr(cache._shared, "get", get)
    assert cache.get("a") is None
    assert cache.get("a") is None
    assert len(asked) == 1
    cache._silent_until = 0
    assert cache.get("a") == "shared"


def test_nobody_is_kept_out_because_the_shared_cache_is_down(people, settings, client):
    settings.CACHES = {"default": {"BACKEND": "portal.cache.SharedOrLocal", "LOCATION": "redis://127.0.0.1:1/0"}}
    for _ in range(5):
        client.post("/sign-in/", {"username": "emil", "password": "no"})
    assert client.post("/sign-in/", {"username": "emil", "password": "emil"}).status_code == 429
    assert client.post("/sign-in/", {"username": "mia", "password": "mia"}).status_code == 302
