"""The criteria of every stage change: what they ask, and where an answer can come from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Criterion(StrEnum):
    UNIT_TESTS = "unit_tests"
    INTEGRATION_TESTS = "integration_tests"
    BENCHMARKS = "benchmarks"
    CODE_REVIEW = "code_review"
    REQUIRED_TAGS = "required_tags"
    SEMANTIC_VERSION = "semantic_version"
    ARTIFACT_SCAN = "artifact_scan"
    SIGNATURE = "signature"
    SOAK = "soak"
    OFFLINE_REGRESSION = "offline_regression"
    LIVE_COMPARISON = "live_comparison"
    DRIFT = "drift"
    LOAD_TEST = "load_test"
    MALFORMED_INPUT = "malformed_input"
    SECURITY_SCAN = "security_scan"
    APPROVALS = "approvals"
    REPLACED = "replaced"
    TIME_IN_PRODUCTION = "time_in_production"

    @property
    def about(self) -> About:
        return ABOUT[self]

    @property
    def label(self) -> str:
        return ABOUT[self].label


class Origin(StrEnum):
    """Where the answer to a criterion comes from."""

    REPORTED = "reported"
    """Evidence from outside: a CI system, or a person with a link and a note."""
    CHECKED = "checked"
    """Evidence that Stagegate collects by a check of its own."""
    READ = "read"
    """Read from the registry, the record and the observed traffic whenever the gate is looked at."""


@dataclass(frozen=True, slots=True)
class About:
    """``question`` is what the criterion asks, in words a product owner understands."""

    label: str
    question: str
    origin: Origin


ABOUT: dict[Criterion, About] = {
    Criterion.UNIT_TESTS: About("Unit tests", "Do the unit tests of its code pass?", Origin.REPORTED),
    Criterion.INTEGRATION_TESTS: About(
        "Integration tests", "Does it work together with what it is used by?", Origin.REPORTED
    ),
    Criterion.BENCHMARKS: About("Minimum benchmarks", "Is it good enough on held-out data?", Origin.READ),
    Criterion.CODE_REVIEW: About("Code review", "Has somebody else read the code?", Origin.REPORTED),
    Criterion.REQUIRED_TAGS: About("Required tags", "Does it say what it was made of, and by whom?", Origin.READ),
    Criterion.SEMANTIC_VERSION: About("Semantic version", "Does its number say truly how much changed?", Origin.READ),
    Criterion.ARTIFACT_SCAN: About(
        "Artifact scan", "Are its files free of anything that could do harm?", Origin.CHECKED
    ),
    Criterion.SIGNATURE: About("Readable signature", "Is it known what it takes and what it gives?", Origin.READ),
    Criterion.SOAK: About("Time in Staging", "Has it answered real requests for long enough?", Origin.READ),
    Criterion.OFFLINE_REGRESSION: About(
        "No regression offline", "Is it at least as good as what serves now, metric by metric?", Origin.READ
    ),
    Criterion.LIVE_COMPARISON: About(
        "No regression live", "Does it fail no more often than what serves now?", Origin.READ
    ),
    Criterion.DRIFT: About(
        "Drift explained", "Do requests look like what it was trained on, or is it understood why not?", Origin.CHECKED
    ),
    Criterion.LOAD_TEST: About("Load test", "Is it fast enough when many ask at once?", Origin.CHECKED),
    Criterion.MALFORMED_INPUT: About(
        "Malformed input", "Does it refuse nonsense with a reason instead of answering it?", Origin.CHECKED
    ),
    Criterion.SECURITY_SCAN: About(
        "Security scan", "Are its packages and its image free of known weaknesses?", Origin.REPORTED
    ),
    Criterion.APPROVALS: About("Approvals", "Have the people said yes who answer for it?", Origin.READ),
    Criterion.REPLACED: About("Replaced or rolled back", "Does something else do its work now?", Origin.READ),
    Criterion.TIME_IN_PRODUCTION: About(
        "Time in Production", "Has it been in Production for as long as the policy asks?", Origin.READ
    ),
}

TO_STAGING = (
    Criterion.UNIT_TESTS,
    Criterion.INTEGRATION_TESTS,
    Criterion.BENCHMARKS,
    Criterion.CODE_REVIEW,
    Criterion.REQUIRED_TAGS,
    Criterion.SEMANTIC_VERSION,
    Criterion.ARTIFACT_SCAN,
    Criterion.SIGNATURE,
)
TO_PRODUCTION = (
    Criterion.SOAK,
    Criterion.OFFLINE_REGRESSION,
    Criterion.LIVE_COMPARISON,
    Criterion.DRIFT,
    Criterion.LOAD_TEST,
    Criterion.MALFORMED_INPUT,
    Criterion.SECURITY_SCAN,
    Criterion.APPROVALS,
)
TO_ARCHIVED = (Criterion.REPLACED, Criterion.TIME_IN_PRODUCTION)
"""The criteria of the lifecycle strategy, by the stage that a version is to enter."""

FROM_OUTSIDE = tuple(each for each in Criterion if each.about.origin == Origin.REPORTED or each == Criterion.DRIFT)
"""The criteria that a CI system or a person reports on; for drift a person explains what the check has measured."""
