"""Telling owners once a week what the clean-up will delete in the two weeks to come."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from lifecycle import notice_addressees, people
from lifecycle.domain.notices import Event, cleaned
from lifecycle.domain.permissions import Role
from lifecycle.models import ModelVersion, Notice, NoticeCursor, RegisteredModel
from lifecycle.queries_retention import outlook

AHEAD = timedelta(days=14)
"""Twice the time between two notices, so that every version is announced a week ahead at the least."""
LISTED = 10
CHUNK = 500
OWNERS = frozenset({Role.PRODUCT_OWNER, Role.ML_ENGINEER})
BECAUSE = "you are a product owner or ML engineer of these models"

Going = Mapping[int | None, Sequence[tuple[datetime, str]]]
"""By the key of the team that owns the model, None for nobody: when each version goes, and its name; soonest first."""


def tell(*, now: datetime) -> bool:
    """Write this week's notices; False when that has been done already."""
    cursor = NoticeCursor.objects.order_by("pk").first()
    if cursor is None or _week(cursor.retention_told_at) == _week(now):
        return False
    going = _going(now)
    rows = [*_for_people(going, now), *_for_channels(going, now)]
    with transaction.atomic():
        seen = NoticeCursor.objects.filter(pk=cursor.pk, retention_told_at=cursor.retention_told_at)
        if seen.update(retention_told_at=now) != 1:
            return False
        Notice.objects.bulk_create(rows, ignore_conflicts=True)
        return True


def _week(at: datetime | None) -> tuple[int, int] | None:
    return at.isocalendar()[:2] if at else None


def _going(now: datetime) -> Going:
    entries = [(at, key) for at, key in outlook(now).going if at <= now + AHEAD]
    found: dict[int | None, list[tuple[datetime, str]]] = defaultdict(list)
    for start in range(0, len(entries), CHUNK):
        part = entries[start : start + CHUNK]
        rows = ModelVersion.objects.select_related("model").only("version", "tags", "model__name", "model__team")
        known = rows.in_bulk([key for _, key in part])
        for at, key in part:
            if key in known:
                found[known[key].model.team_id].append((at, str(known[key])))
    return found


def _for_people(going: Going, now: datetime) -> Iterable[Notice]:
    teams = _teams_of_owners(going)
    for person in notice_addressees.reachable(Event.RETENTION_DUE, teams):
        yield _notice(going, teams[person.pk], now, BECAUSE, person=person)


def _teams_of_owners(going: Going) -> dict[int, list[int | None]]:
    """The owners, and the teams whose versions concern each of them."""
    found: dict[int, list[int | None]] = defaultdict(list)
    for team in going:
        for each in people.approvers(RegisteredModel(team_id=team)):
            if each.roles & OWNERS and not each.shared:
                found[each.user_id].append(team)
    return found


def _for_channels(going: Going, now: datetime) -> Iterable[Notice]:
    for channel in notice_addressees.channels_for(Event.RETENTION_DUE, [team for team in going if team is not None]):
        teams = list(going) if channel.team_id is None else [channel.team_id]
        if teams:
            yield _notice(going, teams, now, "", channel=channel)


def _notice(going: Going, teams: Collection[int | None], now: datetime, because: str, **to: Any) -> Notice:
    versions = sorted(each for team in teams for each in going.get(team, ()))
    year, week = now.isocalendar()[:2]
    facts = {
        "what": "Retention",
        "count": len(versions),
        "versions": [{"name": name, "at": at.isoformat()} for at, name in versions[:LISTED]],
        "more": max(len(versions) - LISTED, 0),
        "until": (now + AHEAD).isoformat(),
        "link": "/retention/",
        "because": because,
    }
    key = f"{Event.RETENTION_DUE}:{year}-{week:02d}"
    return Notice(event=Event.RETENTION_DUE, key=key, facts=cleaned(facts), created_at=now, due_at=now, **to)
