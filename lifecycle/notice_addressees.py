"""Who is told: people by their part in a change, and the channels of a model."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet

from lifecycle import people
from lifecycle.approvals import standing, still_missing
from lifecycle.domain.approval import ApprovalRefusedError, check_approver
from lifecycle.domain.notices import CHOICES, Event
from lifecycle.domain.permissions import ALLOWED, Action, Role
from lifecycle.models import Channel, Kind, RegisteredModel, Status, Transition

DECIDES = "your yes is one of those that it takes"
ASKED = "you asked for it"
APPROVED = "you approved it"
REVIEWS = "you can review it"
LETS_GO_ON = "you can let it go on"
OWNS = "you are a product owner or ML engineer of this model"
BROUGHT_IN = "you had a part in bringing this version into use"

Reasons = Mapping[int, str]
"""Why each of these users is told, by their key."""


def of_transition(event: Event, row: Transition) -> Reasons:
    """Everybody who is told of this event by their part in the transition, whoever has just acted included."""
    if event == Event.WAITING:
        return deciders(row)
    if event == Event.APPROVED:
        return dict.fromkeys(_askers(row), ASKED)
    found = dict(_involved(row))
    if event == Event.VOIDED:
        return {**found, **deciders(row)}
    if event == Event.BYPASSED:
        return {**_with(Action.REVIEW_BYPASS, row, REVIEWS), **found}
    if event == Event.HELD and row.asks_person:
        return {**_with(Action.ADVANCE_ROLLOUT, row, LETS_GO_ON), **found}
    if event == Event.ROLLED_BACK:
        return found or owners(row.model)
    return found


def deciders(row: Transition) -> Reasons:
    """Everybody whose yes would count now."""
    if row.status != Status.AWAITING_APPROVAL:
        return {}
    asked_by = people.of(row.asked_by or [row.requested_by_id or 0])
    decided_by = people.of(each.person_id for each in standing(row))
    missing = still_missing(row)
    found = {}
    for each in people.approvers(row.model):
        try:
            check_approver(approver=each, asked_by=asked_by, decided_by=decided_by, required=missing)
        except ApprovalRefusedError:
            continue
        found[each.user_id] = DECIDES
    return found


def owners(model: RegisteredModel) -> Reasons:
    """The product owners and ML engineers of a model."""
    wanted = {Role.PRODUCT_OWNER, Role.ML_ENGINEER}
    return {each.user_id: OWNS for each in people.approvers(model) if each.roles & wanted and not each.shared}


def _with(action: Action, row: Transition, why: str) -> Reasons:
    """Whoever may do this for the model, but those who asked for the transition."""
    asked = set(_askers(row))
    found = people.approvers(row.model)
    return {each.user_id: why for each in found if each.roles & ALLOWED[action] and each.user_id not in asked}


def _involved(row: Transition) -> Iterator[tuple[int, str]]:
    if row.kind == Kind.ROLLBACK:
        yield from ((person, BROUGHT_IN) for person in _brought_in(row))
    yield from ((person, APPROVED) for person in _approvers(row))
    yield from ((person, ASKED) for person in _askers(row))


def _brought_in(rollback: Transition) -> set[int]:
    """Whoever asked for, or approved, the last change that brought this version to where it is rolled back from."""
    rows = Transition.objects.filter(version=rollback.version_id, kind=Kind.PROMOTION, status=Status.FINISHED)
    promotion = rows.filter(to_stage=rollback.from_stage, pk__lt=rollback.pk).order_by("-pk").first()
    return {*_askers(promotion), *_approvers(promotion)} if promotion else set()


def _askers(row: Transition) -> list[int]:
    return [row.requested_by_id] if row.requested_by_id else []


def _approvers(row: Transition) -> Iterable[int]:
    """Everybody who said yes, even if that is void by now."""
    return (each.person_id for each in row.approvals.all() if each.approved)


# ---------------------------------------------------------------- who can be reached


def reachable(event: Event, keys: Collection[int]) -> QuerySet[Any]:
    """Those of these users who get e-mail of this event."""
    users = get_user_model().objects
    if not settings.MAIL_URL:
        return users.none()
    found = users.filter(pk__in=keys, is_active=True).exclude(email="").exclude(role_assignments__role=Role.SERVICE)
    muted = [user.pk for user in found.select_related("notice_setting") if is_muted(event, user)]
    return found.exclude(pk__in=muted)


def is_muted(event: Event, user: Any) -> bool:
    """Whether this person, read with ``notice_setting``, wants no e-mail of this event."""
    setting = getattr(user, "notice_setting", None)
    return event in CHOICES and setting is not None and event.value in setting.muted


def channels_for(event: Event, teams: Collection[int]) -> list[Channel]:
    """The channels that hear of this event for models of one of these teams; those of no team hear of every model."""
    found = Channel.objects.filter(Q(team=None) | Q(team__in=teams), removed_at=None)
    return [each for each in found if event.value in each.events]
