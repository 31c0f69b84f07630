"""What people are told of outside of the portal, who hears of it, when it is tried again, and what its texts may hold.

A notice is made from an entry of the record (``event_of``), from something that is so for a while (a rollout that
waits for a person, a freeze), or from the clean-up's plan. What it says comes from people and from the registry, so it
passes ``line`` or ``cleaned`` before it is kept.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any


class Event(StrEnum):
    """What a notice tells of. The values are kept in settings of people and channels: they never change."""

    WAITING = "waiting"
    APPROVED = "approved"
    VOIDED = "voided"
    REJECTED = "rejected"
    BYPASSED = "bypassed"
    HELD = "held"
    ROLLED_BACK = "rolled_back"
    FINISHED = "finished"
    FAILED = "failed"
    RETENTION_DUE = "retention_due"
    TEST = "test"

    @property
    def label(self) -> str:
        return _LABELS[self]

    @property
    def audience(self) -> str:
        """Who hears of it, as a part of a sentence."""
        return _AUDIENCES[self]


_LABELS = {
    Event.WAITING: "A change waits for approval",
    Event.APPROVED: "A change is approved",
    Event.VOIDED: "An approval is void",
    Event.REJECTED: "A change is rejected",
    Event.BYPASSED: "A change goes on without its approvals",
    Event.HELD: "A change is held",
    Event.ROLLED_BACK: "A version is rolled back",
    Event.FINISHED: "A change is finished",
    Event.FAILED: "A change has failed",
    Event.RETENTION_DUE: "Versions will be deleted soon",
    Event.TEST: "A test",
}
_INVOLVED = "whoever asked for it and whoever approved it"
_AUDIENCES = {
    Event.WAITING: "everybody whose yes it still takes",
    Event.APPROVED: "whoever asked for it",
    Event.VOIDED: f"{_INVOLVED}, and everybody whose yes it takes now",
    Event.REJECTED: _INVOLVED,
    Event.BYPASSED: f"{_INVOLVED}, and everybody who can review it",
    Event.HELD: f"{_INVOLVED}, and everybody who can let it go on",
    Event.ROLLED_BACK: f"{_INVOLVED}; where there is nobody, the product owners and ML engineers of the model",
    Event.FINISHED: _INVOLVED,
    Event.FAILED: _INVOLVED,
    Event.RETENTION_DUE: "the product owners and ML engineers of the models, once a week",
    Event.TEST: "whoever asked for it",
}

CHOICES = tuple(event for event in Event if event != Event.TEST)
"""The events that a person may mute and a channel may hear of."""

TELLS_DOER = frozenset({Event.ROLLED_BACK, Event.FINISHED, Event.FAILED})
"""Events that come some time after a click: whoever clicked hears of them too."""

# ---------------------------------------------------------------- from the record

_OF_ACTIONS = {
    "transition_requested": Event.WAITING,
    "transition_approved": Event.APPROVED,
    "approval_voided": Event.VOIDED,
    "approval_taken_back": Event.VOIDED,
    "bypass_voided": Event.VOIDED,
    "transition_rejected": Event.REJECTED,
    "approvals_bypassed": Event.BYPASSED,
    "rollout_paused": Event.HELD,
    "limit_breached": Event.HELD,
    "traffic_back": Event.ROLLED_BACK,
    "transition_rolled_back": Event.ROLLED_BACK,
    "transition_finished": Event.FINISHED,
    "transition_failed": Event.FAILED,
}
ACTIONS = frozenset(_OF_ACTIONS)
"""The actions of the record that people are told of. The steps of a rollout are not among them."""

_GOES_BACK = "rollback"
_CHANGES = ("promotion", "archival", _GOES_BACK)


def event_of(action: str, kind: str) -> Event | None:
    """The event that an action of the record is, None for none; ``kind`` is the transition's, "" without one.

    A rollback is told once its requests are back, and not a second time at its end.
    """
    event = _OF_ACTIONS.get(action)
    if event == Event.FINISHED and kind == _GOES_BACK:
        return Event.ROLLED_BACK
    if event == Event.ROLLED_BACK and kind not in _CHANGES:
        return None
    return event


# ---------------------------------------------------------------- trying again

FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=2)
GIVE_UP_AFTER = timedelta(hours=24)


def next_try(attempts: int, created_at: datetime, now: datetime) -> datetime | None:
    """When to try again after so many failed attempts; None: it is given up, a day after it was made."""
    doubled: timedelta = FIRST_PAUSE * 2 ** min(max(attempts - 1, 0), 20)
    at = now + min(doubled, LONGEST_PAUSE)
    return at if at < created_at + GIVE_UP_AFTER else None


# ---------------------------------------------------------------- what texts may hold

LONGEST_NAME = 120
LONGEST_TEXT = 600
LONGEST_SUBJECT = 180
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_BREAKS = frozenset({"Zs", "Zl", "Zp"})
_IN_CHAT = str.maketrans({"<": "\u2039", ">": "\u203a", "[": "(", "]": ")", "`": "'", "@": "(at)"})


def line(value: object, longest: int = LONGEST_NAME) -> str:
    """One line of visible characters, cut to so many: nothing in it ends a header, turns the direction of writing, or
    becomes a link by itself."""
    shown = " ".join("".join(_visible(each) for each in str(value)[: 4 * longest]).split())
    shown = shown.replace("://", ": //")
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category in _BREAKS or character in "\t\n\r\v\f\x85":
        return " "
    return "" if category in _UNSEEN else character


def cleaned(value: Any, longest: int = LONGEST_TEXT) -> Any:
    """A JSON value whose texts, names included, have all been through ``line``."""
    if isinstance(value, str):
        return line(value, longest)
    if isinstance(value, Mapping):
        return {line(name): cleaned(each, longest) for name, each in value.items()}
    return [cleaned(each, longest) for each in value] if isinstance(value, list | tuple) else value


def for_chat(value: Any) -> Any:
    """A cleaned JSON value in which nothing calls anybody (``@everyone``) or is a link in a chat room's own markup."""
    if isinstance(value, str):
        return value.translate(_IN_CHAT)
    if isinstance(value, Mapping):
        return {name: for_chat(each) for name, each in value.items()}
    return [for_chat(each) for each in value] if isinstance(value, list) else value
