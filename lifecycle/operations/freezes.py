"""Planning times in which no change is carried out, and taking them back."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import available_timezones

from lifecycle import freezes
from lifecycle.audit import record
from lifecycle.dispatch import wake
from lifecycle.domain.freezes import LONGEST, Repeats, Window
from lifecycle.domain.permissions import Action, Actor
from lifecycle.models import FreezeWindow, RegisteredModel, Status, Team, Transition
from lifecycle.operations.common import need_reason, recorded
from lifecycle.transitions import RefusedError

YEARS = (2000, 2200)
PERIODS = {Repeats.DAILY: 1, Repeats.WEEKLY: 7, Repeats.YEARLY: 365}
"""Days after which a window comes back: it has to end before."""


class FreezeRefusedError(RefusedError):
    """``field`` names what is wrong: ``name``, ``zone``, ``starts``, ``ends``, ``repeats``, ``until`` or ``team``."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message, rule=f"freeze_{field}", status=422)
        self.field = field


def plan_freeze(
    *,
    name: str,
    starts: datetime,
    ends: datetime,
    zone: str,
    reason: str,
    actor: Actor,
    now: datetime,
    repeats: str = Repeats.NEVER,
    until: date | None = None,
    model: RegisteredModel | None = None,
    team: Team | None = None,
) -> FreezeWindow:
    """Hold the changes of a model, of a team's models, or of all, from ``starts`` until ``ends``.

    Both are wall-clock times in ``zone`` without an offset. ``until`` is the last local date on which a window that
    comes back may start. Raises FreezeRefusedError for values that make no window, else RefusedError.
    """
    here = actor.at(team.pk) if team else actor
    with recorded(Action.PLAN_FREEZE, here, now, model=model, reason=reason) as actor:
        cleaned = need_reason(reason)
        window = _window(starts, ends, zone, repeats, until)
        if model is not None and team is not None:
            raise FreezeRefusedError("Choose a model or a team, not both.", "team")
        row = FreezeWindow.objects.create(
            name=_name(name),
            model=model,
            team=team,
            zone=window.zone,
            starts=window.starts.isoformat(timespec="minutes"),
            ends=window.ends.isoformat(timespec="minutes"),
            repeats=window.repeats,
            until=window.until,
            reason=cleaned,
            created_by_name=actor.name,
            created_at=now,
        )
        record("freeze_planned", actor=actor, now=now, model=model, reason=cleaned, details=_details(row))
        return row


def remove_freeze(*, freeze: FreezeWindow, reason: str, actor: Actor, now: datetime) -> FreezeWindow:
    """End a freeze for good: what it holds goes on at once. Raises RefusedError."""
    here = actor.at(freeze.team_id) if freeze.team_id else actor
    with recorded(Action.PLAN_FREEZE, here, now, model=freeze.model, reason=reason) as actor:
        cleaned = need_reason(reason)
        removed = {"removed_at": now, "removed_by_name": actor.name, "removed_reason": cleaned}
        if FreezeWindow.objects.filter(pk=freeze.pk, removed_at=None).update(**removed) != 1:
            raise RefusedError(
                "This freeze has been removed already: it holds nothing any more.", rule="already_removed"
            )
        record("freeze_removed", actor=actor, now=now, model=freeze.model, reason=cleaned, details=_details(freeze))
        _let_go_on(freeze, now)
        freeze.refresh_from_db()
        return freeze


def _window(starts: datetime, ends: datetime, zone: str, repeats: str, until: date | None) -> Window:
    if zone not in available_timezones():
        raise FreezeRefusedError("Choose a time zone from the list, such as Europe/Berlin.", "zone")
    if starts.tzinfo is not None or ends.tzinfo is not None:
        raise FreezeRefusedError("Write times as the clock there shows them, without an offset.", "starts")
    if not all(YEARS[0] <= each.year <= YEARS[1] for each in (starts, ends)):
        raise FreezeRefusedError(f"Choose years from {YEARS[0]} to {YEARS[1]}.", "starts")
    if repeats not in set(Repeats):
        raise FreezeRefusedError("Choose how often it comes back: never, daily, weekly or yearly.", "repeats")
    chosen = Repeats(repeats)
    length = ends - starts
    if length <= timedelta():
        raise FreezeRefusedError("It has to end after it starts.", "ends")
    if length > LONGEST:
        raise FreezeRefusedError(
            f"A freeze lasts {LONGEST.days} days at most; plan several, or change the policy.", "ends"
        )
    if chosen in PERIODS and length.days >= PERIODS[chosen]:
        raise FreezeRefusedError(
            "It would begin again before it has ended: shorten it, or let it come back later.", "ends"
        )
    if until is not None and (chosen == Repeats.NEVER or until < starts.date()):
        raise FreezeRefusedError("The last day belongs to a window that comes back, and lies after its start.", "until")
    return Window(starts, ends, zone, chosen, until)


def _name(name: str) -> str:
    cleaned = " ".join(name.split())
    if not 1 <= len(cleaned) <= 100:
        raise FreezeRefusedError("Give it a name of up to 100 characters, such as “End of the quarter”.", "name")
    return cleaned


def _details(row: FreezeWindow) -> dict[str, object]:
    return {
        "freeze": row.pk,
        "name": row.name,
        "team": row.team.name if row.team else None,
        "starts": row.starts,
        "ends": row.ends,
        "zone": row.zone,
        "repeats": row.repeats,
        "until": row.until.isoformat() if row.until else None,
    }


def _let_go_on(freeze: FreezeWindow, now: datetime) -> None:
    waiting = Transition.objects.filter(status=Status.APPROVED, checked_at=None)
    if freeze.model_id is not None:
        waiting = waiting.filter(model=freeze.model_id)
    elif freeze.team_id is not None:
        waiting = waiting.filter(model__team=freeze.team_id)
    keys = [row.pk for row in waiting.select_related("model") if freezes.holding(row, now) is None]
    Transition.objects.filter(pk__in=keys).update(due_at=now)
    for pk in keys:
        wake(pk)
