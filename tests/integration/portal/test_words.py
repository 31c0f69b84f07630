"""All pages at once: every link leads somewhere, every name to its person, every time has its exact UTC."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from html import unescape

import pytest
from django.test import Client
from django.urls import resolve

from lifecycle.models import AuditEntry
from portal.accounts.models import User
from tests.support.screens import filled

OFTEN = 2
"""Pages of one kind that are looked at; they differ in what they are about."""
KINDS = 30
"""So many kinds of pages there are at least, that links lead to."""
LEFT_OUT = {"download-export", "dossier-pdf", "policy-file"}
"""Files."""
ABOUT_PEOPLE = {"account", "people", "person", "profile", "dossier"}
"""Where a name stands for itself, and the document for auditors, which is no page of links."""
LINK = re.compile(r'<a\b[^>]*?\shref="(/[^"#]*)')
TIME = re.compile(r"<time\b[^>]*>")
UTC = re.compile(r'title="(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC|\w+day, \d)')
NOT_IN_VIEW = re.compile(r"<(header|dialog|textarea|script|title|form|h1)\b.*?</\1>", re.S)
NAME = re.compile(r"(<a [^>]*>)?<bdi>([^<]*)</bdi>")


@pytest.fixture
def pages(world, settings, tmp_path, signed_in) -> list[tuple[str, str, str]]:
    """Every page that an administrator comes to by links, a few of each kind: its kind, address and HTML."""
    filled(world, settings, tmp_path)
    return list(walked(signed_in("ada"), "/"))


def walked(browser: Client, start: str) -> Iterator[tuple[str, str, str]]:
    waiting, seen, looked = [start], {start}, Counter[str]()
    while waiting:
        address = waiting.pop(0)
        kind = resolve(address.partition("?")[0]).view_name
        looked[kind] += 1
        if kind in LEFT_OUT or looked[kind] > OFTEN:
            continue
        response = browser.get(address)
        # The rows have names that no account has.
        gone = 404 if kind == "people-named" else 200
        assert response.status_code in (200, 302, gone), f"{address}: {response.status_code}"
        page = response.content.decode() if response.status_code == 200 else ""
        yield kind, address, page
        found = [unescape(each) for each in LINK.findall(page)]
        waiting += [each for each in dict.fromkeys(found) if each not in seen and not each.startswith("/static/")]
        seen.update(found)


def test_every_link_leads_somewhere_every_name_to_its_person_and_every_time_has_its_utc(pages):
    """One walk for all of these: it takes most of the time."""
    assert len({kind for kind, _, _ in pages}) >= KINDS
    people = {user.display_name for user in User.objects.filter(pk__in=AuditEntry.objects.values("actor_id"))}
    wrong = {
        f"{address}: {each}"
        for kind, address, page in pages
        for each in [*times_without_utc(page), *(() if kind in ABOUT_PEOPLE else names_without_link(page, people))]
    }
    assert not wrong, "\n".join(sorted(wrong))


def times_without_utc(page: str) -> Iterator[str]:
    yield from (each for each in TIME.findall(page) if "datetime=" not in each or not UTC.search(each))


def names_without_link(page: str, people: set[str]) -> Iterator[str]:
    found = NAME.findall(NOT_IN_VIEW.sub("", page))
    yield from (name for link, name in found if unescape(name) in people and not link)
