"""What the pages that list something ask the database: few questions, and no more of them for more rows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from lifecycle import model_index
from lifecycle.domain.stages import Stage
from lifecycle.models import (
    Deletion,
    DeletionStatus,
    FreezeWindow,
    Hold,
    ModelVersion,
    Notice,
    Policy,
    RegisteredModel,
    Team,
    Transition,
)
from portal.accounts.models import RoleAssignment, User
from tests.support.many_entries import write_entries

MOST_QUERIES = 12
SCREENS = [
    ("priya", "/"),
    ("priya", "/models/"),
    ("priya", "/versions/"),
    ("priya", "/policies/"),
    ("priya", "/freezes/"),
    ("priya", "/retention/"),
    ("priya", "/retention/?show=protected"),
    ("priya", "/retention/?show=holds"),
    ("priya", "/retention/?show=deleted"),
    ("aron", "/record/"),
    ("aron", "/record/?actor=Person&model=model-1&since=2026-01-01T00:00:01"),
    ("aron", "/record/exports/"),
    ("ada", "/settings/people/"),
    ("ada", "/settings/channels/"),
    ("ada", "/settings/notices/?show=dropped"),
    ("priya", "/settings/teams/"),
    ("priya", "/settings/teams/owners-of-iris/"),
    ("priya", "/account/notices/"),
    ("priya", "/account/tokens/"),
    ("priya", "/account/"),
    ("priya", "/inbox/count/"),
]


@pytest.mark.parametrize(("name", "address"), SCREENS)
def test_more_rows_take_no_more_queries(world, signed_in, name, address):
    asked = world.request(2, Stage.STAGING)
    team = Team.objects.create(name="Owners of iris", slug="owners-of-iris")
    browser = signed_in(name)
    _grow(asked, team, 0, 2)
    few = _queries(browser, address)
    _grow(asked, team, 2, 9)
    assert _queries(browser, address) == few
    assert few <= MOST_QUERIES


def _queries(browser, address):
    """Of the second request: what the first one has put into the cache, it put there for whoever comes after it."""
    browser.get(address)
    with CaptureQueriesContext(connection) as seen:
        assert browser.get(address).status_code == 200
    return len(seen)


def _grow(asked, team, first, last):
    """One row more of everything that the pages list, for each number: what waits is a copy of ``asked``."""
    now, general = asked.requested_at, Policy.objects.latest("number")
    for number in range(first, last):
        row = Transition.objects.select_related("version").get(pk=asked.pk)
        model = RegisteredModel.objects.create(name=f"model-{number}", slug=f"model-{number}", team=team)
        archived = ModelVersion.objects.create(
            model=model, version=1, stage="Archived", stage_since=now - timedelta(days=95), created_at=now
        )
        row.version.pk, row.version.model, row.version.stage = None, model, "Staging"
        row.version.save()
        row.pk, row.model, row.version = None, model, row.version
        row.save(force_insert=True)
        person = User.objects.create(username=f"person-{number}", first_name="Person", last_name=str(number))
        RoleAssignment.objects.create(user=person, role="ml_engineer", team=team)
        Policy.objects.create(
            number=general.number + number + 1, model=model, body=general.body, created_by="ada", created_at=now
        )
        Hold.objects.create(version=archived, reason="A court asked.", placed_by="aron", placed_at=now)
        Deletion.objects.create(version=row.version, status=DeletionStatus.DONE, planned_at=now, finished_at=now)
        _freeze(number, model, now)
        Notice.objects.create(
            event="waiting", key=str(number), person=person, model=model, state="dropped", created_at=now, due_at=now
        )
        model_index.refresh([model.pk])
    write_entries(5 * (last - first))


def _freeze(number, model, now):
    FreezeWindow.objects.create(
        name=f"Freeze {number}",
        model=model,
        zone="UTC",
        starts=f"{now + timedelta(days=1):%Y-%m-%dT%H:%M}",
        ends=f"{now + timedelta(days=2):%Y-%m-%dT%H:%M}",
        reason="Nobody is there.",
        created_by_name="ada",
        created_at=now,
    )
