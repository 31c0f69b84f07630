"""The engine: observe, decide, journal, act, record; one effect a tick.

``tick`` may be called by anybody, at any time, as often as they like, and may be killed at any line: what it intends is
committed before it acts, and what it did is read back from the world before it counts.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from lifecycle import adapters, artifacts, freezes, live_at, mirror, trials, variants, world
from lifecycle.audit import record, recording
from lifecycle.bindings import is_current, renew
from lifecycle.dispatch import DEFAULT_QUEUE, ROLLBACK_QUEUE, send
from lifecycle.domain import effects, live
from lifecycle.domain.decide import (
    RETRY,
    Checked,
    Decision,
    Do,
    Fail,
    Finish,
    Look,
    NextStep,
    Smoke,
    StepReached,
    TurnBack,
    Wait,
    decide,
    give_up,
    is_candidate,
    is_judged,
)
from lifecycle.domain.effects import Observed
from lifecycle.domain.gates import in_words
from lifecycle.domain.permissions import STAGEGATE
from lifecycle.domain.plan import DRILL_STEPS, Pause, Plan, Progress, load_step, load_target, mirrors, split
from lifecycle.domain.stages import Stage
from lifecycle.evidence import why_other_files
from lifecycle.gating import gate_of
from lifecycle.history import why_past_the_gate
from lifecycle.models import EXECUTING, Effect, Kind, RegisteredModel, Status, Transition
from lifecycle.ports import FencedError, PermanentError, PortError, TemporaryError, VersionRef
from lifecycle.transitions import turn_back

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
"""Longer than any single effect; downloading a model is the slowest."""
BACK_LEASE = timedelta(seconds=30)
"""The same while requests are on their way back: longer than a look at a server and a gateway that hang. So long do
users stay with a bad version when the executor of a rollback is killed."""
GRACE = timedelta(seconds=1)
"""How long the world may take to follow an effect before the engine acts again; doubled with every attempt."""
GLANCE = timedelta(milliseconds=25)
"""How soon to look whether an effect has arrived; later looks come at longer and longer intervals."""
PATIENCE = timedelta(seconds=1)
"""How long a worker waits for what is due next before it turns to something else."""
FREEZE_LOOK = timedelta(minutes=5)
"""How often a transition that a freeze holds is looked at all the same."""
TURN = timedelta(seconds=20)
"""How long a worker stays with one transition."""
URGENT = Q(status=Status.ROLLING_BACK) | Q(kind__in=(Kind.DRILL, Kind.RECONCILIATION))
"""What has a queue of its own, because users' requests are not where they should be."""


class LostClaimError(Exception):
    """Somebody else has taken the transition over; this executor must stop."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to execute one transition; a write counts only while ``fence`` is still the row's."""

    row: Transition
    plan: Plan
    progress: Progress
    fence: int

    def write(self, **values: Any) -> None:
        """Update the claimed row. Raises LostClaimError, having written nothing, when the claim is lost."""
        if Transition.objects.filter(pk=self.row.pk, fence=self.fence).update(**values) != 1:
            raise LostClaimError(f"transition {self.row.pk} is somebody else's now")

    def release(self, due: datetime, **values: Any) -> datetime:
        """Give the lease back; whoever comes at ``due`` goes on. Unless ``values`` say so, no person is asked."""
        self.write(**{"lease_until": None, "due_at": due, "asks_person": False, **values})
        return due


def run(transition_id: int) -> None:
    """Tick until there is nothing to do within PATIENCE; after that the sweep, or somebody's click, goes on.

    It ends after TURN in any case, so that no transition keeps a worker from the others.
    """
    end = timezone.now() + TURN
    while timezone.now() < end:
        due = tick(transition_id, now=timezone.now())
        pause = due - timezone.now() if due else None
        if pause is None or pause > PATIENCE:
            return
        time.sleep(max(pause.total_seconds(), 0))


def tick(transition_id: int, *, now: datetime) -> datetime | None:
    """Take one transition one step further; return when to look again, or None when it is not ours or has ended."""
    claim = _claim(transition_id, now)
    if claim is None:
        return None
    try:
        return _advance(claim, now)
    except (LostClaimError, FencedError) as error:
        logger.info("transition %s was taken over: %s", transition_id, error)
        return None


def sweep(*, now: datetime) -> int:
    """Send every transition that is due to its queue; return how many there were."""
    due = Transition.objects.filter(_lease_free(now), status__in=EXECUTING, due_at__lte=now)
    urgent = set(due.filter(URGENT).values_list("pk", flat=True))
    rows = list(due.values_list("pk", flat=True))
    for pk in rows:
        send("lifecycle.tick", pk, queue=ROLLBACK_QUEUE if pk in urgent else DEFAULT_QUEUE)
    return len(rows)


# ---------------------------------------------------------------- claiming


def _lease_free(now: datetime) -> Q:
    return Q(lease_until=None) | Q(lease_until__lt=now)


def _claim(transition_id: int, now: datetime) -> Claim | None:
    """Take the lease by a conditional update: exactly one row must change.

    The fence grows with every claim of the model, so that the gateway can refuse whoever was overtaken.
    """
    with transaction.atomic():
        seen = Transition.objects.filter(_lease_free(now), pk=transition_id, status__in=EXECUTING).first()
        if seen is None:
            return None
        RegisteredModel.objects.filter(pk=seen.model_id).update(fence=F("fence") + 1)
        fence = max(RegisteredModel.objects.get(pk=seen.model_id).fence, seen.fence + 1)
        free = Transition.objects.filter(_lease_free(now), pk=seen.pk, status=seen.status, fence=seen.fence)
        if free.update(lease_until=now + _lease(seen), fence=fence) != 1:
            transaction.set_rollback(True)
            return None
        RegisteredModel.objects.filter(pk=seen.model_id).update(fence=fence)
        row = Transition.objects.select_related("version__model", "stable", "previous", "policy", "model").get(
            pk=seen.pk
        )
    return Claim(row=row, plan=_plan(row), progress=_progress(row), fence=fence)


def _lease(row: Transition, effect: effects.Effect | None = None) -> timedelta:
    """How long nobody else may go on with a transition, should its executor be killed now."""
    comes_back = row.status == Status.ROLLING_BACK and row.traffic_back_at is None
    return BACK_LEASE if comes_back and not isinstance(effect, effects.StartServer) else LEASE


def _plan(row: Transition) -> Plan:
    policy, is_rollback, is_drill = row.policy.values, row.kind == Kind.ROLLBACK, row.kind == Kind.DRILL
    return Plan(
        version=row.version.version,
        from_stage=Stage(row.from_stage),
        to_stage=Stage(row.to_stage),
        stable=row.stable.version if row.stable else None,
        rolls_back=is_rollback,
        rollback_to=row.previous.version if (is_rollback or is_drill) and row.previous else None,
        turned_back=row.status == Status.ROLLING_BACK and not is_rollback,
        drill=is_drill,
        restores=load_target(row.target) if row.kind == Kind.RECONCILIATION else None,
        steps=DRILL_STEPS if is_drill else tuple(load_step(step) for step in row.steps),
        start_limit=policy.start_limit,
        grace=policy.rollout.grace,
        patience=policy.rollout.patience,
    )


def _progress(row: Transition) -> Progress:
    return Progress(
        checked=row.checked_at is not None,
        step=row.step,
        step_since=row.step_since,
        started_at=row.started_at,
        routed=_has_routed(row),
        smoked=row.smoked_at is not None,
        released=row.released,
        paused=Pause(row.paused_by_name, row.paused_at, row.pause_reason) if row.paused_at else None,
    )


def _has_routed(row: Transition) -> bool:
    """Whether the route is this transition's own work; only before its first step can that be another's."""
    if row.step or row.step_since is not None or row.status == Status.ROLLING_BACK:
        return True
    return row.effects.filter(kind=effects.TRAFFIC).exclude(outcome=Effect.Outcome.DROPPED).exists()


# ---------------------------------------------------------------- one step


def _advance(claim: Claim, now: datetime) -> datetime | None:
    observed = _observe(claim)
    decision = decide(claim.plan, claim.progress, observed, now)
    if isinstance(decision, Look):
        observed = world.look_at_registry(claim.row.model, claim.plan, observed)
        decision = decide(claim.plan, claim.progress, observed, now)
    if isinstance(decision, Checked):
        decision = _look_at_gate(claim, now)
    _close_effect(claim, observed, now)
    if not isinstance(decision, StepReached):
        _note_shares(claim, observed, now)
    variants.remember_urls(claim.row.model, observed.servers)
    return _follow(claim, decision, observed, now)


def _observe(claim: Claim) -> Observed:
    observed = world.observe(claim.row.model, claim.plan, claim.progress)
    judged = trials.standing(claim.row) if is_judged(claim.plan, claim.progress) else None
    return replace(observed, judged=judged)


def _follow(claim: Claim, decision: Decision, observed: Observed, now: datetime) -> datetime | None:
    if isinstance(decision, Do):
        return _do(claim, decision.effect, observed, now)
    if isinstance(decision, Smoke):
        return _smoke(claim, now)
    if isinstance(decision, Wait):
        return _wait(claim, decision)
    if isinstance(decision, TurnBack):
        return _turn_back(claim, decision, now)
    if isinstance(decision, Finish | Fail):
        _end(claim, decision, now)
        return None
    return _move_on(claim, decision, now)


def _wait(claim: Claim, decision: Wait) -> datetime:
    return claim.release(
        decision.until,
        waiting_for=decision.why,
        waiting_until=decision.shown_until,
        asks_person=decision.asks_person,
    )


def _look_at_gate(claim: Claim, now: datetime) -> Checked | Wait | Fail:
    """Whether nothing holds the change when execution is about to begin: no freeze, and no gate, approvals included.

    The version is read afresh for it: a tag or a file may have changed after the last approval. Where it has, the
    approvals are void, and the transition waits for new ones.
    """
    freeze = freezes.holding(claim.row, now)
    if freeze is not None:
        return _hold(claim, freeze, now)
    version = claim.row.version
    try:
        mirror.refresh_version(adapters.registry(), VersionRef(claim.row.model.name, version.version), now)
        version.refresh_from_db()
        artifacts.check_listing(version, now)
    except PortError as error:
        return Wait(now + RETRY, f"The version cannot be read, and nothing moves before it can: {error}")
    _renew(claim, now)
    gate = gate_of(version, Stage(claim.row.to_stage), now, transition=claim.row)
    if not gate.open:
        return Fail(f"The gate to {gate.to_stage} has closed since this was approved. {in_words(gate.closed_by)}")
    barred = why_past_the_gate(version, gate.to_stage) or why_other_files(version, gate.to_stage)
    return Fail(barred) if barred else Checked()


def _hold(claim: Claim, freeze: freezes.Freeze, now: datetime) -> Wait:
    if claim.row.waiting_for != freeze.sentence:
        with recording():
            claim.write(waiting_for=freeze.sentence)
            details = {"freeze": freeze.row.pk, "until": freeze.occurrence.until}
            record(
                "held_by_freeze",
                actor=STAGEGATE,
                now=now,
                transition=claim.row,
                reason=freeze.sentence,
                details=details,
            )
    until = freeze.occurrence.until
    return Wait(min(until, now + FREEZE_LOOK), freeze.sentence, shown_until=until)


def _renew(claim: Claim, now: datetime) -> None:
    """Raises LostClaimError when the approvals are void: the transition waits for people again."""
    if is_current(claim.row, now):
        return
    with recording():
        claim.write(lease_until=now + _lease(claim.row))
        renew(
            Transition.objects.select_related("version__model", "model", "policy", "stable").get(pk=claim.row.pk), now
        )
    if not Transition.objects.filter(pk=claim.row.pk, fence=claim.fence).exists():
        raise LostClaimError(f"what was said yes to in transition {claim.row.pk} has changed")


def _close_effect(claim: Claim, observed: Observed, now: datetime) -> None:
    """An open intent that the world satisfies is done, whoever carried it out."""
    intent = claim.row.effects.filter(outcome=Effect.Outcome.OPEN).first()
    if intent is None:
        return
    effect = effects.load(intent.kind, intent.payload)
    if not effects.satisfied(effect, observed):
        return
    with recording():
        claim.write(lease_until=now + _lease(claim.row))
        Effect.objects.filter(pk=intent.pk).update(outcome=Effect.Outcome.DONE, finished_at=now, last_error="")
        variants.follow(claim.row, effect, now)
        if intent.finished_at is None:
            details = {"effect": intent.summary, "attempts": intent.attempts, **_shares_of(effect)}
            record(f"{intent.kind}_changed", actor=STAGEGATE, now=now, transition=claim.row, details=details)


def _shares_of(effect: effects.Effect) -> dict[str, Any]:
    """Whoever asks later which version served reads it in the record alone."""
    return live.as_details(effect.weights, effect.mirrors) if isinstance(effect, effects.ShiftTraffic) else {}


def _note_shares(claim: Claim, observed: Observed, now: datetime) -> None:
    """Record what the gateway does where nobody has written that down: somebody changed it by hand, or a change was
    ended between its write and the look that would have recorded it."""
    if observed.weights is None:
        return
    weights = effects.serving(observed.weights)
    if observed.mirrors is None and weights == variants.weights(claim.row.model):
        return
    told = live_at.last_told(claim.row.model)
    seen = live.Shares(weights, told.copies if observed.mirrors is None else effects.serving(observed.mirrors))
    if seen == told:
        return
    with recording():
        claim.write(lease_until=now + _lease(claim.row))
        details = live.as_details(seen.weights, seen.copies)
        record("shares_seen", actor=STAGEGATE, now=now, transition=claim.row, details=details)


def _do(claim: Claim, effect: effects.Effect, observed: Observed, now: datetime) -> datetime | None:
    """Journal the intent, act outside any transaction, and come back to see whether the world followed."""
    intent = _journal(claim, effect, now)
    if intent.attempted_at != now:
        return claim.release(now + max(GLANCE, (now - intent.attempted_at) / 4))
    error = ""
    try:
        world.carry_out(
            claim.row.model,
            effect,
            fence=claim.fence,
            scanned=_scanned(claim, effect),
            rollout=claim.row.policy.values.rollout,
        )
    except FencedError:
        raise
    except PermanentError as failure:
        given_up = _give_up(claim, effect, observed, failure, now)
        if given_up is not None:
            return _follow(claim, given_up, observed, now)
        error = str(failure)
    except PortError as failure:
        logger.warning("transition %s: %s: %s", claim.row.pk, effect.key, failure)
        error = str(failure)
    with recording():
        Effect.objects.filter(pk=intent.pk).update(last_error=error)
        wait = _patience(intent.attempts) if error else GLANCE
        return claim.release(timezone.now() + wait, waiting_for=error or intent.summary, waiting_until=None)


def _give_up(
    claim: Claim, effect: effects.Effect, observed: Observed, failure: PermanentError, now: datetime
) -> Decision | None:
    if not isinstance(effect, effects.StartServer):
        return None
    why = f"The model server cannot be started: {failure}"
    return give_up(claim.plan, claim.progress, effect.version, observed, why, now)


def _scanned(claim: Claim, effect: effects.Effect) -> str:
    """What the version on trial may be served from: the files of its evidence. Whoever served before may come back
    from the files that it served from, whatever has happened to them in the registry meanwhile."""
    on_trial = isinstance(effect, effects.StartServer) and is_candidate(claim.plan, effect.version)
    return claim.row.version.artifact_digest if on_trial else ""


def _smoke(claim: Claim, now: datetime) -> datetime:
    """Have the new version answer one request. It is asked again after a crash: an answer changes nothing."""
    try:
        smoked = world.smoke(claim.row.version, scanned=claim.row.version.artifact_digest)
    except TemporaryError as error:
        return _wait(
            claim, Wait(now + RETRY, f"The version's files, which say what to ask it, cannot be read: {error}")
        )
    except PortError as error:
        return _turn_back(claim, TurnBack(f"The new version cannot be asked for an answer: {error}"), now)
    if smoked.problem:
        return _turn_back(claim, TurnBack(f"The new version failed its smoke request: {smoked.problem}"), now)
    with recording():
        action = "smoke_skipped" if smoked.unasked else "smoke_answered"
        record(action, actor=STAGEGATE, now=now, transition=claim.row, reason=smoked.unasked)
        return claim.release(now, smoked_at=now, waiting_for="", waiting_until=None)


def _journal(claim: Claim, effect: effects.Effect, now: datetime) -> Effect:
    """The open intent for this effect, attempted ``now``, unless the last attempt still has time."""
    with transaction.atomic():
        claim.write(lease_until=now + _lease(claim.row, effect), started_at=claim.row.started_at or now)
        intent = claim.row.effects.filter(outcome=Effect.Outcome.OPEN).first()
        if intent is not None and intent.key != effect.key:
            Effect.objects.filter(pk=intent.pk).update(outcome=Effect.Outcome.DROPPED, finished_at=now)
            intent = None
        intent = intent or _reopened(claim, effect)
        if intent is None:
            return Effect.objects.create(
                transition=claim.row,
                kind=effects.kind_of(effect),
                key=effect.key[:200],
                payload=effects.dump(effect),
                summary=variants.describe(claim.row, effect),
                intended_at=now,
                attempts=1,
                attempted_at=now,
            )
        if now < intent.attempted_at + _patience(intent.attempts):
            return intent
        again = {"attempts": F("attempts") + 1, "attempted_at": now, "payload": effects.dump(effect)}
        Effect.objects.filter(pk=intent.pk).update(**again)
        intent.refresh_from_db()
        return intent


def _reopened(claim: Claim, effect: effects.Effect) -> Effect | None:
    """The line of a server that failed after it was started: it is started again under the same one, at longer and
    longer intervals, or journal and record would grow for as long as somebody lets it try."""
    last = claim.row.effects.order_by("-pk").first()
    if last is None or not isinstance(effect, effects.StartServer) or last.key != effect.key:
        return None
    if Effect.objects.filter(pk=last.pk, outcome=Effect.Outcome.DONE).update(outcome=Effect.Outcome.OPEN) != 1:
        return None
    last.refresh_from_db()
    return last


def _patience(attempts: int) -> timedelta:
    return min(GRACE * 2 ** min(attempts - 1, 6), timedelta(seconds=30))


def _move_on(claim: Claim, decision: Decision, now: datetime) -> datetime:
    """Progress within the transition; nothing outside changes."""
    with recording():
        if isinstance(decision, Checked):
            record("execution_started", actor=STAGEGATE, now=now, transition=claim.row)
            values: dict[str, Any] = {"checked_at": now, "started_at": now, "status": Status.RUNNING}
        elif isinstance(decision, NextStep):
            values = {"step": decision.step, "step_since": None}
        else:
            values = _step_reached(claim, now)
        return claim.release(now, waiting_for="", waiting_until=None, **values)


def _step_reached(claim: Claim, now: datetime) -> dict[str, Any]:
    weights = split(claim.plan, claim.progress) or {}
    variants.set_weights(claim.row.model, weights, now)
    went_back = claim.plan.goes_back or (claim.plan.drill and claim.progress.step == 0)
    seconds = _seconds_since_click(claim.row, now) if went_back else None
    details = live.as_details(weights, mirrors(claim.plan, claim.progress))
    record(
        "traffic_back" if went_back else "step_reached",
        actor=STAGEGATE,
        now=now,
        transition=claim.row,
        details=details if seconds is None else {**details, "seconds": seconds},
    )
    return {"step_since": now, **({"traffic_back_at": now} if went_back else {})}


def _seconds_since_click(row: Transition, at: datetime | None) -> float | None:
    clicked = row.rollback_requested_at
    return round((at - clicked).total_seconds(), 3) if at and clicked else None


def _turn_back(claim: Claim, decision: TurnBack, now: datetime) -> datetime:
    """With the verdict that stands, if there is one, frozen into the record."""
    with recording():
        claim.write(lease_until=None)
        turn_back(claim.row, reason=decision.why, by=STAGEGATE, now=now, details=trials.facts(claim.row))
    return now


def _end(claim: Claim, decision: Finish | Fail, now: datetime) -> None:
    """Close the transition and give the variants their roles."""
    with recording():
        if isinstance(decision, Fail):
            status, outcome = Status.FAILED, decision.why
        else:
            variants.settle(claim.row, claim.plan, now)
            status = Status.ROLLED_BACK if claim.plan.turned_back else Status.FINISHED
            outcome = _outcome(claim)
        claim.write(
            status=status,
            outcome=outcome,
            finished_at=now,
            lease_until=None,
            waiting_for="",
            waiting_until=None,
            asks_person=False,
        )
        record(f"transition_{status}", actor=STAGEGATE, now=now, transition=claim.row, reason=outcome)


def _outcome(claim: Claim) -> str:
    if claim.plan.goes_back:
        return claim.row.rollback_reason
    seconds = _seconds_since_click(claim.row, claim.row.traffic_back_at) if claim.plan.drill else None
    if seconds is None or claim.row.previous is None:
        return ""
    return f"All requests were with {claim.row.previous.label} {seconds:.1f} s after the click."
