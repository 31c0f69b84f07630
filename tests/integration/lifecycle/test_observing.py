"""What versions answered is written down: nothing is invented, nothing is lost, and old rows become fewer."""

from datetime import timedelta

import pytest
from django.db.models import Max, Min, Sum

from lifecycle import observing
from lifecycle.domain.drift import Distribution
from lifecycle.domain.observations import Counts, Moments, dump
from lifecycle.domain.stages import Stage, to_mlflow
from lifecycle.models import (
    CounterReading,
    MetricReport,
    ModelVersion,
    Observation,
    RegisteredModel,
    Trial,
    Variant,
)
from lifecycle.ports import Backend

HALF_SECOND = Counts(latency=Distribution((0.0, 1.0, 0.0), edges=(0.25, 0.5)))


def observed():
    sums = Observation.objects.values_list("version__version").annotate(Sum("requests"), Sum("errors")).order_by()
    return {version: (requests, errors) for version, requests, errors in sums}


def look(world):
    world.pass_time(seconds=10)
    observing.collect(now=world.now)


def serve(world, weights):
    """These versions have servers, and the gateway shares requests out by these weights."""
    for number, weight in weights.items():
        values = {"model": world.model, "url": f"http://127.0.0.1:90{number:02}", "weight": weight}
        Variant.objects.update_or_create(version=world.version(number), defaults={**values, "weight_since": world.now})
    backends = tuple(Backend(number, url(world, number), weight) for number, weight in weights.items())
    world.traffic.apply("iris", backends, fence=1)


def url(world, number):
    return Variant.objects.get(version=world.version(number)).url


def timed():
    """How many answers the servers timed, over all observations."""
    return sum(row.counts.latency.total for row in Observation.objects.all() if row.counts.latency)


# ---------------------------------------------------------------- collecting


def test_the_first_look_counts_all_that_was_answered_before_it(world):
    serve(world, {1: 100})
    world.traffic.send("iris", 7)
    look(world)
    assert observed() == {1: (7, 0)}
    row = Observation.objects.get()
    assert (row.since, row.until) == (Variant.objects.get().weight_since, world.now)
    world.traffic.send("iris", 20, failing=[1])
    look(world)
    look(world)
    assert observed() == {1: (27, 20)}
    assert list(Observation.objects.values_list("requests", flat=True)) == [7, 20, 0]


def test_a_counter_that_tells_when_it_began_says_since_when_the_first_counts_are(world):
    serve(world, {1: 100})
    began = world.now + timedelta(seconds=4)
    world.metrics.gateway_epoch = began.timestamp()
    world.traffic.send("iris", 7)
    look(world)
    assert Observation.objects.get().since == began


def test_a_counter_that_fell_has_begun_anew(world):
    serve(world, {1: 100})
    look(world)
    world.traffic.send("iris", 50)
    look(world)
    world.traffic.restart()
    world.traffic.send("iris", 30)
    look(world)
    assert observed() == {1: (80, 0)}


def test_a_counter_that_began_anew_and_has_overtaken_its_old_value_is_known_by_its_epoch(world):
    serve(world, {1: 100})
    world.metrics.gateway_epoch = world.now.timestamp()
    world.traffic.send("iris", 5)
    look(world)
    world.traffic.restart()
    world.metrics.gateway_epoch = world.now.timestamp() + 3
    world.traffic.send("iris", 30)
    look(world)
    assert observed() == {1: (35, 0)}


@pytest.mark.parametrize("told", [1.0, 3600.0], ids=["rounding", "a clock put forward"])
def test_a_counter_that_only_tells_its_start_differently_goes_on(world, told):
    serve(world, {1: 100})
    epoch = world.now.timestamp() - 86_400
    for moved in (0.0, told):
        world.metrics.gateway_epoch = epoch + moved
        world.traffic.send("iris", 5)
        look(world)
    assert observed() == {1: (10, 0)}


def test_a_missed_look_loses_nothing(world):
    serve(world, {1: 100})
    look(world)
    first = CounterReading.objects.get(version=world.version(1)).read_at
    world.traffic.send("iris", 5)
    world.traffic.down = True
    look(world)
    assert observed() == {1: (0, 0)}
    world.traffic.down = False
    look(world)
    assert observed() == {1: (5, 0)}
    assert Observation.objects.last().since == first


def test_a_server_that_misses_a_look_gives_its_counts_at_the_next(world):
    serve(world, {1: 100})
    look(world)
    server = url(world, 1)
    for silent in ({server}, set()):
        world.metrics.silent = silent
        world.traffic.send("iris", 1)
        world.metrics.count(server, HALF_SECOND)
        look(world)
    rows = [row.counts for row in Observation.objects.all()]
    assert [each.requests for each in rows] == [0, 1, 1]
    assert [each.latency and each.latency.total for each in rows] == [None, None, 2]


def test_a_restarted_server_neither_invents_nor_loses_counts(world):
    serve(world, {1: 100})
    server = url(world, 1)
    for count in (3, 2):
        for _ in range(count):
            world.metrics.count(server, HALF_SECOND)
        look(world)
        look(world)
        world.metrics.restart_server(server, epoch=world.now.timestamp())
    for _ in range(9):
        world.metrics.count(server, HALF_SECOND)
    look(world)
    assert timed() == 3 + 2 + 9


def test_two_collectors_at_once_count_nothing_twice(world, monkeypatch):
    """The second one asks the counters later, and writes first."""
    serve(world, {1: 100})
    look(world)
    world.traffic.send("iris", 5)
    world.metrics.count(url(world, 1), HALF_SECOND)
    read = world.metrics.read

    def overtaken(*args):
        seen = read(*args)
        monkeypatch.setattr(world.metrics, "read", read)
        world.traffic.send("iris", 3)
        look(world)
        return seen

    monkeypatch.setattr(world.metrics, "read", overtaken)
    observing.collect(now=world.now + timedelta(seconds=1))
    assert observed() == {1: (8, 0)}
    assert timed() == 1
    look(world)
    assert observed() == {1: (8, 0)}


def test_two_collectors_at_the_first_look_count_nothing_twice(world, monkeypatch):
    serve(world, {1: 100})
    world.traffic.send("iris", 5)
    read = world.metrics.read

    def overtaken(*args):
        seen = read(*args)
        monkeypatch.setattr(world.metrics, "read", read)
        look(world)
        return seen

    monkeypatch.setattr(world.metrics, "read", overtaken)
    observing.collect(now=world.now + timedelta(seconds=1))
    assert observed() == {1: (5, 0)}


def test_a_late_collector_writes_nothing(world):
    serve(world, {1: 100})
    look(world)
    before = world.now - timedelta(seconds=5)
    world.traffic.send("iris", 5)
    observing.collect(now=before)
    assert observed() == {1: (0, 0)}
    look(world)
    assert observed() == {1: (5, 0)}


def test_an_idle_warm_server_gets_no_rows_but_its_last_requests_count(world):
    serve(world, {1: 100})
    world.metrics.count(url(world, 1), HALF_SECOND)
    look(world)
    serve(world, {1: 0, 2: 100})
    look(world)
    rows = Observation.objects.filter(version=world.version(1)).count()
    look(world)
    look(world)
    assert Observation.objects.filter(version=world.version(1)).count() == rows
    world.metrics.count(url(world, 1), HALF_SECOND)
    look(world)
    last = Observation.objects.filter(version=world.version(1)).last()
    assert (last.until - last.since, last.counts.latency.total) == (timedelta(seconds=10), 1)


def test_one_model_that_fails_keeps_no_other_from_being_counted(world, monkeypatch):
    serve(world, {1: 100})
    other = RegisteredModel.objects.create(name="aaa", slug="aaa")
    version = other.versions.create(version=1)
    Variant.objects.create(model=other, version=version, url="http://127.0.0.1:1", weight=100)
    read = world.metrics.read

    def fails(slug, *args):
        if slug == "aaa":
            raise ValueError("a counter that nobody expected")
        return read(slug, *args)

    monkeypatch.setattr(world.metrics, "read", fails)
    world.traffic.send("iris", 5)
    look(world)
    assert observed() == {1: (5, 0)}


# ---------------------------------------------------------------- the answers of a shadow


@pytest.fixture
def copied(world):
    """Version 2 gets copies of the requests to version 1."""
    serve(world, {1: 100})
    Variant.objects.create(model=world.model, version=world.version(2), url="http://127.0.0.1:9002")
    return Trial.objects.create(
        model=world.model,
        version=world.version(2),
        stable=world.version(1),
        kind="shadow",
        since=world.now,
        seen_until=world.now,
    )


def test_the_answers_of_a_shadow_are_joined_with_those_that_users_got(world, copied):
    stable, shadow = url(world, 1), url(world, 2)
    for key in ("a", "b", "c"):
        world.metrics.answer(stable, key, "setosa")
    world.metrics.answer(shadow, "a", "setosa")
    look(world)
    world.metrics.answer(shadow, "c", "virginica")
    look(world)
    look(world)
    rows = Observation.objects.filter(version=world.version(2))
    assert [row.counts.answers for row in rows] == [{"same": 1}, {"setosa→virginica": 1}, {}]
    copied.refresh_from_db()
    assert [key for key, _ in copied.pending["stable"]] == ["b"]


def test_answers_wait_while_one_of_the_two_servers_is_silent(world, copied):
    stable, shadow = url(world, 1), url(world, 2)
    world.metrics.answer(stable, "a", 1.0)
    world.metrics.answer(shadow, "a", 1.0)
    world.metrics.silent = {stable}
    look(world)
    world.metrics.silent = set()
    look(world)
    rows = Observation.objects.filter(version=world.version(2))
    assert [row.counts.answers for row in rows] == [{}, {"same": 1}]


# ---------------------------------------------------------------- business metrics that were reported


def report(world, count, *, ago=0, key=None):
    return MetricReport.objects.create(
        model=world.model,
        version=world.version(1),
        key=key,
        details=dump(Counts(business={"sales": Moments(count, 1, 1)})),
        since=world.now - timedelta(seconds=ago) if ago else None,
        reported_by="shop",
        reported_at=world.now,
    )


def sales():
    rows = Observation.objects.order_by("pk")
    return [(row.requests, row.counts.business.get("sales", Moments()).count) for row in rows]


def test_what_was_reported_counts_once_with_the_next_look(world):
    serve(world, {1: 100})
    look(world)
    for key in (None, None, "run-7"):
        report(world, 5, ago=40, key=key)
    world.traffic.send("iris", 3)
    look(world)
    look(world)
    assert sales() == [(0, 0), (3, 15), (0, 0)]
    assert [each.key for each in MetricReport.objects.all()] == ["run-7"]
    observing.merge(now=world.now + timedelta(hours=49))
    assert not MetricReport.objects.exists()


def test_what_was_reported_of_hours_makes_no_interval_longer(world):
    serve(world, {1: 100})
    look(world)
    report(world, 5, ago=7200)
    world.traffic.send("iris", 3)
    look(world)
    spans = {row.requests: row.until - row.since for row in Observation.objects.filter(until=world.now)}
    assert spans == {0: timedelta(seconds=7210), 3: timedelta(seconds=10)}


def test_what_was_reported_waits_while_the_gateway_cannot_be_read(world):
    serve(world, {1: 100})
    look(world)
    report(world, 5)
    world.traffic.down = True
    look(world)
    assert sales() == [(0, 0)]
    world.traffic.down = False
    look(world)
    assert sales() == [(0, 0), (0, 5)]


@pytest.mark.parametrize("serves", [True, False])
def test_two_collectors_at_once_count_no_report_twice(world, monkeypatch, serves):
    if serves:
        serve(world, {1: 100})
        look(world)
    report(world, 5)
    read = world.metrics.read

    def overtaken(*args):
        seen = read(*args)
        monkeypatch.setattr(world.metrics, "read", read)
        look(world)
        return seen

    monkeypatch.setattr(world.metrics, "read", overtaken)
    observing.collect(now=world.now + timedelta(seconds=1))
    assert sum(count for _, count in sales()) == 5


# ---------------------------------------------------------------- merging


def row(world, number, until, *, seconds=10, **columns):
    return Observation.objects.create(
        model=world.model,
        version=world.version(number),
        since=until - timedelta(seconds=seconds),
        until=until,
        **columns,
    )


def spans():
    rows = Observation.objects.order_by("since").values_list("since", "until", "requests")
    return [(since.strftime("%H:%M:%S"), until.strftime("%H:%M:%S"), requests) for since, until, requests in rows]


def test_rows_of_five_minutes_become_one_after_two_days_and_stay(world):
    start = world.now
    details = dump(Counts(latency=HALF_SECOND.latency, business={"clicks": Moments(2, 1, 1)}))
    for step in range(1, 46):
        row(world, 1, start + timedelta(seconds=10 * step), requests=2, errors=1, details=details)
    world.now = start + timedelta(hours=48, minutes=4)
    observing.merge(now=world.now)
    assert Observation.objects.count() == 45
    world.pass_time(minutes=10)
    observing.merge(now=world.now)
    assert spans() == [("09:00:00", "09:04:50", 58), ("09:04:50", "09:07:30", 32)]
    counts = Observation.objects.order_by("since").first().counts
    assert (counts.errors, counts.latency.total, counts.business) == (29, 29, {"clicks": Moments(58, 29, 29)})
    world.pass_time(days=365)
    observing.merge(now=world.now)
    assert spans() == [("09:00:00", "09:04:50", 58), ("09:04:50", "09:07:30", 32)]


def test_versions_are_merged_apart_and_batches_keep_five_minutes_together(world, monkeypatch):
    monkeypatch.setattr(observing, "BATCH", 7)
    start = world.now
    for step in range(60):
        for number in (1, 2):
            row(world, number, start + timedelta(seconds=60 * step), requests=number)
    observing.merge(now=start + timedelta(hours=50))
    for number in (1, 2):
        merged = Observation.objects.filter(version=world.version(number)).values_list("requests", flat=True)
        assert list(merged) == [5 * number] * 12


def test_more_rows_than_a_batch_within_five_minutes_lose_nothing(world, monkeypatch):
    monkeypatch.setattr(observing, "BATCH", 4)
    for step in range(30):
        row(world, 1, world.now + timedelta(seconds=step), requests=1)
    observing.merge(now=world.now + timedelta(hours=50))
    assert observed() == {1: (30, 0)}
    assert Observation.objects.count() == 8


def test_rows_that_somebody_else_has_merged_meanwhile_are_left(world, monkeypatch):
    for step in range(20):
        row(world, 1, world.now + timedelta(seconds=10 * step), requests=1)
    later = world.now + timedelta(hours=50)
    groups = observing._groups

    def in_between(rows, boundaries):
        monkeypatch.setattr(observing, "_groups", groups)
        observing.merge(now=later)
        return groups(rows, boundaries)

    monkeypatch.setattr(observing, "_groups", in_between)
    observing.merge(now=later)
    assert observed() == {1: (20, 0)}
    assert Observation.objects.count() == 1


def test_the_gate_sees_the_same_of_a_stay_in_staging_after_its_rows_are_merged(world):
    serve(world, {1: 100})
    for _ in range(7):
        world.traffic.send("iris", 10)
        world.pass_time(minutes=1)
        observing.collect(now=world.now)
    serve(world, {1: 90, 2: 10})
    stay = world.now
    ModelVersion.objects.filter(version=2).update(stage=to_mlflow(Stage.STAGING), stage_since=stay)
    for _ in range(3 * 60):
        world.traffic.send("iris", 10, failing=[2])
        world.pass_time(minutes=1)
        observing.collect(now=world.now)

    def of_the_stay():
        rows = Observation.objects.filter(since__gte=stay, requests__gt=0).order_by()
        sums = rows.values("version").annotate(Sum("requests"), Sum("errors"), Min("since"), Max("until"))
        return list(sums.order_by("version"))

    seen, rows = of_the_stay(), Observation.objects.count()
    assert len(seen) == 2
    world.pass_time(hours=50)
    for _ in range(2):
        observing.merge(now=world.now)
    assert of_the_stay() == seen
    assert Observation.objects.count() < rows / 4


def test_rows_go_with_their_version(world):
    row(world, 1, world.now)
    world.version(1).delete()
    assert not Observation.objects.exists()
