"""A page of the record is what a search through all of it would give, whichever index leads there."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from lifecycle import queries_record
from lifecycle.models import AuditEntry
from lifecycle.queries import RecordFilter, record_entries
from tests.support.many_entries import START, write_entries

pytestmark = pytest.mark.django_db
FILTERS = [
    RecordFilter(),
    RecordFilter(actor="person 7"),
    RecordFilter(actor="PERSON 1"),
    RecordFilter(actor="person"),
    RecordFilter(actor="nobody"),
    RecordFilter(actor="_"),
    RecordFilter(actor="Person 3", since=START + timedelta(seconds=20), until=START + timedelta(seconds=90)),
    RecordFilter(since=START + timedelta(seconds=20), until=START + timedelta(seconds=90)),
    RecordFilter(until=START),
    RecordFilter(model="model-3", refused=False),
    RecordFilter(refused=True),
    RecordFilter(action="approved", version=8),
]


@pytest.fixture
def few(monkeypatch):
    """Pages of 4 of a record with 120 entries, of 40 people."""
    monkeypatch.setattr(queries_record, "PAGE_SIZE", 4)
    monkeypatch.setattr(queries_record, "COUNTED", 10)
    write_entries(120, transition=None)


@pytest.mark.parametrize("wanted", FILTERS, ids=str)
def test_going_through_all_pages_and_back(few, wanted):
    expected = list(record_entries(wanted).values_list("seq", flat=True))
    page, there, pages = _page(wanted), [], []
    while page.entries:
        pages.append(page)
        there += [each.seq for each in page.entries]
        if page.older is None:
            break
        page = _page(wanted, before=page.older)
    assert there == expected
    assert page.counted.exact == (len(expected) <= 10 or wanted == RecordFilter())
    for earlier, later in pairwise(pages):
        assert later.newer is not None
        assert _page(wanted, after=later.newer).entries == earlier.entries


def _page(wanted, **where):
    return queries_record.record_page(wanted, queries_record.proof().last, **where)


def test_clocks_that_disagree_lose_no_entry(few):
    """Between two moments the order is that of the times: a page goes on where the one before has ended."""
    last = START + timedelta(seconds=30)
    write_entries(6, at=last, transition=None)
    wanted = RecordFilter(since=last - timedelta(seconds=2), until=last + timedelta(seconds=3))
    found, page = [], _page(wanted)
    while page.entries:
        found += [each.seq for each in page.entries]
        page = _page(wanted, before=page.entries[-1].seq)
    assert found == [32, 31, 126, 125, 124, 123, 122, 121, 30, 29, 28]


def test_every_action_is_named_once(few):
    assert queries_record.recorded_actions() == sorted(set(AuditEntry.objects.values_list("action", flat=True)))
