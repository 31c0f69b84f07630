"""One pure function a criterion: policy, facts and time in, a judgement in words out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from lifecycle.domain.criteria import Criterion
from lifecycle.domain.facts import Facts
from lifecycle.domain.judgements import (
    benchmarks,
    checked,
    described,
    leaving,
    live,
    people,
    regression,
    reported,
    soak,
)
from lifecycle.domain.judgements.base import Judgement
from lifecycle.domain.policy import Policy

Judge = Callable[[Policy, Facts, datetime], Judgement]

_JUDGES: Mapping[Criterion, Judge] = {
    Criterion.UNIT_TESTS: reported.unit_tests,
    Criterion.INTEGRATION_TESTS: reported.integration_tests,
    Criterion.BENCHMARKS: benchmarks.benchmarks,
    Criterion.CODE_REVIEW: reported.code_review,
    Criterion.REQUIRED_TAGS: described.required_tags,
    Criterion.SEMANTIC_VERSION: described.semantic_version,
    Criterion.ARTIFACT_SCAN: checked.artifact_scan,
    Criterion.SIGNATURE: described.signature,
    Criterion.SOAK: soak.soak,
    Criterion.OFFLINE_REGRESSION: regression.offline_regression,
    Criterion.LIVE_COMPARISON: live.live_comparison,
    Criterion.DRIFT: checked.drift,
    Criterion.LOAD_TEST: checked.load_test,
    Criterion.MALFORMED_INPUT: checked.malformed_input,
    Criterion.SECURITY_SCAN: reported.security_scan,
    Criterion.APPROVALS: people.approvals,
    Criterion.REPLACED: leaving.replaced,
    Criterion.TIME_IN_PRODUCTION: leaving.time_in_production,
}


def judge(criterion: Criterion, policy: Policy, facts: Facts, now: datetime) -> Judgement:
    return _JUDGES[criterion](policy, facts, now)
