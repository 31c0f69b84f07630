"""What people are told of, when it is tried again, and what its texts may hold."""

import unicodedata
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.domain.notices import (
    ACTIONS,
    CHOICES,
    GIVE_UP_AFTER,
    Event,
    cleaned,
    event_of,
    for_chat,
    line,
    next_try,
)

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("action", "kind", "event"),
    [
        ("transition_requested", "promotion", Event.WAITING),
        ("transition_approved", "promotion", Event.APPROVED),
        ("approval_voided", "promotion", Event.VOIDED),
        ("approval_taken_back", "archival", Event.VOIDED),
        ("bypass_voided", "promotion", Event.VOIDED),
        ("transition_rejected", "promotion", Event.REJECTED),
        ("approvals_bypassed", "promotion", Event.BYPASSED),
        ("rollout_paused", "promotion", Event.HELD),
        ("limit_breached", "", Event.HELD),
        ("traffic_back", "promotion", Event.ROLLED_BACK),
        ("traffic_back", "rollback", Event.ROLLED_BACK),
        ("traffic_back", "drill", None),
        ("traffic_back", "reconciliation", None),
        ("transition_rolled_back", "promotion", Event.ROLLED_BACK),
        ("transition_finished", "rollback", Event.ROLLED_BACK),
        ("transition_finished", "promotion", Event.FINISHED),
        ("transition_finished", "drill", Event.FINISHED),
        ("transition_failed", "promotion", Event.FAILED),
        ("step_reached", "promotion", None),
        ("traffic_changed", "promotion", None),
        ("execution_started", "promotion", None),
        ("rollback_requested", "rollback", None),
        ("transition_cancelled", "promotion", None),
    ],
)
def test_what_an_entry_of_the_record_tells(action, kind, event):
    assert event_of(action, kind) == event
    assert (action in ACTIONS) or event is None


def test_every_event_has_words():
    assert all(event.label and event.audience for event in Event)
    assert Event.TEST not in CHOICES


def test_it_is_tried_again_later_and_later_for_a_day():
    at, pauses = NOW, []
    while (again := next_try(len(pauses) + 1, NOW, at)) is not None:
        pauses.append(again - at)
        at = again
    assert pauses[:4] == [timedelta(minutes=minutes) for minutes in (1, 2, 4, 8)]
    assert max(pauses) == timedelta(hours=2)
    assert GIVE_UP_AFTER - timedelta(hours=2) <= at - NOW < GIVE_UP_AFTER


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\r\nBcc: everybody@example.org", "two Bcc: everybody@example.org"),
        ("evil\u202egnp.exe", "evilgnp.exe"),
        ("a\x00b\u200bc", "abc"),
        ("https://evil.example/login", "https: //evil.example/login"),
        ("  many \u2028 lines \u3000 ", "many lines"),
        ("Größe µ 模型", "Größe µ 模型"),
    ],
)
def test_a_line_holds_nothing_that_could_do_anything(text, shown):
    assert line(text) == shown


@settings(max_examples=60)
@given(st.text(max_size=400), st.integers(2, 200))
def test_a_line_is_bounded_and_visible(text, longest):
    shown = line(text, longest)
    assert len(shown) <= longest
    assert all(unicodedata.category(each) not in ("Cc", "Cf", "Zl", "Zp") for each in shown)
    assert "://" not in shown


def test_facts_are_cleaned_in_any_depth():
    facts = {"what\n": ["a\u202eb", {"why": "x" * 1000}], "seconds": 1.5, "none": None}
    found = cleaned(facts)
    assert found["what"][0] == "ab"
    assert len(found["what"][1]["why"]) == 600
    assert (found["seconds"], found["none"]) == (1.5, None)


def test_nobody_is_called_by_a_name_in_a_chat_room():
    facts = {"what": "@everyone <!channel> [click](x)", "missing": ["@here"], "count": 2}
    found = for_chat(facts)
    assert not set("@<>[]") & set(found["what"] + found["missing"][0])
    assert found["count"] == 2
