"""Chromium, driven by Playwright, on a whole installation."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.installation import Installation

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
]


def find_browser() -> str | None:
    """STAGEGATE_BROWSER, else a Chromium on the PATH."""
    return os.environ.get("STAGEGATE_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = find_browser()
    if path is None:
        pytest.skip("no Chromium was found: install it, or name one in STAGEGATE_BROWSER")
    flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else FLAGS
    with sync_playwright() as playwright:
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
            page.get_by_role("button", name="Sign in").click()
            page.get_by_role("navigation", name="Main").wait_for()
            return page

        yield sign_in
