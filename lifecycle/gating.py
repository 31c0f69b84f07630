"""From rows to a gate: the facts that a gate needs, read in a bounded number of queries whatever the history."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from lifecycle import versions
from lifecycle.approvals import behind, required_roles, standing, unfilled_by
from lifecycle.domain import compare
from lifecycle.domain import policy as policy_values
from lifecycle.domain.criteria import Criterion
from lifecycle.domain.facts import (
    Answered,
    ApprovalFacts,
    Breach,
    EvidenceFact,
    Facts,
    Source,
    WaiverFact,
)
from lifecycle.domain.findings import Finding, Gate, Measure, State
from lifecycle.domain.gates import gate
from lifecycle.domain.stages import Stage
from lifecycle.evidence import why_other_artifact, why_stale
from lifecycle.models import (
    Evidence,
    Kind,
    ModelVersion,
    Transition,
    VariantRole,
    Waiver,
)
from lifecycle.reads import VersionReads


def gate_of(
    version: ModelVersion,
    to_stage: Stage,
    now: datetime,
    *,
    transition: Transition | None = None,
    policy: policy_values.Policy | None = None,
    asked_by: Collection[int] = (),
    reads: VersionReads | None = None,
) -> Gate:
    """The gate as it is now: by the transition's policy when there is one, else by the one in force for the model.

    ``asked_by`` are the accounts behind whoever is about to ask for the change; of a transition they are known. Waivers
    that the same person has granted do not count. ``reads`` is what a page has read of the version; a decision looks
    anew.
    """
    known = reads or VersionReads(version)
    chosen = policy or (transition.policy if transition else known.model.policy(now)).values
    facts = facts_of(version, to_stage, chosen, now, transition=transition, asked_by=asked_by, reads=known)
    return gate(to_stage, chosen, facts, now)


def facts_of(
    version: ModelVersion,
    to_stage: Stage,
    policy: policy_values.Policy,
    now: datetime,
    *,
    transition: Transition | None = None,
    asked_by: Collection[int] = (),
    reads: VersionReads | None = None,
) -> Facts:
    """What the criteria of this stage change ask about; the rest keeps its defaults."""
    known = reads or VersionReads(version)
    asking = behind(transition) if transition else asked_by
    asked = frozenset(policy.criteria.of(to_stage))
    serving = known.model.production
    production = serving if serving and serving.pk != version.pk else None
    since = known.since
    answered = known.answered if asked & _TRAFFIC else {}
    return Facts(
        version=versions.facts_of(version),
        others=known.others if Criterion.SEMANTIC_VERSION in asked else (),
        production=versions.facts_of(production) if production else None,
        evidence=_evidence(known, asked, policy, now),
        waivers=_waivers(known, asked, asking),
        staging_since=since,
        other_files=bool(asked & _TRAFFIC) and known.has_other_files,
        answered=answered.get(version.pk, Answered()),
        stable_answered=answered.get(production.pk, Answered()) if production else Answered(),
        breached=_breached(known) if Criterion.LIVE_COMPARISON in asked else (),
        approvals=_approvals(transition) if transition else None,
        **(_leaving(known, production) if to_stage == Stage.ARCHIVED else {}),
    )


_TRAFFIC = frozenset({Criterion.SOAK, Criterion.LIVE_COMPARISON})


# ---------------------------------------------------------------- evidence and waivers


def _evidence(
    known: VersionReads, asked: frozenset[Criterion], policy: policy_values.Policy, now: datetime
) -> tuple[EvidenceFact, ...]:
    rows = (row for row in known.evidence if row.criterion in asked)
    return tuple(evidence_fact(row, stale=why_stale(row, known.version, policy, now)) for row in rows)


def evidence_fact(row: Evidence, *, stale: str = "") -> EvidenceFact:
    return EvidenceFact(
        id=row.pk,
        criterion=Criterion(row.criterion),
        passed=row.passed,
        source=Source(row.origin),
        by=row.recorded_by,
        at=row.recorded_at,
        value=row.value,
        unit=row.unit,
        url=row.url,
        detail=row.detail,
        measurements=row.measurements,
        stale=stale,
    )


def _waivers(known: VersionReads, asked: frozenset[Criterion], asking: Collection[int]) -> tuple[WaiverFact, ...]:
    """All that were ever granted: a waiver is shown wherever the gate is."""
    rows = [row for row in known.waivers if row.criterion in asked]
    own = known.model.people.same({row.granted_by_id for row in known.waivers if row.granted_by_id}, asking)
    return tuple(
        WaiverFact(
            id=row.pk,
            criterion=Criterion(row.criterion),
            reason=row.reason,
            by=row.granted_by,
            at=row.granted_at,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
            stale=why_other_artifact(row, known.version) or (_why_own(row) if row.granted_by_id in own else ""),
            revoked_by=row.revoked_by,
            revoked_reason=row.revoked_reason,
        )
        for row in rows
    )


def _why_own(row: Waiver) -> str:
    """A waiver is a yes, and nobody says yes to themselves."""
    return f"It was granted by {row.granted_by}, who asks for this change: somebody else has to grant it."


# ---------------------------------------------------------------- traffic, approvals, Production


def _breached(known: VersionReads) -> tuple[Breach, ...]:
    """By the latest trial of its stay in Staging. It gets requests just before MLflow says that it is there, and its
    trial is closed where the next change is about to begin."""
    since = known.since
    if since is None:
        return ()
    trials = (each for each in known.model.trials_in_staging(known.version) if each.judged_at is not None)
    trial = next((each for each in trials if each.until is None or each.until > since), None)
    measures = compare.load(trial.verdict).measures if trial else ()
    return tuple(
        Breach(each.name, each.label, each.why, each.estimate, each.low, each.high, each.limit, each.unit)
        for each in measures
        if each.state == compare.MeasureState.BREACHED
    )


def _approvals(transition: Transition) -> ApprovalFacts:
    said_yes = [each for each in standing(transition) if each.approved]
    return ApprovalFacts(
        required=required_roles(transition),
        missing=unfilled_by(said_yes, transition),
        bypassed_by=transition.bypassed_by_name if transition.bypassed_at else "",
        given=tuple(each.person_name for each in said_yes),
        last_at=max((each.decided_at for each in said_yes), default=None),
    )


def _leaving(known: VersionReads, production: ModelVersion | None) -> dict[str, Any]:
    """What the criteria of archiving ask. A replaced version keeps its stage, so the stage tells its time."""
    version, variant = known.version, known.variant
    return {
        "production_since": version.stage_since if version.domain_stage == Stage.PRODUCTION else None,
        "serves_production": variant is not None and variant.role == VariantRole.PRODUCTION,
        "kept_warm": variant is not None and variant.role == VariantRole.WARM,
        "rolled_back": _why_rolled_back(known),
        "replaced_by": production.label if production else "",
    }


def _why_rolled_back(known: VersionReads) -> str:
    """Why its last time in Production ended by a rollback; "" when it did not, or when it has come back since."""
    last = known.last_change
    return last.reason if last and last.kind == Kind.ROLLBACK and last.version_id == known.version.pk else ""


# ---------------------------------------------------------------- JSON


def dump_gate(found: Gate) -> list[dict[str, Any]]:
    """One JSON object a criterion; ages are seconds. What a check measured in full stays with its evidence."""
    return [dump_finding(finding) for finding in found.findings]


def gate_json(found: Gate) -> dict[str, Any]:
    """The gate as the API answers it."""
    return {
        "to": str(found.to_stage),
        "open": found.open,
        "may_be_asked_for": not found.to_request,
        "findings": dump_gate(found),
    }


def load_gate(to_stage: Stage, dumped: Sequence[Mapping[str, Any]]) -> Gate:
    """The gate that ``dump_gate`` wrote down: how it was when a change was asked for."""
    return Gate(to_stage, tuple(_load_finding(each) for each in dumped))


def dump_finding(finding: Finding) -> dict[str, Any]:
    about = finding.criterion.about
    return {
        "criterion": str(finding.criterion),
        "label": about.label,
        "question": about.question,
        "origin": str(about.origin),
        "state": str(finding.state),
        "without_waiver": str(finding.without_waiver),
        "measured": finding.measured,
        "wanted": finding.wanted,
        "why": finding.why,
        "by": finding.by,
        "at": _text(finding.at),
        "age": finding.age.total_seconds() if finding.age is not None else None,
        "measures": [
            {"name": each.name, "measured": each.measured, "wanted": each.wanted, "passed": each.passed}
            for each in finding.measures
        ],
        "evidence": _dump_evidence(finding.evidence) if finding.evidence else None,
        "stale": _dump_evidence(finding.stale) if finding.stale else None,
        "waived_by": _dump_waiver(finding.waived_by) if finding.waived_by else None,
        "waivers": [_dump_waiver(each) for each in finding.waivers],
    }


def _load_finding(dumped: Mapping[str, Any]) -> Finding:
    return Finding(
        criterion=Criterion(dumped["criterion"]),
        state=State(dumped["state"]),
        without_waiver=State(dumped["without_waiver"]),
        measured=dumped["measured"],
        wanted=dumped["wanted"],
        why=dumped["why"],
        by=dumped["by"],
        at=_time(dumped["at"]),
        age=timedelta(seconds=dumped["age"]) if dumped["age"] is not None else None,
        measures=tuple(Measure(**each) for each in dumped["measures"]),
        evidence=_load_evidence(dumped["evidence"]),
        stale=_load_evidence(dumped["stale"]),
        waived_by=_load_waiver(dumped["waived_by"]) if dumped["waived_by"] else None,
        waivers=tuple(map(_load_waiver, dumped["waivers"])),
    )


def _dump_evidence(evidence: EvidenceFact) -> dict[str, Any]:
    return {
        "id": evidence.id,
        "criterion": str(evidence.criterion),
        "passed": evidence.passed,
        "source": str(evidence.source),
        "by": evidence.by,
        "at": _text(evidence.at),
        "value": evidence.value if evidence.value is not None and math.isfinite(evidence.value) else None,
        "unit": evidence.unit,
        "url": evidence.url,
        "detail": evidence.detail,
        "stale": evidence.stale,
    }


def _load_evidence(dumped: Mapping[str, Any] | None) -> EvidenceFact | None:
    if dumped is None:
        return None
    typed = {
        "criterion": Criterion(dumped["criterion"]),
        "source": Source(dumped["source"]),
        "at": datetime.fromisoformat(dumped["at"]),
    }
    return EvidenceFact(**{**dumped, **typed})


def _dump_waiver(waiver: WaiverFact) -> dict[str, Any]:
    return {
        "id": waiver.id,
        "criterion": str(waiver.criterion),
        "reason": waiver.reason,
        "by": waiver.by,
        "at": _text(waiver.at),
        "expires_at": _text(waiver.expires_at),
        "revoked_at": _text(waiver.revoked_at),
        "stale": waiver.stale,
        "revoked_by": waiver.revoked_by,
        "revoked_reason": waiver.revoked_reason,
    }


def _load_waiver(dumped: Mapping[str, Any]) -> WaiverFact:
    times = {name: _time(dumped[name]) for name in ("at", "expires_at", "revoked_at")}
    return WaiverFact(**{**dumped, **times, "criterion": Criterion(dumped["criterion"])})


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
