"""How the system is: from what is known of each part to words, and to what a person can do about it.

Pure: facts in, parts out. Nothing here names an address or reads a clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from lifecycle.domain import words

SILENT = timedelta(seconds=40)
"""After this long without a sign of life nobody is believed to be there: four signs were missed."""
OVERDUE = timedelta(seconds=60)
"""The sweep looks every few seconds: what is due for longer is held up."""
LONG_WAIT = {
    "checks": timedelta(minutes=30),
    "exports": timedelta(minutes=5),
    "clean_ups": timedelta(minutes=5),
    "notices": timedelta(minutes=10),
}
"""How long work may wait for a worker. Checks stand in one line, and a load test takes its time."""
UNSEALED = timedelta(minutes=10)
"""How long what the record holds may be without a signed checkpoint."""


class State(StrEnum):
    """DEGRADED works in part. UNUSED is what this installation does without; it and UNKNOWN count as no trouble."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    DOWN = "down"
    UNKNOWN = "unknown"
    UNUSED = "unused"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a part: ``value`` is words, a number or a moment; pages put a moment in the viewer's zone."""

    label: str
    value: str | int | datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """So many of so many, 0 where that is not known; ``what`` says of what: "versions"."""

    done: int
    of: int
    what: str


@dataclass(frozen=True, slots=True)
class Link:
    """Where to look: ``page`` is one of the portal's (delivery, transition, version, ...), ``about`` what it needs."""

    words: str
    page: str
    about: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the system.

    ``says`` is how it is, as a sentence. ``trouble`` is the same in a few words for the headline, "" where nothing is
    wrong, or where another part's trouble explains it. ``since`` is when that began, None where it is not known.
    ``todo`` says what a person can do.
    """

    key: str
    name: str
    state: State
    says: str
    trouble: str = ""
    since: datetime | None = None
    todo: str = ""
    figures: tuple[Figure, ...] = ()
    progress: Progress | None = None
    links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of asking a part. ``error`` is "" when it answered, within ``seconds``; ``since`` is when it was first
    asked without success."""

    error: str = ""
    seconds: float = 0.0
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class ServerTrouble:
    """A model server that should run and does not, and why."""

    model: str
    slug: str
    version: int
    label: str
    why: str


@dataclass(frozen=True, slots=True)
class Look:
    """What the parts outside answered at ``at``, each by its name: broker, registry, gateway, servers.

    ``waiting`` is how many messages wait in each queue. ``asked`` of ``needed`` model servers were looked at in the
    time there was; ``failing`` are those that do not run.
    """

    at: datetime
    answers: Mapping[str, Answer] = field(default_factory=dict)
    waiting: Mapping[str, int] = field(default_factory=dict)
    needed: int = 0
    asked: int = 0
    failing: tuple[ServerTrouble, ...] = ()


# ---------------------------------------------------------------- workers and beat


@dataclass(frozen=True, slots=True)
class Beat:
    """The last sign of life of one queue: a message that was sent, and that a worker took."""

    queue: str
    sent_at: datetime
    seen_at: datetime
    worker: str

    @property
    def waited(self) -> timedelta:
        """How long a message waits; clocks of two machines may disagree, but nothing waits for less than no time."""
        return max(self.seen_at - self.sent_at, timedelta(0))


QUEUES: Mapping[str, tuple[str, str]] = {
    "rollbacks": ("Rollbacks", "no worker takes rollbacks"),
    "default": ("Transitions, the mirror, notices", "no worker carries transitions out"),
    "observations": ("Looking at traffic, and judging it", "no worker looks at traffic"),
    "checks": ("Checks and clean-ups", "no worker takes checks"),
}
"""What each queue is for, and what it means when nobody takes it; the gravest first."""


CLOCKED = "default"
"""The queue that beat sends its signs of life to. Its worker sends one on to each of the others."""
_CLOCK = "Clock (Celery beat)"


def is_silent(beat: Beat | None, now: datetime) -> bool:
    return beat is None or now - beat.seen_at > SILENT


def workers(
    beats: Mapping[str, Beat], now: datetime, *, look: Look | None = None, busy: Mapping[str, str] | None = None
) -> tuple[Part, ...]:
    """Beat, and then each queue. ``busy`` says of a queue what its worker is known to be doing right now: a long check
    keeps the one worker of its queue from answering, and is no reason to call it dead."""
    doing = busy or {}
    if beats and is_silent(beats.get(CLOCKED), now):
        return _unclocked(beats, now, look, doing)
    return (_beat(beats, now), *(_queue(queue, beats, now, look, doing.get(queue, "")) for queue in QUEUES))


def _sends(beats: Mapping[str, Beat], now: datetime) -> bool:
    """Whether a message is known that was sent lately."""
    return any(now - each.sent_at <= SILENT for each in beats.values())


def _beat(beats: Mapping[str, Beat], now: datetime) -> Part:
    newest = max((each.sent_at for each in beats.values()), default=None)
    if newest is None:
        todo = "Unless Stagegate was started a moment ago: start beat, and a worker for each queue."
        return Part("beat", _CLOCK, State.UNKNOWN, "No sign of life has come yet.", todo=todo)
    figures = (Figure("Last sent", newest),)
    if not _sends(beats, now):
        says = "What it sends is taken late, so nobody can tell."
        return Part("beat", _CLOCK, State.UNKNOWN, says, figures=figures)
    return Part("beat", _CLOCK, State.HEALTHY, "It says what is due, and when.", figures=figures)


def _queue(queue: str, beats: Mapping[str, Beat], now: datetime, look: Look | None, doing: str) -> Part:
    beat = beats.get(queue)
    key, name, figures = f"queue:{queue}", QUEUES[queue][0], _queue_figures(queue, beat, look)
    if beat is not None and not is_silent(beat, now) and beat.waited <= SILENT:
        waited = words.seconds(float(f"{beat.waited.total_seconds():.2g}"))
        return Part(key, name, State.HEALTHY, f"A worker takes a message after {waited}.", figures=figures)
    if doing:
        return Part(key, name, State.HEALTHY, f"Its worker is busy: {doing}.", figures=figures)
    if not beats:
        return Part(key, name, State.UNKNOWN, "No sign of life has come yet.", figures=figures)
    if beat is not None and not is_silent(beat, now):
        return _late(queue, beat, figures)
    says = "No worker has ever taken its messages." if beat is None else "What it is asked to do waits."
    todo = f"Start one: {_starts(queue)}. What waits is then carried out."
    return Part(key, name, State.DOWN, says, QUEUES[queue][1], beat.seen_at if beat else None, todo, figures)


def _late(queue: str, beat: Beat, figures: tuple[Figure, ...]) -> Part:
    """Its worker is there, and has more to do than it can."""
    says = f"It is late: what its worker took last had waited {words.seconds(round(beat.waited.total_seconds()))}."
    todo = f"It catches up when it is asked for less. If it stays late, start another worker: {_starts(queue)}."
    trouble = f"the queue {queue} is late"
    return Part(f"queue:{queue}", QUEUES[queue][0], State.DEGRADED, says, trouble, beat.sent_at, todo, figures)


def _starts(queue: str) -> str:
    return f"celery --app portal.celery:app worker --queues {queue}"


def _queue_figures(queue: str, beat: Beat | None, look: Look | None) -> tuple[Figure, ...]:
    found: list[Figure] = [Figure("Queue", queue)]
    if beat is not None:
        found += [Figure("Last sign of life", beat.seen_at), Figure("Worker", beat.worker)]
    if look is not None and queue in look.waiting:
        found.append(Figure("Messages waiting", look.waiting[queue]))
    return tuple(found)


def _unclocked(
    beats: Mapping[str, Beat], now: datetime, look: Look | None, doing: Mapping[str, str]
) -> tuple[Part, ...]:
    """No sign of life comes from the queue that beat sends them to: beat, its worker or the broker is to blame.

    Nobody asks the other queues for a sign of life then. One of them is only blamed where messages wait in it.
    """
    waiting = look.waiting if look else {}
    clock, blamed, why = _who_stopped(beats, now, look)
    parts = [clock]
    for queue in QUEUES:
        known = not is_silent(beats.get(queue), now) or queue in doing or waiting.get(queue)
        if known or queue in blamed:
            parts.append(_queue(queue, beats, now, look, doing.get(queue, "")))
        else:
            parts.append(_unreached(queue, beats, look, why))
    return tuple(parts)


def _who_stopped(beats: Mapping[str, Beat], now: datetime, look: Look | None) -> tuple[Part, frozenset[str], str]:
    """Beat's part, the queues whose workers are gone, and why nothing is known of the others."""
    last = beats.get(CLOCKED)
    since = last.seen_at if last else max(each.seen_at for each in beats.values())
    broker = look.answers.get("broker") if look else None
    nobody = frozenset[str]()
    if broker is not None and broker.error:
        clock = _silent_beat(State.UNKNOWN, "Nobody can tell while the broker does not answer.")
        return clock, nobody, "No message reaches its worker."
    unasked = f"It is not known since then: the worker of the queue {CLOCKED} asks no other for a sign of life."
    if look is not None and look.waiting.get(CLOCKED):
        clock = _silent_beat(State.UNKNOWN, f"Messages wait in the queue {CLOCKED}, so it has sent some.")
        return _beat(beats, now) if _sends(beats, now) else clock, frozenset({CLOCKED}), unasked
    if broker is None and _sends(beats, now) and _sent_after(last, beats):
        return _beat(beats, now), frozenset({CLOCKED}), unasked
    if broker is not None:
        clock = _silent_beat(State.DOWN, "It sends nothing.", "beat sends nothing, so nothing is carried out", since)
        return clock, nobody, "It is not known since then: without beat nobody asks for a sign of life."
    trouble = "there is no sign of life from beat or any worker"
    clock = _silent_beat(State.DOWN, "Neither it nor any worker gives a sign of life.", trouble, since)
    return clock, nobody, "No sign of life."


def _sent_after(last: Beat | None, beats: Mapping[str, Beat]) -> bool:
    """Whether other queues' messages were still sent when signs of life came no more: so it was not beat that stopped
    at that moment."""
    return last is None or max(each.sent_at for each in beats.values()) - last.sent_at > SILENT / 2


def _silent_beat(state: State, says: str, trouble: str = "", since: datetime | None = None) -> Part:
    todo = "Start it: celery --app portal.celery:app beat. Exactly one is enough." if state == State.DOWN else ""
    return Part("beat", _CLOCK, state, says, trouble, since, todo)


def _unreached(queue: str, beats: Mapping[str, Beat], look: Look | None, says: str) -> Part:
    beat = beats.get(queue)
    since, figures = beat.seen_at if beat else None, _queue_figures(queue, beat, look)
    return Part(f"queue:{queue}", QUEUES[queue][0], State.UNKNOWN, says, since=since, figures=figures)


# ---------------------------------------------------------------- the registry and its mirror


@dataclass(frozen=True, slots=True)
class MirrorFacts:
    """``seen`` of ``known`` versions have been seen by the pass that is under way, where one is."""

    last_success_at: datetime | None
    last_full_pass_at: datetime | None
    pass_started_at: datetime | None
    last_error: str
    last_error_at: datetime | None
    seen: int = 0
    known: int = 0


def registry(answer: Answer | None, mirror: MirrorFacts | None, address: str) -> Part:
    """``answer`` is None while it has not been asked; then the mirror's last success is what is known."""
    name, figures = "Registry (MLflow)", _registry_figures(answer, mirror, address)
    error = answer.error if answer is not None else (mirror.last_error if mirror is not None else "")
    if error:
        since = (mirror.last_success_at if mirror else None) or (answer.since if answer else None)
        todo = (
            "Look whether MLflow runs at this address, and whether Stagegate may reach it. "
            "Traffic and rollbacks go on without it; the registry is brought up to date when it is back."
        )
        says = f"It does not answer: {_full_stop(error)}"
        return Part("registry", name, State.DOWN, says, "MLflow does not answer", since, todo, figures)
    if answer is None and (mirror is None or mirror.last_success_at is None):
        return Part("registry", name, State.UNKNOWN, "It has not been asked yet.", figures=figures)
    if mirror is not None and mirror.last_error:
        says = f"It answers, but could not be read: {_full_stop(mirror.last_error)}"
        trouble, since = "MLflow cannot be read", mirror.last_success_at
        todo = "It is tried again every few seconds. If it stays, MLflow's own log says why."
        return Part("registry", name, State.DEGRADED, says, trouble, since, todo, figures)
    return Part("registry", name, State.HEALTHY, "It answers.", figures=figures)


def _registry_figures(answer: Answer | None, mirror: MirrorFacts | None, address: str) -> tuple[Figure, ...]:
    found = [Figure("Address", address)]
    if answer is not None and not answer.error:
        found += _speed(answer)
    if mirror is not None and mirror.last_success_at:
        found.append(Figure("Last read", mirror.last_success_at))
    return tuple(found)


def mirror(facts: MirrorFacts | None, now: datetime, *, every: timedelta, unreachable: bool) -> Part:
    """``every`` is how often the registry is read; ``unreachable``: the registry's part tells why it is not."""
    name = "Mirror of the registry"
    if facts is None or facts.last_success_at is None:
        return Part("mirror", name, State.UNKNOWN, "The registry has not been read yet.")
    figures = [Figure("Last read", facts.last_success_at)]
    if facts.last_full_pass_at:
        figures.append(Figure("Last whole pass", facts.last_full_pass_at))
    progress = _pass_progress(facts)
    stale = now - facts.last_success_at > max(6 * every, OVERDUE)
    if not stale:
        says = "A pass over the whole registry is under way." if progress else "What is shown here is up to date."
        return Part("mirror", name, State.HEALTHY, says, figures=tuple(figures), progress=progress)
    says = "What is shown here of models and versions may be out of date."
    trouble = "" if unreachable else "the registry has not been read"
    todo = "" if unreachable else "Look whether MLflow answers and whether a worker takes the queue default."
    since = facts.last_success_at
    return Part("mirror", name, State.DEGRADED, says, trouble, since, todo, tuple(figures), progress)


def _pass_progress(facts: MirrorFacts) -> Progress | None:
    """How many versions there are is known once all of them have been seen."""
    if facts.pass_started_at is None:
        return None
    if facts.last_full_pass_at is None:
        return Progress(facts.seen, 0, "versions")
    return Progress(min(facts.seen, facts.known), facts.known, "versions")


# ---------------------------------------------------------------- what is asked directly


def broker(answer: Answer | None) -> Part:
    name = "Broker (Redis or Valkey)"
    if answer is None:
        return Part("broker", name, State.UNKNOWN, "It has not been asked yet.")
    if not answer.error:
        return Part("broker", name, State.HEALTHY, "It answers.", figures=_speed(answer))
    todo = (
        "Look whether it runs at the address in REDIS_URL. Nothing is lost: workers find what is due when it is back."
    )
    says, trouble = f"It does not answer: {_full_stop(answer.error)}", "the broker does not answer, so no work is done"
    return Part("broker", name, State.DOWN, says, trouble, answer.since, todo)


def gateway(answer: Answer | None, routes: int, address: str) -> Part:
    """``routes`` is how many versions are served through it."""
    name, figures = "Gateway", (Figure("Address", address), Figure("Versions served", routes))
    if answer is None:
        return Part("gateway", name, State.UNKNOWN, "It has not been asked yet.", figures=figures)
    if not answer.error:
        return Part("gateway", name, State.HEALTHY, "It answers.", figures=(*figures, *_speed(answer)))
    says = f"It does not answer: {_full_stop(answer.error)}"
    if not routes:
        return Part("gateway", name, State.UNUSED, f"{says} Nothing is served through it yet.", figures=figures)
    todo = (
        "Users may get no answers. Look whether it runs, and whether workers reach the address in "
        "STAGEGATE_GATEWAY_API. Rollouts wait; a rollback is carried out as soon as it is back."
    )
    return Part("gateway", name, State.DOWN, says, "the gateway does not answer", answer.since, todo, figures)


def servers(look: Look | None) -> Part:
    name = "Model servers"
    answer = look.answers.get("servers") if look else None
    if look is None or answer is None:
        return Part("servers", name, State.UNKNOWN, "They have not been asked yet.")
    if not look.needed:
        return Part("servers", name, State.UNUSED, "No version serves yet.")
    if answer.error:
        says = f"Nobody can tell: {_full_stop(answer.error)}"
        todo = "Look whether what keeps the servers running answers, and whether Stagegate may reach it."
        return Part("servers", name, State.DEGRADED, says, "model servers cannot be looked at", answer.since, todo)
    left = look.needed - look.asked
    figures = (Figure("Not looked at in time", left),) if left > 0 else ()
    running = f"{look.asked - len(look.failing):,} of {words.counted(look.asked, 'server')} run."
    if not look.failing:
        return Part("servers", name, State.HEALTHY, running, figures=figures)
    count = len(look.failing)
    trouble = f"{words.counted(count, 'model server')} {'does' if count == 1 else 'do'} not run"
    links = tuple(
        Link(f"{each.model} {each.label}: {each.why}", "version", (each.slug, each.version)) for each in look.failing
    )
    todo = "They are started again by themselves, after longer and longer pauses. Their pages say why they ended."
    return Part("servers", name, State.DOWN, running, trouble, None, todo, figures, links=links)


def database(vendor: str, seconds: float) -> Part:
    """Whoever can read this has reached it."""
    shown = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}.get(vendor, vendor)
    figures = (Figure("Kind", shown), Figure("Answers in", words.seconds(float(f"{seconds:.2g}"))))
    return Part("database", "Database", State.HEALTHY, "It answers.", figures=figures)


def _speed(answer: Answer) -> tuple[Figure, ...]:
    return (Figure("Answers in", words.seconds(float(f"{answer.seconds:.2g}"))),)


def _full_stop(text: str) -> str:
    cut = text.strip()[:300]
    return cut if cut.endswith((".", "!", "?")) else f"{cut}."


# ---------------------------------------------------------------- work that waits


@dataclass(frozen=True, slots=True)
class Waiting:
    """So many of one kind of work, and since when the oldest of them has been due."""

    count: int = 0
    oldest: datetime | None = None

    def longer_than(self, span: timedelta, now: datetime) -> bool:
        return self.oldest is not None and now - self.oldest > span


def transitions(due: Waiting, now: datetime) -> Part:
    name = "Transitions and rollbacks"
    if not due.longer_than(OVERDUE, now):
        return Part("transitions", name, State.HEALTHY, "None is overdue.")
    trouble = f"{words.counted(due.count, 'transition')} {'is' if due.count == 1 else 'are'} overdue"
    todo = "Look whether workers take the queues default and rollbacks. They go on by themselves from where they stand."
    says = "What is due is not carried out."
    return Part("transitions", name, State.DEGRADED, says, trouble, due.oldest, todo, links=(Link("Home", "home"),))


_WORK = {
    "checks": ("Checks", "check", "Look whether a worker takes the queue checks: one after the other is carried out."),
    "exports": ("Exports of the record", "export", "Look whether a worker takes the queue default."),
    "clean_ups": ("Clean-ups", "clean-up", "Look whether a worker takes the queue checks."),
}


def work(kind: str, waiting: Waiting, now: datetime) -> Part:
    """Checks, exports or clean-ups that no worker has begun, or that one has left."""
    name, thing, todo = _WORK[kind]
    if not waiting.count:
        return Part(kind, name, State.HEALTHY, "None waits for a worker.")
    says = f"{words.counted(waiting.count, thing)} {'waits' if waiting.count == 1 else 'wait'} for a worker."
    figures = (Figure("Oldest waits since", waiting.oldest),) if waiting.oldest else ()
    if not waiting.longer_than(LONG_WAIT[kind], now):
        return Part(kind, name, State.HEALTHY, says, figures=figures)
    trouble = says[0].lower() + says[1:].removesuffix(" for a worker.")
    return Part(kind, name, State.DEGRADED, says, trouble, waiting.oldest, todo, figures)


def notices(waiting: Waiting, given_up: Waiting, now: datetime, *, used: bool) -> Part:
    """``given_up`` are those of the last days."""
    name, link = "Notices", (Link("What has become of them", "delivery"),)
    figures = (Figure("To be sent", waiting.count), Figure("Given up", given_up.count))
    if given_up.count:
        says = "Some could not be sent, and are not tried again."
        trouble = f"{words.counted(given_up.count, 'notice')} {'was' if given_up.count == 1 else 'were'} given up"
        todo = "An administrator can see why, and have them tried again."
        return Part("notices", name, State.DEGRADED, says, trouble, given_up.oldest, todo, figures, links=link)
    if waiting.longer_than(LONG_WAIT["notices"], now):
        says, trouble = "Some are due and have not been sent.", "notices wait to be sent"
        todo = "Look whether a worker takes the queue default, and whether the mail server answers."
        return Part("notices", name, State.DEGRADED, says, trouble, waiting.oldest, todo, figures, links=link)
    if not used and not waiting.count:
        return Part("notices", name, State.UNUSED, "No mail server and no channel is set up, so none is sent.")
    return Part("notices", name, State.HEALTHY, "What is due is sent.", figures=figures, links=link)


# ---------------------------------------------------------------- the record


@dataclass(frozen=True, slots=True)
class RecordFacts:
    """``sealed`` is the last entry that a checkpoint covers, signed at ``sealed_at`` and kept in ``places``;
    ``unsealed_since`` is when the first entry after it was written. ``signs`` says that this installation has a key to
    sign with, as far as is known here."""

    entries: int = 0
    sealed: int = 0
    sealed_at: datetime | None = None
    places: tuple[str, ...] = ()
    unsealed_since: datetime | None = None
    problem: str = ""
    signs: bool = True


def record(facts: RecordFacts, now: datetime) -> Part:
    name, link = "Record", (Link("The record", "record"),)
    figures = [Figure("Entries", facts.entries)]
    if facts.sealed_at:
        figures += [Figure("Last checkpoint", facts.sealed_at), Figure("Covers entries up to", facts.sealed)]
    if facts.places:
        figures.append(Figure("Kept in", ", ".join(facts.places)))
    if facts.problem:
        says = f"The last checkpoint is not where it should be: {_full_stop(facts.problem)}"
        todo = "Look at the record's page: it says what was signed, and what is there."
        trouble = "a checkpoint of the record is in trouble"
        return Part("record", name, State.DEGRADED, says, trouble, facts.sealed_at, todo, tuple(figures), links=link)
    if not facts.signs and facts.sealed_at is None:
        says = "No checkpoints are signed here: the record proves itself by its chain alone."
        return Part("record", name, State.UNUSED, says, figures=tuple(figures), links=link)
    if facts.unsealed_since is not None and now - facts.unsealed_since > UNSEALED:
        says = "Its newest entries are not covered by a signed checkpoint."
        todo = "Look whether the worker of the queue default has its key: manage.py check says, and docs/RECORD.md."
        trouble, since = "no checkpoint of the record was signed", facts.sealed_at or facts.unsealed_since
        return Part("record", name, State.DEGRADED, says, trouble, since, todo, tuple(figures), links=link)
    says = "Checkpoints are signed and kept." if facts.sealed_at else "The first checkpoint is yet to be signed."
    return Part("record", name, State.HEALTHY, says, figures=tuple(figures), links=link)


# ---------------------------------------------------------------- all of it


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class System:
    """Everything as it was known at ``at``; ``asked_at`` is when the parts outside were last asked, None: not yet."""

    at: datetime
    asked_at: datetime | None
    sections: tuple[Section, ...]

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple(part for section in self.sections for part in section.parts)

    @property
    def troubles(self) -> tuple[Part, ...]:
        """The parts that need attention, those that are down first."""
        return in_trouble(self.parts)

    @property
    def unheard(self) -> bool:
        """Whether nothing is known of beat and the workers, so that nobody may say that everything works."""
        return any(part.key == "beat" and part.state == State.UNKNOWN for part in self.parts)


def in_trouble(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Those with a trouble of their own, the gravest first."""
    return tuple(sorted((part for part in parts if part.trouble), key=lambda part: part.state != State.DOWN))
