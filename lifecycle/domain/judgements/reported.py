"""Criteria that somebody outside answers: a CI system with a token, or a person with a link and a note."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from lifecycle.domain.criteria import Criterion
from lifecycle.domain.facts import Facts
from lifecycle.domain.judgements.base import Judgement, evidence_for
from lifecycle.domain.policy import Policy
from lifecycle.domain.words import figure


def _outcome_of(criterion: Criterion, wanted: str, to_get_it: str, to_mend_it: str) -> Callable[..., Judgement]:
    def judge(policy: Policy, facts: Facts, now: datetime) -> Judgement:
        found = evidence_for(criterion, facts)
        counting = found.counting
        if counting is None:
            return found.missing(wanted, to_get_it)
        measured = "passed" if counting.passed else "failed"
        if counting.value is not None:
            measured += f", {figure(counting.value)} {counting.unit}".rstrip()
        why = " ".join(filter(None, (_sentence(counting.detail) or f"{counting.by} reported a failure.", to_mend_it)))
        return found.judged(passed=counting.passed, measured=measured, wanted=wanted, why=why)

    return judge


def _sentence(text: str) -> str:
    cleaned = text.strip()
    return cleaned if not cleaned or cleaned[-1] in ".!?" else f"{cleaned}."


unit_tests = _outcome_of(
    Criterion.UNIT_TESTS,
    "passed",
    "Let CI report the unit tests, or record the result by hand with a link.",
    "Mend the code or the tests, register a corrected version, and report again.",
)
integration_tests = _outcome_of(
    Criterion.INTEGRATION_TESTS,
    "passed",
    "Let CI report the integration tests, or record the result by hand with a link.",
    "Mend what does not fit together, register a corrected version, and report again.",
)
code_review = _outcome_of(
    Criterion.CODE_REVIEW,
    "passed by somebody else than the author",
    "Have somebody else read the code, and record it with a link to the review.",
    "Settle what the review found, and record the new review.",
)
security_scan = _outcome_of(
    Criterion.SECURITY_SCAN,
    "passed",
    "Let CI scan the packages and the image, and report the result with a link.",
    "Replace what has known weaknesses, scan again, and report again.",
)
