from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lifecycle.domain import durations

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        (90, timedelta(seconds=90)),
        (2.5, timedelta(seconds=2.5)),
        (HOUR, HOUR),
        ("0s", timedelta(0)),
        ("24h", DAY),
        ("7d", 7 * DAY),
        ("1w", 7 * DAY),
        ("10m", timedelta(minutes=10)),
        ("10min", timedelta(minutes=10)),
        ("90s", timedelta(seconds=90)),
        ("500ms", timedelta(milliseconds=500)),
        ("2.5s", timedelta(seconds=2.5)),
        ("1h 30m", 1.5 * HOUR),
        (" 1 h30 m ", 1.5 * HOUR),
        ("-5s", timedelta(seconds=-5)),
        ("PT24H", DAY),
        ("P1DT12H", 1.5 * DAY),
    ],
)
def test_what_people_write_is_read(text, length):
    assert durations.parse(text) == length


@pytest.mark.parametrize(
    "text",
    [
        *("", "h", "90", "1x", "1h1h", "1m 1h", "1h, 2m", "10:00", "1e3s", "P", "PT", "x" * 1000, "9" * 99 + "h"),
        *("999999999999w", True, None, [], float("nan"), float("inf"), 1e300, 10**400),
    ],
)
def test_what_is_no_length_of_time_is_refused_with_examples(text):
    with pytest.raises(durations.DurationError, match="24h, 7d"):
        durations.parse(text)


@pytest.mark.parametrize(
    ("length", "text", "words"),
    [
        (timedelta(0), "0s", "0 seconds"),
        (timedelta(milliseconds=500), "500ms", "500 ms"),
        (timedelta(microseconds=1), "0.000001s", "0.000001 seconds"),
        (timedelta(seconds=1), "1s", "1 second"),
        (timedelta(seconds=2.5), "2.5s", "2.5 seconds"),
        (timedelta(seconds=90), "1m 30s", "1 minute 30 seconds"),
        (DAY, "24h", "24 hours"),
        (1.5 * DAY, "36h", "36 hours"),
        (30 * DAY, "30d", "30 days"),
        (2 * DAY + HOUR, "2d 1h", "2 days 1 hour"),
        (timedelta(seconds=-90), "-1m 30s", "-1 minute 30 seconds"),
    ],
)
def test_a_length_is_written_and_said_in_one_way(length, text, words):
    assert (durations.write(length), durations.say(length)) == (text, words)


@given(st.timedeltas(min_value=timedelta(days=-36_500), max_value=timedelta(days=36_500)))
def test_what_is_written_is_read_back_to_the_microsecond(length):
    assert durations.parse(durations.write(length)) == length
