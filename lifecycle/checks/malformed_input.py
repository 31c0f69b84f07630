"""The malformed-input check: does the version refuse nonsense with a reason, instead of answering it or falling over?

Every malformed request has to get a 4xx with a reason in its body. Afterwards valid rows have to get their answers:
a server that refuses everything, or that did not survive, has not passed.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lifecycle.adapters.scoring import Reply, score
from lifecycle.checks.base import Report, Result, Subject
from lifecycle.checks.malformed import Case, cases, smallest
from lifecycle.domain.judgements.base import at_least, below
from lifecycle.domain.policy import ServiceLevels
from lifecycle.domain.signatures import shown
from lifecycle.domain.words import listed
from lifecycle.ports import PermanentError, TemporaryError
from lifecycle.rows import NoRowsError, RowSource, source_of

TIMEOUT_SECONDS = 10.0
LONGEST_SECONDS = 150.0
"""When no further request is sent: the check has a time of its own, whatever the server does with it."""
SILENCES = 5
"""After so many requests without any answer in a row there is nothing left to find out."""
VALID_ROWS = 50
TRIES = 30
SIMPLIFYING_SECONDS = 30.0
"""Requests a class, and seconds in all, that are spent on finding the simplest one that fails."""
SHOWN = 20
SHOWN_BODY, SHOWN_ANSWER = 500, 300
REASONS = ("message", "detail", "error")
"""Where servers of MLflow's protocol, and the frameworks below them, put the reason."""
VALID = "valid row"

Send = Callable[[Case], Reply]


@dataclass(frozen=True, slots=True)
class Sent:
    """One request, and what came of it; ``name`` is its class."""

    name: str
    case: Case
    reply: Reply

    @property
    def good(self) -> bool:
        return is_answered(self.reply) if self.name == VALID else is_refused(self.reply)

    def shown(self) -> dict[str, Any]:
        answer = self.reply.text if self.reply.status is not None else self.reply.problem
        # No database keeps NUL in a text.
        body = self.case.body.decode("utf-8", "backslashreplace").replace("\x00", "\N{REPLACEMENT CHARACTER}")
        return {
            "class": self.name,
            "body": shown(body, SHOWN_BODY),
            "content_type": self.case.content_type,
            "status": self.reply.status,
            "answer": shown(answer, SHOWN_ANSWER),
        }


def is_refused(reply: Reply) -> bool:
    """Whether it is a 4xx that says why."""
    if reply.status is None or not 400 <= reply.status < 500:
        return False
    answer = _object(reply.text)
    return any(_says_something(answer.get(name)) for name in REASONS)


def is_answered(reply: Reply) -> bool:
    return reply.status == 200 and _object(reply.text).get("predictions") is not None


def _object(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _says_something(value: Any) -> bool:
    return bool(value.strip()) if isinstance(value, str) else isinstance(value, list | dict) and bool(value)


@dataclass
class Findings:
    """What was sent so far. ``stopped`` says why not everything was, "" when it was."""

    malformed: list[Sent] = field(default_factory=list)
    valid: list[Sent] = field(default_factory=list)
    smaller: list[Sent] = field(default_factory=list)
    stopped: str = ""

    @property
    def rejected(self) -> float:
        """Percent of the malformed requests."""
        return _percent([sent.good for sent in self.malformed])

    @property
    def failed(self) -> float:
        """Percent of the valid rows that got no prediction; none was asked for means all of them."""
        return _percent([not sent.good for sent in self.valid]) if self.valid else 100.0

    def by_class(self) -> dict[str, dict[str, int]]:
        sent = Counter(each.name for each in self.malformed)
        rejected = Counter(each.name for each in self.malformed if each.good)
        return {name: {"sent": count, "rejected": rejected[name]} for name, count in sent.items()}

    def failing(self) -> list[dict[str, Any]]:
        """What failed: the smallest request of every class, then the others, smallest first."""
        bad = {(each.name, each.case): each for each in (*self.smaller, *self.malformed, *self.valid) if not each.good}
        ordered = sorted(bad.values(), key=lambda each: (len(each.case.body), each.case.body))
        firsts: dict[str, Sent] = {}
        for each in ordered:
            firsts.setdefault(each.name, each)
        others = [each for each in ordered if firsts[each.name] is not each]
        return [each.shown() for each in (*firsts.values(), *others)][:SHOWN]

    def measurements(self) -> dict[str, Any]:
        return {
            "rejected": self.rejected,
            "sent": len(self.malformed),
            "by_class": self.by_class(),
            "failing": self.failing(),
            "valid_sent": len(self.valid),
            "valid_failed": sum(not each.good for each in self.valid),
            "failed": self.failed,
            "stopped": self.stopped,
        }


def _percent(true: Sequence[bool]) -> float:
    return 100.0 * sum(true) / len(true) if true else 0.0


def is_enough(found: Findings, levels: ServiceLevels) -> bool:
    return (
        not found.stopped
        and at_least(found.rejected, levels.malformed_rejected)
        and below(found.failed, levels.failed_predictions)
    )


def run(subject: Subject, report: Report) -> Result:
    """Raises TemporaryError when the server cannot be reached before anything malformed was sent to it, PermanentError
    when the signature is one that no request can be made up for."""
    try:
        source = source_of(subject.signature, subject.files)
    except NoRowsError as error:
        return Result(False, f"Without a signature nothing can be refused with a reason. {error}")
    report(0, "making up malformed requests")
    try:
        made = cases(source, subject.policy.checks.malformed_inputs)
        valid = [Case(body) for body in source.bodies(VALID_ROWS)]
    except NoRowsError as error:
        raise PermanentError(f"Nobody can know what to ask of this model: {error}") from error
    _greet(subject, valid[0])
    found = Findings()
    _send_all(_sender(subject), found, made, valid, report)
    _simplify(_sender(subject), found, source, report)
    return Result(is_enough(found, subject.policy.service_levels), sentence(found), found.measurements())


def _sender(subject: Subject) -> Send:
    return lambda case: score(subject.server_url, case.body, case.content_type, timeout=TIMEOUT_SECONDS)


def _greet(subject: Subject, case: Case) -> None:
    """What happens after this first valid row is the version's doing; that nobody was there is not."""
    reply = _sender(subject)(case)
    if reply.status is None and not reply.hung:
        raise TemporaryError(f"the server of {subject.ref} can't be reached")
    if reply.version and reply.version != str(subject.ref.version):
        raise TemporaryError(f"another version answers where {subject.ref} should, or nobody knows which")


def _send_all(
    send: Send, found: Findings, made: Sequence[tuple[str, Case]], valid: Sequence[Case], report: Report
) -> None:
    """The malformed requests first, then the valid ones, until all are sent or there is nothing left to find out."""
    everything = [*made, *((VALID, case) for case in valid)]
    ends, silent = time.monotonic() + LONGEST_SECONDS, 0
    for number, (name, case) in enumerate(everything):
        phase = "valid rows" if name == VALID else f"malformed requests, {number} of {len(made)} sent"
        report(round(95 * number / len(everything)), phase)
        sent = Sent(name, case, send(case))
        (found.valid if name == VALID else found.malformed).append(sent)
        silent = silent + 1 if sent.reply.status is None else 0
        if silent >= SILENCES:
            found.stopped = f"{silent} requests in a row got no answer"
        elif time.monotonic() > ends:
            found.stopped = f"it took longer than {LONGEST_SECONDS:g} s"
        if found.stopped:
            return


def _simplify(send: Send, found: Findings, source: RowSource, report: Report) -> None:
    """Look for the simplest failing request of each class that failed with an answer; a silence is too dear to
    repeat."""
    failing = {each.name for each in found.malformed if not each.good and each.reply.status is not None}
    sent = {each.case: each for each in found.malformed}
    ends = time.monotonic() + SIMPLIFYING_SECONDS
    for name in sorted(failing) if not found.stopped else ():

        def fails(case: Case, name: str = name) -> bool:
            report(96, f"looking for the simplest request that fails, {name}")
            if case not in sent and time.monotonic() > ends:
                return False
            if case not in sent:
                sent[case] = Sent(name, case, send(case))
            return not sent[case].good

        simplest = smallest(source, name, fails, TRIES)
        if simplest is not None:
            found.smaller.append(sent[simplest])


def sentence(found: Findings) -> str:
    """What was refused and what was answered, and which classes were not refused."""
    refused = sum(each.good for each in found.malformed)
    answered = sum(each.good for each in found.valid)
    text = f"{refused:,} of {len(found.malformed):,} malformed requests refused with a reason"
    missed = [
        f"{name} ({of['sent'] - of['rejected']})"
        for name, of in found.by_class().items()
        if of["sent"] > of["rejected"]
    ]
    if missed:
        text += f", not those with {listed(missed)}"
    text += f"; {answered:,} of {len(found.valid):,} valid rows answered."
    return f"{text} Stopped: {found.stopped}." if found.stopped else text
