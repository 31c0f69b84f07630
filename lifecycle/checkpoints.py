"""Checkpoints of the record: one is signed when something happened, and then kept outside of the database."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.models import Count, Min, Q

from lifecycle import adapters, audit
from lifecycle.domain import checkpoints
from lifecycle.domain.checkpoints import BadKeyError, BrokenError, Statement
from lifecycle.models import AuditEntry, Checkpoint
from lifecycle.ports import CheckpointPlace, PortError, TemporaryError

logger = logging.getLogger(__name__)

LOCK = audit.LOCK + 1
"""The key of PostgreSQL's advisory lock that makes signers take turns: two at once would fork the checkpoints."""
LOOKED_AT = 50
"""How many of the newest checkpoints are held against the record before another one is signed."""
TURN_SECONDS = 60.0
"""After how long a delivery leaves what is still due to the next one."""


class NoKeyError(Exception):
    """There is no private key to sign with. ``str(error)`` says what to do."""


class RewrittenError(Exception):
    """The record, or the table of checkpoints, is not what it was when the newest checkpoints were signed."""


@dataclass(frozen=True, slots=True)
class State:
    """What people see of the checkpoints.

    ``waiting`` of them are not in every place yet; ``problem`` says what is wrong with the newest one or keeps the
    oldest waiting one from its places, "" when nothing does. ``key_id`` is the public key that signed the newest, ""
    before there is one.
    """

    newest: Checkpoint | None
    waiting: int
    problem: str
    key_id: str


def state() -> State:
    newest = Checkpoint.objects.order_by("-seq").first()
    waiting = Checkpoint.objects.filter(complete=False)
    found = waiting.aggregate(count=Count("pk"), stuck=Min("seq", filter=~Q(last_error="")))
    stuck = waiting.filter(seq=found["stuck"]).first() if found["stuck"] is not None else None
    return State(
        newest=newest,
        waiting=found["count"],
        problem=(newest.last_error if newest else "") or (stuck.last_error if stuck else ""),
        key_id=newest.statement.get("key_id", "") if newest else "",
    )


# ---------------------------------------------------------------- signing


def run(*, now: datetime) -> None:
    """Sign a checkpoint if something happened, and deliver what is due, whatever became of the signing."""
    try:
        make(now=now)
    except NoKeyError as error:
        logger.error("no checkpoint is signed: %s", error)
    except RewrittenError as error:
        logger.critical("no checkpoint is signed: %s", error)
        _mark_newest(str(error))
    deliver(now=now)


def make(*, now: datetime) -> Checkpoint | None:
    """Sign that the record has its newest entry; None when there is a checkpoint for it already.

    Raises NoKeyError, and RewrittenError where a signature would only cover up what somebody has done.
    """
    key = private_key()
    with transaction.atomic():
        _take_turn()
        newest = _newest()
        _need_unchanged(newest)
        last = AuditEntry.objects.order_by("-seq").values_list("seq", "hash").first()
        if last is None or (newest and newest[-1]["seq"] == last[0]):
            return None
        statement = checkpoints.sign(
            key, seq=last[0], entry_hash=last[1], at=now, previous=newest[-1] if newest else None
        )
        return Checkpoint.objects.create(seq=last[0], hash=last[1], at=now, statement=statement)


def private_key() -> Ed25519PrivateKey:
    """The key that signs. Raises NoKeyError. Only the worker that signs can read the file."""
    path = settings.CHECKPOINT_KEY_FILE
    if path is None:
        raise NoKeyError("STAGEGATE_CHECKPOINT_KEY_FILE is none, but this worker was asked to sign.")
    try:
        return checkpoints.load_key(path.read_bytes())
    except OSError as error:
        raise NoKeyError(
            f"{path} can't be read ({error.strerror}). Make a key with manage.py make_checkpoint_key, or name one in "
            "STAGEGATE_CHECKPOINT_KEY_FILE."
        ) from error
    except BadKeyError as error:
        raise NoKeyError(f"{path} can't be used: {error}.") from error


def _take_turn() -> None:
    """On SQLite every transaction takes its turn at its beginning anyway."""
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])


def _newest() -> list[Statement]:
    """The statements of the newest checkpoints, the newest last."""
    found = Checkpoint.objects.order_by("-seq").values_list("statement", flat=True)[:LOOKED_AT]
    return list(reversed(found))


def _need_unchanged(statements: Sequence[Statement]) -> None:
    """Raises RewrittenError when the database no longer has what these statements say."""
    if not statements:
        return
    try:
        checkpoints.verify(statements, previous=statements[0].get("previous", ""))
    except BrokenError as error:
        seq = statements[error.position].get("seq")
        raise RewrittenError(
            f"The checkpoint at entry {seq} in the database is not what was signed: {error}."
        ) from error
    hashes = dict(AuditEntry.objects.filter(seq__in=[each["seq"] for each in statements]).values_list("seq", "hash"))
    for each in statements:
        if hashes.get(each["seq"]) != each["hash"]:
            raise RewrittenError(
                f"The record's entry {each['seq']} is not the one that was signed at {each['at']}: the record was "
                "rewritten, or the database is an older one that was restored."
            )


def _mark_newest(why: str) -> None:
    newest = Checkpoint.objects.order_by("-seq").values_list("pk", flat=True)[:1]
    Checkpoint.objects.filter(pk__in=list(newest)).update(last_error=why)


# ---------------------------------------------------------------- delivering


def deliver(*, now: datetime, clock: Callable[[], float] = time.monotonic) -> None:
    """Bring every checkpoint that is due to the places that lack it, the oldest first.

    A place that fails for now is not asked again in this turn. ``clock`` gives seconds.
    """
    places, down, end = adapters.checkpoint_places(), dict[str, str](), clock() + TURN_SECONDS
    waiting = Checkpoint.objects.filter(complete=False).order_by("seq").values_list("pk", "at", "attempts")
    due = [pk for pk, at, attempts in waiting if checkpoints.next_attempt(at, attempts) <= now]
    for pk in due:
        if clock() > end:
            return
        _deliver(Checkpoint.objects.get(pk=pk), places, down)


def deliver_again() -> int:
    """Have every checkpoint brought to the places that lack it: for a place that is new. Gives their number."""
    return Checkpoint.objects.update(complete=False, attempts=0)


def _deliver(row: Checkpoint, places: Collection[CheckpointPlace], down: dict[str, str]) -> None:
    kept, errors = set(row.delivered), []
    for place in places:
        if place.name in kept:
            continue
        if place.name not in down and not (error := _why_not_kept(place, row.statement, down)):
            kept.add(place.name)
        else:
            errors.append(down.get(place.name) or error)
    _note(row.pk, kept, errors, {place.name for place in places})


def _why_not_kept(place: CheckpointPlace, statement: Statement, down: dict[str, str]) -> str:
    """Bring a checkpoint, and the key it was signed with, to a place; "" when it is there."""
    if checkpoints.why_unsigned(statement):
        return "the checkpoint in the database is not what was signed"
    key = statement["key_id"]
    try:
        if place.keeps_files:
            place.keep(checkpoints.key_file_name(key), checkpoints.public_pem(key).encode("ascii"))
        place.keep(checkpoints.file_name(statement), checkpoints.content(statement))
    except TemporaryError as error:
        down[place.name] = str(error)
        return str(error)
    except PortError as error:
        return str(error)
    return ""


def _note(pk: int, kept: set[str], errors: Sequence[str], places: set[str]) -> None:
    """Write down which places have a checkpoint; what another worker has delivered meanwhile stays delivered."""
    with transaction.atomic():
        row = Checkpoint.objects.select_for_update().get(pk=pk)
        row.delivered = sorted(kept | set(row.delivered))
        row.complete = places <= set(row.delivered)
        row.last_error = "" if row.complete else "; ".join(errors)
        row.attempts += 1
        row.save(update_fields=["delivered", "complete", "last_error", "attempts"])
