"""The gate as people work on it: each criterion with its check, and what this person may do about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from django.core.paginator import Page, Paginator

from lifecycle.approvals import behind
from lifecycle.check_queue import why_not_loaded
from lifecycle.domain.criteria import FROM_OUTSIDE, Criterion, Origin
from lifecycle.domain.facts import Facts, VersionFacts
from lifecycle.domain.findings import Finding, Gate, State
from lifecycle.domain.judgements import judge
from lifecycle.domain.judgements.base import Judgement
from lifecycle.domain.permissions import Action, Actor, Role, may
from lifecycle.domain.plan import PlannedStep, steps_of_change
from lifecycle.domain.stages import Stage
from lifecycle.evidence import why_stale
from lifecycle.gating import evidence_fact
from lifecycle.models import CheckRun, Evidence, ModelVersion, Policy, Transition, Variant
from lifecycle.policies import current_policy
from lifecycle.queries import TransitionPage, VersionPage
from lifecycle.reads import EVIDENCE_PAGE, VersionReads

ONE_DAY = timedelta(days=1)
USUAL_WAIVERS = (1, 3, 7, 14, 30, 90)
"""Days that are offered for a waiver, as far as the policy allows them."""


@dataclass(frozen=True, slots=True)
class Line:
    """One criterion. ``check`` is the newest run of the check that measures it, where there was one.

    ``barred`` says why Stagegate does not run that check, "" where it does. ``may_run``, ``may_report`` and
    ``may_waive`` say what this person is to be offered.
    """

    finding: Finding
    check: CheckRun | None = None
    barred: str = ""
    may_run: bool = False
    may_report: bool = False
    may_waive: bool = False

    @property
    def is_running(self) -> bool:
        return self.check is not None and self.check.is_unfinished

    @property
    def has_to_wait(self) -> bool:
        """Approvals come after asking: until then they keep nobody from it."""
        return self.finding.criterion == Criterion.APPROVALS and not self.finding.holds


@dataclass(frozen=True, slots=True)
class Until:
    """A length that a waiver may have, and when it would end."""

    days: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Checklist:
    """One gate. ``policy`` judges it; ``steps`` are those in which requests would move; ``waiver_ends`` rises."""

    gate: Gate
    policy: Policy
    lines: tuple[Line, ...]
    approvals: tuple[Role, ...] = ()
    steps: tuple[PlannedStep, ...] = ()
    waiver_ends: tuple[Until, ...] = ()
    may_revoke: bool = False

    @property
    def needed(self) -> tuple[Line, ...]:
        """What keeps the change from being asked for, or from being approved."""
        return tuple(line for line in self.lines if not line.finding.holds and not line.has_to_wait)

    @property
    def waived(self) -> tuple[Line, ...]:
        return tuple(line for line in self.lines if line.finding.state == State.WAIVED)

    @property
    def fulfilled(self) -> tuple[Line, ...]:
        return tuple(line for line in self.lines if line.finding.state == State.PASSED)

    @property
    def later(self) -> tuple[Line, ...]:
        return tuple(line for line in self.lines if line.has_to_wait)

    @property
    def failed_count(self) -> int:
        return sum(line.finding.state == State.FAILED for line in self.needed)

    @property
    def missing_count(self) -> int:
        return sum(line.finding.state == State.MISSING for line in self.needed)

    @property
    def counted(self) -> int:
        """How many criteria have a say before the approvals."""
        return len(self.lines) - len(self.later)

    @property
    def is_busy(self) -> bool:
        return any(line.is_running for line in self.lines)


# ---------------------------------------------------------------- a version's page


def of_version(page: VersionPage, actor: Actor, now: datetime) -> tuple[Checklist, ...]:
    """One list for every gate of the page, with what this person may do."""
    if not page.gates:
        return ()
    in_force = page.reads.model.policy(now)
    rights = _rights_of(actor.at(page.version.model.team_id), page.reads, in_force)
    return tuple(_checklist(gate, page, in_force, rights, now) for gate in page.gates)


def _checklist(gate: Gate, page: VersionPage, in_force: Policy, rights: _Rights, now: datetime) -> Checklist:
    asked = page.active if page.active and _asks_for(page.active, page.version, gate.to_stage) else None
    policy, runs = asked.policy if asked else in_force, page.reads.check_runs
    return Checklist(
        gate=gate,
        policy=policy,
        lines=tuple(
            _line(finding, runs.get(finding.criterion), rights, _barred(finding, page.reads, in_force, now))
            for finding in gate.findings
        ),
        approvals=policy.values.approvals(gate.to_stage),
        steps=_steps(page.reads, gate.to_stage, policy),
        waiver_ends=_waiver_ends(in_force, now) if rights.waive else (),
        may_revoke=rights.revoke,
    )


def _asks_for(transition: Transition, version: ModelVersion, stage: Stage) -> bool:
    return transition.version_id == version.pk and transition.to_stage == stage


def _steps(reads: VersionReads, to_stage: Stage, policy: Policy) -> tuple[PlannedStep, ...]:
    stable, version = reads.model.production, reads.version
    return steps_of_change(to_stage, policy.values, stable=stable.version if stable else None, version=version.version)


def _waiver_ends(policy: Policy, now: datetime) -> tuple[Until, ...]:
    longest = policy.values.waivers.longest // ONE_DAY
    days = sorted({*(each for each in USUAL_WAIVERS if each <= longest), longest} - {0})
    return tuple(Until(each, now + each * ONE_DAY) for each in days)


# ---------------------------------------------------------------- what this person may do


@dataclass(frozen=True, slots=True)
class _Rights:
    """``waive`` and ``report`` hold for every criterion but those that ``_line`` knows; ``run`` names its checks."""

    run: frozenset[Criterion]
    report: bool
    waive: bool
    revoke: bool
    never_waived: frozenset[Criterion]


def _rights_of(actor: Actor, reads: VersionReads, policy: Policy) -> _Rights:
    """The operations refuse the rest as well, and say why; here it is only not offered."""
    version, active = reads.version, reads.model.active
    is_open = version.removed_at is None and version.model.exact_name and version.domain_stage != Stage.ARCHIVED
    rules = policy.values.waivers
    asked = active if active and active.version_id == version.pk else None
    may_start = is_open and version.status == "READY" and may(actor, Action.START_CHECK)
    return _Rights(
        run=_runnable(reads.variant) if may_start else frozenset(),
        report=is_open and may(actor, Action.RECORD_EVIDENCE),
        waive=(
            is_open
            and may(actor, Action.GRANT_WAIVER)
            and bool(actor.roles & frozenset(rules.roles))
            and rules.longest >= ONE_DAY
            and not (asked and reads.model.people.same(actor.accounts, behind(asked)))
        ),
        revoke=may(actor, Action.GRANT_WAIVER),
        never_waived=frozenset(rules.never),
    )


def _runnable(variant: Variant | None) -> frozenset[Criterion]:
    """Drift is measured on users' requests, so a version that gets none has none."""
    checks = {each for each in Criterion if each.about.origin == Origin.CHECKED}
    return frozenset(checks if variant and variant.weight else checks - {Criterion.DRIFT})


def _barred(finding: Finding, reads: VersionReads, policy: Policy, now: datetime) -> str:
    return "" if finding.holds else why_not_loaded(reads.version, finding.criterion, policy.values, now, reads)


def _line(finding: Finding, check: CheckRun | None, rights: _Rights, barred: str) -> Line:
    criterion = finding.criterion
    return Line(
        finding=finding,
        check=check,
        barred=barred,
        may_run=criterion in rights.run and not barred,
        may_report=rights.report and criterion in FROM_OUTSIDE,
        may_waive=rights.waive and criterion not in rights.never_waived and not finding.holds,
    )


# ---------------------------------------------------------------- a transition's page


@dataclass(frozen=True, slots=True)
class Change:
    """What one criterion was when a change was asked for, and what it is now; None: it was not asked then, or now."""

    label: str
    then: Finding | None
    now: Finding | None


def of_transition(page: TransitionPage) -> Checklist | None:
    """The gate as it is now, else as it was when the change was asked for; nothing is done about it from here."""
    gate = page.gate or page.gate_as_asked
    if gate is None or not gate.findings:
        return None
    return Checklist(gate=gate, policy=page.transition.policy, lines=tuple(Line(each) for each in gate.findings))


def changes(page: TransitionPage) -> tuple[Change, ...]:
    """The criteria that have changed since the change was asked for; approvals are meant to."""
    if page.gate is None or page.gate_as_asked is None:
        return ()
    then = {each.criterion: each for each in page.gate_as_asked.findings}
    now = {each.criterion: each for each in page.gate.findings}
    return tuple(
        Change(criterion.label, then.get(criterion), now.get(criterion))
        for criterion in (*now, *(set(then) - set(now)))
        if criterion != Criterion.APPROVALS and _state(then.get(criterion)) != _state(now.get(criterion))
    )


def _state(finding: Finding | None) -> State | None:
    return finding.state if finding else None


# ---------------------------------------------------------------- evidence


@dataclass(frozen=True, slots=True)
class Recorded:
    """A piece of evidence, and why it no longer counts, "" while it does."""

    row: Evidence
    criterion: Criterion
    stale: str


def evidence_of(reads: VersionReads, page_number: str | None, now: datetime) -> tuple[Page[Evidence], list[Recorded]]:
    """One page of the version's evidence, newest first."""
    version, policy = reads.version, reads.model.policy(now).values
    page = _Evidence(reads).get_page(page_number)
    rows = [Recorded(row, Criterion(row.criterion), why_stale(row, version, policy, now)) for row in page.object_list]
    return page, rows


class _Evidence(Paginator):
    """How much there is, and its first page, have been read with what the gates ask of it."""

    def __init__(self, reads: VersionReads) -> None:
        super().__init__(reads.version.evidence.all(), EVIDENCE_PAGE)
        self._reads = reads

    @cached_property
    def count(self) -> int:
        return self._reads.evidence_count

    def page(self, number: int | str) -> Page[Evidence]:
        if self.validate_number(number) == 1:
            return Page(self._reads.latest_evidence, 1, self)
        return super().page(number)


@dataclass(frozen=True, slots=True)
class EvidencePage:
    """``judgement`` is what ``policy``, the one in force, says to this evidence alone; ``judged_by`` is the number of
    the policy that a check measured by, None for what was reported. ``newer`` is what was recorded for the same
    criterion since."""

    row: Evidence
    criterion: Criterion
    stale: str
    policy: Policy
    judgement: Judgement
    judged_by: int | None
    newer: Evidence | None
    check: CheckRun | None


def evidence_page(row: Evidence, now: datetime) -> EvidencePage:
    version, criterion = row.version, Criterion(row.criterion)
    policy = current_policy(version.model, now)
    same = Evidence.objects.filter(version=version, criterion=criterion)
    number = row.measurements.get("policy")
    return EvidencePage(
        row=row,
        criterion=criterion,
        stale=why_stale(row, version, policy.values, now),
        policy=policy,
        judgement=judge(criterion, policy.values, _alone(row), now),
        judged_by=number if isinstance(number, int) else None,
        newer=same.filter(recorded_at__gt=row.recorded_at).first(),
        check=CheckRun.objects.filter(evidence=row).first(),
    )


def _alone(row: Evidence) -> Facts:
    """As if this were all there is, and still counted."""
    return Facts(version=VersionFacts(row.version.version), evidence=(evidence_fact(row),))
