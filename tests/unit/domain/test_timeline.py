"""A model's past: who held which stage when, told by what became of its transitions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from lifecycle.domain.timeline import Band, Change, Happened, Lane, ticks, timeline

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
DAY = timedelta(days=1)


def ago(days: float) -> datetime:
    return NOW - days * DAY


def promotion(key, version, days, to="Production", status="finished", served=None, **more) -> Change:
    """Asked for a day before, begun half a day before it ended."""
    return Change(
        key=key,
        version=version,
        kind="promotion",
        from_stage="Development" if to == "Staging" else "Staging",
        to_stage=to,
        status=status,
        asked_at=ago(days + 1),
        started_at=ago(days + 0.5),
        finished_at=ago(days),
        served=served,
        **more,
    )


def rollback(key, version, back_to, days, to="Archived", frm="Production", **more) -> Change:
    return Change(
        key=key,
        version=version,
        kind="rollback",
        from_stage=frm,
        to_stage=to,
        status="finished",
        asked_at=ago(days),
        finished_at=ago(days) + timedelta(minutes=5),
        turned_at=ago(days) + timedelta(seconds=1),
        comes_back=back_to,
        **more,
    )


def held(changes, lane, serving=None) -> list[tuple[int, datetime | None, datetime | None]]:
    line = timeline(changes, NOW, None, serving)
    return [(band.version, band.since, band.until) for band in line.lane(lane)]


def test_a_promotion_takes_production_over_and_a_rollback_gives_it_back():
    changes = [promotion(1, 1, 20), promotion(2, 2, 10, served=1), rollback(3, 2, 1, 5)]
    back = ago(5) + timedelta(seconds=1)
    assert held(changes, Lane.PRODUCTION, 1) == [(1, ago(20), ago(10)), (2, ago(10), back), (1, back, None)]


def test_who_served_before_the_first_change_is_shown_without_a_beginning():
    assert held([promotion(1, 2, 10, served=1)], Lane.PRODUCTION, 2) == [(1, None, ago(10)), (2, ago(10), None)]
    line = timeline([promotion(1, 2, 10, served=1)], NOW, None, 2)
    assert line.part(None) == 0.0


def test_a_rollback_to_nobody_leaves_production_empty():
    changes = [promotion(1, 1, 20), rollback(2, 1, None, 5)]
    assert held(changes, Lane.PRODUCTION) == [(1, ago(20), ago(5) + timedelta(seconds=1))]


def test_a_rollout_that_was_turned_back_is_a_trial_and_nothing_else():
    turned = promotion(2, 2, 5, status="rolled_back", served=1, turned_at=ago(5.2), by_person=False)
    changes = [promotion(1, 1, 20), turned]
    assert held(changes, Lane.PRODUCTION, 1) == [(1, ago(20), None)]
    assert held(changes, Lane.TRIAL, 1) == [(1, ago(20.5), ago(20)), (2, ago(5.5), ago(5.2))]


def test_a_running_rollout_is_still_on_trial():
    running = Change(2, 2, "promotion", "Staging", "Production", "running", ago(2), started_at=ago(1), served=1)
    assert held([promotion(1, 1, 20), running], Lane.TRIAL, 1)[-1] == (2, ago(1), None)


def test_staging_is_left_for_production_the_archive_and_the_next_version():
    changes = [
        promotion(1, 1, 30, to="Staging"),
        promotion(2, 1, 25),
        promotion(3, 2, 20, to="Staging"),
        promotion(4, 3, 15, to="Staging"),
        Change(5, 3, "archival", "Staging", "Archived", "finished", ago(11), finished_at=ago(10)),
        rollback(6, 1, None, 5, to="Staging"),
    ]
    back = ago(5) + timedelta(seconds=1)
    staged = [(1, ago(30), ago(25)), (2, ago(20), ago(15)), (3, ago(15), ago(10)), (1, back, None)]
    assert held(changes, Lane.STAGING) == staged


def test_what_the_variants_say_now_ends_a_band_that_says_otherwise():
    """Somebody stopped it outside of Stagegate: nobody knows when."""
    assert held([promotion(1, 1, 20)], Lane.PRODUCTION, None) == [(1, ago(20), NOW)]
    assert held([promotion(1, 2, 5, status="rejected")], Lane.PRODUCTION, 1) == [(1, None, None)]


@pytest.mark.parametrize(
    ("change", "happened"),
    [
        (promotion(1, 1, 5), Happened.PROMOTED),
        (promotion(1, 1, 5, to="Staging"), Happened.PROMOTED),
        (promotion(1, 1, 5, status="rejected"), Happened.REJECTED),
        (promotion(1, 1, 5, status="failed"), Happened.FAILED),
        (promotion(1, 1, 5, status="cancelled"), None),
        (promotion(1, 1, 5, status="running"), None),
        (promotion(1, 1, 5, status="rolled_back"), Happened.ROLLED_BACK),
        (promotion(1, 1, 5, status="rolled_back", by_person=False), Happened.ROLLED_BACK_BY_ITSELF),
        (rollback(1, 2, 1, 5), Happened.ROLLED_BACK),
        (rollback(1, 2, 1, 5, by_person=False), Happened.ROLLED_BACK_BY_ITSELF),
        (Change(1, 1, "drill", "Production", "Production", "finished", ago(5), finished_at=ago(5)), Happened.DRILLED),
        (Change(1, 1, "archival", "Staging", "Archived", "finished", ago(5), finished_at=ago(5)), None),
    ],
)
def test_what_a_mark_stands_for(change, happened):
    marks = timeline([change], NOW, None, None).marks
    assert [mark.happened for mark in marks] == ([happened] if happened else [])


def test_a_window_leaves_out_what_was_before_but_not_what_reached_into_it():
    changes = [promotion(1, 1, 80), promotion(2, 2, 60, served=1), promotion(3, 3, 10, served=2)]
    line = timeline(changes, NOW, 30 * DAY, 3)
    assert line.lane(Lane.PRODUCTION) == (
        Band(Lane.PRODUCTION, 2, ago(60), ago(10), 2),
        Band(Lane.PRODUCTION, 3, ago(10), None, 3),
    )
    assert [mark.key for mark in line.marks] == [3]
    assert line.part(ago(60)) == 0.0
    assert 0.6 < line.part(ago(10)) < 0.7


def test_a_short_past_fills_the_line():
    line = timeline([promotion(1, 1, 0.1)], NOW, 90 * DAY, 1)
    assert line.until - line.since < 2 * DAY


def test_nothing_happened():
    assert timeline([], NOW, None, 1) is None


@pytest.mark.parametrize("days", [0.001, 0.01, 0.2, 1, 3, 30, 90, 400, 3000])
def test_a_handful_of_round_moments_in_the_viewers_zone(days):
    line = timeline([promotion(1, 1, days)], NOW, timedelta(days=days), 1)
    zone = ZoneInfo("Asia/Kolkata")
    found = ticks(line, zone)
    assert 1 <= len(found) <= 8
    assert all(line.since <= tick.at <= line.until and tick.at.tzinfo == zone for tick in found)
    assert all(tick.words for tick in found)
    if days >= 7:
        assert {(tick.at.hour, tick.at.minute) for tick in found} == {(0, 0)}
