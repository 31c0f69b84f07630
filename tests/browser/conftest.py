"""Chromium, driven by Playwright, on a whole installation, or on a portal whose world outside is made of twins."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.chromium import FLAGS, find_browser
from tests.support.installation import Installation
from tests.support.world import people, world

__all__ = ["people", "world"]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = find_browser()
    if path is None:
        pytest.skip("no Chromium was found: install it, or name one in STAGEGATE_BROWSER")
    flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else FLAGS
    with sync_playwright() as playwright, pytest.MonkeyPatch.context() as patch:
        # Playwright keeps an event loop in this thread; the tests' own database work beside it is not asynchronous.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()


@dataclass
class Complaints:
    """What a browser complained of: console errors, reports of the content security policy, failed requests.

    ``expected`` holds status codes that the test provokes on purpose.
    """

    seen: list[str] = field(default_factory=list)
    expected: set[int] = field(default_factory=set)

    def watch(self, page: Page) -> None:
        page.on("console", lambda message: self._console(message.type, message.text))
        page.on("pageerror", lambda error: self.seen.append(f"error: {error}"))
        page.on("response", lambda response: self._response(response.status, response.url))

    def _console(self, kind: str, text: str) -> None:
        provoked = any(f"status of {status}" in text for status in self.expected)
        if kind in ("error", "warning") and not provoked:
            self.seen.append(f"console {kind}: {text}")

    def _response(self, status: int, url: str) -> None:
        if status >= 400 and status not in self.expected:
            self.seen.append(f"{status} {url}")


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """The test fails on any complaint that it did not expect."""
    watched = Complaints()
    yield watched
    assert watched.seen == []


@pytest.fixture
def person(installation: Installation, chromium: Browser, complaints: Complaints) -> Iterator[Callable[..., Page]]:
    """A page at which this person has signed in, each in a browser of their own: ``person("emil")``."""
    with ExitStack() as contexts:

        def sign_in(username: str, **options) -> Page:
            context = chromium.new_context(base_url=installation.portal, **options)
            contexts.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(15_000)
            complaints.watch(page)
            page.goto("/sign-in/")
            page.get_by_label("Name").fill(username)
            page.get_by_label("Password").fill(installation.team.passwords[username])
            page.get_by_role("button", name="Sign in", exact=True).click()
            page.get_by_role("navigation", name="Main").wait_for()
            return page

        yield sign_in


@pytest.fixture
def at_portal(transactional_db, live_server, world, chromium: Browser, complaints: Complaints) -> Iterator[Callable]:
    """A page of a portal in this process, signed in: ``at_portal("priya", "/inbox/")``. Nothing ticks by itself."""
    with ExitStack() as contexts:

        def sign_in(username: str, path: str = "/", **options) -> Page:
            browser = Client()
            assert browser.login(username=username, password=username)
            context = chromium.new_context(base_url=live_server.url, **options)
            contexts.callback(context.close)
            session = {
                "name": settings.SESSION_COOKIE_NAME,
                "value": browser.cookies[settings.SESSION_COOKIE_NAME].value,
            }
            context.add_cookies([{**session, "url": live_server.url}])
            page = context.new_page()
            page.set_default_timeout(10_000)
            complaints.watch(page)
            page.goto(path)
            return page

        yield sign_in
