"""Freezes in words, as a month, and on the nights when the clocks change."""

from datetime import UTC, date, datetime, time

import pytest

from lifecycle.domain.freeze_calendar import clock_note, in_words, month, month_limits
from lifecycle.domain.freezes import Repeats, Window, occurrences

BERLIN = "Europe/Berlin"


def at(text):
    return datetime.fromisoformat(text)


def window(starts, ends, repeats=Repeats.NEVER, until=None, zone=BERLIN):
    return Window(at(starts), at(ends), zone, repeats, until)


@pytest.mark.parametrize(
    ("planned", "words"),
    [
        (window("2026-12-23T18:00", "2027-01-04T08:00"), "once, from 23 Dec 2026, 18:00 to 4 Jan 2027, 08:00"),
        (
            window("2026-03-06T18:00", "2026-03-09T08:00", Repeats.WEEKLY),
            "every week from Friday, 18:00 to Monday, 08:00, for the first time on 6 Mar 2026",
        ),
        (
            window("2026-03-06T22:00", "2026-03-07T06:00", Repeats.DAILY, date(2026, 4, 1)),
            "every day from 22:00 to 06:00 the next day, for the first time on 6 Mar 2026, until 1 Apr 2026",
        ),
        (
            window("2026-12-23T18:00", "2027-01-04T08:00", Repeats.YEARLY),
            "every year from 23 December, 18:00 to 4 January, 08:00, for the first time on 23 Dec 2026",
        ),
    ],
)
def test_words(planned, words):
    assert in_words(planned) == words


@pytest.mark.parametrize(
    ("planned", "note"),
    [
        (window("2026-03-10T02:30", "2026-03-10T05:00"), ""),
        (window("2026-03-29T02:30", "2026-03-29T05:00"), "skip 02:30 that night: it begins at 03:30."),
        (window("2026-03-28T22:00", "2026-03-29T02:15"), "skip 02:15 that night: it ends at 03:15."),
        (window("2026-10-25T02:30", "2026-10-25T05:00"), "02:30 comes twice there that night: it begins at the first."),
        (window("2026-03-28T18:00", "2026-03-29T18:00"), "1 h shorter than the clock says, because the clocks go forw"),
        (window("2026-10-24T18:00", "2026-10-25T18:00"), "1 h longer than the clock says, because the clocks go back"),
        (window("2026-10-24T18:00", "2026-10-25T18:00", zone="UTC"), ""),
    ],
)
def test_what_summer_time_does_is_said(planned, note):
    found = next(occurrences(planned, datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)))
    said = clock_note(planned, found)
    assert note in said if note else said == ""


def test_a_month_by_another_clock():
    planned = window("2026-03-06T18:00", "2026-03-09T00:00", Repeats.WEEKLY)
    since, until = month_limits(date(2026, 3, 1), "America/New_York")
    found = [(7, each) for each in occurrences(planned, since, until)]
    weeks = month(date(2026, 3, 1), found, "America/New_York")
    days = {day.date: day for week in weeks for day in week}
    assert [len(week) for week in weeks] == [7] * len(weeks)
    assert weeks[0][0].date == date(2026, 2, 23)
    assert (days[date(2026, 2, 28)].in_month, days[date(2026, 3, 1)].in_month) == (False, True)
    assert days[date(2026, 3, 5)].marks == ()
    (friday,) = days[date(2026, 3, 6)].marks
    (saturday,) = days[date(2026, 3, 7)].marks
    (sunday,) = days[date(2026, 3, 8)].marks
    assert (friday.key, friday.begins, friday.ends) == (7, time(12), None)
    assert (saturday.begins, saturday.ends) == (None, None)
    # New York has put its clocks forward that night, Berlin not yet.
    assert (sunday.begins, sunday.ends) == (None, time(19))
    assert days[date(2026, 3, 9)].marks == ()


def test_a_window_that_ends_at_midnight_leaves_the_next_day_alone():
    planned = window("2026-03-10T00:00", "2026-03-11T00:00")
    found = [(1, each) for each in occurrences(planned, *month_limits(date(2026, 3, 1), BERLIN))]
    days = {day.date: day.marks for week in month(date(2026, 3, 1), found, BERLIN) for day in week}
    (whole,) = days[date(2026, 3, 10)]
    assert (whole.begins, whole.ends, days[date(2026, 3, 11)]) == (None, None, ())
