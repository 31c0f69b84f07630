"""What the pages say about rolling back: what each button would do, how long it took before, and what disagrees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from statistics import median
from typing import Any

from django.db.models import F, Q, QuerySet

from lifecycle import disagreements, people
from lifecycle.domain.approval import Approver
from lifecycle.domain.effects import SERVER
from lifecycle.domain.permissions import STAGEGATE, Action, Actor, may
from lifecycle.domain.stages import Stage
from lifecycle.models import (
    ACTIVE,
    EXECUTING,
    Disagreement,
    Effect,
    Kind,
    ModelVersion,
    RegisteredModel,
    Status,
    Transition,
    VariantRole,
)
from lifecycle.queries_serving import failing_in
from lifecycle.reads import LARGE, SLIM, ModelReads, concerned
from lifecycle.rollbacks import (
    GIVES_WAY,
    can_be_replaced,
    drill_refusal,
    gives_way,
    replaced_by,
)
from lifecycle.together import Prepared

FIVE_MINUTES = timedelta(minutes=5)
"""Within this time the lifecycle strategy wants a rollback to be done."""
TIMINGS_SHOWN = 5
"""How many of a model's latest rollbacks and drills its page shows."""


# ---------------------------------------------------------------- what the buttons do


class Deed(StrEnum):
    """What a button does."""

    TURN_BACK = "turn_back"
    EMERGENCY = "emergency"
    GRACEFUL = "graceful"
    STOP = "stop"
    WITHDRAW = "withdraw"
    DRILL = "drill"
    RECONCILE = "reconcile"


@dataclass(frozen=True, slots=True)
class RollbackOffer:
    """What a button will do, in words; ``refusal`` says why there is nothing to click.

    ``version`` is what leaves, ``target`` who gets its requests, and ``warm`` whether that one's server is running.
    """

    deed: Deed
    consequence: str = ""
    refusal: str = ""
    version: ModelVersion | None = None
    target: ModelVersion | None = None
    warm: bool = False


@dataclass(frozen=True, slots=True)
class ServerWait:
    """What a rollback waits for: the server of ``version``, which was started ``starts`` times since ``since``, the
    last time after ``error``, "" where none is known."""

    version: ModelVersion
    since: datetime
    starts: int
    error: str


@dataclass(frozen=True, slots=True)
class WayOut:
    """Other ways for a rollback of Production that is under way.

    ``targets`` are the versions that can come back instead, the one that served last first, and ``older`` says how many
    more there are. ``stop`` is None where that rollback ends serving itself. ``wait`` is None where it waits for no
    server, and ``meanwhile`` says what becomes of it and of the version that leaves, whichever way is chosen.
    """

    transition: Transition
    wait: ServerWait | None
    targets: tuple[RollbackOffer, ...]
    older: int
    stop: RollbackOffer | None
    meanwhile: str


@dataclass(frozen=True, slots=True)
class Offers:
    """All buttons of a model; None: there is no such button here, or not for this person."""

    another: WayOut | None = None
    turn_back: RollbackOffer | None = None
    emergency: RollbackOffer | None = None
    graceful: RollbackOffer | None = None
    stop: RollbackOffer | None = None
    withdraw: RollbackOffer | None = None
    drill: RollbackOffer | None = None
    reconcile: RollbackOffer | None = None

    @property
    def main(self) -> RollbackOffer | None:
        """The one for three in the morning."""
        return self.turn_back or self.emergency


def offers(model: RegisteredModel, actor: Actor, reads: ModelReads | None = None) -> Offers:
    """What this person can do about what the model serves; ``reads`` is what a page has read of it."""
    actor, known = actor.at(model.team_id), reads or ModelReads(model)
    found: dict[str, RollbackOffer | None] = {}
    another = None
    if may(actor, Action.ROLL_BACK):
        found = _to_roll_back(known)
        replaceable = known.production is not None and known.active is not None and can_be_replaced(known.active)
        another = _to_go_another_way(known.active, known) if known.active and replaceable else None
    if may(actor, Action.DRILL) and known.production is not None:
        found["drill"] = _to_drill(known.production, known)
    if may(actor, Action.RECONCILE):
        found["reconcile"] = _to_reconcile(known)
    return Offers(another=another, **found)


def offers_here(transition: Transition, actor: Actor, reads: ModelReads | None = None) -> Offers | None:
    """Those that belong on a transition's page: of a change that runs, and of a promotion whose version serves now."""
    known = reads or ModelReads(transition.model)
    if transition.status == Status.APPROVED and transition.kind not in GIVES_WAY:
        allowed = may(actor.at(transition.model.team_id), Action.ROLL_BACK)
        return Offers(turn_back=_to_turn_back(transition, known)) if allowed else Offers()
    if transition.status in EXECUTING and transition.kind not in GIVES_WAY:
        return offers(transition.model, actor, known)
    promoted = transition.kind == Kind.PROMOTION and transition.status == Status.FINISHED
    if not (promoted and transition.to_stage == Stage.PRODUCTION):
        return None
    serving = known.production
    return offers(transition.model, actor, known) if serving and serving.pk == transition.version_id else None


def _to_roll_back(reads: ModelReads) -> dict[str, RollbackOffer | None]:
    serving, active = reads.production, reads.active
    target = reads.previous(serving) if serving else None
    if active is not None and active.status in EXECUTING and active.kind not in GIVES_WAY:
        nothing_else = active.status == Status.APPROVED and target is None
        if nothing_else or not gives_way(active):
            return {"turn_back": _to_turn_back(active, reads)}
    found = {"withdraw": _to_withdraw(reads)}
    if serving is None:
        return found
    if target is None:
        why = f"{serving.label} is the first version in Production; there is none to go back to."
        nothing = {
            deed.value: RollbackOffer(deed, refusal=why, version=serving) for deed in (Deed.EMERGENCY, Deed.GRACEFUL)
        }
        return {**found, **nothing, "stop": _to_stop(serving, active)}
    warm = reads.is_warm(target)
    return {
        **found,
        "emergency": _to_go_back(Deed.EMERGENCY, serving, target, active, warm=warm),
        "graceful": _to_go_back(Deed.GRACEFUL, serving, target, active, warm=warm),
    }


def _to_turn_back(running: Transition, reads: ModelReads) -> RollbackOffer:
    if running.status == Status.ROLLING_BACK:
        return RollbackOffer(Deed.TURN_BACK, refusal=_under_way(running), version=running.version)
    if running.stable is None:
        return RollbackOffer(
            Deed.TURN_BACK,
            f"{running.version.label} stops getting requests; nothing served before it, so nothing will.",
            version=running.version,
        )
    return RollbackOffer(
        Deed.TURN_BACK,
        f"100 % of {running.model.name} goes back to {running.stable.label} at once, and {running.version.label} "
        f"stays in {running.from_stage}.{_although(running.stable, reads)}",
        version=running.version,
        target=running.stable,
        warm=True,
    )


def _under_way(running: Transition) -> str:
    if not can_be_replaced(running):
        return "A rollback is under way."
    return f"A rollback to {running.previous.label} is under way." if running.previous else "Serving is being stopped."


TARGETS_SHOWN = 10
SHOWN_ERROR = 600
LATEST_STARTS = 3
"""Where none of so many starts names an error, there is none to be shown."""


def _to_go_another_way(running: Transition, reads: ModelReads) -> WayOut:
    out = (running.version_id, running.previous_id)
    could = [each for each in reads.could_come_back if each.pk not in out]
    reads.lists.attach(running, "effects", "active_effects")
    shown = could[:TARGETS_SHOWN]
    leaves = _LEAVES[Deed.EMERGENCY if running.emergency else Deed.GRACEFUL]
    return WayOut(
        transition=running,
        wait=server_wait(running),
        targets=tuple(_instead(running, each, warm=reads.is_warm(each)) for each in shown),
        older=len(could) - len(shown),
        stop=_stop_instead(running, running.previous) if running.previous else None,
        meanwhile=f"{_given_up(running.previous)} {running.version.label} {leaves}, as it was to be.",
    )


def _given_up(comes_back: ModelVersion | None) -> str:
    return f"The rollback to {comes_back.label} is given up." if comes_back else "Serving does not end."


def _stop_instead(running: Transition, comes_back: ModelVersion) -> RollbackOffer:
    words = f"{_nobody_serves(running.model)} {_given_up(comes_back)} {running.version.label} is archived."
    return RollbackOffer(Deed.STOP, words, version=running.version)


def _instead(running: Transition, target: ModelVersion, *, warm: bool) -> RollbackOffer:
    name = running.model.name
    if warm:
        words = f"100 % of {name} goes to {target.label} at once: its server is running."
        return RollbackOffer(Deed.EMERGENCY, words, version=running.version, target=target, warm=True)
    now_with = running.previous if running.traffic_back_at else running.version
    stay = f"requests stay with {now_with.label}" if now_with else "requests get an error (503)"
    words = f"100 % of {name} goes to {target.label} as soon as its server has started. Until then {stay}."
    return RollbackOffer(Deed.EMERGENCY, words, version=running.version, target=target)


def instead_of(transition: Transition) -> Transition | None:
    """The rollback that took the place of this one before its end; None where none did."""
    return replaced_by(transition)


def server_wait(transition: Transition) -> ServerWait | None:
    """None where a rollback is over, has its traffic back, or started no server."""
    version = transition.previous
    goes = transition.kind == Kind.ROLLBACK and transition.status == Status.ROLLING_BACK
    if version is None or not goes or transition.traffic_back_at is not None:
        return None
    starts = [each for each in transition.effects.all() if _starts(each, version)]
    if not starts:
        return None
    errors = (each.last_error or each.payload.get("after", "") for each in starts[: -LATEST_STARTS - 1 : -1])
    since, count = min(each.intended_at for each in starts), sum(each.attempts for each in starts)
    return ServerWait(version, since, count, _end_of(next(filter(None, errors), "")))


def _starts(effect: Effect, version: ModelVersion) -> bool:
    return effect.kind == SERVER and effect.payload.get("version") == version.version


def _end_of(error: str) -> str:
    """A log says last what went wrong."""
    return error if len(error) <= SHOWN_ERROR else f"…{error[-SHOWN_ERROR:]}"


def _although(target: ModelVersion, reads: ModelReads) -> str:
    """What speaks against sending everything there, where that version fails itself."""
    return next((f" But {each.in_short}" for each in failing_in(reads) if each.version.pk == target.pk), "")


_LEAVES = {
    Deed.EMERGENCY: "is archived",
    Deed.GRACEFUL: "goes to Staging, to be looked into and tried again",
}


def _to_go_back(
    deed: Deed, serving: ModelVersion, target: ModelVersion, active: Transition | None, *, warm: bool
) -> RollbackOffer:
    when = "at once" if warm else "as soon as its server has started"
    words = f"100 % of {serving.model.name} goes back to {target.label} {when}, and {serving.label} {_LEAVES[deed]}."
    return RollbackOffer(deed, words + _beside(active), version=serving, target=target, warm=warm)


def _to_stop(serving: ModelVersion, active: Transition | None) -> RollbackOffer:
    words = f"{_nobody_serves(serving.model)} {serving.label} is archived."
    return RollbackOffer(Deed.STOP, words + _beside(active), version=serving)


def _nobody_serves(model: RegisteredModel) -> str:
    return (
        f"Nobody serves {model.name} any more: every request is answered with an error (503) until somebody promotes "
        "a version."
    )


def _beside(active: Transition | None) -> str:
    """What else a rollback ends."""
    if active is None:
        return ""
    if active.status in (Status.AWAITING_APPROVAL, Status.APPROVED):
        return f" The request to move {active.version.label} to {active.to_stage} is cancelled."
    if active.status == Status.ROLLING_BACK:
        return f" What {active.version.label} still waits for in MLflow is left as it is there."
    return f" The {active.get_kind_display()} that is being carried out is ended."


def _to_withdraw(reads: ModelReads) -> RollbackOffer | None:
    staged = next((each for each in reads.variants if each.role == VariantRole.STAGING), None)
    if staged is None:
        return None
    version, serving = staged.version, reads.production
    users = f"its {staged.weight} % of requests go to {serving.label}" if serving else "nobody serves its requests"
    opening = f"{version.label} goes back to Development"
    idle = "from where it can be asked for again. It gets no requests in Staging as it is."
    words = f"{opening}, and {users}." if staged.weight else f"{opening}, {idle}"
    return RollbackOffer(Deed.WITHDRAW, words, version=version, target=serving, warm=serving is not None)


def _to_drill(serving: ModelVersion, reads: ModelReads) -> RollbackOffer:
    target, active = reads.previous(serving), reads.active
    if active is not None:
        why = f"{active.version.label} to {active.to_stage} is {active.get_status_display()}; drill when that is over."
        return RollbackOffer(Deed.DRILL, refusal=why, version=serving, target=target)
    if target is None:
        why = f"{serving.label} is the first version in Production; there is none to practise going back to."
        return RollbackOffer(Deed.DRILL, refusal=why, version=serving)
    refusal = drill_refusal(serving, target, reads)
    if refusal is not None:
        return RollbackOffer(Deed.DRILL, refusal=str(refusal), version=serving, target=target)
    words = (
        f"All requests go to {target.label}, and then back to {serving.label}; both are measured. It takes a few "
        "seconds, users notice nothing, and no stage changes."
    )
    return RollbackOffer(Deed.DRILL, words, version=serving, target=target, warm=True)


def _to_reconcile(reads: ModelReads) -> RollbackOffer | None:
    if not reads.wrong:
        return None
    active = reads.active
    if active is not None:
        why = f"{active.version.label} to {active.to_stage} is {active.get_status_display()}; that has to end first."
        return RollbackOffer(Deed.RECONCILE, refusal=why)
    words = "The gateway's weights, and the stages and aliases in MLflow, become again what Stagegate left there."
    return RollbackOffer(Deed.RECONCILE, words, version=disagreements.main_among(reads.variants))


# ---------------------------------------------------------------- what disagrees


def disagreements_everywhere(*, limit: int = 20) -> Sequence[Disagreement]:
    """The latest of all models, those of one model together."""
    rows = Disagreement.objects.select_related("model", "version").order_by("-since")[:limit]
    return sorted(rows, key=lambda row: row.model.slug)


# ---------------------------------------------------------------- how long it took


class TimingKind(StrEnum):
    ROLLBACK = "rollback"
    AUTOMATIC = "automatic"
    DRILL = "drill"


@dataclass(frozen=True, slots=True)
class Timing:
    """One rollback from the click, or the judge's verdict, to the weights that the gateway was seen to apply.

    ``came_back`` is None where nobody served afterwards.
    """

    transition: Transition
    kind: TimingKind
    who: str
    at: datetime
    length: timedelta
    left: ModelVersion
    came_back: ModelVersion | None

    @property
    def seconds(self) -> float:
        return self.length.total_seconds()

    @property
    def in_time(self) -> bool:
        return self.length <= FIVE_MINUTES


@dataclass(frozen=True, slots=True)
class TimingSummary:
    """Over ``count`` rollbacks and drills; lengths are in seconds, None when there were none."""

    count: int
    in_time: int
    slowest: float | None
    median: float | None


def timings(model: RegisteredModel | None = None, *, limit: int = 20) -> list[Timing]:
    """The latest rollbacks and drills whose traffic was seen to be back, newest first, of one model or of all."""
    rows = _timed(model).select_related("model", "version", "stable", "previous").defer("gate", "shown", *SLIM)
    return [_timing(row) for row in rows.order_by("-rollback_requested_at")[:limit]]


def also_timings(reads: ModelReads) -> None:
    """Let ``timings_in`` and ``timing_summary_in`` be read with what else is read of the model."""
    reads.lists.add(**_LISTS_OF_TIMINGS(model=reads.model.pk))


def _lists_of_timings(model: int) -> dict[str, QuerySet[Any]]:
    timed = _timed(RegisteredModel(pk=model)).order_by("-rollback_requested_at")
    latest = timed.defer("gate", "shown", "target")[:TIMINGS_SHOWN]
    return {
        "timed": timed.values_list("rollback_requested_at", "traffic_back_at"),
        "latest_timed": latest,
        "timed_versions": ModelVersion.objects.filter(concerned(latest), model=model).defer(*LARGE),
    }


_LISTS_OF_TIMINGS = Prepared(_lists_of_timings)


def timings_in(reads: ModelReads) -> list[Timing]:
    """The latest ones of one model, as they have been read."""
    versions = {each.pk: each for each in reads.lists["timed_versions"]}
    for row in reads.lists["latest_timed"]:
        row.model, row.version = reads.model, versions[row.version_id]
        row.stable, row.previous = versions.get(row.stable_id), versions.get(row.previous_id)
    return [_timing(row) for row in reads.lists["latest_timed"]]


def timing_of(transition: Transition) -> Timing | None:
    """None while the traffic is not back, and for what was not rolled back."""
    if transition.rollback_requested_at is None or transition.traffic_back_at is None:
        return None
    return _timing(transition)


def timing_summary(model: RegisteredModel | None = None) -> TimingSummary:
    """Over all rollbacks and drills of one model, or of all."""
    return _summary(_timed(model).values_list("rollback_requested_at", "traffic_back_at"))


def timing_summary_in(reads: ModelReads) -> TimingSummary:
    """As ``timing_summary``, of one model, as it has been read."""
    return _summary(reads.lists["timed"])


def _summary(moments: Iterable[tuple[datetime | None, datetime | None]]) -> TimingSummary:
    seconds = [(back - asked).total_seconds() for asked, back in moments if asked is not None and back is not None]
    return TimingSummary(
        count=len(seconds),
        in_time=sum(each <= FIVE_MINUTES.total_seconds() for each in seconds),
        slowest=max(seconds, default=None),
        median=median(seconds) if seconds else None,
    )


def _timed(model: RegisteredModel | None) -> QuerySet[Transition]:
    rows = Transition.objects.filter(rollback_requested_at__isnull=False, traffic_back_at__isnull=False)
    return rows if model is None else rows.filter(model=model)


def _timing(row: Transition) -> Timing:
    if row.rollback_requested_at is None or row.traffic_back_at is None:
        raise ValueError(f"the traffic of transition {row.pk} is not back")
    return Timing(
        transition=row,
        kind=_kind_of(row),
        who=row.rollback_by_name or row.requested_by_name,
        at=row.rollback_requested_at,
        length=row.traffic_back_at - row.rollback_requested_at,
        left=row.version,
        came_back=row.previous if row.kind in (Kind.ROLLBACK, Kind.DRILL) else row.stable,
    )


def _kind_of(row: Transition) -> TimingKind:
    if row.kind == Kind.DRILL:
        return TimingKind.DRILL
    return TimingKind.AUTOMATIC if row.rollback_by_name == STAGEGATE.name else TimingKind.ROLLBACK


# ---------------------------------------------------------------- reviews


MOST_REVIEWS = 20
"""Of the rollbacks that wait for a person's review, the newest are shown."""
MOST_UNREVIEWED = 200
"""Of all that nobody has reviewed, the newest are looked at: many may be one's own, or of others' models."""


def to_review(model: RegisteredModel | None = None) -> QuerySet[Transition]:
    """Rollbacks that nobody else has looked at since, newest first."""
    over = Q(traffic_back_at__isnull=False) | ~Q(status__in=ACTIVE)
    rows = Transition.objects.filter(over, rollback_requested_at__isnull=False, reviewed_at=None)
    rows = rows.exclude(kind=Kind.DRILL).select_related("model", "version", "stable", "previous")
    return (rows if model is None else rows.filter(model=model)).order_by(F("rollback_requested_at").desc())


def asks_for_review(transition: Transition) -> bool:
    gone_back = transition.rollback_requested_at is not None and transition.kind != Kind.DRILL
    over = transition.traffic_back_at is not None or not transition.is_active
    return gone_back and over and transition.reviewed_at is None


def why_not_review(transition: Transition, actor: Actor, known: Mapping[int, Approver] | None = None) -> str:
    """Why this person's review would be refused; "" when it would count. ``known`` are the people concerned by their
    keys, where they have been read."""
    if not may(actor.at(transition.model.team_id), Action.APPROVE):
        return "Product owners and ML engineers review rollbacks."
    if _own(actor, [transition], known):
        return "You rolled back, so somebody else reviews it."
    return ""


def _own(actor: Actor, rows: Sequence[Transition], known: Mapping[int, Approver] | None = None) -> frozenset[int]:
    """Those who rolled back one of these, as far as they are this person, by whatever account."""
    who = {row.rollback_by_id for row in rows if row.rollback_by_id}
    return people.same_people(who, actor.accounts, known) if who else frozenset()


def reviews_among(rows: Iterable[Transition], actor: Actor, known: Mapping[int, Approver]) -> list[Transition]:
    """Those of these that are rollbacks and wait for somebody like this person to review them, newest first; ``known``
    are the people who rolled back, and this person, by their keys."""
    waiting = [row for row in rows if asks_for_review(row) and may(actor.at(row.model.team_id), Action.APPROVE)]
    own = _own(actor, waiting, known)
    theirs = [row for row in waiting if row.rollback_by_id not in own]
    return sorted(theirs, key=lambda row: row.rollback_requested_at or row.requested_at, reverse=True)[:MOST_REVIEWS]
