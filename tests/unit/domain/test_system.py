"""From what is known of the parts to words: what is wrong, since when, and who is to blame for it."""

from datetime import UTC, datetime, timedelta

import pytest

from lifecycle.domain import system
from lifecycle.domain.system import (
    Answer,
    Beat,
    Look,
    MirrorFacts,
    RecordFacts,
    Section,
    ServerTrouble,
    State,
    System,
    Waiting,
)

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
FRESH, OLD = NOW - timedelta(seconds=4), NOW - timedelta(minutes=7)
GONE = Answer("connection refused", since=OLD)


def beats(**seen):
    """Every queue was seen just now, but for those named."""
    found = {queue: Beat(queue, FRESH - timedelta(seconds=1), FRESH, f"{queue}@host") for queue in system.QUEUES}
    found |= {queue: Beat(queue, at, at, f"{queue}@host") for queue, at in seen.items() if at}
    return {queue: beat for queue, beat in found.items() if seen.get(queue, FRESH)}


def late(*queues):
    """A worker of each took just now what was sent minutes ago."""
    return {queue: Beat(queue, OLD, FRESH, f"{queue}@host") for queue in queues}


def looked(*, waiting=0, broker=None, lengths=None, **values):
    lengths = {**dict.fromkeys(system.QUEUES, waiting), **(lengths or {})}
    return Look(NOW, {"broker": broker or Answer()}, lengths, **values)


def states(parts):
    return {part.key.removeprefix("queue:"): part.state.value for part in parts}


ALL_OLD = beats(**dict.fromkeys(system.QUEUES, OLD))
LAST_SENT = NOW - timedelta(seconds=39)
JUST_SILENT = {queue: Beat(queue, LAST_SENT, LAST_SENT, "w") for queue in ("rollbacks", "observations", "checks")}
NO_BEAT = "beat sends nothing, so nothing is carried out"
NO_SIGN = "there is no sign of life from beat or any worker"


@pytest.mark.parametrize(
    ("seen", "look", "busy", "troubles"),
    [
        (beats(), looked(), {}, []),
        (beats(rollbacks=OLD), looked(), {}, ["no worker takes rollbacks"]),
        (beats(rollbacks=None), looked(), {}, ["no worker takes rollbacks"]),
        (beats(checks=OLD), looked(), {"checks": "it carries a check out"}, []),
        # A queue that is late is worked off; a long check is no lateness.
        (beats() | late("rollbacks"), looked(waiting=30), {}, ["the queue rollbacks is late"]),
        (beats() | late("checks"), looked(waiting=3), {"checks": "it carries a check out"}, []),
        (beats() | late(*system.QUEUES), looked(), {}, [f"the queue {queue} is late" for queue in system.QUEUES]),
        # Without the general worker nobody asks the others: nothing is claimed of those where nothing waits.
        (beats(checks=OLD, default=OLD), None, {}, ["no worker carries transitions out"]),
        (ALL_OLD, looked(lengths={"default": 9}), {}, ["no worker carries transitions out"]),
        (
            ALL_OLD,
            looked(lengths={"default": 9, "rollbacks": 1}),
            {},
            ["no worker takes rollbacks", "no worker carries transitions out"],
        ),
        # Beat has just stopped: the others' last signs are a moment younger than the general worker's.
        (beats(default=NOW - timedelta(seconds=41)) | JUST_SILENT, looked(), {}, [NO_BEAT]),
        (beats(default=NOW - timedelta(seconds=41)) | JUST_SILENT, None, {}, [NO_SIGN]),
        # A check that runs says nothing about beat.
        (ALL_OLD, looked(), {"checks": "it carries a check out"}, [NO_BEAT]),
        # Nothing from any queue: the broker, beat or the workers are to blame, by what waits.
        (ALL_OLD, looked(), {}, [NO_BEAT]),
        (ALL_OLD, looked(waiting=3), {}, [trouble for _, trouble in system.QUEUES.values()]),
        (ALL_OLD, looked(broker=GONE), {}, []),
        (ALL_OLD, None, {}, [NO_SIGN]),
        # Nobody has been heard of yet: nothing is known, and nothing is claimed.
        ({}, looked(), {}, []),
    ],
)
def test_who_is_silent(seen, look, busy, troubles):
    parts = system.workers(seen, NOW, look=look, busy=busy)
    assert [part.trouble for part in parts if part.trouble] == troubles
    known = [part for part in parts if part.trouble and seen.get(part.key.removeprefix("queue:"))]
    assert {part.since for part in known} <= {OLD}
    assert all(part.todo for part in parts if part.trouble)
    assert [part.key for part in parts] == ["beat", *(f"queue:{queue}" for queue in system.QUEUES)]


def test_silence_begins_after_forty_seconds():
    beat = Beat("checks", NOW, NOW, "w")
    assert not system.is_silent(beat, NOW + timedelta(seconds=40))
    assert system.is_silent(beat, NOW + timedelta(seconds=41))


@pytest.mark.parametrize(
    ("seen", "look", "busy", "beat"),
    [
        (beats(), looked(), {}, "healthy"),
        (beats(default=OLD), looked(waiting=3), {}, "healthy"),
        (ALL_OLD, looked(waiting=3), {}, "unknown"),
        (ALL_OLD, looked(broker=GONE), {}, "unknown"),
        (ALL_OLD, looked(), {"checks": "it carries a check out"}, "down"),
        (late(*system.QUEUES), looked(), {}, "unknown"),
    ],
)
def test_beat_is_there_when_something_was_sent_lately(seen, look, busy, beat):
    assert states(system.workers(seen, NOW, look=look, busy=busy))["beat"] == beat


def test_what_nobody_asks_is_not_known_since_its_last_sign():
    parts = {part.key: part for part in system.workers(ALL_OLD, NOW, look=looked(lengths={"default": 9}))}
    asked = parts["queue:rollbacks"]
    assert (asked.state, asked.since, asked.says.startswith("It is not known")) == (State.UNKNOWN, OLD, True)


def test_a_message_never_waits_for_less_than_no_time():
    assert Beat("checks", NOW + timedelta(seconds=3), NOW, "w").waited == timedelta(0)


def test_nobody_is_called_healthy_before_anything_was_heard():
    parts = system.workers({}, NOW)
    assert set(states(parts).values()) == {"unknown"}
    assert System(NOW, NOW, (Section("", parts),)).unheard


def mirrored(**values):
    return MirrorFacts(
        **{
            "last_success_at": FRESH,
            "last_full_pass_at": OLD,
            "pass_started_at": None,
            "last_error": "",
            "last_error_at": None,
            **values,
        }
    )


@pytest.mark.parametrize(
    ("answer", "mirror", "state", "trouble"),
    [
        (Answer(seconds=0.01), mirrored(), State.HEALTHY, ""),
        (GONE, mirrored(last_success_at=OLD), State.DOWN, "MLflow does not answer"),
        (Answer(), mirrored(last_error="a 500"), State.DEGRADED, "MLflow cannot be read"),
        (None, mirrored(last_error="a 500"), State.DOWN, "MLflow does not answer"),
        (None, mirrored(), State.HEALTHY, ""),
        (None, None, State.UNKNOWN, ""),
    ],
)
def test_the_registry(answer, mirror, state, trouble):
    part = system.registry(answer, mirror, "http://mlflow")
    assert (part.state, part.trouble) == (state, trouble)
    assert bool(part.todo) == bool(trouble)


@pytest.mark.parametrize(
    ("facts", "unreachable", "state", "trouble", "progress"),
    [
        (mirrored(), False, State.HEALTHY, "", None),
        (mirrored(pass_started_at=FRESH, seen=3, known=10), False, State.HEALTHY, "", (3, 10)),
        (mirrored(pass_started_at=FRESH, seen=11, known=10), False, State.HEALTHY, "", (10, 10)),
        # The first pass: how many there are is not known before it ends.
        (mirrored(last_full_pass_at=None, pass_started_at=FRESH, seen=3, known=3), False, State.HEALTHY, "", (3, 0)),
        (mirrored(last_success_at=OLD), False, State.DEGRADED, "the registry has not been read", None),
        (mirrored(last_success_at=OLD), True, State.DEGRADED, "", None),
        (None, False, State.UNKNOWN, "", None),
    ],
)
def test_the_mirror(facts, unreachable, state, trouble, progress):
    part = system.mirror(facts, NOW, every=timedelta(seconds=5), unreachable=unreachable)
    shown = (part.progress.done, part.progress.of) if part.progress else None
    assert (part.state, part.trouble, shown) == (state, trouble, progress)


@pytest.mark.parametrize(
    ("answer", "routes", "state"),
    [(Answer(), 2, State.HEALTHY), (GONE, 2, State.DOWN), (GONE, 0, State.UNUSED), (None, 2, State.UNKNOWN)],
)
def test_a_gateway_that_nobody_uses_is_not_broken(answer, routes, state):
    assert system.gateway(answer, routes, "http://gateway").state == state


def test_model_servers_that_do_not_run_are_named():
    failing = (ServerTrouble("iris", "iris", 2, "1.1.0", "killed"),)
    part = system.servers(Look(NOW, {"servers": Answer()}, needed=5, asked=4, failing=failing))
    assert (part.state, part.says, part.trouble) == (State.DOWN, "3 of 4 servers run.", "1 model server does not run")
    assert [(link.page, link.about) for link in part.links] == [("version", ("iris", 2))]
    assert [figure.value for figure in part.figures] == [1]
    assert system.servers(Look(NOW, {"servers": Answer()})).state == State.UNUSED


@pytest.mark.parametrize(
    ("kind", "waits", "trouble"),
    [
        ("checks", timedelta(minutes=29), ""),
        ("checks", timedelta(minutes=31), "2 checks wait"),
        ("exports", timedelta(minutes=6), "2 exports wait"),
        ("clean_ups", timedelta(minutes=6), "2 clean-ups wait"),
    ],
)
def test_work_that_waits_for_long(kind, waits, trouble):
    assert system.work(kind, Waiting(2, NOW - waits), NOW).trouble == trouble
    assert system.work(kind, Waiting(), NOW).state == State.HEALTHY


def test_overdue_transitions():
    assert system.transitions(Waiting(1, FRESH), NOW).trouble == ""
    assert system.transitions(Waiting(1, OLD), NOW).trouble == "1 transition is overdue"


@pytest.mark.parametrize(
    ("waiting", "given_up", "used", "state"),
    [
        (Waiting(), Waiting(), False, State.UNUSED),
        (Waiting(1, FRESH), Waiting(), True, State.HEALTHY),
        (Waiting(1, NOW - timedelta(minutes=11)), Waiting(), True, State.DEGRADED),
        (Waiting(), Waiting(2, OLD), True, State.DEGRADED),
    ],
)
def test_notices(waiting, given_up, used, state):
    assert system.notices(waiting, given_up, NOW, used=used).state == state


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        (RecordFacts(entries=3, sealed=3, sealed_at=OLD, places=("disk",)), State.HEALTHY),
        (RecordFacts(entries=4, sealed=3, sealed_at=OLD, unsealed_since=FRESH), State.HEALTHY),
        (RecordFacts(entries=4, sealed=3, sealed_at=OLD, unsealed_since=NOW - timedelta(minutes=11)), State.DEGRADED),
        (RecordFacts(entries=4, unsealed_since=NOW - timedelta(minutes=11)), State.DEGRADED),
        (RecordFacts(entries=4, unsealed_since=OLD - timedelta(days=1), signs=False), State.UNUSED),
        (RecordFacts(entries=4, sealed=4, sealed_at=OLD, problem="disk full"), State.DEGRADED),
    ],
)
def test_the_record(facts, state):
    part = system.record(facts, NOW)
    assert part.state == state
    assert bool(part.trouble) == (state == State.DEGRADED)


def test_what_is_down_comes_first():
    parts = (system.transitions(Waiting(1, OLD), NOW), system.broker(GONE), system.database("sqlite", 0.001))
    assert [part.key for part in system.in_trouble(parts)] == ["broker", "transitions"]
