"""Facts for gates: each helper gives one that is good, and takes what is to be different."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from lifecycle.domain.criteria import TO_ARCHIVED, TO_PRODUCTION, TO_STAGING, Criterion
from lifecycle.domain.gates import Answered, EvidenceFact, Facts, Finding, Source, VersionFacts, WaiverFact, gate
from lifecycle.domain.policy import Policy
from lifecycle.domain.stages import Stage

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
TAGS = {
    "schema_version": "1.0.0",
    "data_version": "2026-02-01",
    "feature_set_version": "v1.2.0",
    "training_date": "2026-02-02",
    "trainer_email": "ds@company.com",
    "framework": "sklearn",
    "explainability": "shap",
}
SIGNATURE = {
    "inputs": [{"name": "petal_length", "type": "double", "required": True}],
    "outputs": [{"name": "species", "type": "string", "required": True}],
}
FAST = {"throughput": 640.0, "p50": 0.012, "p95": 0.03, "p99": 0.08, "failed": 0.0}
STAGE_OF = {
    **dict.fromkeys(TO_STAGING, Stage.STAGING),
    **dict.fromkeys(TO_PRODUCTION, Stage.PRODUCTION),
    **dict.fromkeys(TO_ARCHIVED, Stage.ARCHIVED),
}


def version(number: int = 2, **values: Any) -> VersionFacts:
    good = {"semantic_version": "1.1.0", "tags": TAGS, "metrics": {"f1_macro": 0.93}, "signature": SIGNATURE}
    return VersionFacts(number, **{**good, **values})


def evidence(criterion: Criterion, passed: bool = True, *, age: timedelta = HOUR, **values: Any) -> EvidenceFact:
    known: dict[str, Any] = {"id": 1, "source": Source.CI, "by": "CI", **values}
    return EvidenceFact(criterion=criterion, passed=passed, at=NOW - age, **known)


def waiver(criterion: Criterion, *, age: timedelta = HOUR, lasts: timedelta = 2 * HOUR, **values: Any) -> WaiverFact:
    known: dict[str, Any] = {"id": 1, "reason": "The scanner is down.", "by": "Priya", **values}
    return WaiverFact(criterion=criterion, at=NOW - age, expires_at=NOW - age + lasts, **known)


def answered(requests: int = 5000, errors: int = 0, *, span: timedelta = 25 * HOUR, ago: timedelta = HOUR) -> Answered:
    return Answered(requests, errors, since=NOW - ago - span, until=NOW - ago)


def finding(criterion: Criterion, facts: Facts | None = None, policy: Policy | None = None, **values: Any) -> Finding:
    """The one finding about the criterion, of facts that are given or made of ``values``."""
    made = facts or Facts(**{"version": version(), **values})
    found = gate(STAGE_OF[criterion], policy or Policy(), made, NOW)
    return next(each for each in found.findings if each.criterion == criterion)
