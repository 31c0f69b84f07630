"""What was live at a time: by page and by API."""

from datetime import UTC, timedelta

import pytest
from django.urls import reverse

from lifecycle.models import AuditEntry
from tests.support.world import NAME

API = f"/api/v1/models/{NAME}/live/"


def iso(at):
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


@pytest.fixture
def history(world):
    """1.0.0, then 1.1.0 over 25 %; the moments at which each was seen."""
    world.before = world.now - timedelta(minutes=1)
    world.in_production(1)
    world.in_production(2)
    entries = AuditEntry.objects.filter(action="step_reached").order_by("seq")
    world.moments = {tuple(sorted(entry.details["weights"].items())): entry for entry in entries}
    return world


def test_the_api_says_who_since_when_until_when_and_by_which_entry(history, signed_in):
    step, after = history.moments[("1", 75), ("2", 25)], history.moments[("1", 50), ("2", 50)]
    answer = signed_in("aron").get(API, {"at": iso(step.at + timedelta(seconds=1))}).json()
    assert answer["shares"] == [
        {"version": 1, "semantic_version": "1.0.0", "percent": 75},
        {"version": 2, "semantic_version": "1.1.0", "percent": 25},
    ]
    assert (answer["known"], answer["copies"], answer["transition"]) == (True, [], step.transition)
    assert (answer["since"], answer["until"]) == (iso(step.at), iso(after.at))
    entry = AuditEntry.objects.get(seq=answer["entry"]["seq"])
    assert (entry.action, entry.details["weights"]) == ("traffic_changed", {"1": 75, "2": 25})
    assert answer["ended_by"]["seq"] == entry.seq + (after.seq - step.seq)


def test_the_api_says_what_it_does_not_know_and_what_it_does_not_answer(history, signed_in):
    aron = signed_in("aron")
    before = aron.get(API, {"at": iso(history.before)}).json()
    first = iso(AuditEntry.objects.filter(details__has_key="weights").earliest("seq").at)
    assert (before["known"], before["known_since"], before["until"], before["entry"]) == (False, first, first, None)
    future = aron.get(API, {"at": iso(history.now + timedelta(days=1))})
    assert (future.status_code, future.json()["type"]) == (422, "urn:stagegate:future")
    for bad in ("yesterday", "2026-02-31T08:00:00Z", "10000-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"):
        assert aron.get(API, {"at": bad}).status_code in (200, 400), bad


def test_the_page_answers_for_times_that_a_model_can_have_lived_in(world, signed_in):
    address = reverse("live", args=[NAME])
    for bad in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00Z", "yesterday"):
        answer = signed_in("aron").get(address, {"at": bad})
        assert answer.status_code == 422, bad
        assert ("from 1970 to 2200" in answer.content.decode()) == (bad != "yesterday")


def test_the_page_shows_a_moment_in_the_viewers_zone_and_steps_through_changes(history, signed_in):
    emil, address = signed_in("emil"), reverse("live", args=[NAME])
    emil.cookies["stagegate_tz"] = "Europe/Helsinki"
    step = history.moments[("1", 75), ("2", 25)]
    page = emil.get(address, {"at": iso(step.at)}).content.decode()
    assert f'value="{(step.at + timedelta(hours=2)):%Y-%m-%dT%H:%M:%S}"' in page
    assert "75 %" in page
    assert reverse("transition", args=[step.transition]) in page
    local = emil.get(address, {"at": f"{(step.at + timedelta(hours=2, seconds=1)):%Y-%m-%dT%H:%M:%S}"})
    assert local.context["answer"].shares.weights == {1: 75, 2: 25}
    following = emil.get(address, {"at": local.context["later"]}).context["answer"]
    assert following.shares.weights == {1: 50, 2: 50}
    assert emil.get(address, {"at": iso(following.previous)}).context["answer"].shares.weights == {1: 75, 2: 25}


@pytest.mark.parametrize("at", ["tomorrow", "2999-01-01T00:00:00Z", "<script>"])
def test_the_page_says_what_is_wrong_with_a_time(world, signed_in, at):
    answer = signed_in("emil").get(reverse("live", args=[NAME]), {"at": at})
    assert answer.status_code == 422
    assert b'role="alert"' in answer.content
    assert b"<script>" not in answer.content.split(b"<main")[1]


def test_a_model_that_never_moved_a_request_is_not_known(world, signed_in):
    page = signed_in("emil").get(reverse("live", args=[NAME])).content.decode()
    assert "Stagegate has never moved any" in page
