from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.domain.freezes import Repeats, Window, occurrence_at, occurrences

local = datetime.fromisoformat
at = datetime.fromisoformat


def window(starts, ends, zone="Europe/Berlin", repeats=Repeats.NEVER, until=None):
    return Window(local(starts), local(ends), zone, repeats, until)


NIGHT = window("2026-03-27T22:00", "2026-03-28T06:00", repeats=Repeats.DAILY)
MONDAYS = ("2026-01-05T00:00", "2026-01-06T00:00", "UTC", Repeats.WEEKLY)
TURN_OF_THE_YEAR = window("2025-12-20T00:00", "2026-01-07T00:00", "UTC", Repeats.YEARLY)
LEAP = window("2024-02-29T00:00", "2024-03-01T00:00", "UTC", Repeats.YEARLY)


@pytest.mark.parametrize(
    ("of", "moment", "since", "until"),
    [
        (window("2026-03-01T09:30", "2026-03-01T12:00"), "2026-03-01T08:29:59Z", None, None),
        (window("2026-03-01T09:30", "2026-03-01T12:00"), "2026-03-01T08:30Z", "2026-03-01T08:30Z", "2026-03-01T11:00Z"),
        (window("2026-03-01T09:30", "2026-03-01T12:00"), "2026-03-01T11:00Z", None, None),
        # The night in which clocks go forward is an hour shorter, the one in which they go back an hour longer.
        (NIGHT, "2026-03-29T00:00Z", "2026-03-28T21:00Z", "2026-03-29T04:00Z"),
        (NIGHT, "2026-10-25T00:00Z", "2026-10-24T20:00Z", "2026-10-25T05:00Z"),
        # 02:30 does not exist on this day: it begins at 03:30.
        (window("2026-03-29T02:30", "2026-03-29T05:00"), "2026-03-29T01:30Z", "2026-03-29T01:30Z", "2026-03-29T03:00Z"),
        (window(*MONDAYS), "2026-11-23T12:00Z", "2026-11-23T00:00Z", "2026-11-24T00:00Z"),
        (window(*MONDAYS, date(2026, 11, 22)), "2026-11-23T12:00Z", None, None),
        (TURN_OF_THE_YEAR, "2030-01-03T12:00Z", "2029-12-20T00:00Z", "2030-01-07T00:00Z"),
        (LEAP, "2025-02-28T12:00Z", None, None),
        (LEAP, "2028-02-29T12:00Z", "2028-02-29T00:00Z", "2028-03-01T00:00Z"),
    ],
)  # fmt: skip
def test_the_wall_clock_of_its_place_tells_when_a_freeze_is_in_force(of, moment, since, until):
    found = occurrence_at(of, at(moment))
    assert (found and found.since, found and found.until) == (since and at(since), until and at(until))


@given(
    starts=st.datetimes(local("2024-01-01"), local("2027-01-01")),
    hours=st.integers(1, 160),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia", "Australia/Lord_Howe"]),
    repeats=st.sampled_from(Repeats),
    after=st.integers(0, 3000),
)
@settings(max_examples=60, deadline=None)
def test_every_occurrence_is_found_from_any_moment_in_it(starts, hours, zone, repeats, after):
    length = timedelta(hours=min(hours, 23) if repeats == Repeats.DAILY else hours)
    of = Window(starts.replace(microsecond=0), starts.replace(microsecond=0) + length, zone, repeats)
    since = starts.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) + timedelta(hours=after)
    for each in occurrences(of, since, since + timedelta(days=9)):
        if each.since < each.until:
            assert occurrence_at(of, each.since) == each
            assert occurrence_at(of, each.until - timedelta(seconds=1)) == each
            assert each.since.astimezone(ZoneInfo(zone)).tzinfo
