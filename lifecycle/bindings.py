"""What approvals are bound to: kept up to date while a transition waits, and void when it changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from lifecycle import people
from lifecycle.approvals import standing, still_missing
from lifecycle.audit import record
from lifecycle.domain import binding, strategies
from lifecycle.domain.criteria import Criterion, Origin
from lifecycle.domain.findings import Finding, Gate
from lifecycle.domain.permissions import STAGEGATE
from lifecycle.domain.plan import PlannedStep, dump_step, steps_of_change
from lifecycle.domain.stages import Stage
from lifecycle.gating import dump_gate, gate_of
from lifecycle.history import production_version
from lifecycle.models import Approval, ModelVersion, Policy, Status, Strategy, Transition, Variant
from lifecycle.policies import current_policy

UNBOUND = "It was given before decisions were bound to what had been shown."
EXPIRED = "It has expired."
ROLE_LOST = "Whoever gave it has no role for this model any more."
GROWS = frozenset({Criterion.SOAK, Criterion.LIVE_COMPARISON, Criterion.TIME_IN_PRODUCTION})
"""What is measured anew whenever somebody looks: only a change of its state is a change."""


@dataclass(frozen=True, slots=True)
class Planned:
    """How requests would come to a version, as a transition keeps it."""

    strategy: Strategy
    steps: list[dict[str, object]]


def planned(
    version: ModelVersion,
    to_stage: Stage,
    policy: Policy,
    stable: ModelVersion | None,
    wanted: strategies.Strategy | None,
) -> Planned:
    """``wanted`` is the way that was asked for, None for the policy's."""
    chosen = wanted or policy.values.rollout.strategy
    steps = steps_of_change(
        to_stage,
        policy.values,
        stable=stable.version if stable else None,
        version=version.version,
        gets_requests=Variant.objects.filter(version=version, weight__gt=0).exists(),
        strategy=chosen,
    )
    replaces = to_stage == Stage.PRODUCTION and stable is not None and stable != version
    return Planned(_strategy_of(steps, chosen if replaces else None), [dump_step(step) for step in steps])


def _strategy_of(steps: Sequence[PlannedStep], chosen: strategies.Strategy | None) -> Strategy:
    """What the steps are; ``chosen`` is None where there was nothing to choose."""
    if not steps:
        return Strategy.NONE
    if chosen is None or (chosen == strategies.Strategy.CANARY and len(steps) == 1):
        return Strategy.DIRECT
    return Strategy(chosen.value)


def shown_of(row: Transition, gate: Gate) -> binding.Shown:
    """What a decision on this transition is about, as things are."""
    return binding.Shown(
        artifact=row.version.artifact_digest,
        criteria=tuple(
            (each.criterion.label, _decided_by(each)) for each in gate.findings if each.criterion != Criterion.APPROVALS
        ),
        policy=row.policy.number,
        strategy=(str(row.strategy), *(_step_in_words(step) for step in row.steps), _replaced_in_words(row)),
    )


def _decided_by(finding: Finding) -> str:
    """The state of a criterion and what decided it: a new measurement of the same thing changes it too, the passing of
    time alone does not."""
    parts = [str(finding.state)]
    if finding.criterion.about.origin == Origin.READ and finding.criterion not in GROWS:
        parts.append(finding.measured)
    if finding.evidence is not None:
        parts.append(f"evidence {finding.evidence.id}")
    if finding.waived_by is not None:
        parts.append(f"waiver {finding.waived_by.id}")
    return ", ".join(parts)


def _replaced_in_words(row: Transition) -> str:
    return f"instead of version {row.stable.version}" if row.stable else "instead of nobody"


def _step_in_words(step: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(step.items()))


def bind(row: Transition, now: datetime) -> None:
    """Write down what decisions on this transition are about from here on, and the gate as it is."""
    gate = gate_of(row.version, Stage(row.to_stage), now, transition=row)
    _keep(row, gate, shown_of(row, gate))


def _keep(row: Transition, gate: Gate, shown: binding.Shown) -> None:
    row.shown, row.digest, row.gate = binding.dump(shown), shown.digest, dump_gate(gate)
    row.save(update_fields=["shown", "digest", "gate"])


def renew(row: Transition, now: datetime) -> str:
    """Bring a transition that has not begun up to date; return what has changed, "" when nothing has.

    Where something has, or an approval has expired, the approvals concerned are void and the transition waits for them
    again. Call it inside ``audit.recording``, with the row locked.
    """
    outlived = _outlived(row, now)
    for why, approvals in outlived.items():
        _void(row, approvals, why, now)
    what = _changed(row, now)
    if what:
        _void(row, [each for each in row.approvals.all() if each.stands and each.approved], what, now)
        _end_bypass(row, what, now)
        row.override_at = None
        row.save(update_fields=["override_at"])
    if what or outlived:
        ask_again(row, now)
    return what


def _outlived(row: Transition, now: datetime) -> dict[str, list[Approval]]:
    """The approvals that count no more although nothing about the transition has changed, by the reason."""
    yeses = [each for each in standing(row) if each.approved]
    able = people.able((each.person_id for each in yeses), row.model)
    found: dict[str, list[Approval]] = {}
    for each in yeses:
        if each.expires_at is not None and each.expires_at <= now:
            found.setdefault(EXPIRED, []).append(each)
        elif not able.get(each.person_id, frozenset()) & set(each.roles):
            found.setdefault(ROLE_LOST, []).append(each)
    return found


def is_current(row: Transition, now: datetime) -> bool:
    """Whether ``renew`` would find nothing to do; writes nothing."""
    if _outlived(row, now):
        return False
    if (current_policy(row.model, now), production_version(row.model)) != (row.policy, row.stable):
        return False
    return shown_of(row, gate_of(row.version, Stage(row.to_stage), now, transition=row)).digest == row.digest


def _changed(row: Transition, now: datetime) -> str:
    before = binding.load(row.shown)
    _follow_policy(row, now)
    gate = gate_of(row.version, Stage(row.to_stage), now, transition=row)
    shown = shown_of(row, gate)
    what = UNBOUND if before is None else binding.changed(before, shown)
    if what:
        _keep(row, gate, shown)
    return what


def _follow_policy(row: Transition, now: datetime) -> None:
    """A transition that has not begun obeys the policy that is in force, and replaces the version that serves."""
    policy, stable = current_policy(row.model, now), production_version(row.model)
    if (policy, stable) == (row.policy, row.stable):
        return
    asked = strategies.Strategy(row.wanted_strategy) if row.wanted_strategy else None
    way = planned(row.version, Stage(row.to_stage), policy, stable, asked)
    row.policy, row.stable, row.strategy, row.steps = policy, stable, way.strategy, way.steps
    row.save(update_fields=["policy", "stable", "strategy", "steps"])


def _void(row: Transition, approvals: Sequence[Approval], why: str, now: datetime) -> None:
    for approval in approvals:
        approval.voided_at, approval.void_reason = now, why
        approval.save(update_fields=["voided_at", "void_reason"])
        record(
            "approval_voided",
            actor=STAGEGATE,
            now=now,
            transition=row,
            reason=why,
            details={"approval": approval.pk, "person": approval.person_name, "bound_to": approval.digest},
        )


def _end_bypass(row: Transition, why: str, now: datetime) -> None:
    if row.bypassed_at is None:
        return
    record("bypass_voided", actor=STAGEGATE, now=now, transition=row, reason=why, details={"by": row.bypassed_by_name})
    row.bypassed_at = None
    row.save(update_fields=["bypassed_at"])


def ask_again(row: Transition, now: datetime) -> None:
    """Let it wait for the approvals that are missing; whoever had claimed it for execution loses the claim."""
    missing = still_missing(Transition.objects.select_related("policy").get(pk=row.pk))
    row.status = Status.AWAITING_APPROVAL if missing else Status.APPROVED
    row.fence, row.lease_until, row.due_at = row.fence + 1, None, now
    row.waiting_for, row.waiting_until = "", None
    row.save(update_fields=["status", "fence", "lease_until", "due_at", "waiting_for", "waiting_until"])
