"""What is kept, flagged and deleted: at, below and above every limit, and whatever the clock says."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.domain.policy import Retention
from lifecycle.domain.retention import Candidate, Delete, Flag, Keep, Protection, due_at, judge
from lifecycle.domain.stages import Stage

NOW = datetime(2026, 3, 1, tzinfo=UTC)
RULES = Retention()
LITTLE = timedelta(microseconds=1)
DAY = timedelta(days=1)


def archived(days=100, registered=400, **more):
    since, created = NOW - timedelta(days=days), NOW - timedelta(days=registered)
    return Candidate(Stage.ARCHIVED, since, created, **more)


@pytest.mark.parametrize("archived_for", [89 * DAY, 90 * DAY - LITTLE, 90 * DAY, 90 * DAY + LITTLE, 91 * DAY])
def test_archived_goes_when_its_time_is_over(archived_for):
    verdict = judge(Candidate(Stage.ARCHIVED, NOW - archived_for, NOW - 400 * DAY), RULES, NOW)
    due = NOW - archived_for + 90 * DAY
    assert verdict == (Delete(due) if archived_for >= 90 * DAY else Keep(until=due))


@pytest.mark.parametrize("age", [199 * DAY, 200 * DAY - LITTLE, 200 * DAY, 200 * DAY + LITTLE])
def test_nothing_goes_that_is_younger_than_the_minimum(age):
    rules = replace(RULES, minimum_age=200 * DAY)
    verdict = judge(Candidate(Stage.ARCHIVED, NOW - 100 * DAY, NOW - age), rules, NOW)
    assert isinstance(verdict, Delete) == (age >= 200 * DAY)
    if isinstance(verdict, Keep):
        assert verdict == Keep(until=NOW - age + 200 * DAY)


@pytest.mark.parametrize("stay", [6 * DAY, 7 * DAY - LITTLE, 7 * DAY, 7 * DAY + LITTLE])
def test_a_stay_in_staging_is_flagged_when_it_is_too_long(stay):
    verdict = judge(Candidate(Stage.STAGING, NOW - stay, NOW - 400 * DAY), RULES, NOW)
    assert verdict == (Flag(NOW - stay) if stay >= 7 * DAY else Keep(Protection.NOT_ARCHIVED))


PROTECTED = [
    (archived(serving=True), Protection.SERVING),
    (archived(in_transition=True), Protection.IN_TRANSITION),
    (archived(rollback_target=True), Protection.ROLLBACK_TARGET),
    (archived(aliased=True), Protection.ALIASED),
    (archived(held=True), Protection.HELD),
    (archived(exact_name=False), Protection.UNSAFE_NAME),
    (replace(archived(), stage=Stage.PRODUCTION), Protection.NOT_ARCHIVED),
    (replace(archived(), stage=Stage.DEVELOPMENT), Protection.NOT_ARCHIVED),
    (replace(archived(), stage_since=None), Protection.UNKNOWN_AGE),
    (replace(archived(), registered_at=None), Protection.UNKNOWN_AGE),
    (replace(archived(), stage=Stage.STAGING, stage_since=None), Protection.UNKNOWN_AGE),
    (archived(serving=True, held=True), Protection.SERVING),
]


@pytest.mark.parametrize(("candidate", "why"), PROTECTED, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize("hours", [-87600, -1, 0, 1, 87600])
def test_what_is_protected_stays_whatever_the_clock_says(candidate, why, hours):
    assert judge(candidate, RULES, NOW + timedelta(hours=hours)) == Keep(why)


def test_without_protection_the_same_version_goes():
    assert judge(archived(), RULES, NOW) == Delete(NOW - 10 * DAY)


def test_a_stage_change_in_the_future_keeps_it():
    assert judge(archived(days=-10), RULES, NOW) == Keep(until=NOW + 100 * DAY)


def test_every_protection_has_words():
    assert all(reason.label.endswith(".") for reason in Protection)


moments = st.datetimes(datetime(2000, 1, 1), datetime(2050, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - made aware


@settings(max_examples=200)
@given(
    candidate=st.builds(
        Candidate,
        stage=st.sampled_from(Stage),
        stage_since=st.none() | moments,
        registered_at=st.none() | moments,
        serving=st.booleans(),
        rollback_target=st.booleans(),
        in_transition=st.booleans(),
        aliased=st.booleans(),
        held=st.booleans(),
        exact_name=st.booleans(),
    ),
    now=moments,
)
def test_only_an_unprotected_archived_version_that_is_old_in_both_ways_goes(candidate, now):
    verdict = judge(candidate, RULES, now)
    due = due_at(candidate.stage_since, candidate.registered_at, RULES)
    free = not (
        candidate.serving or candidate.rollback_target or candidate.in_transition or candidate.aliased or candidate.held
    )
    allowed = candidate.stage == Stage.ARCHIVED and candidate.exact_name and free and due is not None and now >= due
    assert isinstance(verdict, Delete) == allowed
